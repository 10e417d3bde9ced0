// Something that is done again and again until it is told to end: never twice at once, and sooner when poked.
import { sleep } from '#kernel';

/** Why a pause ends; without a reason each end makes an error, with its stack, that nobody reads. */
const POKED = 'poked';

export class Loop {
  private readonly ending = new AbortController();
  private pause = new AbortController();
  private poked = false;
  private running: Promise<void> | undefined;

  /** `turn` answers after how many ms to go on. It must not throw for what can happen: that ends the loop with `onError`. */
  constructor(private readonly turn: (signal: AbortSignal) => Promise<number>, private readonly onError: (error: unknown) => number) {}

  start(): void {
    this.running ??= this.run();
  }

  poke(): void {
    this.poked = true;
    this.pause.abort(POKED);
  }

  async stop(): Promise<void> {
    this.ending.abort();
    this.pause.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { signal } = this.ending;
    while (!signal.aborted) {
      this.poked = false;
      let pauseMs: number;
      try {
        pauseMs = await this.turn(signal);
      } catch (error) {
        pauseMs = this.onError(error);
      }
      this.pause = new AbortController();
      // A poke that came during the turn must not be slept over.
      if (this.hasEnded() || this.wasPoked()) continue;
      await sleep(pauseMs, this.pause.signal);
    }
  }

  private wasPoked(): boolean {
    return this.poked;
  }

  private hasEnded(): boolean {
    return this.ending.signal.aborted;
  }
}
