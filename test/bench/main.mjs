// `npm run bench`: brings up a lab of its own, measures, writes docs/benchmarks.md, takes the lab down.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openLab } from '../../tools/lab.d/lab.mjs';
import { SERVICES, reachableDir } from '../../tools/lab.d/layout.mjs';
import { signIn } from '../../tools/lab.d/demo.mjs';
import { readRecord } from '../../tools/lab.d/record.mjs';
import { reset } from '../../tools/lab.d/down.mjs';
import { benchAgents } from './agents.mjs';
import { benchBus } from './bus.mjs';
import { benchCommands } from './commands.mjs';
import { benchEvents } from './events.mjs';
import { benchColdUp, benchServices } from './lab.mjs';
import { benchLists } from './lists.mjs';
import { benchRest } from './rest.mjs';
import { judge, report } from './report.mjs';
import { benchDeploys } from './deploys.mjs';
import { benchHibernate } from './hibernate.mjs';
import { benchTasks } from './tasks.mjs';
import { benchVm } from './vm.mjs';

// One user asks for more than the door lets one user ask for; that is not what is measured.
process.env.TOK_HTTP_REQUESTS_PER_SECOND = '1000000';

const repo = join(import.meta.dirname, '../..');
const say = (text) => process.stdout.write(`${text}\n`);
const lab = await openLab(reachableDir(join(repo, '.lab-bench'), 'tok-bench'), { say });
const rows = [];
const take = (found) => {
  for (const row of found) {
    rows.push(row);
    say(`${row.what}: ${row.measured.toFixed(2)} ${row.unit}${row.ratio === null ? '' : `, ratio ${row.ratio.toFixed(2)}`}, target ${judge(row).text}: ${judge(row).met === false ? 'missed' : 'met'}`);
  }
};
try {
  take(await benchColdUp(lab));
  take(await benchServices(lab, SERVICES));
  const record = readRecord(lab);
  const rest = await signIn(lab);
  const hosts = (await rest.get('/v1/hosts')).items;
  take(await benchBus(lab, record, join(repo, 'dist')));
  take(await benchRest(lab, rest, `/v1/vms/${record.demo.vmId}`));
  take(await benchCommands(lab, record, rest, join(repo, 'dist')));
  take(await benchEvents(lab, record, rest));
  take(await benchVm(lab, record, rest, { templateId: record.demo.templateId, portGroupId: record.network.portGroupId }));
  take(await benchHibernate(lab, record, rest, { templateId: record.demo.templateId, portGroupId: record.network.portGroupId }));
  take(await benchDeploys(rest, { templateId: record.demo.templateId, portGroupId: record.network.portGroupId }));
  take(await benchAgents(lab, rest, { portGroupId: record.network.portGroupId }));
  take(await benchLists(record, rest, record.demo.vmId));
  take(await benchTasks(lab, record, rest, record.demo.vmId));
  const { accelerator, acceleratorReason } = hosts[0].inventory;
  const missed = rows.filter((row) => judge(row).met === false);
  writeFileSync(join(repo, 'docs/benchmarks.md'), report(rows, {
    accelerator: `${accelerator} (${acceleratorReason})`,
    date: new Date().toISOString().slice(0, 10),
    text: missed.length === 0 ? '' : `\nMissed: ${missed.map((row) => row.what).join('; ')}. See the notes in docs/performance.md.\n`,
  }));
  say('written to docs/benchmarks.md');
} finally {
  await reset(lab, { all: false });
}
