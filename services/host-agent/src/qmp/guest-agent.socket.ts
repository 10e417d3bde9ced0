// A conversation with qemu-ga inside the guest. Each one begins with a sync, because the agent's end may hold half a
// message of an earlier talk. The guest may lie and may hang: answers are checked and every command has a limit.
import { randomInt } from 'node:crypto';
import { Mac } from '#contracts';
import { z } from 'zod';
import { MonitorError } from './errors.ts';
import type { PciAddress } from './pci-tree.ts';
import { connectSocket, LineClient } from './line-client.socket.ts';

const Interfaces = z.array(z.object({
  'hardware-address': z.string().optional(),
  'ip-addresses': z.array(z.object({ 'ip-address': z.string().max(64) })).max(256).default([]),
})).max(256);
const Pci = z.object({ bus: z.int(), slot: z.int(), function: z.int() });
const Disks = z.array(z.object({ partition: z.boolean(), address: z.object({ 'pci-controller': Pci, unit: z.int().optional() }).optional() })).max(1024);
/** What is mounted and on which PCI functions the disks below it are. */
const FileSystems = z.array(z.object({
  mountpoint: z.string().max(1024),
  disk: z.array(z.object({ 'pci-controller': Pci, unit: z.int().optional() })).max(64).default([]),
})).max(1024);
/** `unit` = the SCSI unit behind the controller at that address. */
export interface GuestDisk { readonly pci: PciAddress; readonly unit: number }
export interface MountedOn { readonly mountPoint: string; readonly disks: readonly GuestDisk[] }

const Started = z.object({ pid: z.int() });
const ExecStatus = z.object({ exited: z.boolean(), exitcode: z.int().optional(), 'out-data': z.string().optional() });

export interface GuestAddresses { readonly mac: string; readonly addresses: string[] }

/** Talks to the agent behind `path` and hangs up; rejects with MonitorError when it does not answer. */
export async function withGuestAgent<T>(path: string, talk: (agent: GuestAgent) => Promise<T>): Promise<T> {
  const client = new LineClient(await connectSocket(path), {});
  try {
    const mark = randomInt(1, 2 ** 31);
    // qemu-ga ignores ids of requests only in very old versions; the sync answers with the mark itself.
    const answer = await client.execute('guest-sync-delimited', { id: mark });
    if (answer !== mark) throw new MonitorError('garbled', 'the guest agent answered another sync');
    return await talk(new GuestAgent(client));
  } finally {
    client.close();
  }
}

export class GuestAgent {
  constructor(private readonly client: LineClient) {}

  async ping(): Promise<void> {
    await this.client.execute('guest-ping');
  }

  /** Addresses per MAC, loopback left out. */
  async addresses(): Promise<GuestAddresses[]> {
    const all = Interfaces.parse(await this.client.execute('guest-network-get-interfaces'));
    return all.flatMap((one) => {
      const mac = Mac.safeParse(one['hardware-address']?.toLowerCase());
      if (!mac.success || mac.data === '00:00:00:00:00:00') return [];
      return [{ mac: mac.data, addresses: one['ip-addresses'].map((address) => address['ip-address']) }];
    });
  }

  /** The disks that the guest sees, as far as they stand on its PCI bus. */
  async disks(): Promise<GuestDisk[]> {
    const all = Disks.parse(await this.client.execute('guest-get-disks'));
    return all.flatMap(({ partition, address }) => (partition || !address ? [] : [{ pci: address['pci-controller'], unit: address.unit ?? 0 }]));
  }

  /** File systems with the disks they lie on; those of no disk are left out. */
  async mounts(): Promise<MountedOn[]> {
    const all = FileSystems.parse(await this.client.execute('guest-get-fsinfo'));
    return all.filter(({ disk }) => disk.length > 0).map(({ mountpoint, disk }) => ({
      mountPoint: mountpoint, disks: disk.map((one) => ({ pci: one['pci-controller'], unit: one.unit ?? 0 })),
    }));
  }

  /** Asks the guest to power down. A guest that does so may be gone before it answers. */
  async shutdown(): Promise<void> {
    try {
      await this.client.execute('guest-shutdown', { mode: 'powerdown' }, 2_000);
    } catch (error) {
      // By its own documentation this command answers only when it fails.
      if (!(error instanceof MonitorError && (error.failure === 'silent' || error.failure === 'gone'))) throw error;
    }
  }

  /** Runs a program inside the guest and waits for its end; for tests. */
  async exec(path: string, args: readonly string[], wait: () => Promise<void>): Promise<{ code: number; output: string }> {
    const { pid } = Started.parse(await this.client.execute('guest-exec', { path, arg: args, 'capture-output': true }));
    for (;;) {
      const status = ExecStatus.parse(await this.client.execute('guest-exec-status', { pid }));
      if (status.exited) return { code: status.exitcode ?? -1, output: Buffer.from(status['out-data'] ?? '', 'base64').toString('utf8') };
      await wait();
    }
  }
}
