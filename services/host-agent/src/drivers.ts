// What the actors need from the host's data path, its disks, its processor and its cgroups. Every method is
// idempotent, answers expected failures as values, and bounds whatever can hang with a deadline of its own.
import type {
  InputOf, ReplyOf, HostNic, HostVmSpec,
  hostDatastoreProbe, hostDatastoreScan, hostSwitchApply, hostUploadDiscard, hostUploadWrite,
  hostVolumeCancel, hostVolumeCopy, hostVolumeCreate, hostVolumeDelete, hostVolumeIngest, hostDatastoreSurvey, hostFileKeep, hostFilePurge, hostFileRelease,
} from '#contracts';
import type { Result } from '#kernel';
import type { PortSurvey } from './switch/ports.driver.ts';

/** `system` = Open vSwitch in the kernel, `netdev` = in user space (virtio's offloads must be off), `none` = no switch here. */
export type Datapath = 'system' | 'netdev' | 'none';

export interface SwitchPort { readonly ifname: string; readonly vmId: string; readonly nicId: string }

export interface SwitchSurvey extends PortSurvey { readonly switches: readonly { readonly switchId: string; readonly bridge: string; readonly generation: number }[] }

export interface SwitchDriver {
  datapath(): Datapath;
  /** Open vSwitch's version; null where there is none. */
  version(): string | null;
  apply(input: InputOf<typeof hostSwitchApply>): Promise<Result<ReplyOf<typeof hostSwitchApply>>>;
  /** `IN_USE` while a VM's port is on it. */
  remove(switchId: string): Promise<Result<void>>;
  /** Generation of what the switch was last made to be; null when it is not there. */
  appliedGeneration(switchId: string): Promise<number | null>;
  /** Makes the tap alone, so that QEMU can open it while `attach` does the rest. Nothing passes through it before that. */
  tap(vmId: string, nic: HostNic, uid: number): Promise<Result<{ ifname: string }>>;
  /** Makes the tap (owned by `uid`), the port with its VLAN, the flows and the DHCP entry; answers the tap's name. */
  attach(vmId: string, nic: HostNic, uid: number): Promise<Result<{ ifname: string }>>;
  detach(vmId: string, nicIds: readonly string[] | 'all'): Promise<Result<void>>;
  listPorts(): Promise<SwitchPort[]>;
  /** Every switch and port of ours, and whether somebody has it. */
  survey(): Promise<Result<SwitchSurvey>>;
  /** Removes a port or tap that no VM has; `foreign` = also one that nobody here has made. `mayRun` is asked in the port's own turn. */
  removeStray(ifname: string, foreign: boolean, mayRun: (vmId: string) => Promise<boolean>): Promise<Result<void>>;
  /** After a restart of the agent or of Open vSwitch: ports, flows and DHCP of what runs are as they must be; ports of nobody are removed. */
  restore(running: readonly { vmId: string; uid: number; nics: readonly HostNic[] }[]): Promise<Result<void>>;
  /** Stops watching. The data path keeps running. */
  stop(): Promise<void>;
}

export interface Progress { readonly doneBytes: number; readonly totalBytes: number }
export interface VolumeWork {
  /** Aborts the work: what it wrote is removed and it answers `COMMAND_CANCELLED`. */
  readonly signal: AbortSignal;
  onProgress(progress: Progress): void;
}
type Volume<O> = (input: InputOf<O>, work: VolumeWork) => Promise<Result<ReplyOf<O>>>;

/** How much of a command's effect the world shows: the answer of a probe after a crash. */
export type Effect = 'done' | 'not-done' | 'partial';
/** Commands with a lasting effect on files. */
export type VolumeCommandName = 'volume.create' | 'volume.copy' | 'volume.delete' | 'volume.cancel' | 'volume.ingest' | 'upload.write' | 'upload.discard' | 'file.keep' | 'file.release' | 'file.purge';

export interface VolumeDriver {
  readonly create: Volume<typeof hostVolumeCreate>;
  readonly copy: Volume<typeof hostVolumeCopy>;
  readonly delete: Volume<typeof hostVolumeDelete>;
  /** Aborts the running command of `targetCommandId`; done when none runs. */
  readonly cancel: Volume<typeof hostVolumeCancel>;
  readonly ingest: Volume<typeof hostVolumeIngest>;
  readonly uploadWrite: Volume<typeof hostUploadWrite>;
  readonly uploadDiscard: Volume<typeof hostUploadDiscard>;
  readonly probe: Volume<typeof hostDatastoreProbe>;
  readonly scan: Volume<typeof hostDatastoreScan>;
  readonly survey: Volume<typeof hostDatastoreSurvey>;
  readonly keep: Volume<typeof hostFileKeep>;
  readonly release: Volume<typeof hostFileRelease>;
  readonly purge: Volume<typeof hostFilePurge>;
  /**
   * After a crash: did the effect of `input` happen? `done` = carrying the command out again changes nothing and only
   * answers its reply, which is how the reply is then found. `partial` = something is there that is not the whole effect;
   * the command is then carried out again and must cope with it.
   */
  effectOf(command: VolumeCommandName, input: unknown): Promise<Effect>;
  /** The VM's uid owns its writable disks, and the template group reads their backing files. */
  prepareForVm(spec: HostVmSpec): Promise<Result<void>>;
}

export interface Accelerator {
  probe(): Promise<{ accelerator: 'kvm' | 'tcg'; reason: string }>;
}

export interface CgroupDriver {
  readonly version: 'v1' | 'v2' | 'none';
  /** Makes the VM's groups with the limits of its document; answers the `cgroup.procs` files that QEMU must enter. */
  prepare(vmId: string, spec: HostVmSpec): Promise<string[]>;
  /** Sets the limits of a VM that runs; nothing where there are no groups. A failure leaves them as they were. */
  adjust(vmId: string, spec: HostVmSpec): Promise<Result<void>>;
  /** After a restart of the agent: the groups of what runs are as the documents say. */
  restore(running: readonly HostVmSpec[]): Promise<void>;
  /** Puts right what somebody else has written into the groups. */
  hold(): Promise<void>;
  /** Removes the VM's groups; nothing when there are none. */
  release(vmId: string): Promise<void>;
}
