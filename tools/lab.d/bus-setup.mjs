// Asks the platform's own bus library for the NATS server's configuration and everybody's credentials. The library runs
// with the platform's Node, which may be newer than the one that runs the lab.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { hostIdentities } from './hosts.mjs';
import { SERVICES } from './layout.mjs';
import { run } from './run.mjs';

const CALL = `
  const { writeNatsSetup } = await import(process.argv[1]);
  console.log(JSON.stringify(await writeNatsSetup(JSON.parse(process.argv[2]))));
`;

/** Resolves with { configFile, creds }; keys that exist are kept, new hosts and services get theirs. */
export async function writeBusSetup(lab, { dir, host = '127.0.0.1', port, storeDir }) {
  const library = join(lab.repo, 'dist/libs/bus/src/nats-accounts.js');
  if (!existsSync(library)) throw new Error(`${library} is missing: run npm run build.`);
  const options = { dir, services: SERVICES, hostIds: hostIdentities(lab).map(({ id }) => id), host, port, storeDir };
  const reply = await run([lab.node, '--input-type=module', '-e', CALL, pathToFileURL(library).href, JSON.stringify(options)], { cwd: lab.repo });
  return JSON.parse(reply);
}
