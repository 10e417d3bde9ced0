// Those who follow the log in benchmarks, with as little of their own as possible: a stream over HTTP, and a feed on the bus read
// as its guide has it. Each counts what it hears and notices what is missing.
import { get } from 'node:http';
import { createUser, fmtCreds } from '@nats-io/jwt';
import { connect, credsAuthenticator } from '@nats-io/transport-node';

/** The events of one name, by their place in the log. */
export class Ear {
  heard = 0;
  outOfOrder = 0;
  last = 0;

  constructor(name, onEvent = () => undefined) {
    this.name = name;
    this.onEvent = onEvent;
  }

  hear(globalSeq, name, text) {
    if (globalSeq <= this.last) this.outOfOrder += 1;
    this.last = globalSeq;
    if (name !== this.name) return;
    this.heard += 1;
    this.onEvent(text);
  }
}

/** `GET /v1/events` as a stream. Resolves with how to end it, once the door has answered. */
export function openStream({ url, token, after, query = {} }, ear) {
  const target = new URL('/v1/events', url);
  for (const [name, value] of Object.entries(query)) target.searchParams.set(name, value);
  return new Promise((resolve, reject) => {
    const request = get(target, { agent: false, headers: { accept: 'text/event-stream', authorization: `Bearer ${token}`, ...(after === undefined ? {} : { 'last-event-id': String(after) }) } }, (response) => {
      if (response.statusCode !== 200) { reject(new Error(`HTTP ${response.statusCode} for a stream of events`)); return; }
      let rest = '';
      response.setEncoding('latin1').on('data', (part) => {
        const blocks = (rest + part).split('\n\n');
        rest = blocks.pop();
        for (const block of blocks) {
          if (!block.startsWith('id: ')) continue;
          const lineEnd = block.indexOf('\n');
          const nameEnd = block.indexOf('\n', lineEnd + 1);
          ear.hear(Number(block.slice(4, lineEnd)), block.slice(lineEnd + 8, nameEnd), block);
        }
      }).on('error', () => undefined);
      resolve(() => { request.destroy(); });
    });
    request.on('error', reject);
  });
}

/** A user's connection to the bus, with a key of its own. */
export async function enterBus(natsUrl, rest, handle) {
  const key = createUser();
  const { jwt } = await rest.post('/v1/bus-credentials', { publicKey: key.getPublicKey() });
  const nats = await connect({ servers: natsUrl, inboxPrefix: `_INBOX.user.${handle}`, authenticator: credsAuthenticator(fmtCreds(jwt, key)) });
  const ask = async (operation, input) => {
    const answer = await nats.request(`tok.v1.user.${handle}.req.${operation}`, JSON.stringify(input), { timeout: 30_000 });
    if (answer.headers?.get('Nats-Service-Error')) throw new Error(`${operation}: ${answer.string()}`);
    return answer.json();
  };
  return { nats, ask };
}

/** A feed that is read to the end of each message. Resolves with how to end it. */
export async function openFeed({ nats, ask }, { after, filter = {} }, ear) {
  const feed = await ask('gateway.event-feed.create', { ...(after === undefined ? {} : { after }), filter });
  let position = feed.read;
  let saying = false;
  let said = feed.read;
  /** One sign at a time; what was read meanwhile goes with the next. */
  const say = async (over = {}) => {
    if (saying && over.again !== true) return;
    saying = true;
    do {
      said = position;
      await ask('gateway.event-feed.get', { feedId: feed.id, read: said, ...over }).catch(() => undefined);
    } while (said < position && over.again !== true);
    saying = false;
  };
  const subscription = nats.subscribe(feed.subject, { callback: (_error, message) => {
    const { after: begin, position: end, events, end: why } = message.json();
    if (why !== null) return;
    if (begin > position) { void say({ again: true }); return; }
    for (const event of events) if (event.globalSeq > position) ear.hear(event.globalSeq, event.name, event);
    position = Math.max(position, end);
    if (events.length > 0) void say();
  } });
  await ask('gateway.event-feed.get', { feedId: feed.id, read: position, again: true });
  return async () => {
    subscription.unsubscribe();
    await ask('gateway.event-feed.delete', { feedId: feed.id });
  };
}
