// What the host tells: that it has joined, what changed, how far a copy is, and that it is there. Reports carry a rising
// order; nothing is kept for a bus that is away, because joining again tells everything.
import type { BusClient } from '#bus';
import type { Heartbeat, HostVmStatus, ReportOrder, VolumeId } from '#contracts';
import { hostJoined, hostVmChanged, hostVolumeProgress } from '#contracts';
import type { BusLog } from '#bus';
import type { Result } from '#kernel';
import type { Progress } from '../drivers.ts';
import type { HostStatus } from './host-actor.ts';

const progressEveryMs = 500;

export class Reporter {
  private seq = 0;
  private bus: BusClient | null = null;
  private readonly progressAt = new Map<string, number>();

  constructor(private readonly hostId: string, private readonly bootId: string, private readonly epoch: number, private readonly log: BusLog) {}

  /** null = the bus is away. */
  use(bus: BusClient | null): void {
    this.bus = bus;
  }

  joined(status: HostStatus): void {
    if (this.bus) this.note(this.bus.report(this.hostId, hostJoined, { order: this.next(), ...status }));
  }

  vmChanged(vm: HostVmStatus): void {
    if (this.bus) this.note(this.bus.report(this.hostId, hostVmChanged, { order: this.next(), vm }));
  }

  /** At most twice a second per command; the last one, with all bytes done, always. */
  progress(commandId: string, volumeId: string, { doneBytes, totalBytes }: Progress): void {
    const now = performance.now();
    const complete = doneBytes >= totalBytes;
    if (!complete && now - (this.progressAt.get(commandId) ?? -Infinity) < progressEveryMs) return;
    if (complete) this.progressAt.delete(commandId);
    else this.progressAt.set(commandId, now);
    if (this.bus) this.note(this.bus.report(this.hostId, hostVolumeProgress, { order: this.next(), volumeId: volumeId as VolumeId, commandId, doneBytes, totalBytes }));
  }

  heartbeat(body: Omit<Heartbeat, 'order'>): void {
    if (this.bus) this.note(this.bus.heartbeat(this.hostId, { order: this.next(), ...body } satisfies Heartbeat));
  }

  private next(): ReportOrder {
    return { bootId: this.bootId, epoch: this.epoch, seq: ++this.seq };
  }

  private note(sent: Result<void>): void {
    if (!sent.ok) this.log.warn({ fault: sent.fault }, 'a report could not be sent');
  }
}
