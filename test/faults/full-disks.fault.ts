// The disks that the database and the bus keep their data on are filled to the last byte while people work. What cannot be kept is refused
// with its reason; what was acknowledged is there when there is room again, and open tasks go on by themselves.
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstream, JetStreamApiError } from '@nats-io/jetstream';
import { headers } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { createFolder, createVm, deleteFolder, deleteVm, getFolder, listTasks, startVm } from '#contracts';
import type { FolderId, RequestOf, TaskId } from '#contracts';
import { credentials, enter } from '../e2e/bus-user.ts';
import { eventually } from '../e2e/eventually.ts';
import { endOfLog, logged } from '../e2e/followers.ts';
import { crash, leaveRoom, moveBack, moveToOwnDisk, startAgain, waitReady } from '../e2e/lab.mjs';
import { Refusal } from '../e2e/rest.ts';
import { removeOwn } from '../e2e/vms.ts';
import { MiB, openWorld } from '../e2e/world.ts';
import type { World } from '../e2e/world.ts';
import { tiny } from './kinds.ts';
import { closeOwners, endsOf, queried } from './owners.ts';

/** Some of what comes still finds room. */
const LEFT_BYTES = { mariadb: 2 * MiB, nats: MiB / 2 };
/** Fills what is left soon, and is no more than a description may be. */
const LONG = 'x'.repeat(900);
/** More than a full disk can take. */
const MOST = 5_000;
let world: World;
let dir: (server: 'nats' | 'mariadb') => string;

beforeAll(async () => {
  world = await openWorld('full');
  const dirs = { nats: join(world.lab.dir, 'nats', 'store'), mariadb: join(world.lab.dir, 'mariadb', 'data') };
  dir = (server) => dirs[server];
}, 60_000);
afterAll(async () => {
  await waitReady(world.lab);
  await removeOwn(world);
  for (const { id } of await folders()) await world.rest.ask(deleteFolder, { folderId: id });
  await closeOwners();
}, 180_000);

const vm = (name: string): RequestOf<typeof createVm> => ({ memoryBytes: tiny.memoryBytes, bootOrder: [...tiny.bootOrder], name: `${world.prefix}-${name}`, start: false });
/** The test's own, as compute has them: more than a page. */
const folders = async (): Promise<{ id: FolderId; name: string }[]> => (await queried(world, 'compute', 'SELECT id, name FROM folder WHERE name LIKE ?', [`${world.prefix}-%`])) as { id: FolderId; name: string }[];
const statesOf = async (ids: readonly TaskId[]): Promise<unknown[]> => [...(await endsOf(world, ids)).values()].map(({ state, error }) => [state, error]);

describe('F24: the database has no room left', () => {
  /** The server may end of it, now or in a moment; as whoever runs servers does, it is started again whenever it has. */
  let keeper: NodeJS.Timeout | undefined;
  beforeAll(async () => {
    await moveToOwnDisk(world.lab, 'mariadb', dir('mariadb'));
    await waitReady(world.lab);
  }, 120_000);
  afterEach(async () => {
    clearInterval(keeper);
    await moveBack(world.lab, 'mariadb', dir('mariadb'));
    await waitReady(world.lab);
  }, 120_000);

  it('refuses with the reason what it cannot keep; what it has acknowledged is there, and tasks that were open go on when it has room', async () => {
    const begun: TaskId[] = [];
    for (const name of ['a', 'b']) begun.push((await world.rest.ask(createVm, vm(name))).taskId);
    await leaveRoom(dir('mariadb'), LEFT_BYTES.mariadb);
    const kept = new Map<string, string>();
    let refusal: unknown;
    for (let turn = 0; refusal === undefined && turn < MOST; turn++) {
      const name = `${world.prefix}-${turn}`;
      await world.rest.ask(createFolder, { name, description: LONG }, { patientMs: 0 }).then(({ id }) => kept.set(id, name), (error: unknown) => { refusal = error; });
    }
    if (!(refusal instanceof Refusal)) throw refusal;
    expect([refusal.status, refusal.code, refusal.fault.detail]).toEqual([503, 'UNAVAILABLE', expect.stringMatching(/^The database of \w+ has no room left\.$/)]);
    expect(kept.size).toBeGreaterThan(0);
    // Nobody takes up what comes now, and nobody forgets it once it is acknowledged.
    const late = await world.rest.ask(createVm, vm('c'), { patientMs: 0 }).then((ref) => [ref.taskId], (error: unknown) => { if (error instanceof Refusal && error.status === 503) return []; throw error; });

    await leaveRoom(dir('mariadb'));
    keeper = setInterval(() => { if (!world.lab.processes.isAlive('mariadb')) startAgain(world.lab, 'mariadb'); }, 200);
    await waitReady(world.lab);
    for (const [folderId, name] of kept) expect((await world.rest.ask(getFolder, { folderId })).name).toBe(name);
    expect(await statesOf([...begun, ...late])).toEqual([...begun, ...late].map(() => ['succeeded', null]));
    const { taskId, objectId } = await world.rest.ask(createVm, vm('d'));
    await world.rest.succeeded({ taskId, objectId });
  }, 240_000);
});

