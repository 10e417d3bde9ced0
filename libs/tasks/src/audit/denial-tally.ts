// Which denials get a record of their own, and which are added up: whoever floods a door must not fill the database, and yet
// every denial is in the log, be it as one of many.
import type { AuditFacts } from '#contracts';

export interface TallyLimits {
  /** Records of their own that one user gets in one period. */
  readonly singlesPerUser: number;
  /** The same for all who did not prove who they are, together. */
  readonly singlesOfStrangers: number;
  /** Sums kept apart, of one user. */
  readonly sumsPerUser: number;
  /** Sums kept apart, of strangers, by address. */
  readonly sumsOfStrangers: number;
}

export const tallyLimits: TallyLimits = { singlesPerUser: 60, singlesOfStrangers: 30, sumsPerUser: 20, sumsOfStrangers: 50 };

/** Answers to a flood, by their nature many: added up from the first one on. */
const floods: ReadonlySet<string> = new Set(['RATE_LIMITED', 'LOCKED_OUT']);

interface Party { singles: number; readonly sums: Map<string, AuditFacts> }

const strangers = '';
/** What all denials of a sum have in common; the rest of the first one would say something untrue of the others. */
const shared = (facts: AuditFacts, operation: string): AuditFacts => ({
  ...facts, operation, object: { noun: operation === '*' ? '*' : facts.object.noun, id: null }, claimed: null, traceId: null,
});

export class DenialTally {
  private parties = new Map<string, Party>();

  constructor(private readonly limits: TallyLimits = tallyLimits) {}

  /** True = it gets a record of its own, now. False = it has been added to a sum. */
  take(facts: AuditFacts, at: string): boolean {
    const { isStranger, party } = this.partyOf(facts);
    const most = isStranger ? this.limits.singlesOfStrangers : this.limits.singlesPerUser;
    if (!floods.has(facts.code ?? '') && party.singles < most) {
      party.singles += 1;
      return true;
    }
    this.add(facts, at);
    return false;
  }

  /** Adds to a sum: what had no room, or could not be written. */
  add(facts: AuditFacts, at: string): void {
    const { isStranger, party } = this.partyOf(facts);
    const { sums } = party;
    const apart = isStranger ? this.limits.sumsOfStrangers : this.limits.sumsPerUser;
    const own = [facts.operation, facts.code, facts.door, facts.address].join(' ');
    const key = sums.has(own) || sums.size < apart ? own : ['*', facts.code, facts.door].join(' ');
    const sum = sums.get(key) ?? { ...(key === own ? shared(facts, facts.operation) : { ...shared(facts, '*'), address: null }), times: 0, since: facts.since ?? at };
    sums.set(key, { ...sum, times: sum.times + facts.times });
  }

  /** The sums of the period that ends here. */
  drain(): AuditFacts[] {
    const { parties } = this;
    this.parties = new Map();
    return [...parties.values()].flatMap(({ sums }) => [...sums.values()]);
  }

  private partyOf({ actor }: AuditFacts): { isStranger: boolean; party: Party } {
    const name = actor?.userId ?? strangers;
    const party = this.parties.get(name) ?? { singles: 0, sums: new Map<string, AuditFacts>() };
    this.parties.set(name, party);
    return { isStranger: name === strangers, party };
  }
}
