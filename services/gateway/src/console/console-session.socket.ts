// One open console: a client's WebSocket on one side, the pipe to the host on the other. Neither side is read faster than
// the other one takes it, so whatever the speeds are, little is held here. It stays open only while its session, its right
// and the run of the VM last.
import type { NatsConnection } from '@nats-io/transport-node';
import type { WebSocket } from 'ws';
import { openPipe } from '#bus';
import type { BusClient, Pipe } from '#bus';
import { checkConsole, consoleSubject } from '#contracts';
import type { ConsoleKind, openConsole, ReplyOf, VmId } from '#contracts';
import { closeOf, closeOfEnd, closeOfFault, isFinal } from './console.ts';
import type { Close } from './console.ts';

export interface SessionLimits {
  /** How often the client is asked for a sign of life, and everything below is looked at, ms. */
  readonly pingMs: number;
  /** How often right and state are asked for without a reason, ms. */
  readonly checkMs: number;
  /** A client that does not read for so long is let go, ms. */
  readonly slowMs: number;
  /** A console over which nothing passes for so long is closed, ms. */
  readonly idleMs: number;
  readonly longestMs: number;
  /** How long a client may take to answer the close, ms. */
  readonly partingMs: number;
}

export interface Opened extends ReplyOf<typeof openConsole> { readonly vmId: VmId; readonly kind: ConsoleKind }

export interface SessionParts {
  readonly bus: BusClient;
  readonly nats: NatsConnection;
  readonly limits: SessionLimits;
  readonly onClosed: (close: Close) => void;
}

const mostUnanswered = 3;

export class ConsoleSession {
  private readonly pipe: Pipe;
  private readonly timer: NodeJS.Timeout;
  private readonly openedAt = performance.now();
  private passedAt = performance.now();
  /** Pings since the last sign of life. Not a time: when this process itself comes late, nobody else has been silent. */
  private unanswered = 0;
  private checkedAt = performance.now();
  /** Since when the client has not taken what was sent. */
  private stuckSince: number | undefined;
  private blocked = false;
  private checking = false;
  private checkAgain = false;
  private closed: Close | undefined;

  constructor(private readonly socket: WebSocket, private readonly opened: Opened, private readonly parts: SessionParts) {
    const { hostId, sessionId } = opened;
    this.pipe = openPipe(parts.nats, { from: consoleSubject(hostId, sessionId, 'out'), to: consoleSubject(hostId, sessionId, 'in') }, {
      onBytes: (bytes) => this.toClient(bytes),
      onEnd: (reason) => { this.close(closeOfEnd(reason)); },
    });
    this.pipe.greet();
    socket.on('message', (data) => { this.toGuest(data as Buffer); });
    socket.on('pong', () => { this.unanswered = 0; });
    socket.on('close', (code) => { this.gone(code); });
    this.timer = setInterval(() => { this.look(); }, parts.limits.pingMs);
    socket.resume();
    if (socket.readyState !== socket.OPEN) this.gone(1006);
    this.check();
  }

  get userId(): string {
    return this.opened.user.id;
  }

  get vmId(): string {
    return this.opened.vmId;
  }

  /** Asks whether it may stay open, because something about user or VM has changed. */
  check(): void {
    if (this.closed !== undefined) return;
    this.checkAgain = true;
    if (this.checking) return;
    this.checking = true;
    void this.ask().finally(() => { this.checking = false; });
  }

  /** Tells the client why, and the host that nobody looks any more. */
  close(close: Close): void {
    if (this.closed !== undefined) return;
    this.closed = close;
    clearInterval(this.timer);
    this.pipe.end('left');
    this.socket.resume(); // its answer to the close must be read
    this.socket.close(close.code, close.reason);
    setTimeout(() => { this.socket.terminate(); }, this.parts.limits.partingMs).unref();
    this.parts.onClosed(close);
  }

  private gone(code: number): void {
    if (code === 1009) this.close(closeOf(1009, ''));
    else this.close(closeOf(1000, 'the client left'));
  }

  private async ask(): Promise<void> {
    const { vmId, epoch, holder } = this.opened;
    while (this.checkAgain && this.closed === undefined) {
      this.checkAgain = false;
      this.checkedAt = performance.now();
      const answer = await this.parts.bus.request(checkConsole, { vmId, epoch, holder }, { as: 'system' });
      if (!answer.ok && isFinal(answer.fault)) this.close(closeOfFault(answer.fault));
    }
  }

  private toClient(bytes: Uint8Array): Promise<void> {
    this.passedAt = performance.now();
    this.stuckSince = performance.now();
    return new Promise((resolve) => {
      this.socket.send(bytes, { binary: true }, () => {
        this.stuckSince = undefined;
        resolve();
      });
    });
  }

  private toGuest(bytes: Buffer): void {
    this.passedAt = performance.now();
    this.unanswered = 0;
    this.blocked = true;
    this.socket.pause();
    void this.pipe.send(bytes).then(() => {
      this.blocked = false;
      this.socket.resume();
    });
  }

  private look(): void {
    const { checkMs, slowMs, idleMs, longestMs } = this.parts.limits;
    const now = performance.now();
    if (this.stuckSince !== undefined && now - this.stuckSince > slowMs) { this.close(closeOf(4413, 'TOO_SLOW: The client does not read what is sent.')); return; }
    if (now - this.passedAt > idleMs) { this.close(closeOf(4408, 'IDLE: Nothing passed for too long; open the console again.')); return; }
    if (now - this.openedAt > longestMs) { this.close(closeOf(4408, 'TOO_LONG: The console was open for the longest time; open it again.')); return; }
    // While the guest takes nothing the client is not read either, and so is not heard.
    const listens = !this.blocked && this.stuckSince === undefined;
    if (listens && this.unanswered >= mostUnanswered) { this.socket.terminate(); return; }
    if (listens) this.unanswered += 1;
    if (now - this.checkedAt > checkMs) this.check();
    this.socket.ping();
  }
}
