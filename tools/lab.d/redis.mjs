// A private Redis in one directory. Nothing in it needs to outlive it (it carries wake-ups only), so it keeps no files.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { SECRET, readJson, writeJson, writeWhole } from './files.mjs';
import { findCommand } from './packages.mjs';
import { firstBytes, until } from './wait.mjs';

/** What the services demand of a Redis: it forgets no wake-up to make room, and it keeps none on disk. */
export const redisConfig = ({ bind, port, password }) => [
  `bind ${bind}`, `port ${port}`, `requirepass ${password}`, 'save ""', 'appendonly no',
  'maxmemory 128mb', 'maxmemory-policy noeviction', 'daemonize no',
].join('\n') + '\n';

/** Starts (or finds) the server; ready when it answers a PING. Returns { port, url }. */
export async function startRedis({ dir, port, processes, name = 'redis' }) {
  const server = findCommand('redis-server');
  if (!server) throw new Error('No redis-server: install the package redis-server.');
  const secretFile = join(dir, 'password.json');
  let { password } = readJson(secretFile, {});
  if (!password) writeJson(secretFile, { password: (password = randomBytes(18).toString('base64url')) }, SECRET);
  const configFile = join(dir, 'redis.conf');
  if (!processes.isAlive(name)) {
    writeWhole(configFile, `${redisConfig({ bind: '127.0.0.1', port, password })}dir "${dir}"\n`, SECRET);
    processes.start(name, [server, configFile]);
  }
  await until(async () => String(await firstBytes(port, { greeting: `AUTH ${password}\r\n` })).startsWith('+OK'), {
    what: 'Redis did not come up', logFile: processes.logFile(name), stillRuns: () => processes.isAlive(name),
  });
  return { port, url: `redis://:${password}@127.0.0.1:${port}` };
}
