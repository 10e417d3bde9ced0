// What the guest says of its devices, through its agent: whether it shows one, and where it has a disk mounted. A guest
// without agent, or one that says nonsense, says nothing; what it says is never more than its own affair.
import type { GuestWord, HostDisk, HostNic } from '#contracts';
import type { BusLog } from '#bus';
import { sleep } from '#kernel';
import type { GuestAgent, GuestDisk } from '../qmp/guest-agent.socket.ts';
import { withGuestAgent } from '../qmp/guest-agent.socket.ts';
import type { Monitor } from '../qmp/monitor.socket.ts';
import { sameAddress } from '../qmp/pci-tree.ts';
import { diskDeviceId } from './command-line.ts';

export interface GuestScene {
  readonly vmId: string;
  /** The agent's socket. */
  readonly socket: string;
  readonly log: BusLog;
  /** Whether the guest's agent answers. */
  answers(): boolean;
}

/** The agent serves one at a time, and the watch over its addresses asks it too. */
const tries = 3;
/** How long a guest is given to show a new device, ms. */
const shownWithinMs = 5_000;
const lookEveryMs = 200;

const mostMountPoints = 8;
/** The guest may have named a directory anything. */
const shown = (name: string): string => name.replace(/\p{Cc}/gu, '?').slice(0, 100);

type Addresses = Pick<Monitor, 'pciAddress'>;

export class GuestVoice {
  constructor(private readonly scene: GuestScene) {}

  /** Mount points of file systems on the disk. */
  async mountPoints(monitor: Addresses, disk: HostDisk): Promise<string[]> {
    const isIt = await this.matcher(monitor, disk);
    const mounts = await this.ask((agent) => agent.mounts(), tries);
    return [...new Set((mounts ?? []).filter(({ disks }) => disks.some(isIt)).map(({ mountPoint }) => shown(mountPoint)))].sort().slice(0, mostMountPoints);
  }

  /** Waits until the guest shows the disk. */
  async showsDisk(monitor: Addresses, disk: HostDisk): Promise<GuestWord> {
    return this.until(async () => {
      // The guest gives the device its address when it finds it.
      const isIt = await this.matcher(monitor, disk);
      return (await this.ask((agent) => agent.disks(), 1))?.some(isIt);
    });
  }

  async showsNic({ mac }: HostNic): Promise<GuestWord> {
    return this.until(async () => (await this.ask((agent) => agent.addresses(), 1))?.some((nic) => nic.mac === mac));
  }

  private async until(shows: () => Promise<boolean | undefined>): Promise<GuestWord> {
    if (!this.scene.answers()) return 'not-asked';
    for (const end = performance.now() + shownWithinMs; ;) {
      if (await shows()) return 'confirmed';
      if (performance.now() > end) return 'not-seen';
      await sleep(lookEveryMs);
    }
  }

  /** A virtio disk is alone behind its address; a SCSI disk is a unit behind its controller's. */
  private async matcher(monitor: Addresses, disk: HostDisk): Promise<(one: GuestDisk) => boolean> {
    const address = disk.bus === 'sata' || !this.scene.answers() ? null : await monitor.pciAddress(disk.bus === 'scsi' ? 'scsi' : diskDeviceId(disk));
    return ({ pci, unit }) => address !== null && sameAddress(pci, address) && (disk.bus !== 'scsi' || unit === disk.slot);
  }

  private async ask<T>(question: (agent: GuestAgent) => Promise<T>, atMost: number): Promise<T | undefined> {
    for (let turn = 0; turn < atMost && this.scene.answers(); turn++) {
      try {
        return await withGuestAgent(this.scene.socket, question);
      } catch (error) {
        this.scene.log.warn({ vmId: this.scene.vmId, err: error }, 'the guest did not answer a question about its devices');
      }
    }
    return undefined;
  }
}
