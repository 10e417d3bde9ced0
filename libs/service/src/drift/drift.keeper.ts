// Carries out what the decision says of each difference, and what a person says of a finding. One replica at a time looks; a row
// is changed only as it was read. Whatever dies in the middle of a repair: that it was begun stands in the row before, so the next
// look either repeats it or finds that it has worked.
import type { DataSource } from 'typeorm';
import type { BusContext } from '#bus';
import { ConfirmationNeeded, driftOperations, InUse, NotFound, openDriftStates, rowOfDrift, WrongState, type DriftFinding, type DriftService, type InputOf } from '#contracts';
import { dbNow, fromBit, selectRows, transaction } from '#database';
import { FaultError, ok, orThrow, type Result } from '#kernel';
import { holdLease, processName, releaseLease, runCommand, type Lease, type TaskLog } from '#tasks';
import { isCrowd, MOST_REPAIRS, stepFor, type Known, type Seen, type Step } from './decision.ts';
import { auditRepair, changeFinding, findingId, findingOf, findRow, hashOf, openFinding, purgeFindings, rowsOfScope, touchedSince, touchFindings, type FindingRow } from './finding.store.ts';
import type { Act, Difference, DriftSource, Look } from './source.ts';

export interface DriftSettings {
  readonly everyMs: number;
  /** Days that what is kept apart is kept before it is asked about again. */
  readonly keepDays: number;
  /** Puts right and keeps apart by itself; else it only says what it would do. */
  readonly acts: boolean;
}

interface Options {
  readonly service: DriftService;
  readonly db: DataSource;
  readonly log: Pick<TaskLog, 'info' | 'warn'>;
  readonly settings: DriftSettings;
}

/** What a look has seen that is not certain yet. */
interface Suspicion { readonly hash: string; readonly round: number; readonly since: Date }
type Operations = ReturnType<typeof driftOperations>;
type Answer = Promise<Result<DriftFinding>>;

export class DriftKeeper {
  readonly operations: Operations;
  private readonly holder = processName();
  private readonly suspicions = new Map<string, Suspicion & { readonly scope: string }>();
  private sources: readonly DriftSource[] = [];
  private lease: Lease | null = null;
  private round = 0;

  constructor(private readonly options: Options) {
    this.operations = driftOperations(options.service);
  }

  use(sources: readonly DriftSource[]): void {
    this.sources = sources;
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
    const begun = await this.begin(row);
    if (begun === undefined) return;
    const done = await this.attempt(act, begun);
    if (done.ok) await this.close(begun, { state: 'repaired', reason: null, begun: false, repaired: true }, 'repair');
    else if (row.reason !== done.fault.detail) await transaction(this.options.db, (tx) => changeFinding(tx, this.options.service, begun, { reason: done.fault.detail }));
  }

  /** What cannot be moved because somebody uses it is kept where it is. */
  private async keep(source: DriftSource, row: FindingRow): Promise<void> {
    const { keepDays } = this.options.settings;
    const act = source.keep?.[row.kind];
    const begun = act === undefined ? row : await this.begin(row);
    if (begun === undefined) return;
    const done = act === undefined ? ok(undefined) : await this.attempt(act, begun);
    const moved = done.ok && act !== undefined;
    if (!done.ok && done.fault.code !== InUse.code) {
      if (row.reason !== done.fault.detail) await transaction(this.options.db, (tx) => changeFinding(tx, this.options.service, begun, { reason: done.fault.detail }));
      return;
    }
    await this.close(begun, { state: 'quarantined', kept: moved, keepDays, begun: false, reason: done.ok ? null : `kept where it is: ${done.fault.detail}` }, moved ? 'keep' : null);
  }

  private begin(row: FindingRow): Promise<FindingRow | undefined> {
    return transaction(this.options.db, (tx) => changeFinding(tx, this.options.service, row, { begun: true, quietly: true }));
  }

  private async attempt(act: Act, row: FindingRow): Promise<Result<unknown>> {
    const done = await act(findingOf(this.options.service, row), commandIdOf(row));
    const { log } = this.options;
    if (!done.ok) log.warn({ finding: row.id, kind: row.kind, code: done.fault.code, detail: done.fault.detail }, 'a difference could not be put right; it is tried again');
    return done;
  }

  private close(row: FindingRow, change: Parameters<typeof changeFinding>[3], audited: 'repair' | 'keep' | null): Promise<void> {
    const { db, service } = this.options;
    return transaction(db, async (tx) => {
      const next = await changeFinding(tx, service, row, change);
      if (next !== undefined && audited !== null) await auditRepair(tx, service, row.id, audited);
    });
  }

  // What a person says

