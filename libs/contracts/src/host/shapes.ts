// What a host needs to run a VM: everything in one document, so that the agent can start it again from its
// directory alone, without bus or database.
import { z } from 'zod';
import { Bytes, Ipv4, Mac, MemoryBytes, VlanId } from '../values.ts';
import { GuestMemory } from './guest-memory.ts';
import { DatastoreId, DiskId, NicId, PortGroupId, PortId, SubnetId, SwitchId, VmId, VolumeId } from '../ids.ts';

export const CommandId = z.string().min(1).max(160).describe('deterministic: the same command sent again carries the same id');
export const Epoch = z.int().min(0).describe('the right to run: strictly rising per VM; a lower one than seen is refused');

/** A datastore may hold more files than one message does: they are told page by page, each after the last path of the one before. */
export const filesPerPage = 1_000;
export const afterPath = { after: z.string().max(300).default('').describe('only what comes after this path') };
export const nextPath = z.string().nullable().describe('more comes after this path; null = that was all');

const shares = z.int().min(1).max(1_000_000);
/** CPU or memory service: `reservation` is guaranteed, `shares` weigh under contention (1000 = normal), `limit` caps; MHz for CPU, bytes for memory; null = none. */
export const ResourceService = z.strictObject({ reservation: z.int().min(0).default(0).describe('MHz'), shares: shares.default(1000), limit: z.int().min(1).nullable().default(null).describe('MHz') });
export const MemoryService = z.strictObject({ reservation: Bytes.default(0), shares: shares.default(1000), limit: Bytes.nullable().default(null) });

export const CpuTopology = z.strictObject({ sockets: z.int().min(1).max(64), cores: z.int().min(1).max(128), threads: z.int().min(1).max(8) })
  .refine((cpu) => cpu.sockets * cpu.cores * cpu.threads <= 512, 'at most 512 vCPUs');

/** `uefi-secure` = UEFI that starts only what is signed (secure boot), with Microsoft’s keys enrolled. The variables of either lie on a volume of the VM’s and follow it to every host. */
export const Firmware = z.enum(['bios', 'uefi', 'uefi-secure']);
/** `2.0` = a TPM of the VM’s own, emulated; needs UEFI. Its keys lie on a volume of the VM’s and follow it to every host. */
export const Tpm = z.enum(['none', '2.0']);
/** What the guest’s clock shows at the VM’s start: UTC, with `offsetSeconds` beside it, or the host’s local time. */
export const Clock = z.strictObject({ base: z.enum(['utc', 'localtime']).default('utc'), offsetSeconds: z.int().min(-50_400).max(50_400).default(0) })
  .refine((clock) => clock.base === 'utc' || clock.offsetSeconds === 0, { message: 'goes with base utc', path: ['offsetSeconds'] });
export const DiskBus = z.enum(['virtio', 'scsi', 'sata']);
export const VolumeFormat = z.enum(['qcow2', 'raw']);
export const BootDevice = z.enum(['disk', 'network', 'cdrom']);

/** Where a volume lies on a host: paths are made by storage from ids, never from names. */
export const VolumePlace = z.strictObject({
  volumeId: VolumeId,
  datastoreId: DatastoreId,
  datastorePath: z.string().startsWith('/').max(500).describe('mount point on the host'),
  relativePath: z.string().regex(/^(volumes|images)\/[0-9a-f-]{36}\.(qcow2|raw)$/).describe('below the mount point'),
  format: VolumeFormat,
});

export const HostDisk = z.strictObject({ diskId: DiskId, slot: z.int().min(0).max(63), bus: DiskBus, place: VolumePlace, readOnly: z.boolean(), bootIndex: z.int().min(1).nullable() });

export const HostSubnet = z.strictObject({ subnetId: SubnetId, network: Ipv4, prefix: z.int().min(8).max(30), gateway: Ipv4.nullable(), dns: z.array(Ipv4).max(4), leaseSeconds: z.int().min(60) });
export const HostNic = z.strictObject({
  nicId: NicId, slot: z.int().min(0).max(15), portId: PortId, portGroupId: PortGroupId, switchId: SwitchId,
  mac: Mac, vlan: VlanId, mtu: z.int().min(576).max(9216),
  ip: Ipv4.nullable().describe('the assigned address; answered by DHCP and the only one the port may use'), subnet: HostSubnet.nullable(),
  bootIndex: z.int().min(1).nullable(),
});

