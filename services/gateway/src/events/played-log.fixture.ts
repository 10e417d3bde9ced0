// A log of events that a test writes, in place of monitoring: it grows, forgets, and is away.
import type { LogEntry } from '#contracts';
import { EventFilter, eventMatcher, maySeeEvent } from '#contracts';
import type { Result } from '#kernel';
import { ok, sleep } from '#kernel';
import type { GatewayUnderTest } from '../gateway.fixture.ts';
import { actorIn } from '../signed-actors.fixture.ts';

const unavailable = { ok: false as const, fault: { code: 'UNAVAILABLE', detail: 'The service monitoring does not answer.', details: { service: 'monitoring' } } };

export class PlayedLog {
  entries: LogEntry[] = [];
  /** Numbers go on from test to test, as they do for ever: what stands in a test counts from here. */
  base = 0;
  firstSeq = 1;
  away = false;
  /** How often somebody has asked in vain. */
  refused = 0;
  /** While true, questions that wait are never answered, as when their answerer is killed. */
  killed = false;
  /** How many were not. */
  lost = 0;

  get lastSeq(): number {
    return this.entries.at(-1)?.globalSeq ?? this.base;
  }

  at(place: number): number {
    return this.base + place;
  }

  clear(): void {
    this.base = this.lastSeq;
    this.entries = [];
    this.firstSeq = this.base + 1;
    this.away = false;
    this.killed = false;
  }

  happen(count = 1, over: Partial<LogEntry> = {}): void {
    for (let one = 0; one < count; one++) {
      const event = { globalSeq: this.lastSeq + 1, name: 'compute.vm.changed' };
      this.entries.push({ ...event, source: 'compute', objectId: 'x', subjectId: null, actorId: null, ownerId: null, folderId: null, clusterId: null, text: JSON.stringify(event), ...over });
    }
  }

  playIn(gateway: GatewayUnderTest): void {
    gateway.play('monitoring.event.read', ({ input, actor }) => this.answer(input, actor));
  }

  private async answer(input: Record<string, unknown>, token: string): Promise<Result<unknown>> {
    if (this.away) {
      this.refused += 1;
      return unavailable;
    }
    const [after, limit, waitMs] = [Number(input['after']), Number(input['limit'] ?? 500), Number(input['waitMs'] ?? 0)];
    if (input['after'] === undefined) return ok({ items: [], position: this.lastSeq, lastSeq: this.lastSeq, firstSeq: this.firstSeq });
    for (let turn = 0; turn < 50 && waitMs > 0 && !this.isAway() && this.lastSeq <= after; turn++) await sleep(10);
    if (this.isAway()) return unavailable;
    if (this.isKilled() && waitMs > 0) {
      this.lost += 1;
      return new Promise(() => undefined);
    }
    const who = actorIn(token) ?? 'system';
    const matches = eventMatcher(EventFilter.parse(input['filter'] ?? {}));
    const items = this.entries.filter((entry) => entry.globalSeq > after && entry.globalSeq >= this.firstSeq && maySeeEvent(who, entry) && matches(entry)).slice(0, limit);
    return ok({ items, position: items.length === limit ? items.at(-1)!.globalSeq : Math.max(after, this.lastSeq), lastSeq: this.lastSeq, firstSeq: this.firstSeq });
  }

  private isAway(): boolean {
    return this.away;
  }

  private isKilled(): boolean {
    return this.killed;
  }
}