  async get(findingId: string): Answer {
    const row = await findRow(this.options.db, findingId);
    return row === undefined ? missing(findingId) : ok(findingOf(this.options.service, row));
  }

  async repairByHand(input: InputOf<Operations['repair']>, ctx: BusContext): Answer {
    const { db, service } = this.options;
    const row = await findRow(db, input.findingId);
    if (row === undefined) return missing(input.findingId);
    const act = this.actOf('repair', row);
    const { final = false, repair } = rowOfDrift(row.kind);
    if (openDriftStates.includes(row.state)) {
      if (act === undefined || repair === null) return WrongState.fail('Nothing here can put this right; what there is to know is in its evidence.', { state: row.state, allowed: [] });
      if (final && !input.confirm) return ConfirmationNeeded.fail(`This would ${repair}, which cannot be taken back.`, { confirm: 'confirm' });
      if ((await this.begin(row)) === undefined) return changed(row);
    }
    const answer = await runCommand(db, { ctx, operation: this.operations.repair, input }, async (tx) => {
      const begun = orThrow(await locked(tx, input.findingId));
      // Answered to whoever asks again after the first answer was lost.
      if (begun.state === 'repaired') return findingOf(service, begun);
      if (!openDriftStates.includes(begun.state) || act === undefined) throw new FaultError(notOpen(begun));
      orThrow(await this.attempt(act, begun));
      return findingOf(service, orThrow(orChanged(await changeFinding(tx, service, begun, { state: 'repaired', reason: null, begun: false, kept: false, repaired: true }, ctx))));
    });
    if (!answer.ok) await this.forgetBegun(input.findingId);
    return answer;
  }

  /** It was refused: should the thing go by itself now, nobody has put it right. */
  private async forgetBegun(findingId: string): Promise<void> {
    const { db, service } = this.options;
    const row = await findRow(db, findingId);
    if (row !== undefined && row.begun_at !== null && row.state !== 'found') await transaction(db, (tx) => changeFinding(tx, service, row, { begun: false, quietly: true }));
  }

  dismiss(input: InputOf<Operations['dismiss']>, ctx: BusContext): Answer {
    const { db, service } = this.options;
    return runCommand(db, { ctx, operation: this.operations.dismiss, input }, async (tx) => {
      const row = orThrow(await locked(tx, input.findingId));
      if (!openDriftStates.includes(row.state)) throw new FaultError(notOpen(row));
      return findingOf(service, orThrow(orChanged(await changeFinding(tx, service, row, { state: 'dismissed', reason: null, begun: false }, ctx))));
    });
  }

  release(input: InputOf<Operations['release']>, ctx: BusContext): Answer {
    const { db, service } = this.options;
    return runCommand(db, { ctx, operation: this.operations.release, input }, async (tx) => {
      const row = orThrow(await locked(tx, input.findingId));
      if (row.state !== 'quarantined' && row.state !== 'expired') throw new FaultError(WrongState.fault('It is not kept apart.', { state: row.state, allowed: ['quarantined', 'expired'] }));
      const act = fromBit(row.kept) ? this.actOf('release', row) : undefined;
      if (act !== undefined) orThrow(await this.attempt(act, row));
      return findingOf(service, orThrow(orChanged(await changeFinding(tx, service, row, { state: 'dismissed', kept: false, reason: null }, ctx))));
    });
  }

  private actOf(what: 'repair' | 'release', { kind }: FindingRow): Act | undefined {
    return this.sources.map((source) => source[what]?.[kind]).find((act) => act !== undefined);
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

/** Another one for each attempt that was begun: a host answers the recorded result to one that it knows. */
const commandIdOf = ({ id, version }: FindingRow): string => `drift/${id}/${version}`;
const missing = (id: string) => NotFound.fail('There is no finding with this id.', { noun: 'drift', id });
const notOpen = ({ state }: FindingRow) => WrongState.fault(`The finding is ${state}.`, { state, allowed: [...openDriftStates] });
const changed = ({ state }: FindingRow) => WrongState.fail('Somebody has just changed the finding; look again.', { state, allowed: [...openDriftStates] });
const orChanged = (row: FindingRow | undefined): Result<FindingRow> => (row === undefined ? WrongState.fail('Somebody has just changed the finding; look again.', { state: 'changed', allowed: [...openDriftStates] }) : ok(row));

async function locked(tx: Parameters<typeof selectRows>[0], id: string): Promise<Result<FindingRow>> {
  const [row] = await selectRows<FindingRow>(tx, 'SELECT * FROM drift_finding WHERE id = ? FOR UPDATE', [id]);
  return row === undefined ? missing(id) : ok(row);
}