/** What a QEMU must be made like to take a saved memory: its machine type, and the root ports that were made at its start. */
export const SavedMemory = z.strictObject({ machine: z.string().regex(/^[A-Za-z0-9_.-]{1,60}$/), rootPorts: z.array(z.int().min(0).max(255)).max(256) });
export type SavedMemory = z.infer<typeof SavedMemory>;

export const HostVmSpec = z.strictObject({
  vmId: VmId, name: z.string(), uid: z.int().min(1000).describe('QEMU runs under this uid; the VM’s for life'),
  cpu: CpuTopology, cpuModel: z.string().regex(/^[A-Za-z0-9_.-]{1,40}$/).default('max'), cpuService: ResourceService,
  memoryBytes: MemoryBytes, memoryService: MemoryService, firmware: Firmware, clock: Clock.prefault({}),
  disks: z.array(HostDisk).max(64), nics: z.array(HostNic).max(16),
  tpm: VolumePlace.nullable().default(null).describe('where the VM’s TPM keeps its state; null = it has none'),
  uefiVars: VolumePlace.nullable().default(null).describe('where the VM’s UEFI keeps its variables; null = it has a BIOS'),
});
export type HostVmSpec = z.infer<typeof HostVmSpec>;
export type HostNic = z.infer<typeof HostNic>;
export type HostDisk = z.infer<typeof HostDisk>;
export type VolumePlace = z.infer<typeof VolumePlace>;

/** What the agent saw. `absent` = the host knows nothing of the VM; `unknown` = it has not looked yet. */
export const HostVmState = z.enum(['defined', 'starting', 'running', 'paused', 'stopping', 'stopped', 'failed', 'unknown', 'absent']);
export const ExitReason = z.enum(['guest-shutdown', 'guest-reset', 'guest-panic', 'requested', 'killed', 'qemu-crashed', 'start-failed', 'watchdog', 'saved']);
export const HostVmStatus = z.strictObject({
  vmId: VmId, state: HostVmState, epoch: Epoch,
  pid: z.int().nullable(), startedAt: z.iso.datetime().nullable(), exitReason: ExitReason.nullable(), detail: z.string().nullable(),
  saved: SavedMemory.nullable().default(null).describe('its memory was saved when it ended'),
  guestAgent: z.boolean(), guestAddresses: z.array(z.strictObject({ mac: Mac, addresses: z.array(z.string()) })),
  memory: GuestMemory.nullable().default(null).describe('what its balloon shows; null = not looked at'),
});
export type HostVmStatus = z.infer<typeof HostVmStatus>;

export const UnmanagedVm = z.strictObject({ pid: z.int(), startTicks: z.int().optional().describe('when it began, in ticks of the host’s boot'), uuid: z.string().nullable(), name: z.string().nullable(), commandLine: z.string().max(4000) });

/** `(bootId, epoch, seq)` orders a host’s reports: a new bootId begins anew, within one a lower (epoch, seq) is old news. `epoch` counts the agent’s starts. */
export const ReportOrder = z.strictObject({ bootId: z.string(), epoch: z.int(), seq: z.int() });
export type ReportOrder = z.infer<typeof ReportOrder>;

export const HostInventory = z.strictObject({
  name: z.string(), agentVersion: z.string(), kernel: z.string(), qemuVersion: z.string(), ovsVersion: z.string().nullable(),
  accelerator: z.enum(['kvm', 'tcg']), acceleratorReason: z.string(),
  cpu: z.strictObject({ model: z.string(), logical: z.int(), mhz: z.int() }), memoryBytes: Bytes, cgroup: z.enum(['v1', 'v2', 'none']),
  uplinks: z.array(z.strictObject({ name: z.string(), interface: z.string(), up: z.boolean() })), datapath: z.enum(['system', 'netdev', 'none']),
  vmUids: z.strictObject({ from: z.int(), to: z.int() }),
  tpm: z.boolean().default(false).describe('swtpm is installed: VMs with a TPM can run here'),
});
export type HostInventory = z.infer<typeof HostInventory>;
