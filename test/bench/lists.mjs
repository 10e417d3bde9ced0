// A page of a hundred out of fifty thousand VMs through REST: pages of the whole list in both orders, and what people
// search for. The rows go straight into compute's schema and are taken out again.
import mysql from 'mysql2/promise';
import { fillVms, removeVms } from './many-vms.mjs';
import { percentile } from './statistics.mjs';

const VMS = 50_000;
const PAGES = 200;

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
    await removeVms(sql);
    await fillVms(sql, demoVmId, VMS, { someFailed: true });
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
    await removeVms(sql);
    await sql.end();
  }
}
