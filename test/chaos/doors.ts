// Three ways in for a command, each until it is acknowledged or refused for good: what the killing of the pool makes of a
// connection or an answer is asked again under the same key, as every client is told to do.
import { jetstream } from '@nats-io/jetstream';
import { headers } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Operation } from '#contracts';
import { askOnBus } from '../e2e/bus-user.ts';
import { Refusal } from '../e2e/rest.ts';
import { untilAnswered } from '../e2e/until-answered.ts';
import type { World } from '../e2e/world.ts';
import { queried } from '../faults/owners.ts';
import type { DoorName } from './chaos-plan.ts';

/** So long each is asked again where nothing is away for long. */
export const PATIENT_MS = 240_000;
/** Nobody says that a question died with whom it was on its way to: it is asked anew. */
const LOST_MS = 5_000;
export type Ask = (operation: Operation, input: Readonly<Record<string, unknown>>, key: string) => Promise<unknown>;

export function doorsOf(world: World, bus: NatsConnection, patientMs = PATIENT_MS): Readonly<Record<DoorName, Ask>> {
  const { rest, record: { admin: { user } } } = world;
  const sentUnder = (key: string): ReturnType<typeof headers> => {
    const sent = headers();
    sent.set('Idempotency-Key', key);
    return sent;
  };
  return {
    rest: (operation, input, key) => untilAnswered(operation.name, async () => ({ reply: await rest.ask(operation, input, { key, patientMs: 5_000 }) }), patientMs),

    request: (operation, input, key) => askOnBus(bus, user, operation, input, { key, timeoutMs: LOST_MS, patientMs }),

    publish: async (operation, input, key) => {
      await untilAnswered(`${operation.name} published`, async () => ({ reply: await jetstream(bus, { timeout: 3_000 }).publish(`tok.v1.user.${user}.cmd.${operation.name}`, JSON.stringify(input), { headers: sentUnder(key) }) }), patientMs);
      return untilAnswered(`the outcome of ${operation.name}`, async () => {
        const [told] = await outcomesOf(world, [key]);
        if (told?.code) throw new Refusal(operation.name, 409, { code: told.code, detail: 'refused as published' });
        return told === undefined ? undefined : { reply: { taskId: told.taskId, objectId: told.objectId } };
      }, patientMs);
    },
  };
}

export interface Outcome { readonly key: string; readonly name: string; readonly taskId: string | null; readonly objectId: string | null; readonly code: string | null }

/** What the gateway has told about published commands with these keys, each time that it did. */
export async function outcomesOf(world: World, keys: readonly string[]): Promise<Outcome[]> {
  if (keys.length === 0) return [];
  const of = (path: string): string => `JSON_UNQUOTE(JSON_EXTRACT(event, '$.${path}'))`;
  const rows = await queried(world, 'gateway', `SELECT ${of('data.idempotencyKey')} AS \`key\`, ${of('name')} AS name, NULLIF(${of('data.taskId')}, 'null') AS taskId, NULLIF(${of('data.objectId')}, 'null') AS objectId, ${of('data.error.code')} AS code
    FROM outbox WHERE ${of('name')} LIKE 'gateway.command.%' AND ${of('data.idempotencyKey')} IN (?)`, [keys]);
  return rows as Outcome[];
}
