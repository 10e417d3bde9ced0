// How often each host command had its effect, by what the hosts' journals said of it. Decides only.
import { z } from 'zod';

/** What a journal says of one command; everything else in it is of no interest here. */
export const Told = z.object({
  type: z.enum(['intent', 'result', 'dropped']), at: z.number(), commandId: z.string(),
  name: z.string().optional(), outcome: z.object({ ok: z.boolean() }).optional(),
});
export type Told = z.infer<typeof Told>;

export interface Effects {
  /** Commands whose effect is recorded, once. */
  readonly once: number;
  /** Commands that the host refused or failed for good. */
  readonly refused: number;
  /** Commands begun, not carried out, and given up. */
  readonly dropped: number;
  /** What must not be, in words. */
  readonly wrong: readonly string[];
}

const order = { intent: 0, dropped: 1, result: 2 } as const;

/** `told` by host; a record that a journal repeats when it is written anew counts once. */
export function effectsOf(told: ReadonlyMap<string, readonly Told[]>): Effects {
  const counts = { once: 0, refused: 0, dropped: 0 };
  const wrong: string[] = [];
  for (const [host, records] of told) {
    for (const [commandId, all] of Map.groupBy(records, (record) => record.commandId)) {
      const mine = [...new Map(all.map((record) => [`${record.type} ${record.at}`, record])).values()].sort((a, b) => a.at - b.at || order[a.type] - order[b.type]);
      const name = mine.find((record) => record.name !== undefined)?.name ?? 'a command';
      const done = mine.filter(({ outcome }) => outcome?.ok === true);
      const say = (what: string): void => { wrong.push(`${host}: ${name} ${commandId} ${what}`); };
      if (done.length > 1) say(`had its effect ${done.length} times`);
      if (done[0] !== undefined && mine.some(({ type, at }) => type === 'intent' && at > done[0]!.at)) say('was begun again after its effect');
      if (mine.at(-1)?.type === 'intent') say('was begun and has no end');
      if (done.length > 0) counts.once++;
      else if (mine.some(({ type }) => type === 'result')) counts.refused++;
      else counts.dropped++;
    }
  }
  return { ...counts, wrong };
}
