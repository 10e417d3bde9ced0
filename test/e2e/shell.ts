// Commands as a user gives them: in the surroundings of `tools/lab shell`, with a configuration directory of their own.
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { shellEnv } from './lab.mjs';
import type { World } from './world.ts';

export interface Ended { readonly status: number; readonly out: string; readonly err: string }
export interface Shell {
  /** What its programs see, for one that the test starts itself. */
  readonly env: NodeJS.ProcessEnv;
  /** Runs a program with arguments; resolves whatever its end. */
  run(argv: readonly string[], options?: { input?: string; withinMs?: number }): Promise<Ended>;
  /** `tokctl`; fails on another status than 0. */
  tokctl(...args: string[]): Promise<string>;
  /** `tokctl … -o json`. */
  tokctlJson(...args: string[]): Promise<unknown>;
  close(): Promise<void>;
}

export async function openShell({ lab }: World): Promise<Shell> {
  const home = await mkdtemp(join(tmpdir(), 'tok-home-'));
  const env = { ...shellEnv(lab), XDG_CONFIG_HOME: home };
  const run: Shell['run'] = ([command, ...args], { input = '', withinMs = 120_000 } = {}) => new Promise((resolve, reject) => {
    const child = spawn(command!, args, { cwd: lab.repo, env, timeout: withinMs, killSignal: 'SIGKILL' });
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => { out += text; });
    child.stderr.setEncoding('utf8').on('data', (text: string) => { err += text; });
    child.stdin.on('error', () => undefined).end(input); // a program may end without reading
    child.on('error', reject).on('close', (code) => { resolve({ status: code ?? -1, out, err }); });
  });
  const tokctl: Shell['tokctl'] = async (...args) => {
    const { status, out, err } = await run(['tokctl', ...args]);
    if (status !== 0) throw new Error(`tokctl ${args.join(' ')}: exit ${status}\n${err}${out}`);
    return out;
  };
  return { env, run, tokctl, tokctlJson: async (...args) => JSON.parse(await tokctl(...args, '-o', 'json')) as unknown, close: () => rm(home, { recursive: true, force: true }) };
}

export async function signInShell(shell: Shell, { record }: World): Promise<void> {
  const ended = await shell.run(['tokctl', 'login', '--user', record.admin.user, '--password-stdin'], { input: `${record.admin.password}\n` });
  if (ended.status !== 0) throw new Error(`tokctl login: exit ${ended.status}\n${ended.err}${ended.out}`);
}
