// The way to NATS that writes once in a turn of the event loop: nothing is lost or reordered by it, and it does write once.
import { createServer, connect as dial } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { NatsConnection } from '@nats-io/transport-node';
import { until } from '#testing';
import { connectGathering } from './gathering.nats.ts';

const natsUrl = new URL(process.env['TOK_TEST_NATS_URL'] ?? '');
let listener: NatsConnection;
beforeAll(async () => { listener = await connectGathering({ servers: natsUrl.host }); });
afterAll(async () => { await listener.close(); });

/** A way to the server that counts what comes through in one piece. */
async function counted(): Promise<{ server: Server; port: number; pieces: Buffer[] }> {
  const pieces: Buffer[] = [];
  const server = createServer((client: Socket) => {
    const upstream = dial(Number(natsUrl.port), natsUrl.hostname);
    client.on('data', (data: Buffer) => { pieces.push(data); });
    client.pipe(upstream);
    upstream.pipe(client);
    for (const end of [client, upstream]) end.on('error', () => { client.destroy(); upstream.destroy(); });
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return { server, port: (server.address() as AddressInfo).port, pieces };
}

it('writes what several callbacks say in one turn in one piece', async () => {
  const { server, port, pieces } = await counted();
  const speaker = await connectGathering({ servers: `127.0.0.1:${port}` });
  await speaker.flush();
  pieces.length = 0;
  for (const word of ['a', 'b', 'c']) queueMicrotask(() => { setImmediate(() => { speaker.publish('gathering.turn', word); }); });
  await until('they came', () => pieces.length > 0);
  await speaker.flush();
  expect(pieces[0]?.toString().match(/PUB gathering\.turn/g)).toHaveLength(3);
  await speaker.close();
  server.close();
});

it('keeps the order of what is said, whatever its size', async () => {
  const speaker = await connectGathering({ servers: natsUrl.host });
  const heard: string[] = [];
  const all = Array.from({ length: 400 }, (_, index) => `${index} ${'x'.repeat((index * 7_919) % 60_000)}`);
  const subscription = listener.subscribe('gathering.order', { callback: (_error, message) => { heard.push(message.string()); } });
  await listener.flush();
  for (const [index, text] of all.entries()) {
    speaker.publish('gathering.order', text);
    if (index % 9 === 0) await Promise.resolve();
    if (index % 31 === 0) await new Promise((resolve) => { setImmediate(resolve); });
  }
  await speaker.flush();
  await until('all are heard', () => heard.length === all.length);
  expect(heard).toEqual(all);
  subscription.unsubscribe();
  await speaker.close();
});

it('still says what was said just before its end', async () => {
  const speaker = await connectGathering({ servers: natsUrl.host });
  const heard: string[] = [];
  const subscription = listener.subscribe('gathering.end', { callback: (_error, message) => { heard.push(message.string()); } });
  await listener.flush();
  speaker.publish('gathering.end', 'the last word');
  await Promise.resolve(); // the client has handed it on
  await speaker.close();
  await until('it is heard', () => heard.length > 0);
  expect(heard).toEqual(['the last word']);
  subscription.unsubscribe();
});

it('answers each request, and none that is open when it closes stays without an end', async () => {
  const speaker = await connectGathering({ servers: natsUrl.host });
  const subscription = listener.subscribe('gathering.ask', { callback: (_error, message) => { if (message.string() !== 'silent') message.respond(message.data); } });
  await listener.flush();
  const answers = await Promise.all(['a', 'b', 'c'].map(async (word) => (await speaker.request('gathering.ask', word, { timeout: 5_000 })).string()));
  expect(answers).toEqual(['a', 'b', 'c']);
  const open = [1, 2].map(() => speaker.request('gathering.ask', 'silent', { timeout: 60_000 }));
  const ends = Promise.allSettled(open);
  await speaker.flush();
  await speaker.close();
  expect((await ends).map((end) => end.status === 'rejected' && end.reason instanceof Error)).toEqual([true, true]);
  subscription.unsubscribe();
});
