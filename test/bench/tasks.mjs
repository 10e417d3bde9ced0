// A thousand open tasks of a worker that is killed: how long after its return the last of them has ended. Modifications of
// a thousand stopped VMs are asked for through REST; compute is killed in the middle of them, and what has ended by then
// is made up for with rows like those of the first, which nobody has woken: only the sweep can find them.
import { setTimeout as sleep } from 'node:timers/promises';
import mysql from 'mysql2/promise';
import { crash, startAgain } from '../../tools/lab.d/faults.mjs';
import { waitReady } from '../../tools/lab.d/services.mjs';
import { fillVms, removeVms } from './many-vms.mjs';

const TASKS = 1_000;
const LANES = 16;
const ASKED = 64;
const WITHIN_MS = 120_000;
const open = async (sql, kind) => Number((await sql.query('SELECT COUNT(*) AS n FROM task WHERE kind = ? AND ended_at IS NULL', [kind]))[0][0].n);

/** Asks for modifications side by side until so many are accepted; resolves with the ids of their tasks. */
async function modify(rest, vmIds, lanes) {
  const left = [...vmIds];
  const accepted = [];
  await Promise.all(Array.from({ length: lanes }, async () => {
    for (let vmId; (vmId = left.pop()) !== undefined;) accepted.push((await rest.post(`/v1/vms/${vmId}/modify`, { cpuService: { shares: 2_000 } })).taskId);
  }));
  return accepted;
}

/** Open tasks like `likeId` for VMs that have none, as the service writes them when it accepts them. */
async function begin(sql, likeId, count) {
  await sql.query(`CREATE TEMPORARY TABLE more AS SELECT CONCAT('00000000-0000-7000-9000-', LPAD(number, 12, '0')) AS task_id, id AS vm_id, name FROM vm WHERE number >= 10000000 AND task_id IS NULL ORDER BY number DESC LIMIT ${count}`);
  await sql.query(`INSERT INTO task (id, kind, object_noun, object_id, object_name, state, actor, owner_id, trace_id, input, locks, root_task_id, wake_at, created_at)
    SELECT more.task_id, kind, object_noun, more.vm_id, more.name, 'queued', actor, owner_id, trace_id, JSON_SET(input, '$.vmId', more.vm_id), JSON_ARRAY(JSON_OBJECT('noun', 'vm', 'id', more.vm_id)), more.task_id, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3)
    FROM task, more WHERE task.id = ?`, [likeId]);
  await sql.query("INSERT INTO task_step (task_id, seq, name, state) SELECT more.task_id, seq, task_step.name, 'pending' FROM task_step, more WHERE task_step.task_id = ?", [likeId]);
  await sql.query("INSERT INTO task_lock (noun, object_id, root_task_id, task_id, holders, since) SELECT 'vm', vm_id, task_id, task_id, 1, UTC_TIMESTAMP(3) FROM more");
  await sql.query('UPDATE vm JOIN more ON more.vm_id = vm.id SET vm.task_id = more.task_id');
  await sql.query('DROP TEMPORARY TABLE more');
}

async function removeBegun(sql) {
  for (const [table, column] of [['task_step', 'task_id'], ['task_lock', 'task_id'], ['task', 'id']]) await sql.query(`DELETE FROM ${table} WHERE ${column} LIKE '00000000-0000-7000-9000-%'`);
}

async function settled(sql, kind, sinceMs) {
  for (const until = sinceMs + WITHIN_MS; performance.now() < until; await sleep(50)) {
    if ((await open(sql, kind)) === 0) return performance.now() - sinceMs;
  }
  throw new Error(`${await open(sql, kind)} of ${TASKS} tasks have not ended within ${WITHIN_MS} ms`);
}

export async function benchTasks(lab, record, rest, likeVmId) {
  const sql = await mysql.createConnection({ uri: record.mysql.urls.compute, timezone: 'Z' });
  const kind = 'compute.vm.modify';
  try {
    await removeVms(sql);
    await fillVms(sql, likeVmId, TASKS + ASKED, { someFailed: false });
    const vmIds = (await sql.query('SELECT id FROM vm WHERE number >= 10000000 ORDER BY number'))[0].map(({ id }) => id);
    const [likeId] = await modify(rest, vmIds.splice(0, 1), 1);
    await rest.finished({ taskId: likeId });
    const asked = modify(rest, vmIds.splice(0, ASKED), LANES);
    // What is on its way when the service dies is sent again, with its key, when it is back.
    while ((await open(sql, kind)) < LANES) await sleep(5);
    await crash(lab, 'compute');
    const atWork = Number((await sql.query('SELECT COUNT(*) AS n FROM task WHERE ended_at IS NULL AND claimed_by IS NOT NULL'))[0][0].n);
    await begin(sql, likeId, TASKS - (await open(sql, kind)));
    const startedAt = performance.now();
    startAgain(lab, 'compute');
    await waitReady(lab);
    const readyAt = performance.now();
    const ms = await settled(sql, kind, readyAt);
    await asked;
    await settled(sql, kind, performance.now());
    const failed = Number((await sql.query("SELECT COUNT(*) AS n FROM task WHERE kind = ? AND state <> 'succeeded'", [kind]))[0][0].n);
    if (failed > 0) throw new Error(`${failed} of the tasks have not succeeded`);
    return [{
      what: `${TASKS} open tasks (${atWork} at work, ${TASKS - atWork} waiting) after \`kill -9\` of their service: until all have succeeded, from its return (back ${((readyAt - startedAt) / 1_000).toFixed(1)} s after its start)`,
      measured: ms / 1_000, limit: null, unit: 's', limitText: 'none', ratio: null, target: { mostMeasured: 5 },
    }];
  } finally {
    await removeBegun(sql);
    await removeVms(sql);
    await sql.end();
  }
}
