// vm console: the serial console of a VM on this terminal, or between files and pipes for scripts.
import type { Readable, Writable } from 'node:stream';
import { once } from 'node:events';
import { openConsole, vmNamed } from './console.client.ts';
import type { OpenConsole } from './console.client.ts';
import { timeoutOf } from './context.ts';
import type { Context, Options } from './context.ts';
import { exit } from './exit-codes.ts';
import { Failure, usageFailure } from './failures.ts';
import { durationForm, parseDuration, parseSize, sizeForm } from './quantities.ts';

export interface ConsoleOptions extends Options {
  readonly history?: string;
  readonly until?: string;
  readonly linger?: string;
}

/** Ctrl-], as in telnet. */
const escape = 0x1d;
const usualLingerMs = 1_000;
const mostHistory = 1024 * 1024;

export async function showConsole(context: Context, vm: string, options: ConsoleOptions): Promise<void> {
  const { around } = context;
  const historyBytes = historyOf(options.history);
  const lingerMs = lingerOf(options.linger);
  const timeoutMs = options.until === undefined ? undefined : timeoutOf(options);
  const console = await openConsole(context, { vmId: await vmNamed(context, vm), kind: 'serial', ...(historyBytes === undefined ? {} : { historyBytes }) });
  const { input, output, takeKeys } = around.line();
  if (takeKeys) around.say(`Connected to ${vm}. Ctrl-] leaves.`);
  const giveBack = takeKeys?.();
  const seen = new Watch(options.until);
  const leave = (): void => { console.leave(); };
  around.signal?.addEventListener('abort', leave, { once: true });
  const timer = timeoutMs === undefined ? undefined : setTimeout(leave, timeoutMs);
  void type(input, console, takeKeys !== undefined).then(() => { if (options.until === undefined) setTimeout(leave, lingerMs).unref(); }).catch(leave); // the input cannot be read any more
  try {
    await show(console, output, seen);
    const failure = await console.over;
    giveBack?.();
    if (takeKeys) around.say('');
    if (failure) throw failure;
    if (options.until !== undefined && !seen.met) throw new Failure(exit.unavailable, `The console did not show "${options.until}"${timer === undefined ? '' : ' in time'}.`);
  } finally {
    clearTimeout(timer);
    giveBack?.();
    input.destroy();
  }
}

function historyOf(text: string | undefined): number | undefined {
  const bytes = text === undefined ? undefined : parseSize(text);
  if (text !== undefined && (bytes === undefined || bytes > mostHistory)) throw usageFailure(`--history takes ${sizeForm}, at most 1MiB.`);
  return bytes;
}

function lingerOf(text: string | undefined): number {
  const ms = text === undefined ? usualLingerMs : parseDuration(text);
  if (ms === undefined) throw usageFailure(`--linger takes ${durationForm}.`);
  return ms;
}

/** Sends what is typed; ends with the input, the escape or the console. */
async function type(input: Readable, { stream, leave, hasLeft }: OpenConsole, keys: boolean): Promise<void> {
  for await (const chunk of input) {
    const bytes = chunk as Buffer;
    const at = keys ? bytes.indexOf(escape) : -1;
    const sent = at < 0 ? bytes : bytes.subarray(0, at);
    if (stream.destroyed || hasLeft()) return;
    if (sent.length > 0 && !stream.write(sent)) await Promise.race([once(stream, 'drain'), once(stream, 'close')]);
    if (at >= 0) {
      leave();
      return;
    }
  }
}

async function show({ stream, leave }: OpenConsole, output: Writable, seen: Watch): Promise<void> {
  try {
    for await (const chunk of stream) {
      if (!output.write(chunk)) await once(output, 'drain');
      if (seen.take(chunk as Buffer)) leave();
    }
  } catch {
    // The stream was cut off: `over` says why.
  }
}

/** Looks for a text in what goes by, also where it is cut in two. */
class Watch {
  met = false;
  private tail = '';

  constructor(private readonly text: string | undefined) {}

  /** True when the text has just been met. */
  take(bytes: Buffer): boolean {
    if (this.text === undefined || this.met) return false;
    const all = this.tail + bytes.toString('latin1');
    const wanted = Buffer.from(this.text).toString('latin1');
    this.met = all.includes(wanted);
    this.tail = all.slice(-wanted.length);
    return this.met;
  }
}
