// Runs another program: argv array, never a shell; always with a deadline. At the deadline, or when the signal aborts,
// the child is killed with everything it started, and the answer comes even if the kernel cannot end it (dead mount).
import { spawn } from 'node:child_process';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import { HostCommandFailed } from '#contracts';

export interface CommandOptions {
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
  readonly env?: Readonly<Record<string, string>>;
  /** Text for the child's standard input. */
  readonly input?: string;
  /** Open file descriptors that the child sees as 3, 4, … */
  readonly files?: readonly number[];
  readonly onStdout?: (text: string) => void;
}

export interface CommandOutcome {
  /** Exit status; null when a signal ended it or it never ran. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ended: 'exit' | 'signal' | 'deadline' | 'aborted' | 'not-started';
}

/** What is kept of each output; more is read and dropped, so that a chatty child neither blocks nor fills memory. */
const keptCharacters = 1_000_000;
/** The child always finds programs of /usr/sbin and speaks English, so that its messages can be shown as they are. */
const environment = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };

/** Never rejects: a program that is missing is an outcome too. */
export function runCommand(argv: readonly string[], options: CommandOptions): Promise<CommandOutcome> {
  const [program, ...args] = argv;
  if (program === undefined) throw new Error('runCommand needs a program');
  if (options.signal?.aborted) return Promise.resolve({ code: null, stdout: '', stderr: '', ended: 'aborted' });

  return new Promise((resolve) => {
    // A process group of its own, so that one kill reaches what the child started.
    const child = spawn(program, args, {
      detached: true,
      env: { ...environment, ...options.env },
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...(options.files ?? [])],
    });
    const kept = { stdout: '', stderr: '' };
    const keep = (name: 'stdout' | 'stderr') => (text: string): void => {
      if (kept[name].length < keptCharacters) kept[name] += text;
      if (name === 'stdout') options.onStdout?.(text);
    };
    child.stdout?.setEncoding('utf8').on('data', keep('stdout'));
    child.stderr?.setEncoding('utf8').on('data', keep('stderr'));

    const finish = (ended: CommandOutcome['ended'], code: number | null): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
      resolve({ code, ...kept, ended });
    };
    const cut = (ended: 'deadline' | 'aborted') => (): void => {
      killGroup(child.pid);
      // Usually 'close' follows within milliseconds; a child in an uninterruptible sleep is left to the kernel.
      const giveUp = setTimeout(() => finish(ended, null), 2_000);
      child.removeAllListeners('close');
      child.once('close', () => {
        clearTimeout(giveUp);
        finish(ended, null);
      });
    };
    const timer = setTimeout(cut('deadline'), options.deadlineMs);
    const onAbort = cut('aborted');
    options.signal?.addEventListener('abort', onAbort, { once: true });

    child.once('error', (error) => {
      kept.stderr += error.message;
      finish('not-started', null);
    });
    child.once('close', (code) => finish(code === null ? 'signal' : 'exit', code));
    // A child that ends before it has read everything says why on stderr; the broken pipe adds nothing.
    child.stdin?.on('error', (error) => keep('stderr')(`(${error.message})`));
    child.stdin?.end(options.input);
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // ESRCH: it ended by itself in the meantime, which is what was wanted.
    if (!(typeof error === 'object' && error !== null && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

export const succeeded = (outcome: CommandOutcome): boolean => outcome.ended === 'exit' && outcome.code === 0;

/** Why a command did not succeed, in one line. */
export function reasonOf(argv: readonly string[], outcome: CommandOutcome): string {
  const program = argv[0] ?? '';
  const said = outcome.stderr.trim().split('\n').slice(-3).join('; ').slice(0, 600);
  const how: Record<CommandOutcome['ended'], string> = {
    exit: `status ${outcome.code}`, signal: 'ended by a signal', deadline: 'did not end in time', aborted: 'cancelled', 'not-started': 'could not be started',
  };
  return `${program}: ${how[outcome.ended]}${said && ` (${said})`}`;
}

/** Standard output of a command that must succeed; else HOST_COMMAND_FAILED with the command's own words. */
export async function outputOf(argv: readonly string[], options: CommandOptions): Promise<Result<string>> {
  const outcome = await runCommand(argv, options);
  if (succeeded(outcome)) return ok(outcome.stdout);
  const reason = reasonOf(argv, outcome);
  return HostCommandFailed.fail(reason, { reason });
}
