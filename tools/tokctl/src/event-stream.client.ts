// Follows the stream of events of the door (server-sent events): comes back by itself after a break and goes on behind the
// last event it has, so that none is missing and none comes twice.
import { request as plainRequest } from 'node:http';
import { request as secureRequest } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { exit } from './exit-codes.ts';
import { Failure, Refused } from './failures.ts';
import { problemOf } from './answers.ts';
import type { Bearer } from './session.client.ts';

export interface StreamOptions {
  readonly url: string;
  readonly bearer: Bearer;
  /** Query of the stream: filters, and `after`. */
  readonly query: Readonly<Record<string, string>>;
  readonly onEvent: (event: Readonly<Record<string, unknown>>) => void;
  /** What is no event: a break, a gap. */
  readonly onNote: (text: string) => void;
  readonly signal?: AbortSignal;
  readonly pauseMs?: number;
}

/** Without a sign of life for so long the connection is dead: the door gives one every 10 s. */
const silenceMs = 40_000;
const patienceMs = 60_000;

interface Block { readonly id: string | undefined; readonly event: string | undefined; readonly data: string }

/** Ends only with `signal`, with a refusal, or when nobody answers for a minute. */
export async function followEvents(options: StreamOptions): Promise<void> {
  const { onEvent, onNote, signal, pauseMs = 1_000 } = options;
  const position = { lastId: undefined as string | undefined };
  let token = await options.bearer();
  let renewed = false;
  let silentSince = performance.now();
  const over = (): boolean => signal?.aborted === true;
  while (!over()) {
    const outcome = await once(options, token, position.lastId, ({ id, event, data }) => {
      silentSince = performance.now();
      renewed = false;
      position.lastId = id ?? position.lastId;
      if (event === 'reset') onNote('Some events are no longer kept; what follows is not without a gap.');
      else if (id !== undefined) onEvent(JSON.parse(data) as Record<string, unknown>);
    });
    if (outcome.kind === 'refused' && (outcome.failure.status !== 401 || renewed)) throw outcome.failure;
    if (outcome.kind === 'refused') {
      token = await options.bearer(token);
      renewed = true;
      continue;
    }
    if (performance.now() - silentSince > patienceMs) throw new Failure(exit.unavailable, `${options.url} does not answer: ${outcome.why}`);
    if (!over()) onNote(`The stream broke off (${outcome.why}); going on behind the last event.`);
    await sleep(pauseMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined); // aborted: the loop ends
  }
}

type Outcome = { readonly kind: 'broken'; readonly why: string } | { readonly kind: 'refused'; readonly failure: Refused };

function once({ url, query, signal }: StreamOptions, token: string, lastId: string | undefined, onBlock: (block: Block) => void): Promise<Outcome> {
  const target = new URL('/v1/events', url);
  for (const [name, value] of Object.entries(query)) target.searchParams.set(name, value);
  return new Promise((resolve) => {
    const broken = (error: NodeJS.ErrnoException): void => { resolve({ kind: 'broken', why: error.code ?? error.message }); };
    const sending = (target.protocol === 'https:' ? secureRequest : plainRequest)(target, {
      agent: false, headers: { accept: 'text/event-stream', authorization: `Bearer ${token}`, ...(lastId === undefined ? {} : { 'last-event-id': lastId }) }, ...(signal === undefined ? {} : { signal }),
    }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
        if (response.statusCode !== 200) return;
        const blocks = text.split('\n\n');
        text = blocks.pop() ?? '';
        for (const block of blocks) onBlock(blockOf(block));
      }).on('end', () => {
        const status = response.statusCode ?? 0;
        if (status === 200 || status >= 500) resolve({ kind: 'broken', why: status === 200 ? 'the door ended it' : `status ${status}` });
        else resolve({ kind: 'refused', failure: new Refused(problemOf({ status, headers: {}, text }), status) });
      }).on('error', broken);
    });
    sending.setTimeout(silenceMs, () => { sending.destroy(new Error('no sign of life')); });
    sending.on('error', broken).end();
  });
}

function blockOf(text: string): Block {
  const fields = new Map(text.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trimStart()] as const));
  return { id: fields.get('id'), event: fields.get('event'), data: fields.get('data') ?? '' };
}
