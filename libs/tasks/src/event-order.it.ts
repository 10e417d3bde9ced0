// Consumers that hear of some nouns alone, on a real database and a real JetStream that loses what it should not.
import { afterAll, afterEach, beforeAll, expect, it, jest } from '@jest/globals';
import { execute } from '#database';
import { until } from '#testing';
import { EventScene, happened, ignored, ofTask, stream, switched } from './testing/event-scene.ts';
import type { Over } from './testing/event-scene.ts';
import { readEvents } from './outbox.store.ts';

// For a busy machine; every wait inside has a bound of its own.
jest.setTimeout(120_000);

let scene: EventScene;
beforeAll(async () => { scene = await EventScene.open('event_order'); });
afterEach(() => scene.end());
afterAll(() => scene.close());

/** A consumer that asks no owner of itself, and how often it asked one. */
function waiting(over: Over = {}): { asked: number } {
  const count = { asked: 0 };
  scene.consumer({ askEveryMs: 600_000, readEvents: (_source, afterSeq, limit, nouns) => { count.asked += 1; return readEvents(scene.db, { afterSeq, limit, nouns }); }, ...over });
  return count;
}
const wantedSeqs = async (): Promise<number[]> => [...(await scene.numbers('%.happened.%')), ...(await scene.numbers('%.switch.%'))].sort((a, b) => a - b);

it('is told of the nouns that it asked for alone, and asks for nothing that it has no use for', async () => {
  scene.relay();
  await scene.emitAll(ofTask, switched);
  await (await scene.manager()).streams.purge(stream);
  const count = waiting();
  await scene.emitAll(happened, ofTask, switched, ignored, ofTask, switched, happened, switched, happened);
  await scene.caughtUp();
  expect(await scene.seenSeqs()).toEqual(await scene.expectedSeqs());
  const { config, delivered } = await (await scene.manager()).consumers.info(stream, 'taker');
  expect([config.filter_subjects, delivered.consumer_seq]).toEqual([['tok.v1.evt.network.thing.>'], 4]);
  expect(count.asked).toBe(1); // when it began
});
it('misses nothing that it wants when the stream loses it, and is not disturbed by what it does not want', async () => {
  const lost = new Set<string>();
  scene.losing(lost);
  const taken: number[] = [];
  const count = waiting({ filters: ['network.thing.happened', 'network.switch.changed'], handle: async (tx, event) => {
    taken.push(event.seq);
    if (event.name === happened.name) await execute(tx, 'INSERT INTO seen (n, seq) VALUES (?, ?)', [event.data['n'], event.seq]);
  } });
  const allTaken = (): Promise<boolean> => until('all is taken', async () => taken.at(-1) === (await wantedSeqs()).at(-1));
  await scene.emitAll(happened, switched);
  await allTaken();
  const before = count.asked;
  lost.add('task');
  await scene.emitAll(ofTask, happened, ofTask, ofTask, switched);
  await allTaken();
  expect(count.asked).toBe(before);
  lost.add('thing');
  await scene.emitAll(happened, ofTask);
  lost.clear();
  await scene.emitAll(switched); // of another noun: it tells all the same that a thing is missing
  await allTaken();
  expect(count.asked).toBe(before + 1);
  expect(taken.slice(-6)).toEqual((await wantedSeqs()).slice(-6));
  expect(await scene.seenSeqs()).toEqual(await scene.expectedSeqs());
});
it('finds what was lost last when it asks, and then asks from there on', async () => {
  const lost = new Set(['thing']);
  scene.losing(lost);
  await scene.emitAll(happened);
  const from: number[] = [];
  scene.consumer({ askEveryMs: 300, readEvents: (_source, afterSeq, limit, nouns) => { from.push(afterSeq); return readEvents(scene.db, { afterSeq, limit, nouns }); } });
  await scene.caughtUp();
  await scene.emitAll(happened, ofTask, ofTask);
  await scene.caughtUp();
  expect(await scene.seenSeqs()).toEqual(await scene.expectedSeqs());
  const last = (await scene.numbers()).at(-1)!;
  await until('it asks from the end on', () => Promise.resolve(from.at(-1) === last));
});
it('goes on behind a relay that writes nothing of what was before, and behind each that takes over', async () => {
  const old = scene.relay((send) => (subject, payload, options) => send(subject, payload, { msgID: options!.msgID! }));
  const count = waiting();
  await scene.emitAll(happened, ofTask, happened, ofTask, ofTask, happened);
  await scene.caughtUp();
  await old.stop();
  for (let turn = 0; turn < 2; turn++) {
    const next = scene.relay();
    await scene.emitAll(ofTask, happened, ofTask, happened);
    await scene.caughtUp();
    await next.stop();
  }
  expect(await scene.seenSeqs()).toEqual(await scene.expectedSeqs());
  const { asked } = count;
  scene.relay();
  await scene.emitAll(happened, ofTask, happened, switched, happened);
  await scene.caughtUp();
  expect(count.asked).toBeLessThanOrEqual(asked + 1);
});
