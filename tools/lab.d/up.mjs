// `tools/lab up`: from nothing to a running pool. What already runs is left alone and what is missing is started, so it
// may be called at any time, also after a crash in its middle.
import { ensureGuest } from '../guest/build-guest.mjs';
import { startBackends } from './backends.mjs';
import { writeBusSetup } from './bus-setup.mjs';
import { assertComposePossible, composeDatabase, startComposeBackends } from './compose.mjs';
import { runDemo } from './demo.mjs';
import { closedParent } from './files.mjs';
import { startHosts } from './hosts.mjs';
import { SERVICES } from './layout.mjs';
import { ensureNats, ensurePackages } from './packages.mjs';
import { readRecord, recordBackends, recordServices } from './record.mjs';
import { startServices } from './services.mjs';
import { ensureTree } from './tree.mjs';
import { openTunDevice } from './tun-device.mjs';

/** `only` is 'backends', 'no-demo' or 'all'; `compose` names the database of servers that are to be containers. */
export async function up(lab, { only = 'all', compose } = {}) {
  const started = Date.now();
  await assertComposePossible(lab, compose);
  const database = compose ?? composeDatabase(lab);
  if (only !== 'backends') assertHostsPossible(lab);
  await ensurePackages([...(database ? [] : ['backends']), ...(only === 'backends' ? [] : ['hosts', 'guest'])], lab.say);
  const guestImage = only === 'all' ? ensureGuest(lab) : undefined;
  guestImage?.catch(() => {}); // told where it is needed
  await Promise.all([ensureTree({ repo: lab.repo, cache: lab.cache, logDir: lab.paths.log, say: lab.say }), database ? undefined : ensureNats(lab.cache, lab.say)]);

  if (only !== 'backends') await openTunDevice(lab);
  const [backends] = await Promise.all([bringUpBackends(lab, database), only === 'backends' ? undefined : startHosts(lab)]);
  recordBackends(lab, backends);
  if (only === 'backends') return tell(lab, started, `NATS, ${NAMES[database] ?? 'MariaDB'} and Redis are up`);

  await startServices(lab, backends);
  recordServices(lab);
  if (only === 'no-demo') return tell(lab, started, 'the pool is up');

  await runDemo(lab, { guestImage });
  tell(lab, started, 'the pool and its first VM are up');
  lab.say(nextSteps(lab));
}

function assertHostsPossible(lab) {
  if (process.getuid() !== 0) {
    throw new Error('The simulated hosts need network namespaces, which only root can make: run this as root, or use tools/lab up --backends-only.');
  }
  const closed = closedParent(lab.dir);
  if (closed) throw new Error(`QEMU runs as a user of its own and cannot pass ${closed}: set TOK_LAB_DIR to a directory that every user can reach, such as one below /var/tmp.`);
}

const NAMES = { mysql: 'MySQL', mariadb: 'MariaDB' };

/** The servers with the schemas and credentials of all services. */
async function bringUpBackends(lab, database) {
  const writeNatsConfig = (where) => writeBusSetup(lab, where);
  const backends = database
    ? await startComposeBackends(lab, { database, writeNatsConfig })
    : await startBackends({ dir: lab.dir, cache: lab.cache, ports: lab.ports, processes: lab.processes, say: lab.say, writeNatsConfig });
  return {
    natsUrl: backends.nats.url, creds: backends.nats.setup.creds, authorityFile: backends.nats.setup.authorityFile,
    mysqlUrls: await backends.mysql.createSchemas(SERVICES), redisUrl: backends.redis.url,
  };
}

function tell(lab, started, text) {
  lab.say(`${text} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
}

function nextSteps(lab) {
  const { admin, gateway, demo } = readRecord(lab);
  return [
    '',
    `  web and REST   ${gateway.url}     user ${admin?.user}, password in ${lab.paths.adminFile}`,
    `  VM demo        ${demo.ip} answers: tools/lab ping ${demo.ip}`,
    '  next           tools/lab shell, and there:',
    `                   tokctl login --user ${admin?.user}`,
    '                   tokctl vm list',
    '                   tokctl host list',
    '                   tokctl vm stop demo',
    '  stop           tools/lab down',
    '',
  ].join('\n');
}
