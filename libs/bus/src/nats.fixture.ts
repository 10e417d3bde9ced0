// A NATS server of a test file's own, on a port that the server picks, so that files run side by side.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TestNats {
  readonly url: string;
  /** Ends it as a power cut would, and starts it again at the same address. */
  crashAndRestart(): Promise<void>;
  stop(): Promise<void>;
}

export const testDir = (): string => mkdtempSync(join(tmpdir(), 'tok-nats-'));

/** Starts a plain server, or one of the configuration file, and waits until it listens. */
export async function startNatsServer(dir: string, configFile?: string): Promise<TestNats> {
  const plain = (port: string): string[] => ['--addr', '127.0.0.1', '--port', port, '--jetstream', '--store_dir', join(dir, 'store')];
  const first = await launch(dir, configFile === undefined ? plain('-1') : ['--config', configFile]);
  const again = configFile === undefined ? plain(new URL(first.url).port) : ['--config', configFile, '--port', new URL(first.url).port];
  let now = first;
  return {
    url: first.url,
    async crashAndRestart() {
      now.child.kill('SIGKILL');
      await now.ended;
      removeAddress(dir);
      now = await launch(dir, again);
    },
    async stop() {
      now.child.kill('SIGTERM');
      await now.ended;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function launch(dir: string, args: readonly string[]): Promise<{ url: string; child: ChildProcess; ended: Promise<void> }> {
  const binary = process.env['TOK_TEST_NATS_BINARY'];
  if (!binary) throw new Error('TOK_TEST_NATS_BINARY is not set');
  const child = spawn(binary, [...args, '--ports_file_dir', dir], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  let log = '';
  child.stderr.on('data', (bytes: Buffer) => void (log += bytes.toString()));
  const end = Date.now() + 10_000;
  for (;;) {
    const url = addressIn(dir);
    if (url !== undefined) return { url, child, ended };
    if (child.exitCode !== null || Date.now() > end) throw new Error(`the NATS server did not come up:\n${log}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function addressIn(dir: string): string | undefined {
  const file = addressFile(dir);
  const text = file === undefined ? '' : readFileSync(join(dir, file), 'utf8');
  return text.endsWith('}') ? (JSON.parse(text) as { nats: string[] }).nats[0] : undefined;
}

const addressFile = (dir: string): string | undefined => readdirSync(dir).find((name) => name.endsWith('.ports'));

function removeAddress(dir: string): void {
  const file = addressFile(dir);
  if (file !== undefined) rmSync(join(dir, file), { force: true });
}
