// The real surroundings: this process's streams, the terminal, the environment.
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { ProfileStore } from './profile.store.ts';
import type { Surroundings } from './surroundings.ts';

const clearLine = '\r\u001b[K';

export function realSurroundings(env: NodeJS.ProcessEnv): Surroundings & { close(): void } {
  const { stdout, stderr, stdin } = process;
  let drawn = false;
  let lines: AsyncIterator<string> | undefined;
  const clean = (): void => {
    if (drawn) stderr.write(clearLine);
    drawn = false;
  };
  return {
    env,
    store: ProfileStore.of(env),
    watched: stderr.isTTY,
    width: stdout.isTTY ? stdout.columns : Number.POSITIVE_INFINITY,
    out: (text) => {
      clean();
      if (text !== '') stdout.write(`${text}\n`);
    },
    say: (text) => {
      clean();
      stderr.write(`${text}\n`);
    },
    redraw: (line) => {
      stderr.write(clearLine + line);
      drawn = true;
    },
    async readLine() {
      lines ??= createInterface({ input: stdin, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]();
      const next = await lines.next();
      return next.done ? undefined : next.value;
    },
    question: (prompt, hidden) => (stdin.isTTY ? ask(prompt, hidden) : Promise.resolve(undefined)),
    line: () => ({
      input: stdin, output: stdout,
      takeKeys: stdin.isTTY ? () => {
        stdin.setRawMode(true);
        return () => { stdin.setRawMode(false); };
      } : undefined,
    }),
    nowMs: () => Date.now(),
    // Standard input that was read would keep the process; one that was not is left alone.
    close: () => { if (lines) stdin.destroy(); },
  };
}

function ask(prompt: string, hidden: boolean): Promise<string | undefined> {
  process.stderr.write(prompt);
  // Readline echoes through its output: one that swallows everything hides what is typed.
  const output = hidden ? new Writable({ write: (_chunk, _encoding, done) => { done(); } }) : process.stderr;
  return new Promise((resolve) => {
    const reader = createInterface({ input: process.stdin, output, terminal: true });
    let answered: string | undefined;
    reader.on('line', (line) => {
      answered = line;
      reader.close();
    });
    reader.on('SIGINT', () => { reader.close(); });
    reader.on('close', () => {
      if (hidden) process.stderr.write('\n');
      resolve(answered);
    });
  });
}
