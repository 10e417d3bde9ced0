// One end of a pipe of bytes over a bus that may lose messages: bytes arrive in order and whole, or the pipe ends. A
// reader that is slow slows the writer down, so that neither end nor the bus holds more than a window of bytes; an end
// that falls silent is given up.
import type { Frame } from './pipe-frame.ts';
import { decodeFrame, encodeFrame } from './pipe-frame.ts';

export interface PipeLimits {
  /** Bytes on their way that the other end has not taken yet. */
  readonly windowBytes: number;
  /** Most bytes in one frame. */
  readonly frameBytes: number;
  /** How often an end says that it lives, ms. */
  readonly aliveMs: number;
  /** After this silence the other end is dead, ms; a multiple of `aliveMs`. */
  readonly silentMs: number;
}
export const pipeLimits: PipeLimits = { windowBytes: 256 * 1024, frameBytes: 32 * 1024, aliveMs: 2_000, silentMs: 8_000 };

export interface PipeOptions {
  readonly limits?: Partial<PipeLimits>;
  /** This end says nothing until it has heard of the other one, which may not listen yet. */
  readonly listensFirst?: boolean;
  /** Hands a frame to the bus; throws when there is none. */
  readonly publish: (frame: Uint8Array) => void;
  /** The next bytes; the other end may go on when the promise is fulfilled. */
  readonly onBytes: (bytes: Uint8Array) => Promise<void> | void;
  /** Once, whoever ended it. `reason` is what `end` was given, or `silent`, `lost`, `garbled`, `overrun`, `bus-away`, `failed`. */
  readonly onEnd: (reason: string) => void;
}

export class Pipe {
  private readonly limits: PipeLimits;
  private readonly timer: NodeJS.Timeout;
  private sentFrames = 0;
  private heardFrames = 0;
  private sentBytes = 0;
  private takenByPeer = 0;
  private heardBytes = 0;
  private takenBytes = 0;
  private toldBytes = 0;
  /** Looks since the last sign of life. Not a time: when this process itself comes late, the other end has not been silent. */
  private unheard = 0;
  private taking: Promise<void> = Promise.resolve();
  private sending: Promise<void>;
  private room: (() => void) | undefined;
  private readonly met = Promise.withResolvers<undefined>();
  /** Why the other end has ended, while what it sent before is still being handed on. */
  private ending: string | undefined;
  private ended: string | undefined;

  constructor(private readonly options: PipeOptions) {
    this.limits = { ...pipeLimits, ...options.limits };
    if (options.listensFirst !== true) this.met.resolve(undefined);
    this.sending = this.met.promise;
    this.timer = setInterval(() => { this.tick(); }, this.limits.aliveMs);
  }

  /** Why the pipe has ended; undefined while it has not. */
  get over(): string | undefined {
    return this.ended;
  }

  /** Says that this end is there and listens. */
  greet(): void {
    this.write({ kind: 'alive' });
  }

  /** Fulfilled when the bytes are handed on, at once while there is room. After the end it drops them. */
  send(bytes: Uint8Array): Promise<void> {
    this.sending = this.sending.then(() => this.sendAll(bytes));
    return this.sending;
  }

  /** Tells the other end why, and ends. */
  end(reason: string): void {
    if (this.ended !== undefined) return;
    this.write({ kind: 'end', reason });
    this.close(reason);
  }

  /** Ends without telling: there is nobody, or no way. */
  close(reason: string): void {
    if (this.ended !== undefined) return;
    this.ended = reason;
    clearInterval(this.timer);
    this.room?.();
    this.met.resolve(undefined);
    this.options.onEnd(reason);
  }

  /** A message of the other end. */
  take(message: Uint8Array): void {
    if (this.ended !== undefined) return;
    const decoded = decodeFrame(message);
    if (decoded === undefined) { this.end('garbled'); return; }
    const { number, frame } = decoded;
    if (number !== this.heardFrames >>> 0) { this.end('lost'); return; }
    this.heardFrames += 1;
    this.unheard = 0;
    this.met.resolve(undefined);
    switch (frame.kind) {
      case 'data': this.takeBytes(frame.bytes); break;
      case 'ack': this.takeAck(frame.taken); break;
      case 'end': this.endAfterBytes(frame.reason); break;
      case 'alive': break;
    }
  }

  private takeBytes(bytes: Uint8Array): void {
    this.heardBytes += bytes.length;
    if (this.heardBytes - this.toldBytes > this.limits.windowBytes) { this.end('overrun'); return; }
    this.taking = this.taking.then(async () => {
      if (this.ended !== undefined) return;
      await this.options.onBytes(bytes);
      this.takenBytes += bytes.length;
      if (this.takenBytes - this.toldBytes < this.limits.windowBytes / 4) return;
      this.toldBytes = this.takenBytes;
      this.write({ kind: 'ack', taken: this.takenBytes });
    }).catch(() => { this.end('failed'); });
  }

  private takeAck(taken: number): void {
    if (taken < this.takenByPeer || taken > this.sentBytes) { this.end('garbled'); return; }
    this.takenByPeer = taken;
    this.room?.();
  }

  /** What came before the end is handed on first, if it is taken in time; the other end takes nothing any more. */
  private endAfterBytes(reason: string): void {
    this.ending = reason;
    this.room?.();
    this.taking = this.taking.then(() => { this.close(reason); });
  }

  private async sendAll(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length && (this.ended ?? this.ending) === undefined;) {
      const room = Math.min(this.limits.windowBytes - (this.sentBytes - this.takenByPeer), this.limits.frameBytes, bytes.length - at);
      if (room <= 0) {
        await new Promise<void>((resolve) => { this.room = resolve; });
        continue;
      }
      this.sentBytes += room;
      this.write({ kind: 'data', bytes: bytes.subarray(at, at + room) });
      at += room;
    }
  }

  private write(frame: Frame): void {
    if ((this.ended ?? this.ending) !== undefined) return;
    try {
      this.options.publish(encodeFrame(frame, this.sentFrames++));
    } catch {
      this.close('bus-away'); // whatever the connection complains of, it carries nothing
    }
  }

  private tick(): void {
    this.unheard += 1;
    if (this.unheard > this.limits.silentMs / this.limits.aliveMs) this.end(this.ending ?? 'silent');
    else if (this.heardFrames > 0 || this.options.listensFirst !== true) this.write({ kind: 'alive' });
  }
}
