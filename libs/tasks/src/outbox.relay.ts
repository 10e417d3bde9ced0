// Carries the outbox to JetStream: one relay per schema at a time (a lease), which numbers the events without gaps and
// records the numbers before it sends, so that an event keeps its number however often it is sent again.
import { jetstream } from '@nats-io/jetstream';
import type { JetStreamClient } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import type { ServiceName } from '#contracts';
import { execute, selectRows, sql, toJson, transaction } from '#database';
import { holdLease, releaseLease, underLease } from './lease.store.ts';
import type { Lease } from './lease.store.ts';
import type { TaskLog } from './kind.ts';
import { Loop } from './loop.ts';
import { numbered, onOutboxFilled, OUTBOX_LEASE } from './outbox.store.ts';
import { processName } from './process-name.proc.ts';

export interface RelayOptions {
  readonly service: ServiceName;
  readonly db: DataSource;
  readonly nats: NatsConnection;
  readonly log: TaskLog;
  /** Makes the stream when it is missing. */
  readonly ensureStreams: (nats: NatsConnection) => Promise<void>;
  readonly pollMs?: number;
  readonly leaseMs?: number;
}

interface OutboxRow {
  id: number | string;
  seq: number | string;
  subject: string;
  event: unknown;
}

const BATCH = 200;
const ACK_MS = 5_000;
const OUTAGE_MS = 1_000;

export class OutboxRelay {
  private readonly loop: Loop;
  private readonly js: JetStreamClient;
  private readonly holder = `relay:${processName()}`;
  private readonly pollMs: number;
  private readonly leaseMs: number;
  private lease: Lease | null = null;
  private renewAt = 0;
  private forget: (() => void) | undefined;

  constructor(private readonly options: RelayOptions) {
    this.js = jetstream(options.nats, { timeout: ACK_MS });
    this.pollMs = options.pollMs ?? 250;
    this.leaseMs = options.leaseMs ?? 10_000;
    this.loop = new Loop(() => this.turn(), (error) => this.outage(error));
  }

  start(): void {
    this.forget = onOutboxFilled(this.options.db, () => { this.loop.poke(); });
    this.loop.start();
  }

  /** Finishes the batch in hand and lets another relay in. */
  async stop(): Promise<void> {
    this.forget?.();
    await this.loop.stop();
    if (this.lease !== null) await releaseLease(this.options.db, this.lease);
    this.lease = null;
  }

  private async turn(): Promise<number> {
    if (!(await this.hold())) return this.pollMs;
    await this.number();
    const rows = await selectRows<OutboxRow>(this.options.db,
      'SELECT id, seq, subject, event FROM outbox WHERE sent_at IS NULL AND seq IS NOT NULL ORDER BY seq LIMIT ?', [BATCH]);
    if (rows.length === 0) return this.pollMs;
    await this.send(rows);
    // Whoever commits more meanwhile pokes; other replicas' events wait for the next look.
    return rows.length === BATCH ? 0 : this.pollMs;
  }

  private async hold(): Promise<boolean> {
    const now = performance.now();
    if (this.lease !== null && now < this.renewAt) return true;
    this.lease = await holdLease(this.options.db, OUTBOX_LEASE, this.holder, this.leaseMs);
    this.renewAt = now + this.leaseMs / 3;
    return this.lease !== null;
  }

  /** Gives the next numbers to rows that have none. The lease's row is locked meanwhile: one relay at a time. */
  private async number(): Promise<void> {
    const { lease } = this;
    if (lease === null) return;
    const waiting = await selectRows(this.options.db, 'SELECT id FROM outbox WHERE sent_at IS NULL AND seq IS NULL LIMIT 1');
    if (waiting.length === 0) return;
    await transaction(this.options.db, async (tx) => {
      const held = await underLease(tx, lease);
      if (held === undefined) {
        this.lease = null;
        return;
      }
      const rows = await selectRows<{ id: number | string }>(tx, 'SELECT id FROM outbox WHERE sent_at IS NULL AND seq IS NULL ORDER BY id LIMIT ?', [BATCH]);
      const ids = rows.map((row) => row.id);
      if (ids.length === 0) return;
      const last = Number(held.last_seq);
      await execute(tx, sql`UPDATE outbox SET seq = ${last} + FIELD(id, ${ids}) WHERE id IN (${ids})`);
      await execute(tx, 'UPDATE relay_lease SET last_seq = ? WHERE name = ?', [last + ids.length, lease.name]);
    });
  }

  private async send(rows: readonly OutboxRow[]): Promise<void> {
    const { service, db } = this.options;
    const sent = await Promise.allSettled(rows.map(async (row) => {
      const event = numbered(row);
      await this.js.publish(row.subject, toJson(event), { msgID: `${service}.${event.seq}` });
      return row.id;
    }));
    const ids = sent.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    if (ids.length > 0) await execute(db, sql`UPDATE outbox SET sent_at = UTC_TIMESTAMP(3) WHERE id IN (${ids})`);
    const failed = sent.find((result) => result.status === 'rejected');
    if (failed !== undefined) {
      await this.options.ensureStreams(this.options.nats);
      throw new Error('events could not be published', { cause: failed.reason });
    }
  }

  private outage(error: unknown): number {
    this.options.log.warn({ err: error }, 'the relay could not work; it tries again');
    return OUTAGE_MS;
  }
}
