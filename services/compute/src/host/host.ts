// Whether a host's report is news: a decision over what was heard of it before. Nothing here reads or writes.
import type { ReportOrder } from '#contracts';

/** What is known of the order of a host's reports. `epoch` counts the starts of its agent, over boots too. */
export interface HeardOf {
  readonly bootId: string | null;
  /** Boots that a later one has ended, the last one last. */
  readonly pastBoots: readonly string[];
  readonly epoch: number;
  readonly seq: number;
}

/** `news` = believe it; `old` = it says nothing any more; `unclear` = ask the host itself. */
export type Age = 'news' | 'old' | 'unclear';

const PAST_BOOTS = 16;

/** A report of all that a host has: takes its place in the host's order, also as the first one of a new boot. */
export function ageOfJoin(heard: HeardOf, order: ReportOrder): Age {
  if (heard.pastBoots.includes(order.bootId)) return 'old';
  if (heard.bootId !== order.bootId) return 'news';
  return order.epoch > heard.epoch || (order.epoch === heard.epoch && order.seq > heard.seq) ? 'news' : 'old';
}

/** A report about one VM: its place among the VM's own reports is looked at later, its boot here. */
export function ageOfVmReport(heard: HeardOf, order: ReportOrder): Age {
  if (heard.bootId === null || heard.bootId === order.bootId) return 'news';
  return heard.pastBoots.includes(order.bootId) ? 'old' : 'unclear';
}

/** The boots left behind once `bootId` is the present one. */
export const pastBootsWith = (heard: HeardOf, bootId: string): string[] =>
  (heard.bootId === null || heard.bootId === bootId ? [...heard.pastBoots] : [...heard.pastBoots, heard.bootId].slice(-PAST_BOOTS));
