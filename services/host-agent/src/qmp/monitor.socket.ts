// The agent's connection to one QEMU. The end of the connection means that the process is gone or must be looked at;
// events come in the order in which QEMU sent them.
import { z } from 'zod';
import { greetingLimitMs } from './commands.ts';
import { MonitorError } from './errors.ts';
import { connectSocket, LineClient } from './line-client.socket.ts';
import type { PciAddress } from './pci-tree.ts';
import { pciAddressOf, PciTree } from './pci-tree.ts';
import type { QmpEvent } from './wire.ts';

export interface MonitorHandlers {
  onEvent(event: QmpEvent): void;
  onEnd(): void;
}

const Named = z.array(z.object({ name: z.string() }));
const Nodes = z.array(z.object({ 'node-name': z.string().optional() }));
const Uuid = z.object({ UUID: z.string() });
const Status = z.object({ status: z.string(), running: z.boolean() });
const Chardevs = z.array(z.object({ label: z.string(), 'frontend-open': z.boolean() }));

export class Monitor {
  private constructor(private readonly client: LineClient, private readonly listeners: Set<(event: QmpEvent) => void>) {}

  /** `limitMs` is for each step. Rejects with MonitorError: `not-listening`, `no-greeting` (another client holds it, or QEMU hangs), `gone`. */
  static async connect(path: string, handlers: MonitorHandlers, limitMs: number = greetingLimitMs): Promise<Monitor> {
    const socket = await connectSocket(path);
    const greeted = Promise.withResolvers<null>();
    const timer = setTimeout(() => greeted.reject(new MonitorError('no-greeting', `no greeting within ${limitMs} ms`)), limitMs);
    let serving = false;
    const listeners = new Set<(event: QmpEvent) => void>();
    const client = new LineClient(socket, {
      onGreeting: () => greeted.resolve(null),
      onEvent: (event) => {
        for (const listener of listeners) listener(event);
        handlers.onEvent(event);
      },
      onEnd: () => {
        greeted.reject(new MonitorError('gone', 'the connection ended before a greeting'));
        if (serving) handlers.onEnd();
      },
    });
    try {
      await greeted.promise;
      await client.execute('qmp_capabilities', undefined, limitMs);
    } catch (error) {
      client.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    serving = true;
    return new Monitor(client, listeners);
  }

  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    return this.client.execute(command, args);
  }

  /** Resolves with such an event, or when so much time has passed; events from now on count. */
  nextEvent(isIt: (event: QmpEvent) => boolean, withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.listeners.delete(listener);
        resolve();
      };
      const listener = (event: QmpEvent): void => { if (isIt(event)) done(); };
      const timer = setTimeout(done, withinMs);
      this.listeners.add(listener);
    });
  }

  async uuid(limitMs?: number): Promise<string> {
    return Uuid.parse(await this.client.execute('query-uuid', undefined, limitMs)).UUID.toLowerCase();
  }

  /** QEMU's run state: `running`, `paused`, `shutdown`, `guest-panicked`, `io-error`, `watchdog`, `internal-error`, … */
  async status(): Promise<string> {
    return Status.parse(await this.execute('query-status')).status;
  }

  /** Whether the guest has opened the port behind a character device. */
  async isOpenInGuest(chardev: string): Promise<boolean> {
    const all = Chardevs.parse(await this.execute('query-chardev'));
    return all.some((one) => one.label === chardev && one['frontend-open']);
  }

  /** Ids of the devices that QEMU has, those on the command line included. */
  async deviceIds(): Promise<string[]> {
    return Named.parse(await this.execute('qom-list', { path: '/machine/peripheral' })).map(({ name }) => name).filter((name) => name !== 'type');
  }

  async blockNodes(): Promise<string[]> {
    return Nodes.parse(await this.execute('query-named-block-nodes', { flat: true })).flatMap((node) => node['node-name'] ?? []);
  }

  async pciAddress(deviceId: string): Promise<PciAddress | null> {
    return pciAddressOf(PciTree.parse(await this.execute('query-pci')).flatMap(({ devices }) => devices), deviceId);
  }

  get transcript(): readonly string[] {
    return this.client.transcript.read();
  }

  /** Lets go of the process without touching it. `onEnd` is called. */
  close(): void {
    this.client.close();
  }
}
