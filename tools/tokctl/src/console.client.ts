// Opens a console of a VM: asks for a ticket, shows it to the door, and hands out the bytes of both directions as a stream
// that is as slow as its slower side. How it ended is told as what the door said.
import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocket } from 'ws';
import { consoleCloses, consoleProtocol, createConsoleTicket, ticketProtocol } from '#contracts';
import type { ConsoleKind, ReplyOf } from '#contracts';
import { problemOf, valueOf } from './answers.ts';
import type { Context } from './context.ts';
import { exit } from './exit-codes.ts';
import { Failure, Refused } from './failures.ts';
import { bearerOf, targetOf } from './session.client.ts';
import { isId } from './values.ts';

export interface ConsoleWish { readonly vmId: string; readonly kind: ConsoleKind; readonly historyBytes?: number }

export interface OpenConsole {
  readonly stream: Duplex;
  /** Fulfilled when it has closed: with the failure that the door tells of, or with undefined where the VM stopped or somebody left. */
  readonly over: Promise<Failure | undefined>;
  readonly leave: () => void;
  /** Nothing that is typed from here on is sent. */
  readonly hasLeft: () => boolean;
}

const handshakeMs = 20_000;
/** The VM has stopped, or whoever looked has left. */
const asMeant: ReadonlySet<number> = new Set([1000, 1005, 4410]);

export const vmNamed = async ({ platform }: Context, name: string): Promise<string> => (isId(name) ? name.toLowerCase() : platform.idOf({ noun: 'vm', name, where: '<vm>' }));

export async function askTicket({ platform }: Context, { vmId, kind, historyBytes }: ConsoleWish): Promise<ReplyOf<typeof createConsoleTicket>> {
  const answer = await platform.ask({
    method: 'POST', path: `/v1/vms/${vmId}/console-tickets`, body: JSON.stringify({ kind, ...(historyBytes === undefined ? {} : { historyBytes }) }), headers: { 'idempotency-key': randomUUID() },
  });
  return createConsoleTicket.reply.parse(valueOf(answer));
}

/** Rejects with what the door refuses. */
export async function openConsole(context: Context, wish: ConsoleWish): Promise<OpenConsole> {
  const { around, options } = context;
  const { ticket, path } = await askTicket(context, wish);
  const target = targetOf(around.store, around.env, options);
  const bearer = await bearerOf(around.store, around.env, target)();
  const url = new URL(path, target.url);
  url.protocol = url.protocol.replace('http', 'ws');
  const socket = new WebSocket(url, [consoleProtocol, ticketProtocol(ticket)], { headers: { authorization: `Bearer ${bearer}` }, handshakeTimeout: handshakeMs, perMessageDeflate: false });
  let left = false;
  const over = new Promise<Failure | undefined>((resolve) => {
    // Whoever has left needs no answer to it: the connection may be cut before that comes.
    socket.once('close', (code, reason) => { resolve(left ? undefined : failureOf(code, reason.toString('utf8'))); });
  });
  const stream = createWebSocketStream(socket); // before it is open: the first bytes may come with the handshake
  stream.on('error', () => undefined); // `over` tells
  await connected(socket, target.url);
  const leave = (): void => {
    left ||= socket.readyState === WebSocket.OPEN; // else it is ending by itself, and says how
    socket.close(1000);
  };
  return { stream, over, leave, hasLeft: () => left };
}

function connected(socket: WebSocket, url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.on('error', (error: NodeJS.ErrnoException) => { reject(new Failure(exit.unavailable, `${url} does not open the console: ${error.code ?? error.message}`)); });
    socket.once('unexpected-response', (_request, response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => { text += part; }).on('end', () => {
        const status = response.statusCode ?? 0;
        reject(new Refused(problemOf({ status, headers: {}, text }), status));
      });
    });
  });
}

/** The reason begins with the code of a refusal. */
export function failureOf(code: number, reason: string): Failure | undefined {
  if (asMeant.has(code)) return undefined;
  const [, known, detail] = /^([A-Z_]+): (.*)$/s.exec(reason) ?? [];
  if (known !== undefined && code >= 4400) return new Refused({ code: known, detail: detail ?? '' }, code - 4000);
  const meaning = (consoleCloses as Readonly<Record<number, string>>)[code] ?? 'the connection broke';
  return new Failure(exit.unavailable, `The console has closed: ${meaning}.`);
}
