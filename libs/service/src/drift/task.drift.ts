// What every owner of durable tasks compares in its own schema: locks whose tasks have all ended, and open tasks that nobody runs.
import type { DataSource } from 'typeorm';
import { execute, selectRows, transaction } from '#database';
import { ok } from '#kernel';
import type { TaskEngine } from '#tasks';
import type { Difference } from '#contracts';
import type { DriftSource } from './source.ts';

/** The sweep looks every few seconds; a task that nobody has taken for so long is not just late. */
const IDLE_SECONDS = 60;
const AT_ONCE = 500;

/** An object belongs to a root task; its tasks here are those that may still hold it. */
const unheld = 'NOT EXISTS (SELECT 1 FROM task WHERE task.root_task_id = task_lock.root_task_id AND task.ended_at IS NULL)';

interface LockRow { noun: string; object_id: string; root_task_id: string; since: Date }
interface IdleRow { id: string; kind: string; state: string; wake_count: number; run_epoch: number }

export const taskDrift = (db: DataSource, tasks: Pick<TaskEngine, 'wake'>): DriftSource => ({
  name: 'tasks',
  look: async () => {
    const [locks, idle, [counted]] = await Promise.all([
      selectRows<LockRow>(db, `SELECT noun, object_id, root_task_id, since FROM task_lock WHERE ${unheld} LIMIT ${AT_ONCE}`),
      selectRows<IdleRow>(db, `SELECT id, kind, state, wake_count, run_epoch FROM task WHERE ended_at IS NULL AND wake_at < UTC_TIMESTAMP(3) - INTERVAL ${IDLE_SECONDS} SECOND
        AND (claim_until IS NULL OR claim_until < UTC_TIMESTAMP(3) - INTERVAL ${IDLE_SECONDS} SECOND) LIMIT ${AT_ONCE}`),
      selectRows<{ n: number | string }>(db, 'SELECT COUNT(*) AS n FROM task_lock'),
    ]);
    return [
      { scope: 'task_lock', population: Number(counted?.n ?? 0), differences: locks.map(strayLock) },
      { scope: 'task', population: idle.length, differences: idle.map(idleTask) },
    ];
  },
  repair: {
    // The condition once more in the statement: a task that has just taken the lock anew keeps it.
    'lock-stray': async ({ evidence }) => ok(await transaction(db, (tx) =>
      execute(tx, `DELETE FROM task_lock WHERE noun = ? AND object_id = ? AND root_task_id = ? AND ${unheld}`, [String(evidence['noun']), String(evidence['objectId']), String(evidence['rootTaskId'])]))),
    'task-idle': async ({ object }) => {
      await tasks.wake(object.id);
      return ok({});
    },
  },
});

const strayLock = ({ noun, object_id, root_task_id, since }: LockRow): Difference => ({
  kind: 'lock-stray', objectId: `${noun}/${object_id}`, text: `the ${noun} ${object_id} is locked for task ${root_task_id}, and no open task here belongs to it`,
  evidence: { noun, objectId: object_id, rootTaskId: root_task_id, since: since.toISOString() },
});

const idleTask = ({ id, kind, state, wake_count, run_epoch }: IdleRow): Difference => ({
  kind: 'task-idle', objectId: id, objectName: kind, text: `the task ${kind} is ${state} and due, and nobody runs it`, evidence: { kind, state, wakes: wake_count, runs: run_epoch },
});
