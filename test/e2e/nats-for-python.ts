// Python's NATS client for the example in the guide of the bus: packages of the registry that pip reaches, kept in the cache for the next run.
// They may not be to be had, and the example is skipped then. Without `nkeys` of its own a stand-in signs.
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { STAND_INS } from './guide.ts';
import { cacheDir, run } from './lab.mjs';

const CLIENT = 'nats-py==2.15.0';
/** First what the guide says; then what the stand-in signs with. */
const CHOICES = [[CLIENT.replace('==', '[nkeys]==')], [CLIENT, 'pynacl==1.6.2']];

/** Environment in which `python3` finds the client, or undefined. */
export async function natsForPython(): Promise<NodeJS.ProcessEnv | undefined> {
  const home = join(cacheDir(), 'python', CLIENT.replace('==', '-'));
  if (!existsSync(home) && !(await install(home))) return undefined;
  return { PYTHONPATH: existsSync(join(home, 'nkeys')) ? home : [home, STAND_INS].join(delimiter) };
}

async function install(home: string): Promise<boolean> {
  const aside = `${home}.${process.pid}.new`;
  mkdirSync(join(home, '..'), { recursive: true });
  for (const packages of CHOICES) {
    try {
      await run(['python3', '-m', 'pip', 'install', '--quiet', '--retries', '0', '--timeout', '10', '--target', aside, ...packages], { timeoutMs: 60_000 });
      if (!existsSync(home)) renameSync(aside, home);
      return true;
    } catch (error) {
      process.stderr.write(`pip does not have ${packages.join(' ')}: ${error instanceof Error ? error.message.split('\n').slice(-1)[0] ?? '' : String(error)}\n`);
    } finally {
      rmSync(aside, { recursive: true, force: true });
    }
  }
  return false;
}
