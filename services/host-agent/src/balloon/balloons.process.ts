// Looks at the balloons of a host's guests and tells them what they shall have. Every round begins from what the world
// shows, so one that was missed, or an agent that was killed in the middle of one, loses nothing.
import { readFile } from 'node:fs/promises';
import type { BusLog } from '#bus';
import { parseMemoryAvailable } from '../host/inventory.proc.ts';
import { isShort, targetsOf } from './targets.ts';
import type { Guest } from './targets.ts';

export interface Ballooned {
  /** null = nothing runs that has a balloon, or it is being worked on. */
  lookAtMemory(): Promise<Guest | null>;
  aimMemory(targetBytes: number): Promise<void>;
  readonly memoryMoves: boolean;
}
export interface BalloonsOptions {
  /** What shall stay available of the host's memory. */
  readonly keptBytes: number;
  readonly vms: () => Promise<readonly Ballooned[]>;
  readonly log: BusLog;
}

const roundMs = 1_000;
const calmRoundMs = 5_000;

export class Balloons {
  private lastRoundAt = -Infinity;
  private timer: NodeJS.Timeout | undefined;
  private under: Promise<void> | undefined;
  private urgent = false;
  private short = false;

  constructor(private readonly options: BalloonsOptions) {}

  start(): void {
    this.timer = setInterval(() => this.tick(), roundMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.under;
  }

  /** A limit has changed: the next round is due. */
  soon(): void {
    this.urgent = true;
  }

  /** For the gauge: whether the host is short of memory, as of the last look. */
  get isShort(): boolean {
    return this.short;
  }

  private tick(): void {
    // A QEMU that is slow to answer makes its round long; no others pile up behind it.
    this.under ??= this.round()
      .catch((error: unknown) => this.options.log.error({ err: error }, 'balloons could not be looked at'))
      .finally(() => { this.under = undefined; });
  }

  private async round(): Promise<void> {
    const { keptBytes, vms: all, log } = this.options;
    const host = { availableBytes: parseMemoryAvailable(await readFile('/proc/meminfo', 'utf8')), keptBytes };
    const vms = await all();
    const due = this.urgent || isShort(host) || performance.now() - this.lastRoundAt >= calmRoundMs || vms.some(({ memoryMoves }) => memoryMoves);
    if (isShort(host) !== this.short) log.warn({ ...host, short: !this.short }, isShort(host) ? 'the host is short of memory: guests give some back' : 'the host has memory again');
    this.short = isShort(host);
    if (!due) return;
    this.urgent = false;
    this.lastRoundAt = performance.now();
    const looked = await Promise.all(vms.map(async (vm) => ({ vm, guest: await vm.lookAtMemory() })));
    const found = looked.flatMap(({ vm, guest }) => (guest === null ? [] : [{ vm, guest }]));
    const targets = targetsOf(host, found.map(({ guest }) => guest));
    await Promise.all(found.map(({ vm }, index) => vm.aimMemory(targets[index]!)));
  }
}
