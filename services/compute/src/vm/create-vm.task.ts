// Creates a VM: chooses datastores and a host, makes its disks and ports, and starts it if that was asked. Whatever
// fails or is cancelled, everything made is taken back and the row becomes a tombstone.
import {
  checkPortGroups, chooseDatastore, discardPorts, discardVolume, provisionPort, provisionVolume,
  type DatastoreId, type DiskId, type FolderId, type HostId, type NicId, type PortGroupId, type PortId, type ReplyOf,
  type UserId, type VmDisk, type VmId, type VmNic, type VolumeId,
} from '#contracts';
import { allEnded } from '#kernel';
import { defineTask, type Step, type StepContext, type TaskKind } from '#tasks';
import type { z } from 'zod';
import { endBuried, endOff, endRunning, endsOf } from './vm-end.task.ts';
import {
  claim, hasSwitches, nextRun, pinnedTo, seesDatastore, setVm, startOnHostStep, unclaim,
  type Confining, type Placed, type Raised,
} from './vm.steps.task.ts';
import { ownChange, ownDiscards, ownProvisions, planOwn, type OwnPlan } from './own-volumes.steps.task.ts';
import { volumeName } from './vm.ts';

export interface PlannedDisk {
  diskId: DiskId; volumeId: VolumeId; sizeBytes: number; datastoreId: DatastoreId | null; bus: 'virtio' | 'scsi' | 'sata';
  source: { volumeId: VolumeId; mode: 'full' | 'linked' } | null;
}
export interface PlannedNic { nicId: NicId; portId: PortId; portGroupId: PortGroupId; ip: string | null; mac: string | null }
/** Everything is decided and every id made when the task is accepted, so that a repeated step finds its first result. */
export interface CreateVmInput {
  vmId: VmId; name: string; ownerId: UserId | null; folderId: FolderId | null; hostId: HostId | null; start: boolean;
  disks: readonly PlannedDisk[]; nics: readonly PlannedNic[];
}

type Chosen = Confining & OwnPlan & { datastoreIds: DatastoreId[] };
interface Made { ports: Port[] }
type Port = ReplyOf<typeof provisionPort>;
type Context = StepContext<CreateVmInput>;

/** Only for a VM that is to be started. */
const whenStarting = (step: Step<CreateVmInput>): Step<CreateVmInput> => ({
  ...step,
  run: (ctx) => (ctx.input.start ? step.run(ctx) : Promise.resolve({})),
  ...(step.slots ? { slots: (ctx: Parameters<typeof step.slots>[0]) => (ctx.input.start && step.slots ? step.slots(ctx) : []) } : {}),
  ...(step.undo ? { undo: (ctx: Context) => (ctx.input.start && step.undo ? step.undo(ctx) : Promise.resolve({})) } : {}),
});

const hostFor = (ctx: Context): HostId | null => (ctx.input.start ? (ctx.output<Placed>('place').hostId as HostId) : ctx.input.hostId);

const chooseDatastores: Step<CreateVmInput> = {
  name: 'choose-datastores',
  foreseeable: true,
  why: 'recorded before the claim: a claim that is asked for again must be the same question',
  run: async (ctx): Promise<Chosen> => {
    const { disks, nics, hostId, start } = ctx.input;
    const [network, ...stores] = await Promise.all([
      nics.length === 0 ? null : ctx.request(checkPortGroups, { portGroupIds: nics.map((nic) => nic.portGroupId) }, { part: 'port-groups' }),
      ...disks.map(({ sizeBytes, datastoreId }, index) =>
        ctx.request(chooseDatastore, { sizeBytes, hostId, sharedFirst: true, ...(datastoreId === null ? {} : { datastoreId }) }, { part: `disk-${index}` })),
    ]);
    for (const [index, { datastoreId, name = datastoreId }] of stores.entries()) ctx.decided(`disk ${index} goes to the datastore ${name}`, { disk: index, datastoreId });
    const plan: OwnPlan = start ? await planOwn(ctx, { hostId, beside: stores[0] }) : { confinements: [] };
    return {
      ...plan, datastoreIds: stores.map((store) => store.datastoreId),
      confinements: [...pinnedTo(hostId), ...plan.confinements, ...stores.map((store) => seesDatastore(store.datastoreId, store.hostIds)), ...hasSwitches(network?.hostIds ?? null)],
    };
  },
};

