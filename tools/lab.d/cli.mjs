// The command `tools/lab`: reads the arguments and calls one function.
import { existsSync } from 'node:fs';
import { down, removeIfEmpty, reset } from './down.mjs';
import { openLab } from './lab.mjs';
import { labDir } from './layout.mjs';
import { withLock } from './lock.mjs';
import { openShell, ping, showLogs } from './shell.mjs';
import { printStatus } from './status.mjs';
import { up } from './up.mjs';

const HELP = `usage: tools/lab COMMAND

  up [--no-demo | --backends-only] [--compose [--mariadb]]
                                     start what does not run: NATS, MariaDB, Redis, three simulated hosts, all
                                     services, and a VM named demo. With --compose the first three are containers
                                     (docker-compose.yml) and the database is MySQL, or MariaDB with --mariadb
  status [--json]                    what runs and what is ready
  logs [NAME] [-f]                   the log of one process, or the ends of all
  shell [HOST | uplink]              a shell with the platform's commands, or inside a host's network
  ping ADDRESS                       ping a VM from the physical network
  down                               end everything, keep the data
  reset [--all]                      down, and remove the data; --all also removes downloads and built guests

The lab lives in .lab beside the sources, or in TOK_LAB_DIR. Downloads are kept in TOK_LAB_CACHE
(default: tokamak in the user's cache directory).
`;

const OPTIONS = { up: ['--no-demo', '--backends-only', '--compose', '--mariadb'], status: ['--json'], logs: ['-f'], shell: [], ping: [], down: [], reset: ['--all'] };

async function main([command, ...rest]) {
  if (command === undefined || command === 'help' || command === '--help' || command === '-h') return process.stdout.write(HELP);
  const allowed = OPTIONS[command];
  if (!allowed) throw new Error(`There is no command ${command}.\n\n${HELP}`);
  const options = new Set(rest.filter((word) => word.startsWith('-')));
  const [name] = rest.filter((word) => !word.startsWith('-'));
  for (const option of options) if (!allowed.includes(option)) throw new Error(`${command} knows no option ${option}.\n\n${HELP}`);

  if (options.has('--mariadb') && !options.has('--compose')) throw new Error('--mariadb goes with --compose; without it the database is MariaDB anyway.');
  if (command !== 'up' && !existsSync(labDir())) return console.log(`There is no lab in ${labDir()}: tools/lab up makes one.`);
  const lab = await openLab(labDir(), { say: (text) => console.log(text) });
  const alone = (work) => withLock(lab.paths.lockFile, work);
  switch (command) {
    case 'up': return alone(() => up(lab, { only: options.has('--backends-only') ? 'backends' : options.has('--no-demo') ? 'no-demo' : 'all', compose: options.has('--compose') ? (options.has('--mariadb') ? 'mariadb' : 'mysql') : undefined }));
    case 'down': return alone(() => down(lab));
    case 'reset':
      await alone(() => reset(lab, { all: options.has('--all') }));
      return removeIfEmpty(lab.dir);
    case 'status': return printStatus(lab, { json: options.has('--json') });
    case 'logs': process.exitCode = await showLogs(lab, name, { follow: options.has('-f') }); return;
    case 'shell': process.exitCode = await openShell(lab, name); return;
    case 'ping': process.exitCode = await ping(lab, name); return;
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(process.env.TOK_LAB_DEBUG ? error : error.message);
  process.exitCode = 1;
});
