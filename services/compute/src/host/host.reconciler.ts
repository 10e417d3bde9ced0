// Asks hosts for what was missed: all when a replica begins, since nobody may have heard what they told before; after that
// those of which something is not known, or whose answer could not be taken over whole, each time, all others in turn.
// Takes no input and may run at any moment, in every replica.
import type { DataSource } from 'typeorm';
import type { Reconciler } from '#service';
import { allHostIds, hostsToAskNow } from './host-order.store.ts';
import type { HostReports } from './host.reports.ts';

/** Every host is asked once in so many rounds, a part of them in each, so that a thousand do not answer at once. */
const ROUNDS = 6;
const ASKED_AT_ONCE = 16;

export function hostReconciler(db: DataSource, reports: Pick<HostReports, 'doubt' | 'hostsToAskAgain' | 'look'>): Reconciler {
  let round = 0;
  return {
    name: 'hosts',
    everyMs: 5_000,
    run: async (signal) => {
      await reports.doubt();
      const [isFirst, turn] = [round === 0, round++ % ROUNDS];
      const [now, again] = [await hostsToAskNow(db), new Set(reports.hostsToAskAgain())];
      const due = new Set([...now, ...(await allHostIds(db)).filter((id, index) => isFirst || index % ROUNDS === turn || again.has(id))]);
      const queue = [...due];
      const ask = async (): Promise<void> => {
        for (let hostId = queue.shift(); hostId !== undefined && !signal.aborted; hostId = queue.shift()) await reports.look(hostId);
      };
      const ended = await Promise.allSettled(Array.from({ length: ASKED_AT_ONCE }, ask));
      const broken = ended.find((end) => end.status === 'rejected');
      if (broken) throw new Error('a host could not be asked', { cause: broken.reason });
    },
  };
}
