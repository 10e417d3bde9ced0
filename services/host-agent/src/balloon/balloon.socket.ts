// One guest's balloon as its monitor shows it: looked at, told its target, and kept as what is told to others.
import type { GuestMemory, HostVmSpec } from '#contracts';
import { z } from 'zod';
import { isAlreadySo } from '../qmp/errors.ts';
import type { Monitor } from '../qmp/monitor.socket.ts';
import { aimed, hasDriver, seen, statisticsEveryS, toldOf, worthTelling } from './balloon.ts';
import type { Balloon, BalloonReading } from './balloon.ts';
import type { Guest } from './targets.ts';

const device = '/machine/peripheral/balloon';
const Actual = z.object({ actual: z.number() });
const Statistics = z.object({ 'last-update': z.number(), stats: z.record(z.string(), z.number()) });

export class BalloonWatch {
  private balloon: Balloon | null = null;
  private told: GuestMemory | null = null;
  /** What this monitor's QEMU was told last; another agent may have told it something else. */
  private toldQemu: number | null = null;
  private asked: Monitor | null = null;

  constructor(private readonly onChange: () => void) {}

  get info(): GuestMemory | null {
    return this.told;
  }

  /** null = this QEMU has no balloon. Rejects with MonitorError where it does not answer. */
  async look(monitor: Monitor, { memoryBytes, memoryService }: Pick<HostVmSpec, 'memoryBytes' | 'memoryService'>): Promise<Guest | null> {
    const reading = await this.read(monitor);
    if (reading === null) return null;
    this.learn(seen(this.balloon, reading, performance.now()), memoryBytes);
    const { actualBytes, targetBytes, availableBytes } = this.balloon!;
    return { memoryBytes, memoryService, actualBytes, targetBytes, availableBytes, hasDriver: hasDriver(this.balloon!) };
  }

  async aim(monitor: Monitor, targetBytes: number, memoryBytes: number): Promise<void> {
    if (this.balloon === null || (this.toldQemu === targetBytes && this.balloon.targetBytes === targetBytes)) return;
    await monitor.execute('balloon', { value: targetBytes });
    this.toldQemu = targetBytes;
    this.learn(aimed(this.balloon, targetBytes, performance.now()), memoryBytes);
  }

  /** Whether it has to be looked at again soon. */
  get moves(): boolean {
    return this.told?.balloon === 'moving';
  }

  /** The process is gone or is let go of. */
  forget(): void {
    this.balloon = null;
    this.told = null;
    this.toldQemu = null;
    this.asked = null;
  }

  private async read(monitor: Monitor): Promise<BalloonReading | null> {
    try {
      if (this.asked !== monitor) await monitor.execute('qom-set', { path: device, property: 'guest-stats-polling-interval', value: statisticsEveryS });
      this.asked = monitor;
      const [actual, statistics] = await Promise.all([monitor.execute('query-balloon'), monitor.execute('qom-get', { path: device, property: 'guest-stats' })]);
      const { 'last-update': lastWordAt, stats } = Statistics.parse(statistics);
      return { actualBytes: Actual.parse(actual).actual, lastWordAt, availableBytes: said(stats['stat-available-memory']) ?? said(stats['stat-free-memory']) };
    } catch (error) {
      if (isAlreadySo(error)) return null; // a QEMU of somebody's own making has no such device
      throw error;
    }
  }

  private learn(balloon: Balloon, memoryBytes: number): void {
    this.balloon = balloon;
    const now = toldOf(balloon);
    if (!worthTelling(this.told, now, memoryBytes)) return;
    this.told = now;
    this.onChange();
  }
}

/** What the guest does not say is the largest number there is. */
const said = (value: number | undefined): number | null => (value === undefined || !Number.isSafeInteger(value) ? null : value);
