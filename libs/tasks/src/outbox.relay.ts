// Carries the outbox to JetStream: one relay per schema at a time (a lease), which numbers the events without gaps and
// records the numbers before it sends, so that an event keeps its number however often it is sent again. Whose process
// writes an event while another one holds the lease tells that one, which otherwise would find it at its next look.
import { jetstream } from '@nats-io/jetstream';
import type { JetStreamClient } from '@nats-io/jetstream';
import { headers } from '@nats-io/transport-node';
import type { NatsConnection, Subscription } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import type { ServiceName } from '#contracts';
import { execute, executeLater, selectRow, selectRows, sql, toJson, transaction } from '#database';
import { BEFORE, Predecessors } from './event-order.ts';
import { holdLease, releaseLease, underLease } from './lease.store.ts';
import type { Lease } from './lease.store.ts';
import type { TaskLog } from './kind.ts';
import { Loop } from './loop.ts';
import { BY_NUMBER, numbered, onOutboxFilled, OUTBOX_LEASE } from './outbox.store.ts';
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
/** So long after the last event that was sent, what is sent is marked. */
const MARK_MS = 50;

export class OutboxRelay {
  private readonly loop: Loop;
  private readonly js: JetStreamClient;
  private readonly holder = `relay:${processName()}`;
  private readonly pollMs: number;
  private readonly leaseMs: number;
  private lease: Lease | null = null;
  private renewAt = 0;
  private forget: (() => void) | undefined;
  private readonly predecessors = new Predecessors();
  private readonly pokes: string;
  private listening: Subscription | undefined;
  /** Up to which number all have been sent, and up to which that is marked. Should it never be, they are sent again under their numbers. */
  private sent = 0;
  private marked = 0;
  /** There may be numbered rows that nobody has sent: those of the relay before this one, and those that could not be sent. Looked for now and then too. */
  private leftOver = true;

  constructor(private readonly options: RelayOptions) {
    this.js = jetstream(options.nats, { timeout: ACK_MS });
    this.pokes = `_INBOX.${options.service}.outbox`;
    this.pollMs = options.pollMs ?? 1_000;
    this.leaseMs = options.leaseMs ?? 10_000;
    this.loop = new Loop(() => this.turn(), (error) => this.outage(error));
  }

  start(): void {
    this.forget = onOutboxFilled(this.options.db, () => { this.filled(); });
    this.listening = this.options.nats.subscribe(this.pokes, { callback: () => { if (this.lease !== null) this.loop.poke(); } });
    this.loop.start();
  }

  private filled(): void {
    const { nats } = this.options;
    if (this.lease !== null) this.loop.poke();
    else if (!nats.isClosed() && !nats.isDraining()) nats.publish(this.pokes);
  }

  /** Finishes the batch in hand and lets another relay in. */
  async stop(): Promise<void> {
    this.forget?.();
    this.listening?.unsubscribe();
    await this.loop.stop();
    if (this.lease !== null) await this.mark();
    if (this.lease !== null) await releaseLease(this.options.db, this.lease);
    this.lease = null;
  }

  /**
   * What is sent is marked with the numbering of what comes behind it, or when nothing comes: a transaction of its own would cost each
   * event a second write to the disk.
   */
  private async turn(): Promise<number> {
    if (!(await this.hold())) return this.pollMs;
    const again = this.leftOver;
    const rows = again ? await this.numbered() : await this.number();
    if (rows.length === 0) {
      if (this.leftOver) {
        this.leftOver = false;
        return 0;
      }
      await this.mark();
      return this.pollMs;
    }
    await this.send(rows);
    if (again) await this.keepFromNow(rows);
    // Whoever commits more meanwhile pokes.
    return this.leftOver || rows.length === BATCH ? 0 : MARK_MS;
  }

  private async hold(): Promise<boolean> {
    const now = performance.now();
    if (this.lease !== null && now < this.renewAt) return true;
    this.lease = await holdLease(this.options.db, OUTBOX_LEASE, this.holder, this.leaseMs);
    this.renewAt = now + this.leaseMs / 3;
    this.leftOver = true;
    return this.lease !== null;
  }

