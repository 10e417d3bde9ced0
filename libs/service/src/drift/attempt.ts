// One attempt at putting a finding right. That it was begun is committed before: who comes after a death knows that it may have
// happened.
import type { DataSource } from 'typeorm';
import type { DriftService } from '#contracts';
import { transaction } from '#database';
import { failed, FaultError, type Result } from '#kernel';
import type { TaskLog } from '#tasks';
import { changeFinding, findingOf, type FindingRow } from './finding.store.ts';
import type { Act } from './source.ts';

/** Whose findings they are. */
export interface DriftOwner {
  readonly service: DriftService;
  readonly db: DataSource;
  readonly log: Pick<TaskLog, 'info' | 'warn'>;
}

/** Undefined = somebody has just changed the finding. */
export const begin = ({ db, service }: DriftOwner, row: FindingRow): Promise<FindingRow | undefined> =>
  transaction(db, (tx) => changeFinding(tx, service, row, { begun: true, quietly: true }));

/** A refusal is an answer, also one that was thrown. */
export async function attempt({ service, log }: DriftOwner, act: Act, row: FindingRow): Promise<Result<unknown>> {
  const done = await act(findingOf(service, row), commandIdOf(row)).catch((error: unknown) => {
    if (error instanceof FaultError) return failed(error.fault);
    throw error;
  });
  if (!done.ok) log.warn({ finding: row.id, kind: row.kind, code: done.fault.code, detail: done.fault.detail }, 'a difference could not be put right; it is tried again');
  return done;
}

/** Another one for each attempt that was begun: a host answers the recorded result to one that it knows. */
const commandIdOf = ({ id, version }: FindingRow): string => `drift/${id}/${version}`;