async function makeVolumes(ctx: Context): Promise<void> {
  const { disks, name, vmId, ownerId, folderId } = ctx.input;
  const chosen = ctx.output<Chosen>('choose-datastores');
  const hostId = hostFor(ctx);
  await ctx.children([
    ...disks.map(({ volumeId, sizeBytes, source }, index) => ({
      operation: provisionVolume, part: `disk-${index}`,
      input: { volumeId, name: diskName(name, index), datastoreId: chosen.datastoreIds[index]!, sizeBytes, source, vmId, hostId, ownerId, folderId },
    })),
    ...ownProvisions(ctx.input, chosen, hostId),
  ]);
}

export const diskName = (vmName: string, index: number): string => volumeName(vmName, `disk ${index}`);

async function makePorts(ctx: Context): Promise<Port[]> {
  const { nics, vmId, ownerId, folderId } = ctx.input;
  const ports: Port[] = [];
  for (const [index, nic] of nics.entries()) ports.push(await ctx.request(provisionPort, { ...nic, vmId, ownerId, folderId }, { part: `nic-${index}` }));
  return ports;
}

const makeDisksAndPorts: Step<CreateVmInput> = {
  name: 'make-disks-and-ports',
  foreseeable: true,
  run: async (ctx): Promise<Made> => {
    // A port that cannot be had is heard of first: the disks would be made for nothing.
    const [ports] = await allEnded(makePorts(ctx), makeVolumes(ctx));
    return { ports };
  },
  undo: async (ctx) => {
    const { vmId, disks } = ctx.input;
    await allEnded(ctx.request(discardPorts, { vmId }), ctx.children([
      ...disks.map(({ volumeId }, index) => ({ operation: discardVolume, part: `disk-${index}`, input: { volumeId, vmId } })),
      ...ownDiscards(vmId, ctx.output<Chosen>('choose-datastores')),
    ]));
  },
};

const record: Step<CreateVmInput> = {
  name: 'record',
  why: 'from here on the row tells all that the VM has; and whoever acts on an older epoch is refused by its host',
  run: async (ctx): Promise<Raised | Record<string, never>> => {
    const { ports } = ctx.output<Made>('make-disks-and-ports');
    const placed = ctx.input.start ? ctx.output<Placed>('place') : null;
    const vm = await setVm(ctx, ({ spec, status }) => ({
      spec: { ...spec, disks: disksIn(ctx), nics: ports.map(nicOf) }, ...ownChange(ctx.output<Chosen>('choose-datastores')), ...(placed === null ? {} : nextRun(status, placed.hostId)),
    }));
    return placed === null ? {} : { epoch: vm.status.epoch, hostId: placed.hostId };
  },
};

function disksIn(ctx: Context): z.output<typeof VmDisk>[] {
  const { datastoreIds } = ctx.output<Chosen>('choose-datastores');
  return ctx.input.disks.map(({ diskId, volumeId, sizeBytes, bus }, slot) => ({ diskId, slot, volumeId, datastoreId: datastoreIds[slot]!, sizeBytes, bus, readOnly: false }));
}

const nicOf = ({ nicId, id, portGroupId, mac, ip }: Port, slot: number): z.output<typeof VmNic> => ({ nicId, slot, portId: id, portGroupId, mac, ip });

export const createVmTask: TaskKind<CreateVmInput> = defineTask<CreateVmInput>({
  kind: 'compute.vm.create',
  object: 'vm',
  steps: [
    chooseDatastores,
    whenStarting({
      name: 'place',
      foreseeable: true,
      why: 'before the disks: the copy then runs on the host that will start the VM',
      run: (ctx) => claim(ctx, ctx.output<Chosen>('choose-datastores')),
      undo: unclaim,
    }),
    makeDisksAndPorts,
    record,
    whenStarting(startOnHostStep<CreateVmInput>({ raisedIn: 'record' })),
  ],
  onFinished: endsOf({
    succeeded: (tx, outcome) => ((outcome.input).start ? endRunning(tx, outcome) : endOff(tx, outcome)),
    failed: endBuried,
  }),
});
