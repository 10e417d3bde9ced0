// The users of a chaos run: eight of them take the plan's wishes one after another, find what each needs in the pool as it is
// now, send the command until it is acknowledged, and wait for the end of its task in the schema of its owner.
import { randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { listImages, listSwitches, listVolumes } from '#contracts';
import type { Operation, TaskId, TaskRef } from '#contracts';
import { Refusal } from '../e2e/rest.ts';
import { ownVms } from '../e2e/vms.ts';
import type { World } from '../e2e/world.ts';
import type { Pools } from '../faults/kinds.ts';
import { shuffled } from '../faults/matrix-plan.ts';
import { endsOf } from '../faults/owners.ts';
import type { DoorName, Wish } from './chaos-plan.ts';
import { deedsOf } from './deeds.ts';
import type { Deed } from './deeds.ts';
import type { Ask } from './doors.ts';

const USERS = 8;
/** So many wishes in a row without what they need: the pool is given a moment. */
const IN_VAIN = 30;

export interface Sent { readonly key: string; readonly operation: string; readonly door: DoorName }
export interface Done {
  readonly deed: string;
  readonly door: DoorName;
  readonly sent: readonly Sent[];
  readonly tasks: readonly TaskRef[];
  /** State of the last of its tasks; `done` = there was none to wait for. */
  readonly end: string;
  readonly error: string | null;
}

export interface Run {
  readonly world: World;
  readonly doors: Readonly<Record<DoorName, Ask>>;
  readonly wishes: Iterator<Wish, never>;
  readonly random: () => number;
  readonly count: number;
  readonly spanMs: number;
  readonly file: string;
  /** A name that nothing else has. */
  name(): string;
}

export class Users {
  readonly done: Done[] = [];
  readonly refused: { readonly deed: string; readonly code: string }[] = [];
  readonly failures: string[] = [];
  private begun = 0;
  private readonly taken = new Set<string>();
  private readonly startedAt = performance.now();

  constructor(private readonly run: Run) {}

  /** Resolves when so many commands as were wished have been acknowledged and have ended, or time is over. */
  async work(withinMs: number): Promise<void> {
    const giveUpAt = this.startedAt + withinMs;
    const user = async (): Promise<void> => {
      for (let vain = 0; this.done.length < this.run.count && performance.now() < giveUpAt;) {
        const dueAt = this.startedAt + (this.begun / this.run.count) * this.run.spanMs;
        // The last ones may turn out to be refused: then one more is wished.
        const waitMs = this.begun >= this.run.count ? 250 : Math.min(1_000, dueAt - performance.now());
        if (waitMs > 0) {
          await sleep(waitMs);
          continue;
        }
        this.begun++;
        const fulfilled = await this.one(this.run.wishes.next().value);
        if (!fulfilled) this.begun--;
        vain = fulfilled ? 0 : vain + 1;
        if (vain >= IN_VAIN) {
          await sleep(1_000);
          vain = 0;
        }
      }
    };
    await Promise.all(Array.from({ length: USERS }, user));
  }

  /** False when the pool has not what it needs now, or its owner refused it. */
  private async one({ deed, door }: Wish): Promise<boolean> {
    const { world, doors, file } = this.run;
    const sent: Sent[] = [];
    const ask = (operation: Operation, input: Readonly<Record<string, unknown>>): Promise<unknown> => {
      const key = randomUUID();
      sent.push({ key, operation: operation.name, door });
      return doors[door](operation, input, key);
    };
    const found = await this.find(deedsOf(world, ask)[deed]!).catch(() => undefined); // who cannot look at the pool now looks again
    if (found === undefined) return false;
    try {
      const tasks = await found.begin();
      const end = tasks.length === 0 ? { state: 'done', error: null } : await this.ended(tasks);
      const done: Done = { deed, door, sent, tasks, end: end.state, error: end.error };
      this.done.push(done);
      appendFileSync(file, `${JSON.stringify({ at: new Date().toISOString(), ...done })}\n`);
      return true;
    } catch (error) {
      if (error instanceof Refusal) this.refused.push({ deed, code: error.code });
      else this.failures.push(`${deed} by ${door}: ${error instanceof Error ? `${error.message} (${String(error.cause)})` : String(error)}`);
      appendFileSync(file, `${JSON.stringify({ at: new Date().toISOString(), deed, door, sent, refused: String(error) })}\n`);
      return false;
    } finally {
      for (const id of found.ids) this.taken.delete(id);
    }
  }

  private async ended(tasks: readonly TaskRef[]): Promise<{ state: string; error: string | null }> {
    const ids = tasks.map(({ taskId }) => taskId);
    for (;;) {
      const ends = await endsOf(this.run.world, ids).catch(() => undefined); // the database is away
      const last = ends?.get(ids.at(-1) as TaskId);
      if (last !== undefined) return { state: last.state, error: last.error === null ? null : JSON.stringify(last.error) };
      if (ends !== undefined) return { state: 'unknown', error: 'its owner does not know the task' };
    }
  }

  /** What the deed takes is nobody else's until it has ended. */
  private async find(deed: Deed): Promise<{ begin: () => Promise<readonly TaskRef[]>; ids: readonly string[] } | undefined> {
    const pools = await this.pools();
    const idsOf = (): Set<string> => new Set(Object.values(pools).flatMap((pool) => pool.flatMap((one) => one?.id ?? [])));
    const before = idsOf();
    const begin = deed(pools, this.run.name());
    if (begin === undefined) return undefined;
    const after = idsOf();
    const ids = [...before].filter((id) => !after.has(id));
    if (ids.some((id) => this.taken.has(id))) return undefined; // somebody was quicker while this one looked
    for (const id of ids) this.taken.add(id);
    return { begin, ids };
  }

  private async pools(): Promise<Pools> {
    const { world, random } = this.run;
    const { rest, prefix } = world;
    const [vms, volumes, images, switches] = await Promise.all([ownVms(world), rest.ask(listVolumes, { limit: 500, q: prefix }), rest.ask(listImages, { limit: 500, q: prefix }), rest.ask(listSwitches, { limit: 500 })]);
    const free = <T extends { readonly id: string; readonly name: string }>(items: readonly T[]): T[] => shuffled(items.filter(({ id, name }) => name.startsWith(prefix) && !this.taken.has(id)), random);
    const inState = (state: string): Pools['stopped'] => free(vms.filter(({ status, taskId }) => status.state === state && taskId === null));
    return {
      nothing: [null], stopped: inState('stopped'), running: inState('running'), paused: inState('paused'), hibernated: inState('hibernated'),
      volume: free(volumes.items.filter(({ attachedTo, state, use }) => attachedTo === null && state === 'ready' && use === 'disk')),
      image: free(images.items.filter(({ state }) => state === 'ready')), upload: [], switch: free(switches.items),
    };
  }
}
