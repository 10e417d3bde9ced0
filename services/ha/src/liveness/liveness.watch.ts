// Listens to heartbeats and writes down which hosts respond. Every replica listens for itself; losing its ears (the bus)
// makes it silent, never wrong.
import type { NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import type { BusLog } from '#bus';
import { transaction } from '#database';
import { sleep, systemClock, type Clock } from '#kernel';
import { judge } from './liveness.ts';
import { allLiveness, changeLiveness, noteHeartbeats } from './liveness.store.ts';

const CANARY_MS = 1_000;
const NOTE_EVERY_MS = 2_000;
/** Looks come twice a second. So long a gap means that this process or its database stood still: it may have missed heartbeats. */
const STOOD_STILL_MS = 3_000;

export class LivenessWatch {
  private readonly heardAt = new Map<string, number>();
  private listeningSince: number;
  private notedAt = 0;
  private lookedAt: number;

  constructor(
    private readonly db: DataSource,
    private readonly nats: NatsConnection,
    private readonly log: BusLog,
    private readonly clock: Clock = systemClock,
  ) {
    this.listeningSince = clock.monotonic();
    this.lookedAt = this.listeningSince;
    void this.followConnection();
  }

  heard(hostId: string): void {
    this.heardAt.set(hostId, this.clock.monotonic());
  }

  /** One look at all hosts. */
  async look(): Promise<void> {
    const rows = await allLiveness(this.db);
    const canary = await this.busCarries();
    const watched = rows.map((row) => ({ hostId: row.hostId, state: row.state, heardAt: this.heardAt.get(row.hostId) ?? null }));
    const now = this.clock.monotonic();
    if (now - this.lookedAt > STOOD_STILL_MS) this.listeningSince = now;
    this.lookedAt = now;
    for (const change of judge(watched, { now, listeningSince: this.listeningSince, canary })) {
      const told = await transaction(this.db, (tx) => changeLiveness(tx, change.hostId, change.state));
      if (told) this.log.info({ ...change }, change.state === 'connected' ? 'a host responds' : 'a host does not respond');
    }
    if (now - this.notedAt < NOTE_EVERY_MS) return;
    const known = new Set(rows.map((row) => row.hostId as string));
    await noteHeartbeats(this.db, [...this.heardAt].filter(([hostId, at]) => at > this.notedAt && known.has(hostId)).map(([hostId]) => hostId));
    this.notedAt = now;
  }

  /** A round trip to the server: without it our own deafness would look like everybody's silence. */
  private async busCarries(): Promise<boolean> {
    return Promise.race([this.nats.rtt().then(() => true, () => false), sleep(CANARY_MS).then(() => false)]);
  }

  private async followConnection(): Promise<void> {
    for await (const status of this.nats.status()) {
      if (status.type === 'reconnect') this.listeningSince = this.clock.monotonic();
    }
  }
}
