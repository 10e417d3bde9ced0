// A task's row and its steps, locked, read in one question, changed in memory and written back: a task moves one place on
// with five statements and its event, however many columns and steps change.
import type { EntityManager } from 'typeorm';
import { executeLater, selectRows, sql, updateOf } from '#database';
import type { ColumnValue, Queryable, Sql } from '#database';
import type { StepRow, TaskRow } from './rows.ts';

type StepColumns = Omit<StepRow, 'task_id' | 'seq' | 'name'>;
type Change<Row> = Partial<{ [Column in keyof Row]: ColumnValue }>;

const stepColumns = ['name', 'state', 'attempt', 'errors', 'parks', 'retry_since', 'calls', 'output', 'error', 'started_at', 'ended_at'] as const satisfies readonly (keyof StepRow)[];
const selected = ['t.*', 'UTC_TIMESTAMP(3) AS read_at', 's.seq AS step_seq', ...stepColumns.map((column) => `s.${column} AS step_${column}`)].join(', ');

type JoinedRow = TaskRow & { read_at: Date; step_seq: number | null } & Readonly<Record<`step_${(typeof stepColumns)[number]}`, unknown>>;

export class TaskInHand {
  private readonly changed = new Set<keyof TaskRow>();
  private readonly changedSteps = new Map<number, Set<keyof StepColumns>>();

  constructor(readonly row: TaskRow, readonly steps: StepRow[], /** The database's clock when it was read. */ readonly now: Date) {}

  /** JSON columns take text. */
  set(change: Change<TaskRow>): void {
    for (const column of Object.keys(change) as (keyof TaskRow)[]) this.changed.add(column);
    Object.assign(this.row, change);
  }

  step(seq: number): StepRow {
    const found = this.steps[seq];
    if (found?.seq !== seq) throw new Error(`the task ${this.row.kind} has no step ${seq}`);
    return found;
  }

  setStep(seq: number, change: Change<StepColumns>): void {
    const columns = this.changedSteps.get(seq) ?? new Set();
    for (const column of Object.keys(change) as (keyof StepColumns)[]) columns.add(column);
    this.changedSteps.set(seq, columns);
    Object.assign(this.step(seq), change);
  }

  /** Writes what has changed, with the next statement of the transaction or its commit. */
  async write(tx: EntityManager): Promise<void> {
    if (this.changed.size > 0) await executeLater(tx, updateOf('task', picked(this.row, [...this.changed]), sql`id = ${this.row.id}`));
    await this.writeSteps(tx);
    this.changed.clear();
    this.changedSteps.clear();
  }

  /** All of them in one statement: each column takes the value of its step. */
  private async writeSteps(tx: EntityManager): Promise<void> {
    const seqs = [...this.changedSteps.keys()];
    if (seqs.length === 0) return;
    const columns = [...new Set([...this.changedSteps.values()].flatMap((of) => [...of]))];
    const params: unknown[] = [];
    const sets = columns.map((column) => {
      const cases = seqs.filter((seq) => this.changedSteps.get(seq)?.has(column) === true);
      for (const seq of cases) params.push(seq, this.step(seq)[column]);
      return `${column} = CASE seq ${cases.map(() => 'WHEN ? THEN ?').join(' ')} ELSE ${column} END`;
    });
    await executeLater(tx, `UPDATE task_step SET ${sets.join(', ')} WHERE task_id = ? AND seq IN (${seqs.map(() => '?').join(', ')})`, [...params, this.row.id, ...seqs]);
  }
}

/** What a row holds, JSON as text, to be written. */
export const columnsOf = (row: TaskRow | StepRow): Readonly<Record<string, ColumnValue>> => ({ ...row }) as Readonly<Record<string, ColumnValue>>;
const picked = (row: TaskRow, columns: readonly (keyof TaskRow)[]): Readonly<Record<string, ColumnValue>> =>
  Object.fromEntries(columns.map((column) => [column, row[column] as ColumnValue]));

/** Locked until the transaction ends; undefined where no task meets the condition, which may speak of its columns. */
export const takeInHand = async (tx: Queryable, where: Sql): Promise<TaskInHand | undefined> => (await readTasks(tx, where, 'FOR UPDATE'))[0];

/**
 * Tasks with their steps. Sorted here: an order over both tables would have the server write a temporary table at each of the most frequent of
 * questions. By the key, also where the table is small: a scan would lock the steps of others.
 */
export async function readTasks(tx: Queryable, where: Sql, lock: '' | 'FOR UPDATE' = ''): Promise<TaskInHand[]> {
  const rows = await selectRows<JoinedRow>(tx, `SELECT ${selected} FROM task t LEFT JOIN task_step s FORCE INDEX (PRIMARY) ON s.task_id = t.id WHERE ${where.sql} ${lock}`, where.params);
  return [...Map.groupBy(rows, (row) => row.id).values()].map(fromJoined);
}

function fromJoined(rows: readonly JoinedRow[]): TaskInHand {
  const [{ read_at: now, ...first } = never()] = rows;
  const row = Object.fromEntries(Object.entries(first).filter(([column]) => !column.startsWith('step_'))) as unknown as TaskRow;
  const steps = rows.filter((found) => found.step_seq !== null).map((found) => ({
    task_id: row.id, seq: found.step_seq, ...Object.fromEntries(stepColumns.map((column) => [column, found[`step_${column}`]])),
  }) as StepRow);
  return new TaskInHand(row, steps.sort((a, b) => a.seq - b.seq), now);
}

function never(): never {
  throw new Error('a group has rows');
}
