// Makes the programs below `dist/run/` of what tsc has compiled. Run by `npm run build`.
import { readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { joinPrograms } from './joined.mjs';

const dist = join(dirname(fileURLToPath(import.meta.url)), '../../dist');
const main = (service) => join(dist, 'services', service, 'main.js');
/** Loaded before a program with `node --import`; what it sets up is the program's own, as the two share files. */
const register = join(dist, 'libs/telemetry/src/register.js');
const agent = 'host-agent';

/** Programs that share files, by the directory of these. Agent and tokctl stand alone: they do without most of what services load. */
const groups = {
  services: { ...Object.fromEntries(readdirSync(join(dist, 'services')).filter((name) => name !== agent).map((name) => [name, main(name)])), register },
  [agent]: { [agent]: main(agent), register },
  tokctl: { tokctl: join(dist, 'tools/tokctl/src/main.js') },
};

rmSync(join(dist, 'run'), { recursive: true, force: true });
await Promise.all(Object.entries(groups).map(([directory, programs]) => joinPrograms(programs, join(dist, 'run', directory))));
