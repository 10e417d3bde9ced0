// Followers of a log that grows while its owner comes and goes: whoever begins wherever, near or far, hears all that he may see
// once and in order.
import { describe, expect, it } from '@jest/globals';
import type { Actor, EventFilter, LogEntry, UserId } from '#contracts';
import { maySeeEvent, readEventLog } from '#contracts';
import { newUuid, ok, sleep } from '#kernel';
import type { Result } from '#kernel';
import { until } from '#testing';
import { EventCursor } from './event-cursor.client.ts';
import { EventTail } from './event-tail.client.ts';

const person = (permissions: Actor['rights'][number]['permissions'] = []): Actor => ({ userId: newUuid() as UserId, handle: 'p', rights: [{ permissions, scope: 'site', scopeId: null }] });
const [all, ann, bob] = [person(['event.read']), person(), person()] as const;
const never = new AbortController().signal;

/** A log that the test writes; `away` for a while after every so many questions. */
class PlayedLog {
  readonly entries: LogEntry[] = [];
  firstSeq = 1;
  asked = 0;
  failEvery = Infinity;

  happen(count = 1): void {
    for (let one = 0; one < count; one++) {
      const globalSeq = this.entries.length + 1;
      const owner = [null, ann, bob][globalSeq % 3];
      this.entries.push({ globalSeq, name: globalSeq % 2 === 0 ? 'compute.vm.changed' : 'compute.task.changed', objectId: 'x', source: 'compute', subjectId: null, actorId: null, ownerId: owner?.userId ?? null, folderId: null, clusterId: null, text: '{}' });
    }
  }

  bus(): ConstructorParameters<typeof EventTail>[0] {
    return { request: ((_operation: unknown, input: object, options: { as?: string; actorToken?: string }) => this.answer(input, options)) as never };
  }

  private async answer(given: object, { as, actorToken }: { as?: string; actorToken?: string }): Promise<Result<unknown>> {
    this.asked += 1;
    await sleep(1);
    if (this.asked % this.failEvery === 0) return { ok: false, fault: { code: 'UNAVAILABLE', detail: '' } };
    const { after, limit, waitMs, filter } = readEventLog.input.parse(given);
    const lastSeq = this.entries.length;
    if (after === undefined) return ok({ items: [], position: lastSeq, lastSeq, firstSeq: this.firstSeq });
    for (let turn = 0; turn < Math.min(20, waitMs) && this.entries.length <= after; turn++) await sleep(1);
    const who = as === 'system' ? 'system' as const : [all, ann, bob].find(({ userId }) => userId === actorToken)!;
    const last = this.entries.length;
    const items = this.entries.filter((entry) => entry.globalSeq > after && entry.globalSeq >= this.firstSeq && entry.globalSeq <= last && maySeeEvent(who, entry) && (filter.names?.includes(entry.name) ?? true)).slice(0, Math.min(limit, 40));
    return ok({ items, position: items.length === Math.min(limit, 40) ? items.at(-1)!.globalSeq : Math.max(after, last), lastSeq: last, firstSeq: this.firstSeq });
  }
}

const expected = (log: PlayedLog, who: Actor, after: number, { names }: EventFilter = {}) => log.entries.filter((entry) => entry.globalSeq > after && maySeeEvent(who, entry) && (names?.includes(entry.name) ?? true)).map(({ globalSeq }) => globalSeq);

describe('a follower', () => {
  it.each([Infinity, 7, 3])('hears all that he may see once and in order, with every %p. question unanswered', async (failEvery) => {
    const log = new PlayedLog();
    log.happen(300);
    log.failEvery = failEvery;
    const tail = new EventTail(log.bus());
    const leave = tail.follow();
    const stop = new AbortController();
    const filters: EventFilter[] = [{}, { names: ['compute.vm.changed'] }];
    const followers = [all, ann, bob].flatMap((who) => [0, 17, 290, 300].flatMap((after) => filters.map((filter) => ({ who, after, filter, seen: [] as number[], stretches: [] as [number, number][] }))));
    const running = followers.map(async ({ who, after, filter, seen, stretches }) => {
      const cursor = new EventCursor({ bus: log.bus(), tail }, filter, after);
      while (!stop.signal.aborted) {
        const heard = await cursor.next({ actor: who, actorToken: who.userId }, 30, stop.signal);
        if (!heard.ok) await sleep(3);
        else {
          seen.push(...heard.value.items.map(({ globalSeq }) => globalSeq));
          stretches.push([heard.value.after, heard.value.position]);
        }
      }
    });
    for (let turn = 0; turn < 60; turn++) {
      log.happen(turn % 7);
      await sleep(2);
    }
    await until('all have heard all', () => followers.every(({ who, after, filter, seen }) => seen.length >= expected(log, who, after, filter).length));
    stop.abort();
    leave();
    await Promise.all(running);
    for (const { who, after, filter, seen, stretches } of followers) {
      expect(seen).toEqual(expected(log, who, after, filter));
      // What one says that it reaches to, the next goes on from.
      expect(stretches.map(([begin]) => begin)).toEqual([after, ...stretches.slice(0, -1).map(([, end]) => end)]);
    }
  }, 30_000);

  it('costs the log no question of his own when he is near its end', async () => {
    const log = new PlayedLog();
    const tail = new EventTail(log.bus());
    const leave = tail.follow();
    await until('the tail knows where the log ends', () => tail.behind(0));
    const cursors = Array.from({ length: 50 }, () => new EventCursor({ bus: { request: () => { throw new Error('asked'); } }, tail }, {}, 0));
    log.happen(5);
    const heard = await Promise.all(cursors.map((cursor) => cursor.next({ actor: all, actorToken: all.userId }, 5_000, never)));
    expect(heard.map((one) => one.ok && one.value.position)).toEqual(cursors.map(() => heard[0]!.ok && heard[0]!.value.position));
    const [first, second] = heard;
    expect(first?.ok === true && second?.ok === true && first.value.items === second.value.items).toBe(true);
    leave();
  });

  it('is told when events are gone, and goes on with those that are there', async () => {
    const log = new PlayedLog();
    log.happen(20);
    log.firstSeq = 11;
    const cursor = new EventCursor({ bus: log.bus(), tail: new EventTail(log.bus()) }, {}, 4);
    expect(await cursor.next({ actor: all, actorToken: all.userId }, 0, never)).toMatchObject({ ok: true, value: { after: 4, position: 20, gone: { code: 'EVENTS_GONE', details: { firstSeq: 11 } } } });
  });
});
