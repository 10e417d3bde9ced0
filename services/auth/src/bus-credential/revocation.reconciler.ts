// Keeps what the NATS server refuses equal to what is revoked here. Told right behind each revocation, and again and
// again: a server that was away, or whose accounts were set up anew, hears of it the next time.
import type { DataSource } from 'typeorm';
import type { BusAuthority } from '#bus';
import type { Reconciler } from '#service';
import type { Logger } from '#telemetry';
import { revokedKeys } from './bus-credential.store.ts';

export class Revocations {
  private last: Promise<void> = Promise.resolve();

  constructor(private readonly db: DataSource, private readonly authority: BusAuthority | null, private readonly log: Pick<Logger, 'info' | 'warn'>) {}

  /** One after the other: what is read later is what is told later. Never rejects; the next turn makes up for it. */
  tell(): Promise<void> {
    this.last = this.last.then(() => this.compare());
    return this.last;
  }

  /** Called by Nest when the service stops. */
  async onModuleDestroy(): Promise<void> {
    await this.last;
    await this.authority?.close();
  }

  private async compare(): Promise<void> {
    if (this.authority === null) return;
    try {
      const told = await this.authority.revoke(await revokedKeys(this.db));
      if (!told.ok) this.log.warn({ err: told.fault.cause, code: told.fault.code }, 'the bus does not know yet whose credentials are revoked; trying again');
      else if (told.value) this.log.info({}, 'the bus was told whose credentials are revoked');
    } catch (error) {
      this.log.warn({ err: error }, 'revoked credentials could not be compared with the bus; trying again');
    }
  }
}

export const revocationReconciler = (revocations: Revocations): Reconciler => ({ name: 'bus-revocations', everyMs: 10_000, run: () => revocations.tell() });