describe('F21: the disk of JetStream is full', () => {
  let nats: NatsConnection;
  beforeAll(async () => {
    await moveToOwnDisk(world.lab, 'nats', dir('nats'));
    await waitReady(world.lab);
    nats = await enter(world, await credentials(world.rest), world.record.admin.user, true);
  }, 120_000);
  afterAll(async () => {
    await nats.close();
    await moveBack(world.lab, 'nats', dir('nats'));
    await waitReady(world.lab);
  }, 120_000);

  async function publish(name: string, key: string): Promise<void> {
    const sent = headers();
    sent.set('Idempotency-Key', key);
    await jetstream(nats, { timeout: 2_000 }).publish(`tok.v1.user.${world.record.admin.user}.cmd.compute.folder.create`, JSON.stringify({ name, description: LONG }), { headers: sent });
  }

  it('refuses publishers; commands at other doors, their tasks and their events go on; what it has acknowledged is carried out, and with room again it takes more', async () => {
    const begin = await endOfLog(world.rest);
    await crash(world.lab, 'gateway'); // what is published stays
    await leaveRoom(dir('nats'), LEFT_BYTES.nats);
    const acknowledged: string[] = [];
    let refusal: unknown;
    for (let turn = 0; refusal === undefined && turn < MOST; turn++) {
      const name = `${world.prefix}-published-${turn}`;
      await publish(name, randomUUID()).then(() => acknowledged.push(name), (error: unknown) => { refusal = error; });
    }
    if (!(refusal instanceof JetStreamApiError)) throw refusal;
    expect(refusal.message).toMatch(/no space left/);
    expect(acknowledged.length).toBeGreaterThan(0);
    startAgain(world.lab, 'gateway');
    await eventually('the door answers', () => world.rest.ask(listTasks, { limit: 1 }));

    await leaveRoom(dir('nats'), 0); // also what was carried out meanwhile leaves none
    const { taskId, objectId } = await world.rest.ask(createVm, vm('e'));
    expect(await statesOf([taskId])).toEqual([['succeeded', null]]);
    await world.rest.carryOut(startVm, { vmId: objectId });
    await world.rest.carryOut(deleteVm, { vmId: objectId, force: true, purge: true });
    const own = await eventually('the log has the end of the VM', async () => {
      const told = (await logged(world.rest, begin, await endOfLog(world.rest))).filter((event) => event.objectId === objectId);
      return told.some(({ name }) => name === 'compute.vm.deleted') ? told : undefined;
    });
    expect(own.map(({ name }) => name)).toEqual(expect.arrayContaining(['compute.vm.created', 'compute.vm.changed', 'compute.vm.deleted']));
    expect(own.map(({ seq }) => seq)).toEqual(own.map(({ seq }) => seq).toSorted((a, b) => a - b));

    await leaveRoom(dir('nats'));
    const late = `${world.prefix}-published-late`;
    await publish(late, randomUUID());
    await crash(world.lab, 'nats'); // what it has taken is on its disk
    startAgain(world.lab, 'nats');
    await waitReady(world.lab);
    const missing = async (): Promise<string[]> => { const made = new Set((await folders()).map(({ name }) => name)); return [...acknowledged, late].filter((name) => !made.has(name)); };
    await eventually('what was published is carried out', async () => (await missing()).length === 0, { withinMs: 60_000 });
  }, 300_000);
});
