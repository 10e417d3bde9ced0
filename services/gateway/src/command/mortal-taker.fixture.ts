// What a gateway does with published commands, in a process of its own that a test kills, or stops and thaws:
// `node mortal-taker.fixture.ts <NATS url> <MySQL url> <ack wait, ms>`. A command whose key begins with the name of a point is kept
// there, which is said on stdout; SIGCONT lets all of them go on.
import { BusClient, connectBus, silentLog } from '#bus';
import { openDatabase } from '#database';
import { systemClock } from '#kernel';
import { Callers } from '../caller/callers.client.ts';
import { RateLimit } from '../rest/rate-limit.ts';
import { consumerAt, takeCommand } from './commands.door.ts';
import type { Desk } from './commands.door.ts';
import { UserCommands } from './user-commands.client.ts';

/** Nothing was asked yet; the owner has answered; the end is half written; it is on record, and not acknowledged. */
type Point = 'begun' | 'answered' | 'recording' | 'recorded';

const [, , natsUrl = '', mysqlUrl = '', ackWaitMs = ''] = process.argv;
const goOn = Promise.withResolvers<undefined>();
process.once('SIGCONT', () => { goOn.resolve(undefined); });

async function standAt(point: Point, key: string | null): Promise<void> {
  if (key?.startsWith(`${point}-`) !== true) return;
  process.stdout.write(`${key}\n`);
  await goOn.promise;
}

const connection = await connectBus({ url: natsUrl, name: 'mortal', log: silentLog });
const bus = new BusClient({ connection, service: 'gateway' });
const db = await openDatabase({ url: mysqlUrl, migrations: [], name: 'mortal' });
const createRunner = db.createQueryRunner.bind(db);
db.createQueryRunner = (mode) => {
  const runner = createRunner(mode);
  const query = runner.query.bind(runner);
  return Object.assign(runner, { query: async (text: string, params?: unknown[]): Promise<unknown> => {
    const [, key] = /"idempotencyKey":"(recording-[^"]*)"/.exec(params?.map(String).join(' ') ?? '') ?? [];
    await standAt('recording', key ?? null); // the event that tells of it goes with the commit
    return query(text, params);
  } });
};
const endless = (): RateLimit => new RateLimit(1e6, 1e6, systemClock);
const users = new UserCommands(bus, { callers: new Callers(bus, systemClock), byAddress: endless(), byUser: endless(), strangers: endless(), closing: () => false });
const desk: Desk = {
  db, log: silentLog, numbers: { served: () => undefined }, lettersKept: 1_000,
  commands: {
    async carryOut(command) {
      await standAt('begun', command.idempotencyKey);
      const carried = await users.carryOut(command);
      await standAt('answered', command.idempotencyKey);
      return carried;
    },
  },
};
const consumer = consumerAt(desk, connection, {
  ackWaitMs: Number(ackWaitMs),
  async take(published) {
    const verdict = await takeCommand(desk, published);
    await standAt('recorded', published.idempotencyKey);
    return verdict;
  },
});
consumer.start();
process.once('SIGTERM', () => { void consumer.stop(10_000).then(() => connection.close()).then(() => db.destroy()); });
