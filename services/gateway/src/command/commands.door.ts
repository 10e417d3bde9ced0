// The door of published commands: takes them from the stream, has them carried out, and records how each ended, with the
// event that tells its user, before the stream forgets it.
import type { NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import { CommandConsumer, isIdempotencyKey, parseBody } from '#bus';
import type { BusLog, CommandTaker, PublishedCommand, Verdict } from '#bus';
import type { GatewayConfig } from '#config';
import { Internal, operationByName } from '#contracts';
import { transaction } from '#database';
import type { DatabaseParts, Door } from '#service';
import { doorNumbers } from '../rest/door.metrics.ts';
import type { DoorNumbers } from '../rest/door.metrics.ts';
import { problemOf } from '../rest/problem.ts';
import { hasEnded, insertLetter, noteEnd } from './dead-letter.store.ts';
import { outcomeOf, tell } from './outcome.ts';
import type { About } from './outcome.ts';
import { commandId, keptBody, laneOf, pauseAfter, placeOfCommand } from './published.ts';
import { UserCommands } from './user-commands.client.ts';
import type { Carried } from './user-commands.client.ts';

const atOnce = 64;
const graceMs = 8_000;

interface Ended extends About {
  readonly handle: string;
  readonly published: PublishedCommand;
  readonly carried: Carried;
}

/** Undefined where it is none, which is refused when its turn comes. */
function jsonOf(bytes: Uint8Array): unknown {
  const parsed = parseBody(bytes, bytes.length);
  return parsed.ok ? parsed.value : undefined;
}

export interface Desk {
  readonly db: DataSource;
  readonly log: BusLog;
  readonly commands: Pick<UserCommands, 'carryOut'>;
  readonly numbers: Pick<DoorNumbers, 'served'>;
  /** Dead letters that are kept of one user. */
  readonly lettersKept: number;
}

/** Sees one delivery of a command to its end, or says when to deliver it again. */
export async function takeCommand({ db, log, commands, numbers, lettersKept }: Desk, published: PublishedCommand): Promise<Verdict> {
  const place = placeOfCommand(published.subject);
  const id = commandId(published);
  if (place === undefined) {
    log.error({ subject: published.subject }, 'a published command has a subject that no user has');
    return 'done';
  }
  // Delivered again, because it was killed between its record and its acknowledgement: a question less for the owner.
  if (published.deliveries > 1 && (await hasEnded(db, id))) return 'done';
  const startedAt = performance.now();
  const { body } = published;
  const idempotencyKey = isIdempotencyKey(published.idempotencyKey) ? published.idempotencyKey : null;
  const carried = await commands.carryOut({ ...place, body, idempotencyKey, traceparent: published.traceparent, dryRun: published.dryRun });
  const { answer, traceId: trace } = carried;
  const again = answer.ok ? undefined : pauseAfter(answer.fault, published.deliveries);
  if (!answer.ok && answer.fault.code === Internal.code) log.error({ err: answer.fault.cause, operation: place.operation, commandId: id, trace }, 'a published command failed');
  if (again !== undefined) return again;
  await recordEnd(db, lettersKept, { ...place, id, idempotencyKey, published, carried });
  numbers.served(operationByName.has(place.operation) ? place.operation : 'unknown', answer.ok ? 200 : problemOf(answer.fault).status, performance.now() - startedAt);
  if (!answer.ok) log.warn({ user: place.handle, operation: place.operation, code: answer.fault.code, commandId: id, trace }, 'a published command was refused');
  return 'done';
}

/** Under one name: all gateways share what is published. */
export const consumerAt = (desk: Desk, connection: NatsConnection, over: Partial<CommandTaker> = {}): CommandConsumer => new CommandConsumer({
  connection, log: desk.log, name: 'gateway-commands', atOnce, laneOf: (published) => laneOf(published, jsonOf(published.body)), take: (published) => takeCommand(desk, published), ...over,
});

export function commandsDoor({ nats, log, db, metrics, config, get }: DatabaseParts<GatewayConfig>, over: Pick<CommandTaker, 'ackWaitMs'> = {}): Door {
  let consumer: CommandConsumer | undefined;
  return {
    name: 'commands',
    async open() {
      const desk = { db, log, commands: get(UserCommands), numbers: await doorNumbers(metrics.registry, 'commands'), lettersKept: config.TOK_KEEP_DEAD_LETTERS };
      consumer = consumerAt(desk, nats, { room: { bytes: config.TOK_COMMANDS_BYTES, perOperation: config.TOK_COMMANDS_PER_OPERATION }, ...over });
      consumer.start();
      log.info({}, 'published commands are taken in');
    },
    async close() {
      await consumer?.stop(graceMs);
    },
  };
}

/** Dies before its commit: delivered again, and the owner answers what it answered. Dies after: delivered again, and known. */
const recordEnd = (db: DataSource, lettersKept: number, { handle, published, carried, ...about }: Ended): Promise<void> =>
  transaction(db, async (tx) => {
    if (!(await noteEnd(tx, about.id))) return;
    const outcome = outcomeOf(carried);
    if (outcome.is === 'refused') {
      const userId = carried.caller?.actor.userId ?? null;
      await insertLetter(tx, lettersKept, { ...about, userId, handle, body: keptBody(about.operation, published.body), dryRun: published.dryRun, error: outcome.error, publishedAt: published.publishedAt });
    }
    await tell(tx, about, outcome, { ...carried, handle });
  });
