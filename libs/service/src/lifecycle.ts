// The end of a process: what was started last is stopped first, all of it within a limit. A process that is killed
// instead loses nothing but time, so the limit may cut; it only must not be silent.
import type { Logger } from '#telemetry';

/** A supervisor usually kills after 20 s or more; this ends before. */
export const stopLimitMs = 14_000;

type Stop = () => Promise<void> | void;

export class Lifecycle {
  private readonly steps: { readonly name: string; readonly stop: Stop }[] = [];
  private stopped: Promise<boolean> | undefined;

  constructor(private readonly log: Logger, private readonly limitMs: number = stopLimitMs) {}

  /** `stop` will run before everything that was registered earlier. */
  onStop(name: string, stop: Stop): void {
    this.steps.push({ name, stop });
  }

  /** Runs every step once, in reverse order. False when a step failed or the limit passed. */
  stop(why: string): Promise<boolean> {
    this.stopped ??= this.run(why);
    return this.stopped;
  }

  /** SIGTERM and SIGINT drain and end with 0; an error that nobody caught is logged and ends with 1 at once. */
  watchProcess(exit: (status: number) => void = (status) => process.exit(status)): void {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        void this.stop(signal).then((clean) => { exit(clean ? 0 : 1); });
      });
    }
    // No drain: the state in memory cannot be trusted, and what is on disk stands by itself.
    const die = (kind: string) => (error: unknown) => {
      this.log.fatal({ err: error }, `${kind}; the process ends`);
      exit(1);
    };
    process.on('uncaughtException', die('uncaught exception'));
    process.on('unhandledRejection', die('unhandled rejection'));
  }

  private async run(why: string): Promise<boolean> {
    this.log.info({ why }, 'stopping');
    let current = 'nothing';
    const limit = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => {
      this.log.error({ step: current, limitMs: this.limitMs }, 'did not stop in time');
      limit.resolve(false);
    }, this.limitMs);
    const work = async (): Promise<boolean> => {
      let clean = true;
      for (const { name, stop } of this.steps.toReversed()) {
        current = name;
        try {
          await stop();
        } catch (error) {
          clean = false;
          this.log.error({ err: error, step: name }, 'a step of the stop failed');
        }
      }
      return clean;
    };
    const clean = await Promise.race([work(), limit.promise]);
    clearTimeout(timer);
    if (clean) this.log.info('stopped');
    return clean;
  }
}
