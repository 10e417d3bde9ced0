// Looks, and carries out what the decision says of each difference. One replica at a time looks; a row is changed only as it was
// read. Whatever dies in the middle of a repair: that it was begun stands in the row before, so the next look either repeats it or
// finds that it has worked.
import { InUse, rowOfDrift } from '#contracts';
import type { Difference } from '#contracts';
import { dbNow, transaction } from '#database';
import { ok } from '#kernel';
import { holdLease, processName, releaseLease, type Lease } from '#tasks';
import { attempt, begin, type DriftOwner } from './attempt.ts';
import { isCrowd, MOST_REPAIRS, stepFor, type Known, type Seen, type Step } from './decision.ts';
import { auditRepair, changeFinding, findingId, findRow, hashOf, openFinding, purgeFindings, rowsOfScope, touchedSince, touchFindings, type FindingRow } from './finding.store.ts';
import type { DriftSource, Look } from './source.ts';

export interface DriftSettings {
  readonly everyMs: number;
  /** Days that what is kept apart is kept before it is asked about again. */
  readonly keepDays: number;
  /** Puts right and keeps apart by itself; else it only says what it would do. */
  readonly acts: boolean;
}

interface Options extends DriftOwner {
  readonly settings: DriftSettings;
}

/** What a look has seen that is not certain yet. */
interface Suspicion { readonly hash: string; readonly round: number; readonly since: Date }

export class DriftKeeper {
  private readonly holder = processName();
  private readonly suspicions = new Map<string, Suspicion & { readonly scope: string }>();
  private sources: readonly DriftSource[] = [];
  private lease: Lease | null = null;
  private round = 0;

  constructor(private readonly options: Options) {}

  get owner(): DriftOwner {
    return this.options;
  }

  /** What is compared, from the next look on. */
  use(sources: readonly DriftSource[]): void {
    this.sources = sources;
  }

  get compared(): readonly DriftSource[] {
    return this.sources;
  }

  /** One look at everything. Does nothing while another replica does it. */
  async look(signal: AbortSignal): Promise<void> {
    const { db, log, settings } = this.options;
    this.lease = await holdLease(db, 'drift', this.holder, 2 * settings.everyMs + 10_000);
    if (this.lease === null) {
      this.suspicions.clear();
      return;
    }
    this.round += 1;
    for (const source of this.sources) {
      if (signal.aborted) return;
      const at = await dbNow(db);
      try {
        for (const look of await source.look(signal)) await this.weigh(source, look, at);
      } catch (error) {
        log.warn({ err: error, source: source.name }, 'nothing could be compared; the next look will');
      }
    }
    await purgeFindings(db);
  }

  /** Lets the next replica look at once. */
  async stop(): Promise<void> {
    if (this.lease !== null) await releaseLease(this.options.db, this.lease);
    this.lease = null;
  }

  private async weigh(source: DriftSource, { scope, population, differences }: Look, at: Date): Promise<void> {
    const { db, service, settings } = this.options;
    const rows = new Map((await rowsOfScope(db, scope)).map((row) => [row.id, row]));
    const seen = new Map(differences.map((difference) => [findingId(service, scope, difference), difference]));
    for (const [id, suspicion] of this.suspicions) if (suspicion.scope === scope && !seen.has(id)) this.suspicions.delete(id);
    const touched = await this.touchedAmong(seen, rows, at);
    const isNew = (id: string): boolean => !['quarantined', 'expired', 'dismissed'].includes(rows.get(id)?.state ?? '');
    const crowded = isCrowd([...seen].filter(([id, { kind }]) => isNew(id) && rowOfDrift(kind).handling !== 'show').length, population);

    const same: string[] = [];
    for (const [id, difference] of seen) {
      const hash = hashOf(difference.evidence);
      const facts: Seen = { handling: rowOfDrift(difference.kind).handling, touched: touched.has(id), twice: this.sawBefore(id, hash), crowded, acts: settings.acts };
      let row = rows.get(id);
      let step = stepFor(row === undefined ? null : knownOf(row, hash, at), facts);
      if (step === 'suspect') this.suspect(id, scope, hash, at);
      if (step === 'wait') this.suspicions.delete(id);
      if (step === 'open') {
        row = await this.open(scope, difference, id);
        step = row === undefined ? 'see' : stepFor(knownOf(row, hash, at), facts);
      }
      if (row !== undefined) await this.carryOut(step, source, row, at, same);
    }
    for (const [id, row] of rows) if (!seen.has(id)) await this.carryOut(stepFor(knownOf(row, '', at), null), source, row, at, same);
    await touchFindings(db, same);
  }

  private sawBefore(id: string, hash: string): boolean {
    const suspicion = this.suspicions.get(id);
    return suspicion !== undefined && suspicion.hash === hash && suspicion.round < this.round;
  }

  private suspect(id: string, scope: string, hash: string, since: Date): void {
    const before = this.suspicions.get(id);
    if (before?.hash !== hash) this.suspicions.set(id, { hash, scope, since, round: this.round });
  }

