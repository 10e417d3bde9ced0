// Servers of a test's own, for tests that kill them or need them empty. Started on a free port, ended by their pid.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleep } from '#kernel';

export interface OwnServer {
  readonly url: string;
  /** SIGKILL; resolves when the process is gone. Nothing happens when it is already. */
  kill(): Promise<void>;
  /** Starts it again on the same port; what it kept on disk is there. */
  start(): Promise<void>;
  /** Kills it and removes its directory. */
  remove(): Promise<void>;
}

export const ownNats = (): Promise<OwnServer> =>
  own('nats', (port, dir) => [process.env['TOK_TEST_NATS_BINARY'] ?? 'nats-server', '-a', '127.0.0.1', '-p', String(port), '-js', '-sd', dir]);

export const ownRedis = (): Promise<OwnServer> =>
  own('redis', (port, dir) => ['redis-server', '--bind', '127.0.0.1', '--port', String(port), '--dir', dir, '--save', '', '--appendonly', 'no']);

async function own(scheme: string, argv: (port: number, dir: string) => string[]): Promise<OwnServer> {
  const dir = mkdtempSync(join(tmpdir(), `tok-test-${scheme}-`));
  const port = await freePort();
  const running = new Set<ChildProcess>();
  const kill = async (): Promise<void> => {
    const [ending] = running;
    if (ending === undefined) return;
    const gone = new Promise<void>((resolve) => { ending.once('exit', () => { resolve(); }); });
    ending.kill('SIGKILL');
    await gone;
  };
  const start = async (): Promise<void> => {
    const [command = '', ...rest] = argv(port, dir);
    const process = spawn(command, rest, { stdio: 'ignore' });
    running.add(process);
    for (const end of ['error', 'exit']) process.once(end, () => { running.delete(process); });
    const giveUpAt = performance.now() + 15_000;
    while (!(await accepts(port))) {
      if (running.size === 0 || performance.now() > giveUpAt) throw new Error(`${command} did not start`);
      await sleep(20);
    }
  };
  await start();
  return {
    url: `${scheme}://127.0.0.1:${port}`, kill, start,
    remove: async () => {
      await kill();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => { resolve(typeof address === 'object' && address !== null ? address.port : 0); });
    });
  });

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => { resolve(false); });
  });
