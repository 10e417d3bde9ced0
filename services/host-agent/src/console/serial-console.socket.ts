// The serial console of one VM, shared by everyone who looks: all see all of it, and whatever any of them types goes in.
// QEMU takes one client at a time, so the socket is held while somebody looks and let go with the last one.
import type { Socket } from 'node:net';
import { connectSocket } from '../qmp/line-client.socket.ts';
import type { VmPaths } from '../vm/command-line.ts';
import { ConsoleLog } from './console-log.store.ts';
import type { ConsoleLine, ConsoleSink } from './console-line.ts';
import { writeAll } from './write-all.socket.ts';

/** Output shows in the log a moment after the socket, and there alone while somebody else holds the socket. */
const soonMs = 4;
const quickLooks = 5;
const lookMs = 200;
const mostListeners = 100;

export class SerialConsole {
  private readonly viewers = new Set<Viewer>();
  /** On their way in: for them the socket is kept too. */
  private joining = 0;

  private constructor(private readonly socket: Socket, private readonly paths: VmPaths, onEmpty: () => void) {
    socket.setMaxListeners(mostListeners); // everyone who types waits for room at times
    socket.on('data', () => { for (const viewer of this.viewers) viewer.wake(); });
    socket.once('close', () => {
      for (const viewer of [...this.viewers]) viewer.end('closed');
      onEmpty();
    });
    socket.on('error', () => undefined); // `close` follows
  }

  static async open(paths: VmPaths, onEmpty: () => void): Promise<SerialConsole> {
    return new SerialConsole(await connectSocket(paths.serial), paths, onEmpty);
  }

  get open(): boolean {
    return !this.socket.destroyed;
  }

  async join(historyBytes: number, sink: ConsoleSink): Promise<ConsoleLine> {
    this.joining += 1;
    try {
      const viewer = new Viewer(await ConsoleLog.open(this.paths.console, historyBytes), sink, () => {
        this.viewers.delete(viewer);
        this.letGo();
      });
      this.viewers.add(viewer);
      if (!this.open) viewer.end('closed');
      void viewer.run();
      return { write: (bytes) => writeAll(this.socket, bytes), close: () => { viewer.end('let-go'); } };
    } finally {
      this.joining -= 1;
      this.letGo();
    }
  }

  private letGo(): void {
    if (this.viewers.size + this.joining === 0) this.socket.destroy();
  }
}

class Viewer {
  private over: 'no' | 'closed' | 'let-go' = 'no';
  private looks = 0;
  private waiting: (() => void) | undefined;

  constructor(private readonly log: ConsoleLog, private readonly sink: ConsoleSink, private readonly onLeft: () => void) {}

  /** There is something new, or will be in a moment. */
  wake(): void {
    this.looks = quickLooks;
    this.waiting?.();
  }

  /** `closed` = QEMU has; what it wrote last is still shown. `let-go` = nobody looks any more. */
  end(how: 'closed' | 'let-go'): void {
    this.over = how;
    this.waiting?.();
  }

  async run(): Promise<void> {
    try {
      while (this.over !== 'let-go') {
        const { over } = this;
        const bytes = await this.log.next();
        if (bytes.length > 0) await this.sink.take(bytes);
        else if (over === 'closed') break;
        else await this.news();
      }
    } catch {
      // A log that cannot be read any more shows nothing: that is the end of the session, not of the agent.
    }
    await this.log.close();
    this.onLeft();
    this.sink.onEnd();
  }

  private async news(): Promise<void> {
    if (this.over !== 'no') return;
    const ms = this.looks > 0 ? soonMs : lookMs;
    this.looks -= 1;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.waiting = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.waiting = undefined;
  }
}
