// The denials of one process: each is in the outbox, or in a sum that will be, before it is answered. What is summed up in
// memory is lost with the process, and nothing else is.
import type { DataSource } from 'typeorm';
import type { AuditFacts, ServiceName } from '#contracts';
import { transaction } from '#database';
import { systemClock } from '#kernel';
import type { Clock } from '#kernel';
import { denialFacts, denialId, emitFacts } from './audit.store.ts';
import type { Denial } from './audit.store.ts';
import { DenialTally } from './denial-tally.ts';
import type { TaskLog } from '../kind.ts';

export interface DenialsOptions {
  readonly service: ServiceName;
  readonly db: DataSource;
  readonly log: Pick<TaskLog, 'warn'>;
  readonly clock?: Clock;
  readonly tally?: DenialTally;
  /** How long denials are summed up, ms. */
  readonly everyMs?: number;
  /** How long an answer waits for its record at most, ms: a database that is away must not hold up refusals. */
  readonly patienceMs?: number;
}

export class Denials {
  private readonly tally: DenialTally;
  private readonly clock: Clock;
  private readonly timer: NodeJS.Timeout;
  private readonly writing = new Set<Promise<void>>();

  constructor(private readonly options: DenialsOptions) {
    this.tally = options.tally ?? new DenialTally();
    this.clock = options.clock ?? systemClock;
    this.timer = setInterval(() => { void this.flush(); }, options.everyMs ?? 30_000).unref();
  }

  /** Resolves when the record is written, or counted, or takes too long. Never rejects. */
  async note(denial: Denial): Promise<void> {
    const facts = denialFacts(denial);
    if (!this.tally.take(facts, this.now())) return;
    const written = this.write(facts, denialId(denial));
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([written, new Promise<void>((resolve) => { timer = setTimeout(resolve, this.options.patienceMs ?? 1_000); })]);
    clearTimeout(timer);
  }

  /** Writes the sums. What cannot be written now is in the next ones. */
  async flush(): Promise<void> {
    for (const sum of this.tally.drain()) await this.write(sum);
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await Promise.all(this.writing);
    await this.flush();
  }

  private now(): string {
    return new Date(this.clock.now()).toISOString();
  }

  private write(facts: AuditFacts, id?: string): Promise<void> {
    const { db, service, log } = this.options;
    const at = this.now();
    const written = transaction(db, (tx) => emitFacts(tx, service, facts, id)).catch((error: unknown) => {
      log.warn({ err: error, operation: facts.operation, code: facts.code }, 'a denial could not be recorded; it is counted');
      this.tally.add(facts, at);
    }).finally(() => { this.writing.delete(written); });
    this.writing.add(written);
    return written;
  }
}
