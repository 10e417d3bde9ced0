// Creates a VM: chooses datastores and a host, makes its disks and ports, and starts it if that was asked. Whatever
// fails or is cancelled, everything made is taken back and the row becomes a tombstone.
import {
  chooseDatastore, discardPorts, discardVolume, provisionPort, provisionVolume, checkPortGroups,
  type DatastoreId, type DiskId, type FolderId, type HostId, type HostVmStatus, type NicId, type PortGroupId, type PortId, type ReplyOf, type UserId, type VmDisk, type VmId, type VmNic, type VolumeId,
} from '#contracts';
import { defineTask, type StepContext, type TaskKind } from '#tasks';
import type { z } from 'zod';
import { bury, claim, raiseEpochStep, ranAs, release, setVm, settle, startOnHostStep, vmOf, type Placed } from './vm.steps.task.ts';

export interface PlannedDisk { diskId: DiskId; volumeId: VolumeId; sizeBytes: number; datastoreId: DatastoreId | null; bus: 'virtio' | 'scsi' | 'sata'; source: { volumeId: VolumeId; mode: 'full' | 'linked' } | null }
export interface PlannedNic { nicId: NicId; portId: PortId; portGroupId: PortGroupId; ip: string | null; mac: string | null }
/** Everything is decided and every id made when the task is accepted, so that a repeated step finds its first result. */
export interface CreateVmInput {
  vmId: VmId; name: string; ownerId: UserId | null; folderId: FolderId | null; hostId: HostId | null; start: boolean;
  disks: readonly PlannedDisk[]; nics: readonly PlannedNic[];
}

interface Chosen { datastores: { datastoreId: DatastoreId; hostIds: HostId[] }[] }
type Context = StepContext<CreateVmInput>;

/** Hosts that can take the VM as far as its datastores and port groups decide. */
async function confinements(ctx: Context) {
  const { input } = ctx;
  const { datastores } = ctx.output<Chosen>('choose-datastores');
  const network = input.nics.length === 0 ? null : await ctx.request(checkPortGroups, { portGroupIds: input.nics.map((nic) => nic.portGroupId) }, { part: 'port-groups' });
  return [
    ...(input.hostId === null ? [] : [{ reason: 'pinned' as const, text: 'the request names another host', hostIds: [input.hostId] }]),
    ...datastores.map((store) => ({ reason: 'datastore' as const, text: `does not see datastore ${store.datastoreId}`, hostIds: store.hostIds })),
    ...(network?.hostIds ? [{ reason: 'network' as const, text: 'a distributed switch of the VM is not applied there', hostIds: network.hostIds }] : []),
  ];
}

const hostOf = (ctx: Context): HostId | null => (ctx.input.start ? (ctx.output<Placed>('place').hostId as HostId) : ctx.input.hostId);

const whenStarting = (step: ReturnType<typeof startOnHostStep<CreateVmInput>>): typeof step => ({
  ...step,
  run: (ctx) => (ctx.input.start ? step.run(ctx) : Promise.resolve({})),
  ...(step.undo ? { undo: (ctx: Context) => (ctx.input.start ? step.undo!(ctx) : Promise.resolve({})) } : {}),
});

export const createVmTask: TaskKind<CreateVmInput> = defineTask<CreateVmInput>({
  kind: 'compute.vm.create',
  object: 'vm',
  steps: [
    {
      name: 'choose-datastores',
      run: async (ctx) => {
        const datastores: Chosen['datastores'] = [];
        for (const [index, disk] of ctx.input.disks.entries()) {
          datastores.push(await ctx.request(chooseDatastore, { sizeBytes: disk.sizeBytes, hostId: ctx.input.hostId, sharedFirst: true, ...(disk.datastoreId === null ? {} : { datastoreId: disk.datastoreId }) }, { part: `disk-${index}` }));
        }
        return { datastores } satisfies Chosen;
      },
    },
    {
      name: 'place',
      why: 'before the disks: the copy then runs on the host that will start the VM',
      run: async (ctx) => (ctx.input.start ? claim(ctx, await ctx.tx((tx) => vmOf(tx, ctx.input.vmId)), await confinements(ctx)) : {}),
      undo: (ctx) => (ctx.input.start ? release(ctx) : Promise.resolve()),
    },
    {
      name: 'make-disks',
      run: async (ctx) => {
        const { datastores } = ctx.output<Chosen>('choose-datastores');
        await ctx.children(ctx.input.disks.map((disk, index) => ({
          operation: provisionVolume, part: `disk-${index}`,
          input: { volumeId: disk.volumeId, name: `${ctx.input.name.slice(0, 50)} disk ${index}`, datastoreId: datastores[index]!.datastoreId, sizeBytes: disk.sizeBytes, source: disk.source, vmId: ctx.input.vmId, hostId: hostOf(ctx), ownerId: ctx.input.ownerId, folderId: ctx.input.folderId },
        })));
        return { datastoreIds: datastores.map((store) => store.datastoreId) };
      },
      undo: (ctx) => ctx.children(ctx.input.disks.map((disk, index) => ({ operation: discardVolume, part: `disk-${index}`, input: { volumeId: disk.volumeId, vmId: ctx.input.vmId } }))),
    },
    {
      name: 'make-ports',
      run: async (ctx) => {
        const ports: ReplyOf<typeof provisionPort>[] = [];
        for (const [index, nic] of ctx.input.nics.entries()) {
          ports.push(await ctx.request(provisionPort, { ...nic, vmId: ctx.input.vmId, ownerId: ctx.input.ownerId, folderId: ctx.input.folderId }, { part: `nic-${index}` }));
        }
        return { ports };
      },
      undo: (ctx) => ctx.request(discardPorts, { vmId: ctx.input.vmId }),
    },
    {
      name: 'record',
      run: async (ctx) => {
        const { input } = ctx;
        const { datastoreIds } = ctx.output<{ datastoreIds: DatastoreId[] }>('make-disks');
        const { ports } = ctx.output<{ ports: ReplyOf<typeof provisionPort>[] }>('make-ports');
        const disks = input.disks.map((disk, slot): z.output<typeof VmDisk> => ({ diskId: disk.diskId, slot, volumeId: disk.volumeId, datastoreId: datastoreIds[slot]!, sizeBytes: disk.sizeBytes, bus: disk.bus, readOnly: false }));
        const nics = ports.map((port, slot): z.output<typeof VmNic> => ({ nicId: port.nicId, slot, portId: port.id, portGroupId: port.portGroupId, mac: port.mac, ip: port.ip }));
        const vm = await ctx.tx((tx) => vmOf(tx, input.vmId));
        await setVm(ctx, { spec: { ...vm.spec, disks, nics } });
        return {};
      },
    },
    whenStarting(raiseEpochStep<CreateVmInput>((ctx) => ctx.output<Placed>('place').hostId)),
    whenStarting(startOnHostStep<CreateVmInput>()),
  ],
  onFinished: async (tx, outcome) => {
    if (outcome.state === 'failed' || outcome.state === 'cancelled') return bury(tx, outcome);
    if (outcome.state === 'needs-attention') return settle(tx, outcome, 'failed');
    return outcome.input.start ? settle(tx, outcome, 'running', ranAs(outcome.output<HostVmStatus>('start-on-host'))) : settle(tx, outcome, 'stopped');
  },
});
