// A stream of events through the real door, in front of a log that the test plays.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newUuid } from '#kernel';
import { until } from '#testing';
import { GatewayUnderTest } from '../gateway.fixture.ts';
import { PlayedLog } from './played-log.fixture.ts';

let gateway: GatewayUnderTest;
const log = new PlayedLog();
const happen = (count = 1): void => { log.happen(count); };

beforeAll(async () => {
  gateway = await GatewayUnderTest.start();
  log.playIn(gateway);
});
beforeEach(() => { log.clear(); });
afterAll(() => gateway.end());

interface Heard { readonly id?: string; readonly event?: string; readonly data?: string }
/** What a client hears, block by block. */
async function listen(path: string, headers: Record<string, string> = {}, as: 'ann' | null = 'ann') {
  const answer = await gateway.fetch(path, { as, headers: { accept: 'text/event-stream', ...headers } });
  const heard: Heard[] = [];
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
  const ended = (async () => {
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + new TextDecoder().decode(value)).split('\n\n');
      rest = blocks.pop() ?? '';
      heard.push(...blocks.map((block) => Object.fromEntries(block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()])) as Heard));
    }
  })().catch(() => undefined); // the connection was cut
  const ids = (): number[] => heard.flatMap(({ id }) => (id === undefined ? [] : [Number(id) - log.base]));
  return { answer, heard, ids, ended, hangUp: () => reader.cancel() };
}
const upTo = (last: number, from = 1): number[] => Array.from({ length: last - from + 1 }, (_, index) => from + index);

describe('a stream of events', () => {
  it('tells what was missed and what comes, each once and in order, page over page', async () => {
    happen(450);
    const client = await listen('/v1/events', { 'last-event-id': String(log.at(20)) });
    expect(client.answer.headers.get('content-type')).toContain('text/event-stream');
    await until('so many events have come', () => client.ids().length === 430);
    happen(3);
    await until('so many events have come', () => client.ids().length === 433);
    expect(client.ids()).toEqual(upTo(453, 21));
    await client.hangUp();
  });

  it('begins with what comes from now on, or where the query says', async () => {
    happen(5);
    const [now, all] = await Promise.all([listen('/v1/events'), listen(`/v1/events?after=${log.at(0)}`)]);
    await until('so many events have come', () => all.ids().length === 5);
    happen();
    await until('so many events have come', () => now.ids().length === 1 && all.ids().length === 6);
    expect(now.ids()).toEqual([6]);
    await Promise.all([now.hangUp(), all.hangUp()]);
  });

  it('goes on without a gap when the log was away', async () => {
    const client = await listen(`/v1/events?after=${log.at(0)}`);
    happen(2);
    await until('so many events have come', () => client.ids().length === 2);
    log.away = true;
    happen(3);
    await new Promise((resolve) => { setTimeout(resolve, 300); });
    log.away = false;
    await until('so many events have come', () => client.ids().length === 5);
    expect(client.ids()).toEqual(upTo(5));
    await client.hangUp();
  });

  it('goes on within seconds when the log died with the question that waited', async () => {
    const client = await listen(`/v1/events?after=${log.at(0)}`);
    happen(2);
    await until('so many events have come', () => client.ids().length === 2);
    const { lost } = log;
    log.killed = true;
    happen(3);
    await until('a question is lost', () => log.lost > lost);
    log.killed = false;
    await until('so many events have come', () => client.ids().length === 5, 20_000);
    expect(client.ids()).toEqual(upTo(5));
    await client.hangUp();
  }, 40_000);

  it('says that events are gone for ever', async () => {
    happen(10);
    log.firstSeq = log.at(8);
    const client = await listen('/v1/events', { 'last-event-id': String(log.at(3)) });
    await until('so many events have come', () => client.ids().length === 3);
    expect(client.heard.find(({ event }) => event === 'reset')).toMatchObject({ data: expect.stringContaining(`"firstSeq":${log.at(8)}`) });
    expect(JSON.parse(client.heard.find(({ event }) => event === 'reset')?.data ?? '')).toMatchObject({ code: 'EVENTS_GONE', after: log.at(3), lastSeq: log.at(10), snapshot: expect.arrayContaining([{ operation: 'compute.vm.list', http: 'GET /v1/vms' }]) });
    expect(client.ids()).toEqual([8, 9, 10]);
    await client.hangUp();
  });

  it('ends when its user is no longer believed, and says so', async () => {
    const client = await listen(`/v1/events?after=${log.at(0)}`);
    gateway.withdrawn.add('ann');
    await gateway.announceChange('ann');
    happen();
    await client.ended;
    gateway.withdrawn.delete('ann');
    await gateway.announceChange('ann');
    expect(client.heard.at(-1)).toMatchObject({ event: 'end', data: expect.stringContaining('UNAUTHENTICATED') });
  }, 20_000);

  it('is for those who have signed in, and takes no nonsense', async () => {
    expect((await listen('/v1/events', {}, null)).answer.status).toBe(401);
    const strange = await listen('/v1/events?objectId=nonsense');
    expect(strange.answer.status).toBe(400);
    expect((await gateway.fetch('/v1/events', { headers: { accept: 'application/json' } })).headers.get('content-type')).toContain('application/json');
  });

  it('is told that the door closes', async () => {
    const client = await listen(`/v1/events?after=${log.at(0)}&objectId=${newUuid()}`);
    await gateway.stop();
    await client.ended;
    expect(client.heard.at(-1)).toMatchObject({ event: 'end', data: expect.stringContaining('SHUTTING_DOWN') });
  }, 20_000);
});
