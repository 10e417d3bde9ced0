// What is fixed while an agent runs: who the host is, what it runs VMs with, and who works for the actors.
import type { BusLog } from '#bus';
import type { Accelerator, CgroupDriver, SwitchDriver, VolumeDriver } from './drivers.ts';

export interface Drivers {
  readonly switches: SwitchDriver;
  readonly volumes: VolumeDriver;
  readonly cgroups: CgroupDriver;
  readonly accelerator: Accelerator;
}

export interface HostIdentity {
  readonly hostId: string;
  readonly hostName: string;
  readonly hostDir: string;
  readonly uplinks: Readonly<Record<string, string>>;
  readonly vmUids: { readonly first: number; readonly last: number };
  readonly templateGid: number;
}

export interface Qemu {
  readonly program: string;
  readonly version: string;
  readonly accelerator: 'kvm' | 'tcg';
  readonly acceleratorReason: string;
  readonly uefiCode: string;
  readonly uefiVars: string;
  /** Firmware that starts only what is signed; null where none is installed. */
  readonly secureBoot: { readonly code: string; readonly vars: string } | null;
  /** The program that is a VM's TPM; null where none is installed that keeps its state in one file. */
  readonly swtpm: string | null;
  /** Group that may open /dev/kvm; null where there is none. */
  readonly kvmGid: number | null;
}

export interface AgentEnvironment {
  readonly identity: HostIdentity;
  readonly drivers: Drivers;
  readonly qemu: Qemu;
  readonly log: BusLog;
}
