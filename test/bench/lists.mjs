// A page of a hundred out of fifty thousand VMs through REST: pages of the whole list in both orders, and what people
// search for. The rows go straight into compute's schema and are taken out again.
import mysql from 'mysql2/promise';
import { percentile } from './statistics.mjs';

const VMS = 50_000;
const PAGES = 200;
const FIRST_NUMBER = 10_000_000;

/** Rows like that of the VM which the lab's demo made. */
async function fill(sql, like) {
  const columns = ['description', 'labels', 'cluster_id', 'template_id', 'spec', 'addresses'];
  await sql.query(`INSERT INTO vm (id, name, live_name, uid, state, owner_id, number, created_at, updated_at, ${columns.join(', ')})
    SELECT CONCAT('00000000-0000-7000-8000-', LPAD(seq, 12, '0')), CONCAT('many-', LPAD(MOD(seq * 7919, 100000), 5, '0')), CONCAT('many-', LPAD(MOD(seq * 7919, 100000), 5, '0')), 300000 + seq,
      IF(MOD(seq, 10) = 0, 'failed', 'stopped'), owner_id, ${FIRST_NUMBER} + seq, UTC_TIMESTAMP(3) - INTERVAL seq SECOND, UTC_TIMESTAMP(3), ${columns.join(', ')}
    FROM seq_1_to_${VMS}, vm WHERE vm.id = ?`, [like]);
  await sql.query(`INSERT INTO vm_address (vm_id, mac, ip) SELECT id, CONCAT('06:00:00:', SUBSTR(HEX(number), 1, 2), ':', SUBSTR(HEX(number), 3, 2), ':', SUBSTR(HEX(number), 5, 2)),
    CONCAT('172.16.', MOD(number DIV 250, 250), '.', MOD(number, 250)) FROM vm WHERE number >= ${FIRST_NUMBER}`);
  await sql.query('ANALYZE TABLE vm, vm_address');
}

async function empty(sql) {
  await sql.query(`DELETE vm_address FROM vm_address JOIN vm ON vm.id = vm_address.vm_id WHERE vm.number >= ${FIRST_NUMBER}`);
  await sql.query(`DELETE FROM vm WHERE number >= ${FIRST_NUMBER}`);
}

/** Times of pages, each behind the one before, all over the list. */
async function walk(rest, query) {
  const times = [];
  let cursor;
  for (let page = 0; page < VMS / 100; page++) {
    const started = performance.now();
    const { items, next } = await rest.get('/v1/vms', { limit: 100, ...query, cursor });
    times.push(performance.now() - started);
    if (items.length === 0 || next === null) break;
    cursor = next;
  }
  return times;
}

async function again(rest, queries) {
  const times = [];
  for (let index = 0; index < PAGES; index++) {
    const started = performance.now();
    await rest.get('/v1/vms', { limit: 100, ...queries(index) });
    times.push(performance.now() - started);
  }
  return times;
}

export async function benchLists(record, rest, demoVmId) {
  const sql = await mysql.createConnection({ uri: record.mysql.urls.compute, timezone: 'Z' });
  try {
    await empty(sql);
    await fill(sql, demoVmId);
    const series = [
      ['every page, by time of creation', await walk(rest, {})],
      ['every page, by name, backwards', await walk(rest, { sort: '-name' })],
      ['every page, four fields of each VM', await walk(rest, { fields: 'id,name,status.state,spec.nics.ip' })],
      ['first page of a state', await again(rest, () => ({ state: 'failed' }))],
      ['search by a part of the name', await again(rest, (index) => ({ q: String(10_000 + index * 397).slice(0, 4) }))],
      ['search by an address', await again(rest, (index) => ({ q: `172.16.${index % 200}.7` }))],
    ];
    return series.map(([what, times]) => ({
      what: `100 of ${VMS} VMs through REST, ${what}: p99 (p50 ${percentile(times, 0.5).toFixed(1)} ms)`, measured: percentile(times, 0.99), limit: null, unit: 'ms', limitText: 'none', ratio: null, target: { mostMeasured: 100 },
    }));
  } finally {
    await empty(sql);
    await sql.end();
  }
}
