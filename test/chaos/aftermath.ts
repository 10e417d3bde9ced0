// What must be so when a chaos run is over: every acknowledged command has one outcome and tasks that ended, no task is there
// that nobody was told of, and nothing is left over.
import { endStates, taskServices } from '#contracts';
import { eventually } from '../e2e/eventually.ts';
import type { World } from '../e2e/world.ts';
import { queried } from '../faults/owners.ts';
import { looseEnds } from '../faults/slate.ts';
import { outcomesOf } from './doors.ts';
import type { Done } from './users.ts';

const SETTLED_WITHIN_MS = 60_000;

interface Kept { readonly key: string; readonly reply: unknown }
interface TaskRow { readonly id: string; readonly kind: string; readonly state: string; readonly service: string }

/** Commands that were acknowledged without an outcome, with more than one, or with another than was told. */
export async function wrongOutcomes(world: World, done: readonly Done[]): Promise<string[]> {
  const sent = done.flatMap((one) => one.sent);
  if (sent.length === 0) return ['nothing was sent'];
  const services = Object.keys(world.record.mysql.urls);
  const kept = (await Promise.all(services.map((service) => queried(world, service, 'SELECT idem_key AS `key`, reply FROM task_command WHERE idem_key IN (?)', [sent.map(({ key }) => key)])))).flat() as Kept[];
  const published = sent.filter(({ door }) => door === 'publish');
  const told = await outcomesOf(world, published.map(({ key }) => key));
  const counted = (list: readonly { readonly key: string }[], key: string): number => list.filter((one) => one.key === key).length;
  return [
    ...sent.filter(({ key }) => counted(kept, key) !== 1).map(({ key, operation }) => `${operation} ${key} was carried out ${counted(kept, key)} times`),
    ...published.filter(({ key }) => counted(told, key) !== 1).map(({ key, operation }) => `${operation} ${key} was published and has ${counted(told, key)} outcomes`),
  ];
}

/** Tasks of the run: all of them, and what is wrong with them. */
export async function wrongTasks(world: World, since: Date, known: ReadonlySet<string>): Promise<{ count: number; wrong: string[] }> {
  const rows = (await Promise.all(taskServices.map(async (service) => (await queried(world, service, 'SELECT id, kind, state, parent_task_id AS parent FROM task WHERE created_at >= ?', [since])).map((row) => ({ ...(row as TaskRow & { parent: string | null }), service }))))).flat();
  const ends: readonly string[] = endStates;
  return {
    count: rows.length,
    wrong: [
      ...rows.filter(({ state }) => !ends.includes(state)).map(({ id, kind, state }) => `${kind} ${id} has not ended: ${state}`),
      ...rows.filter(({ state }) => state === 'needs-attention').map(({ id, kind }) => `${kind} ${id} needs attention`),
      ...rows.filter(({ id, parent }) => parent === null && !known.has(id)).map(({ id, kind }) => `${kind} ${id} was begun and nobody was told`),
    ],
  };
}

/** What is loose once services have heard of each other's ends. */
export async function leftOver(world: World): Promise<string[]> {
  let last: string[] = [];
  await eventually('nothing is loose', async () => {
    last = await looseEnds(world);
    return last.length === 0;
  }, { withinMs: SETTLED_WITHIN_MS, everyMs: 500 }).catch((error: unknown) => { if (last.length === 0) last = [String(error)]; });
  return last;
}