  /** Findings whose object a task works on, or has worked on since the look before. */
  private async touchedAmong(seen: ReadonlyMap<string, Difference>, rows: ReadonlyMap<string, FindingRow>, at: Date): Promise<Set<string>> {
    const objectsOf = (difference: Difference): readonly string[] => [difference.objectId, ...(difference.touches ?? [])];
    const pending = [...seen].filter(([id]) => !['quarantined', 'expired'].includes(rows.get(id)?.state ?? ''));
    const since = pending.map(([id]) => this.suspicions.get(id)?.since ?? at).reduce((least, one) => (one < least ? one : least), at);
    const busy = await touchedSince(this.options.db, [...new Set(pending.flatMap(([, difference]) => objectsOf(difference)))], since);
    return new Set(pending.filter(([, difference]) => objectsOf(difference).some((object) => busy.has(object))).map(([id]) => id));
  }

  private async open(scope: string, difference: Difference, id: string): Promise<FindingRow | undefined> {
    const { db, service, log } = this.options;
    this.suspicions.delete(id);
    await transaction(db, (tx) => openFinding(tx, service, scope, difference));
    log.info({ finding: id, kind: difference.kind, object: difference.objectId, host: difference.hostId ?? null }, `found: ${difference.text}`);
    const row = await findRow(db, id);
    if (row === undefined || difference.kept !== true) return row;
    // It lies in quarantine already: the row that said so was lost, the thing was not.
    return transaction(db, (tx) => changeFinding(tx, service, row, { state: 'quarantined', keepDays: this.options.settings.keepDays }));
  }

  private async carryOut(step: Step, source: DriftSource, row: FindingRow, at: Date, same: string[]): Promise<void> {
    const { db, service, settings } = this.options;
    const change = (what: Parameters<typeof changeFinding>[3]): Promise<unknown> => transaction(db, (tx) => changeFinding(tx, service, row, what));
    if (step === 'see') same.push(row.id);
    if (step === 'clear') await change({ state: 'cleared', reason: null });
    if (step === 'expire') await change({ state: 'expired', reason: `kept for ${settings.keepDays} days; it stays until somebody decides` });
    if (step === 'settle') await this.close(row, { state: 'repaired', reason: null, begun: false, repaired: true }, 'repair');
    if (step === 'repair') await this.repair(source, row);
    if (step === 'keep') await this.keep(source, row);
    if (step === 'hold') {
      const reason = knownOf(row, row.evidence_hash, at).comesBack
        ? `it came back after ${row.repairs} repairs within an hour: something makes it so`
        : 'a large part of this place differs at once: more likely the pool’s rows are wrong than all of that; repair by hand what is right';
      if (row.reason === reason) same.push(row.id);
      else await change({ reason });
    }
  }

  private async repair(source: DriftSource, row: FindingRow): Promise<void> {
    const act = source.repair?.[row.kind];
    if (act === undefined) return;
    const begun = await begin(this.options, row);
    if (begun === undefined) return;
    const done = await attempt(this.options, act, begun);
    if (done.ok) await this.close(begun, { state: 'repaired', reason: null, begun: false, repaired: true }, 'repair');
    else if (row.reason !== done.fault.detail) await transaction(this.options.db, (tx) => changeFinding(tx, this.options.service, begun, { reason: done.fault.detail }));
  }

  /** What cannot be moved because somebody uses it is kept where it is. */
  private async keep(source: DriftSource, row: FindingRow): Promise<void> {
    const { keepDays } = this.options.settings;
    const act = source.keep?.[row.kind];
    const begun = act === undefined ? row : await begin(this.options, row);
    if (begun === undefined) return;
    const done = act === undefined ? ok(undefined) : await attempt(this.options, act, begun);
    const moved = done.ok && act !== undefined;
    if (!done.ok && done.fault.code !== InUse.code) {
      if (row.reason !== done.fault.detail) await transaction(this.options.db, (tx) => changeFinding(tx, this.options.service, begun, { reason: done.fault.detail }));
      return;
    }
    await this.close(begun, { state: 'quarantined', kept: moved, keepDays, begun: false, reason: done.ok ? null : `kept where it is: ${done.fault.detail}` }, moved ? 'keep' : null);
  }

  private close(row: FindingRow, change: Parameters<typeof changeFinding>[3], audited: 'repair' | 'keep' | null): Promise<void> {
    const { db, service } = this.options;
    return transaction(db, async (tx) => {
      const next = await changeFinding(tx, service, row, change);
      if (next !== undefined && audited !== null) await auditRepair(tx, service, row.id, audited);
    });
  }
}

const HOUR = 3600_000;
/** What was refused is tried again after so long. */
const RETRY_MS = 120_000;
const knownOf = (row: FindingRow, hash: string, now: Date): Known => ({
  state: row.state, same: row.evidence_hash === hash, begun: row.begun_at !== null, overdue: row.expires_at !== null && row.expires_at <= now,
  refused: row.begun_at !== null && row.reason !== null && now.getTime() - row.begun_at.getTime() < RETRY_MS,
  comesBack: row.repairs >= MOST_REPAIRS && row.repaired_at !== null && now.getTime() - row.repaired_at.getTime() < HOUR,
});
