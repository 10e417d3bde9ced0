// What can differ between what the pool has written down and what is there: one row per kind of difference, with what is done
// about it. Guide, command line and reconciler read this table; nothing about a kind is written a second time.

/**
 * What a reconciler does by itself once a difference is certain. `repair` = put right, because what is put right can be made
 * again; `quarantine` = kept where nothing uses it, with a day on which it is asked about again; `show` = said, and no more.
 */
export type DriftHandling = 'repair' | 'quarantine' | 'show';

export interface DriftKindRow {
  readonly noun: string;
  readonly what: string;
  readonly handling: DriftHandling;
  /** What `drift repair` does; null = nobody but a person with other means can put it right. */
  readonly repair: string | null;
  /** It cannot be taken back: a person says `confirm`. */
  readonly final?: true;
}

const kind = (row: DriftKindRow): DriftKindRow => row;

export const driftKinds = {
  'qemu-unknown': kind({ noun: 'qemu', what: 'a QEMU process runs on a host, and nobody knows it', handling: 'quarantine', repair: 'end the process', final: true }),
  'vm-elsewhere': kind({ noun: 'vm', what: 'a host runs a VM that the pool does not place there', handling: 'quarantine', repair: 'switch the VM off on that host', final: true }),
  'vm-unknown': kind({ noun: 'vm', what: 'a host keeps the directory of a VM that the pool has never had', handling: 'quarantine', repair: 'remove the directory', final: true }),
  'vm-task': kind({ noun: 'vm', what: 'a VM is held for a task that has ended or is not there', handling: 'repair', repair: 'set the VM free and ask its host what it is' }),
  'port-stray': kind({ noun: 'port', what: 'a tap, switch port or DHCP server of ours that no VM which runs on the host has', handling: 'repair', repair: 'remove it' }),
  'port-missing': kind({ noun: 'port', what: 'a NIC of a VM that runs has no port on its switch', handling: 'repair', repair: 'make the port with its rules anew' }),
  'port-foreign': kind({ noun: 'port', what: 'a port on a switch of ours that nobody here has made', handling: 'quarantine', repair: 'remove the port', final: true }),
  'switch-unknown': kind({ noun: 'switch', what: 'a host has a switch of ours that the pool does not know', handling: 'quarantine', repair: 'remove the switch from the host', final: true }),
  'switch-missing': kind({ noun: 'switch', what: 'a host lacks a switch, or has another generation of it, which it had been given', handling: 'repair', repair: 'give the switch to the host anew' }),
  'address-stray': kind({ noun: 'port', what: 'a port with its addresses is kept for a VM that is gone', handling: 'repair', repair: 'give port and addresses back' }),
  'file-unknown': kind({ noun: 'file', what: 'a file of ours lies on a datastore, and no volume or upload is behind it', handling: 'quarantine', repair: 'delete the file', final: true }),
  'file-foreign': kind({ noun: 'file', what: 'something lies among the volumes of a datastore that nobody here has made', handling: 'show', repair: null }),
  'file-missing': kind({ noun: 'volume', what: 'a volume’s file is not on its datastore', handling: 'show', repair: 'put the file back, where it lies in quarantine' }),
  'claim-stray': kind({ noun: 'claim', what: 'capacity is held for a VM that is gone or does not run', handling: 'repair', repair: 'give the capacity back' }),
  'claim-missing': kind({ noun: 'vm', what: 'a VM runs, and no capacity is held for it', handling: 'repair', repair: 'hold the capacity on its host' }),
  'lock-stray': kind({ noun: 'lock', what: 'an object is locked for tasks that have all ended', handling: 'repair', repair: 'take the lock away' }),
  'task-idle': kind({ noun: 'task', what: 'an open task is due, and nobody has run it for a minute', handling: 'show', repair: 'have somebody look at the task' }),
} as const satisfies Readonly<Record<string, DriftKindRow>>;

export type DriftKind = keyof typeof driftKinds;
export const driftKindNames = Object.keys(driftKinds) as [DriftKind, ...DriftKind[]];
export const rowOfDrift = (name: DriftKind): DriftKindRow => driftKinds[name];
