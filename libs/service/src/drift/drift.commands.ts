// What a person says of a finding: put it right now, leave it as it is, put back what was kept apart. Each is done once, in the
// transaction that says so, and recorded as the deed of whoever asked.
import type { EntityManager } from 'typeorm';
import type { BusContext } from '#bus';
import { ConfirmationNeeded, driftOperations, NotFound, openDriftStates, rowOfDrift, WrongState, type DriftFinding, type InputOf } from '#contracts';
import { fromBit, selectRow, transaction } from '#database';
import { FaultError, ok, orThrow, type Result } from '#kernel';
import { runCommand } from '#tasks';
import { attempt, begin } from './attempt.ts';
import type { DriftKeeper } from './drift.keeper.ts';
import { changeFinding, findingOf, findRow, type FindingChange, type FindingRow } from './finding.store.ts';
import type { Act } from './source.ts';

type Operations = ReturnType<typeof driftOperations>;
type Answer = Promise<Result<DriftFinding>>;

export class DriftCommands {
  readonly operations: Operations;

  constructor(private readonly keeper: DriftKeeper) {
    this.operations = driftOperations(keeper.owner.service);
  }

  async get(input: InputOf<Operations['get']>): Answer {
    const { db, service } = this.keeper.owner;
    const row = await findRow(db, input.findingId);
    return row === undefined ? missing(input.findingId) : ok(findingOf(service, row));
  }

  async repair(input: InputOf<Operations['repair']>, ctx: BusContext): Answer {
    const { owner } = this.keeper;
    const row = await findRow(owner.db, input.findingId);
    if (row === undefined) return missing(input.findingId);
    const act = this.actOf('repair', row);
    const { final = false, repair } = rowOfDrift(row.kind);
    if (isOpen(row)) {
      if (act === undefined || repair === null) return WrongState.fail('Nothing here can put this right; what there is to know is in its evidence.', { state: row.state, allowed: [] });
      if (final && !input.confirm) return ConfirmationNeeded.fail(`This would ${repair}, which cannot be taken back.`, { confirm: 'confirm' });
      if ((await begin(owner, row)) === undefined) return changed(row);
    }
    const answer = await runCommand(owner.db, { ctx, operation: this.operations.repair, input }, async (tx) => {
      const begun = await locked(tx, input.findingId);
      // Answered to whoever asks again after the first answer was lost.
      if (begun.state === 'repaired') return findingOf(owner.service, begun);
      if (!isOpen(begun) || act === undefined) throw new FaultError(notOpen(begun));
      orThrow(await attempt(owner, act, begun));
      return this.close(tx, begun, { state: 'repaired', reason: null, begun: false, kept: false, repaired: true }, ctx);
    });
    if (!answer.ok) await this.forgetBegun(input.findingId);
    return answer;
  }

  dismiss(input: InputOf<Operations['dismiss']>, ctx: BusContext): Answer {
    return runCommand(this.keeper.owner.db, { ctx, operation: this.operations.dismiss, input }, async (tx) => {
      const row = await locked(tx, input.findingId);
      if (!isOpen(row)) throw new FaultError(notOpen(row));
      return this.close(tx, row, { state: 'dismissed', reason: null, begun: false }, ctx);
    });
  }

  release(input: InputOf<Operations['release']>, ctx: BusContext): Answer {
    const { owner } = this.keeper;
    return runCommand(owner.db, { ctx, operation: this.operations.release, input }, async (tx) => {
      const row = await locked(tx, input.findingId);
      if (row.state !== 'quarantined' && row.state !== 'expired') throw new FaultError(WrongState.fault('It is not kept apart.', { state: row.state, allowed: ['quarantined', 'expired'] }));
      const act = fromBit(row.kept) ? this.actOf('release', row) : undefined;
      if (act !== undefined) orThrow(await attempt(owner, act, row));
      return this.close(tx, row, { state: 'dismissed', kept: false, reason: null }, ctx);
    });
  }

  /** It was refused: should the thing go by itself now, nobody has put it right. */
  private async forgetBegun(findingId: string): Promise<void> {
    const { db, service } = this.keeper.owner;
    const row = await findRow(db, findingId);
    if (row !== undefined && row.begun_at !== null && row.state !== 'found') await transaction(db, (tx) => changeFinding(tx, service, row, { begun: false, quietly: true }));
  }

  private async close(tx: EntityManager, row: FindingRow, change: FindingChange, ctx: BusContext): Promise<DriftFinding> {
    const { service } = this.keeper.owner;
    const closed = await changeFinding(tx, service, row, change, ctx);
    return closed === undefined ? orThrow(changed(row)) : findingOf(service, closed);
  }

  private actOf(what: 'repair' | 'release', { kind }: FindingRow): Act | undefined {
    return this.keeper.compared.map((source) => source[what]?.[kind]).find((act) => act !== undefined);
  }
}

const isOpen = ({ state }: FindingRow): boolean => openDriftStates.includes(state);
const missing = (id: string) => NotFound.fail('There is no finding with this id.', { noun: 'drift', id });
const notOpen = ({ state }: FindingRow) => WrongState.fault(`The finding is ${state}.`, { state, allowed: [...openDriftStates] });
const changed = ({ state }: FindingRow) => WrongState.fail('Somebody has just changed the finding; look again.', { state, allowed: [...openDriftStates] });

async function locked(tx: EntityManager, id: string): Promise<FindingRow> {
  return (await selectRow<FindingRow>(tx, 'SELECT * FROM drift_finding WHERE id = ? FOR UPDATE', [id])) ?? orThrow(missing(id));
}
