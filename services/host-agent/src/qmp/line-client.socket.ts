// A client on a unix socket that speaks lines of JSON: requests carry ids, answers find their request whatever comes
// in between, events are handed on in their order, and the end of the connection fails what is open.
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { limitOf } from './commands.ts';
import { MonitorError } from './errors.ts';
import { Transcript } from './transcript.ts';
import { LineSplitter, parseLine } from './wire.ts';
import type { Message, QmpEvent } from './wire.ts';

interface Open { readonly command: string; readonly resolve: (value: unknown) => void; readonly reject: (error: MonitorError) => void; readonly timer: NodeJS.Timeout }

export interface LineClientHandlers {
  onEvent?(event: QmpEvent): void;
  onGreeting?(): void;
  /** Once, when the connection has ended, by whichever side. */
  onEnd?(): void;
}

/** Connects; MonitorError `not-listening` when nobody does. */
export function connectSocket(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const refuse = (error: Error): void => reject(new MonitorError('not-listening', error.message));
    socket.once('error', refuse);
    socket.once('connect', () => {
      socket.off('error', refuse);
      resolve(socket);
    });
  });
}

export class LineClient {
  readonly transcript = new Transcript();
  private readonly open = new Map<number, Open>();
  private readonly splitter = new LineSplitter();
  private nextId = 1;
  private ended: MonitorError | undefined;

  constructor(private readonly socket: Socket, private readonly handlers: LineClientHandlers) {
    socket.on('data', (chunk) => this.take(chunk));
    socket.on('error', (error) => this.end(new MonitorError('gone', error.message)));
    socket.on('close', () => this.end(new MonitorError('gone', 'the connection has ended')));
  }

  /** The command's return value; rejects with MonitorError. */
  execute(command: string, args?: Readonly<Record<string, unknown>>, limitMs: number = limitOf(command)): Promise<unknown> {
    if (this.ended) return Promise.reject(this.ended);
    const id = this.nextId++;
    const text = JSON.stringify({ execute: command, ...(args === undefined ? {} : { arguments: args }), id });
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.open.delete(id);
        reject(new MonitorError('silent', `${command} was not answered within ${limitMs} ms`));
      }, limitMs);
      this.open.set(id, { command, resolve, reject, timer });
      this.transcript.note('sent', text);
      this.socket.write(`${text}\n`);
    });
  }

  close(): void {
    this.socket.destroy();
    this.end(new MonitorError('gone', 'closed by the agent'));
  }

  private take(chunk: Buffer): void {
    if (this.ended) return;
    try {
      for (const line of this.splitter.push(chunk)) {
        const message = parseLine(line);
        this.transcript.note('got', line);
        if (message) this.dispatch(message);
      }
    } catch (error) {
      this.end(new MonitorError('garbled', error instanceof Error ? error.message : String(error)));
      this.socket.destroy();
    }
  }

  private dispatch(message: Message): void {
    if (message.kind === 'greeting') return this.handlers.onGreeting?.();
    if (message.kind === 'event') return this.handlers.onEvent?.(message.event);
    if (typeof message.id !== 'number') return; // an answer to nobody, for instance to a request that ran out of time
    const waiting = this.open.get(message.id);
    if (!waiting) return;
    this.open.delete(message.id);
    clearTimeout(waiting.timer);
    if (message.kind === 'return') waiting.resolve(message.value);
    else waiting.reject(new MonitorError('refused', `${waiting.command}: ${message.text}`, message.class));
  }

  private end(error: MonitorError): void {
    if (this.ended) return;
    this.ended = error;
    for (const { timer, reject } of this.open.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.open.clear();
    this.handlers.onEnd?.();
  }
}
