// Keeps what the guest agent says about the guest: whether it answers, and its addresses. Asks soon after the agent has
// opened its port, again quickly until there is an address, and rarely from then on.
import type { HostVmStatus } from '#contracts';
import { sleep } from '#kernel';
import { withGuestAgent } from '../qmp/guest-agent.socket.ts';

export type GuestInfo = Pick<HostVmStatus, 'guestAgent' | 'guestAddresses'>;
export const noGuest: GuestInfo = { guestAgent: false, guestAddresses: [] };

const soonMs = 1_000;
const rarelyMs = 20_000;

export class GuestWatch {
  private watching: AbortController | undefined;
  private known: GuestInfo = noGuest;

  constructor(private readonly socket: string, private readonly onChange: () => void) {}

  get info(): GuestInfo {
    return this.known;
  }

  /** The guest has opened (or closed) the agent's port. */
  portOpen(open: boolean): void {
    this.watching?.abort();
    this.watching = undefined;
    if (!open) {
      this.learn(noGuest);
      return;
    }
    this.watching = new AbortController();
    void this.watch(this.watching.signal);
  }

  stop(): void {
    this.watching?.abort();
    this.watching = undefined;
    this.known = noGuest;
  }

  private async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const info = await this.ask();
      this.learnUnless(signal, info);
      await sleep(hasAddress(info) ? rarelyMs : soonMs, signal);
    }
  }

  private async ask(): Promise<GuestInfo> {
    try {
      const addresses = await withGuestAgent(this.socket, (agent) => agent.addresses());
      return { guestAgent: true, guestAddresses: addresses.map(({ mac, addresses: all }) => ({ mac, addresses: all })) };
    } catch {
      // Whatever the reason, the guest's side does not answer now; that is all that is told about it.
      return noGuest;
    }
  }

  /** An answer that comes after the port was closed is old news. */
  private learnUnless(signal: AbortSignal, info: GuestInfo): void {
    if (!signal.aborted) this.learn(info);
  }

  private learn(info: GuestInfo): void {
    if (JSON.stringify(info) === JSON.stringify(this.known)) return;
    this.known = info;
    this.onChange();
  }
}

/** An address beyond the ones that every interface gives itself. */
const hasAddress = ({ guestAddresses }: GuestInfo): boolean =>
  guestAddresses.some(({ addresses }) => addresses.some((address) => !address.startsWith('fe80:') && !address.startsWith('169.254.')));
