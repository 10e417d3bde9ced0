// Runs one command to its end, with a deadline. The command is an argument list, never a shell line.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { lastLines } from './processes.mjs';

export class CommandFailed extends Error {
  constructor(argv, reason, output) {
    const shown = output.trim().split('\n').slice(-12).join('\n');
    super(`${argv.join(' ')}: ${reason}${shown ? `\n${shown}` : ''}`);
    this.name = 'CommandFailed';
    this.output = output;
  }
}

/**
 * Resolves with standard output; rejects with CommandFailed on another exit than 0, or at the deadline.
 * `logFile` takes both outputs instead (the result is then empty). `input` goes to standard input.
 */
export function run(argv, { cwd, env, input, timeoutMs = 60_000, logFile, uid, gid } = {}) {
  const [command, ...args] = argv;
  const log = logFile ? openSync(logFile, 'a') : undefined;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd, env, uid, gid,
      stdio: [input === undefined ? 'ignore' : 'pipe', log ?? 'pipe', log ?? 'pipe'],
    });
    if (log !== undefined) closeSync(log);
    let out = '';
    let err = '';
    let late = false;
    child.stdout?.setEncoding('utf8').on('data', (text) => { out += text; });
    child.stderr?.setEncoding('utf8').on('data', (text) => { err += text; });
    const deadline = setTimeout(() => { late = true; child.kill('SIGKILL'); }, timeoutMs);
    child.on('error', (cause) => {
      clearTimeout(deadline);
      reject(new CommandFailed(argv, cause.code === 'ENOENT' ? 'command not found' : cause.message, ''));
    });
    child.on('close', (code, signal) => {
      clearTimeout(deadline);
      if (code === 0) return resolve(out);
      const reason = late ? `not done after ${timeoutMs} ms` : signal ? `ended by ${signal}` : `exit ${code}`;
      reject(logFile ? new CommandFailed(argv, `${reason}; the end of ${logFile}:`, lastLines(logFile)) : new CommandFailed(argv, reason, err + out));
    });
    if (input !== undefined) {
      child.stdin.on('error', () => {});
      child.stdin.end(input);
    }
  });
}

/** True when the command exits with 0. */
export function succeeds(argv, options) {
  return run(argv, options).then(() => true, () => false);
}
