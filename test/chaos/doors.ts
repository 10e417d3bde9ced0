// Three ways in for a command, each until it is acknowledged or refused for good: what the killing of the pool makes of a
// connection or an answer is asked again under the same key, as every client is told to do.
import { setTimeout as sleep } from 'node:timers/promises';
import { jetstream } from '@nats-io/jetstream';
import { headers } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { allErrors, ErrorBody } from '#contracts';
import type { Operation } from '#contracts';
import { Refusal } from '../e2e/rest.ts';
import type { World } from '../e2e/world.ts';
import { queried } from '../faults/owners.ts';
import type { DoorName } from './chaos-plan.ts';

const PATIENT_MS = 240_000;
const PAUSE_MS = 250;
/** What will be another answer when the same is asked again. */
const passes = (code: string): boolean => ['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'OVERLOADED', 'SHUTTING_DOWN', 'RATE_LIMITED', 'INTERNAL'].includes(code);

export type Ask = (operation: Operation, input: Readonly<Record<string, unknown>>, key: string) => Promise<unknown>;

/** Asks until there is an answer; `once` answers undefined when there was none. */
async function untilAnswered(what: string, once: () => Promise<{ reply: unknown } | undefined>): Promise<unknown> {
  let last: unknown;
  for (const giveUpAt = performance.now() + PATIENT_MS; performance.now() < giveUpAt;) {
    const answer = await once().catch((error: unknown) => {
      if (error instanceof Refusal && !passes(error.code)) throw error;
      last = error;
      return undefined;
    });
    if (answer !== undefined) return answer.reply;
    await sleep(PAUSE_MS);
  }
  throw new Error(`${what} was not answered within ${PATIENT_MS} ms`, { cause: last });
}

function refusalOf(operation: Operation, body: unknown): Refusal {
  const fault = ErrorBody.parse(body);
  return new Refusal(operation.name, allErrors.has(fault.code) ? 409 : 500, fault);
}

export function doorsOf(world: World, bus: NatsConnection): Readonly<Record<DoorName, Ask>> {
  const { rest, record: { admin: { user } } } = world;
  const sentUnder = (key: string): ReturnType<typeof headers> => {
    const sent = headers();
    sent.set('Idempotency-Key', key);
    return sent;
  };
  return {
    rest: (operation, input, key) => untilAnswered(operation.name, async () => ({ reply: await rest.ask(operation, input, { key, patientMs: 5_000 }) })),

    request: (operation, input, key) => untilAnswered(operation.name, async () => {
      const answer = await bus.request(`tok.v1.user.${user}.req.${operation.name}`, JSON.stringify(input), { timeout: operation.timeoutMs + 2_000, headers: sentUnder(key) });
      if (answer.headers?.get('Nats-Service-Error')) throw refusalOf(operation, answer.json());
      return { reply: operation.reply.parse(answer.json()) };
    }),

    publish: async (operation, input, key) => {
      await untilAnswered(`${operation.name} published`, async () => ({ reply: await jetstream(bus, { timeout: 3_000 }).publish(`tok.v1.user.${user}.cmd.${operation.name}`, JSON.stringify(input), { headers: sentUnder(key) }) }));
      return untilAnswered(`the outcome of ${operation.name}`, async () => {
        const [told] = await outcomesOf(world, [key]);
        if (told?.code) throw new Refusal(operation.name, 409, { code: told.code, detail: 'refused as published' });
        return told === undefined ? undefined : { reply: { taskId: told.taskId, objectId: told.objectId } };
      });
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