  private async numbered(): Promise<OutboxRow[]> {
    const { db } = this.options;
    await this.mark();
    const lease = await selectRow<{ sent_seq: number | string }>(db, 'SELECT sent_seq FROM relay_lease WHERE name = ?', [OUTBOX_LEASE]);
    this.sent = this.marked = Number(lease?.sent_seq ?? 0);
    return selectRows<OutboxRow>(db, `SELECT id, seq, subject, event FROM ${BY_NUMBER} WHERE seq > ? ORDER BY seq LIMIT ?`, [this.sent, BATCH]);
  }

  /** It may have been long ago that they could not be sent. Not before they are: while NATS is away, that would be a write at each attempt. */
  private async keepFromNow(rows: readonly OutboxRow[]): Promise<void> {
    await execute(this.options.db, 'UPDATE outbox SET created_at = UTC_TIMESTAMP(3) WHERE seq BETWEEN ? AND ?', [rows[0]!.seq, rows.at(-1)!.seq]);
  }

  /** Gives the next numbers to rows that have none, and answers these rows. The lease's row is locked meanwhile: one relay at a time. */
  private async number(): Promise<OutboxRow[]> {
    const { lease } = this;
    if (lease === null) return [];
    const waiting = await selectRows(this.options.db, `SELECT id FROM ${BY_NUMBER} WHERE seq = 0 LIMIT 1`);
    if (waiting.length === 0) return [];
    const { sent } = this;
    const rows = await transaction(this.options.db, async (tx) => {
      const held = await underLease(tx, lease);
      if (held === undefined) return undefined;
      const found = await selectRows<OutboxRow>(tx, `SELECT id, subject, event FROM ${BY_NUMBER} WHERE seq = 0 ORDER BY id LIMIT ?`, [BATCH]);
      const ids = found.map((row) => row.id);
      if (ids.length === 0) return [];
      const last = Number(held.last_seq);
      await executeLater(tx, sql`UPDATE outbox SET seq = ${last} + FIELD(id, ${ids}), created_at = UTC_TIMESTAMP(3) WHERE id IN (${ids})`);
      await executeLater(tx, 'UPDATE relay_lease SET last_seq = ?, sent_seq = GREATEST(sent_seq, ?) WHERE name = ?', [last + ids.length, sent, lease.name]);
      return found.map((row, index) => ({ ...row, seq: last + 1 + index }));
    });
    if (rows === undefined) this.lease = null;
    else if (rows.length > 0) this.marked = sent;
    return rows ?? [];
  }

  /** True whoever has the lease by now: nobody unsends. */
  private async mark(): Promise<void> {
    const { sent } = this;
    if (sent <= this.marked) return;
    await execute(this.options.db, 'UPDATE relay_lease SET sent_seq = GREATEST(sent_seq, ?) WHERE name = ?', [sent, OUTBOX_LEASE]);
    this.marked = sent;
  }

  private async send(rows: readonly OutboxRow[]): Promise<void> {
    const { service } = this.options;
    const sent = await Promise.allSettled(rows.map(async (row) => {
      const event = numbered(row);
      const beside = headers();
      beside.set(BEFORE, this.predecessors.of(event));
      await this.js.publish(row.subject, toJson(event), { msgID: `${service}.${event.seq}`, headers: beside });
    }));
    const first = sent.findIndex((result) => result.status === 'rejected');
    const last = rows.at(first === -1 ? -1 : first - 1);
    if (first !== 0 && last !== undefined) this.sent = Number(last.seq);
    const failed = sent[first];
    if (failed?.status === 'rejected') {
      this.leftOver = true;
      await this.options.ensureStreams(this.options.nats);
      throw new Error('events could not be published', { cause: failed.reason });
    }
  }

  private outage(error: unknown): number {
    this.leftOver = true; // numbers may have been given by a commit whose answer was lost
    this.options.log.warn({ err: error }, 'the relay could not work; it tries again');
    return OUTAGE_MS;
  }
}
