// All services and agents are restarted one after another, as an upgrade does it, while people work: whoever asks the one that is away
// asks again under the same key, and what was acknowledged is carried out.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createVm, deleteVm, services, startVm, TaskRef } from '#contracts';
import type { Operation } from '#contracts';
import { holdings } from '../e2e/holdings.ts';
import type { Holdings } from '../e2e/holdings.ts';
import { agentName, restart, waitReady } from '../e2e/lab.mjs';
import { removeOwn } from '../e2e/vms.ts';
import { openWorld } from '../e2e/world.ts';
import type { World } from '../e2e/world.ts';
import { tiny } from './kinds.ts';
import { closeOwners, endsOf } from './owners.ts';

const LANES = 4;
/** Of a service that is away. */
const PATIENT_MS = 60_000;
let world: World;
let before: Holdings;

beforeAll(async () => {
  world = await openWorld('roll');
  before = await holdings(world);
}, 60_000);
afterAll(async () => {
  await waitReady(world.lab);
  await removeOwn(world);
  await closeOwners();
}, 120_000);

interface Done { readonly what: string; readonly state: string | undefined; readonly error: string | null | undefined }

/** VMs come and go one after another until all have been restarted; answers how each acknowledged task ended. */
async function work(lane: number, isOver: () => boolean): Promise<Done[]> {
  const done: Done[] = [];
  const carryOut = async (operation: Operation, input: Readonly<Record<string, unknown>>): Promise<TaskRef> => {
    const ref = TaskRef.parse(await world.rest.ask(operation, input, { patientMs: PATIENT_MS }));
    const end = (await endsOf(world, [ref.taskId])).get(ref.taskId);
    done.push({ what: operation.name, state: end?.state, error: end?.error });
    return ref;
  };
  for (let turn = 0; !isOver(); turn++) {
    const { objectId: vmId } = await carryOut(createVm, { ...tiny, name: `${world.prefix}-${lane}-${turn}`, start: false, nics: [{ portGroupId: world.record.network.portGroupId }] });
    await carryOut(startVm, { vmId });
    await carryOut(deleteVm, { vmId, force: true, purge: true });
  }
  return done;
}

describe('F39: a rolling restart of all services and agents under load', () => {
  it('fails no task that was acknowledged, and leaves nothing behind', async () => {
    let isOver = false;
    const lanes = Promise.all(Array.from({ length: LANES }, (_, lane) => work(lane, () => isOver)));
    lanes.catch(() => undefined); // told where it is waited for
    for (const name of [...services, ...world.record.hosts.map((host) => agentName(host.name))]) {
      await restart(world.lab, name);
      await waitReady(world.lab);
    }
    isOver = true;
    const done = (await lanes).flat();
    expect(done.filter(({ state }) => state !== 'succeeded')).toEqual([]);
    expect(done.length).toBeGreaterThanOrEqual(3 * LANES);
    await waitReady(world.lab);
    expect(await holdings(world)).toEqual(before);
  }, 300_000);
});
