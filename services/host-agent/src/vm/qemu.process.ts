// One QEMU process and the agent's hold on it: its monitor while it lives, the way it ended when it is gone. Nothing here
// ends a process but `end`, and that only the process it was made for.
import { sleep } from '#kernel';
import { errorCode } from '../error-code.ts';
import { MonitorError } from '../qmp/errors.ts';
import { Monitor } from '../qmp/monitor.socket.ts';
import type { QmpEvent } from '../qmp/wire.ts';
import type { ChildEnd } from './launch.process.ts';
import { hostReasonOf } from './monitor-events.ts';
import { isAlive } from './process-table.proc.ts';
import type { Exit, VmProcess } from './vm.ts';

export interface QemuEvents {
  onEvent(event: QmpEvent): void;
  onGone(reason: Exit, detail: string | null): void;
  /** The process lives, but its monitor has ended or does not answer. */
  onSilent(detail: string): void;
}

const connectPauseMs = 4;
const gonePollMs = 5;
/** A process whose monitor has ended is about to be gone; after this it is called silent. */
const goneWithinMs = 3_000;
const quitLimitMs = { gently: 5_000, atOnce: 1_000 };
const slowPollMs = 200;

export class QemuProcess {
  private monitor: Monitor | undefined;
  private announced: Exit | null = null;
  private released = false;

  constructor(
    readonly vmId: string,
    readonly process: VmProcess,
    private readonly socket: string,
    /** Known for children of this agent. */
    private readonly child: Promise<ChildEnd> | null,
    private readonly events: QemuEvents,
    private readonly lastWords: () => Promise<string>,
  ) {}

  alive(): Promise<boolean> {
    return isAlive(this.process);
  }

  /** Takes the monitor, waiting for its socket while the process lives. MonitorError `not-listening` after `limitMs`, `gone` when it ended. */
  async connect(limitMs: number, signal?: AbortSignal): Promise<Monitor> {
    const end = performance.now() + limitMs;
    for (;;) {
      const monitor = await this.tryConnect(end - performance.now());
      if (monitor) return monitor;
      if (signal?.aborted) throw new MonitorError('gone', 'the start was given up');
      if (!(await this.alive())) throw new MonitorError('gone', 'the process has ended');
      if (performance.now() >= end) throw new MonitorError('not-listening', `nobody listened on ${this.socket} within ${limitMs} ms`);
      await sleep(connectPauseMs, signal);
    }
  }

  get current(): Monitor | undefined {
    return this.monitor;
  }

  private async tryConnect(leftMs: number): Promise<Monitor | null> {
    // All of the time that is left, step by step: among many that start on one host, QEMU answers late and not never.
    const limitMs = Math.max(50, leftMs);
    try {
      const monitor = await Monitor.connect(this.socket, { onEvent: (event) => this.take(event), onEnd: () => void this.ended() }, limitMs);
      this.monitor = monitor;
      const uuid = await monitor.uuid(limitMs);
      if (uuid === this.vmId) return monitor;
      this.release();
      throw new MonitorError('garbled', `the monitor belongs to VM ${uuid}`);
    } catch (error) {
      if (error instanceof MonitorError && error.failure === 'not-listening') return null;
      throw error;
    }
  }

  private take(event: QmpEvent): void {
    this.announced = hostReasonOf(event) ?? this.announced;
    if (!this.released) this.events.onEvent(event);
  }

  /** The process is found to be gone, or silent, or taken up anew. */
  lookAgain(): void {
    this.monitor?.close();
  }

  private async ended(): Promise<void> {
    this.monitor = undefined;
    const end = performance.now() + goneWithinMs;
    while (!this.released && performance.now() < end) {
      if (!(await this.alive())) return this.gone();
      await sleep(gonePollMs);
    }
    if (!this.released) this.events.onSilent('QEMU runs, and its monitor has ended.');
  }

  private async gone(): Promise<void> {
    if (this.released) return;
    this.release();
    const child = this.child === null ? null : await this.child;
    this.events.onGone(this.announced ?? reasonOf(child), detailOf(child, await this.lastWords()));
  }

  /** Ends the process and waits until it is gone, however long the kernel takes. Reports nothing by itself. */
  async end(gently: boolean): Promise<void> {
    const { monitor } = this;
    this.release(false);
    if (monitor) {
      await monitor.execute('quit').catch(() => undefined); // the answer races with the end that was asked for
      if (await this.goneWithin(gently ? quitLimitMs.gently : quitLimitMs.atOnce)) {
        monitor.close();
        return;
      }
    }
    await this.kill();
    monitor?.close();
  }

  private async kill(): Promise<void> {
    for (;;) {
      if (!(await this.alive())) return;
      try {
        process.kill(this.process.pid, 'SIGKILL');
      } catch (error) {
        if (errorCode(error) !== 'ESRCH') throw error;
      }
      if (await this.goneWithin(slowPollMs * 5)) return;
    }
  }

  private async goneWithin(limitMs: number): Promise<boolean> {
    const end = performance.now() + limitMs;
    for (let pauseMs = 2; ; pauseMs = Math.min(pauseMs * 2, 50)) {
      if (!(await this.alive())) return true;
      if (performance.now() >= end) return false;
      await (this.child === null ? sleep(pauseMs) : Promise.race([this.child, sleep(pauseMs)]));
    }
  }

  /** From now on nothing is reported; the process goes on. */
  release(closeMonitor = true): void {
    this.released = true;
    if (closeMonitor) this.monitor?.close();
    this.monitor = undefined;
  }
}

/** SIGABRT and the like are QEMU's own faults; anything else was done to it. */
const crashSignals = new Set<NodeJS.Signals>(['SIGABRT', 'SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGSYS', 'SIGTRAP']);
function reasonOf(child: ChildEnd | null): Exit {
  if (child === null || child.signal === null || crashSignals.has(child.signal)) return 'qemu-crashed';
  return 'killed';
}

function detailOf(child: ChildEnd | null, words: string): string {
  const how = child === null ? 'QEMU ended' : child.signal === null ? `QEMU ended with status ${child.code}` : `QEMU was ended by ${child.signal}`;
  const last = words.trim().split('\n').slice(-2).join('; ').slice(-300);
  return last === '' ? `${how}.` : `${how}: ${last}`;
}
