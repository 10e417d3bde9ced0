// Whether guests live on while nobody can tell them anything: of those that run when NATS has been gone for a moment, all must
// run until it is back.
import { setTimeout as sleep } from 'node:timers/promises';
import { allQemus } from '../e2e/qemu.ts';
import type { World } from '../e2e/world.ts';
import type { Strike } from './chaos-plan.ts';

/** What a host was told before is done by then. */
const DONE_WITHIN_MS = 20_000;
const BEFORE_THE_END_MS = 2_000;

export interface Watched { readonly guests: number; readonly ended: readonly string[] }

/** Watches through the long outages of NATS in a plan that begins now. */
export async function watchGuests(world: World, plan: readonly Strike[]): Promise<Watched> {
  const startedAt = performance.now();
  const until = (ms: number): Promise<void> => sleep(Math.max(0, startedAt + ms - performance.now()));
  const running = async (): Promise<string[]> => (await allQemus(world)).map(({ pid, startTime }) => `QEMU ${pid}, started at ${startTime}`);
  let guests = 0;
  const ended: string[] = [];
  for (const { atMs, forMs } of plan.filter(({ victim, forMs }) => victim === 'nats' && forMs > 2 * DONE_WITHIN_MS)) {
    await until(atMs + DONE_WITHIN_MS);
    const before = await running();
    await until(atMs + forMs - BEFORE_THE_END_MS);
    const after = new Set(await running());
    guests += before.length;
    ended.push(...before.filter((one) => !after.has(one)));
  }
  return { guests, ended };
}
