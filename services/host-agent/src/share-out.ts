// Shares something among parties: each gets in proportion to its shares, but never less than its least or more than its
// most; what one may not take or must have is taken from the others. Pure.

export interface Party {
  readonly shares: number;
  readonly least: number;
  /** Not below `least`. */
  readonly most: number;
}

/**
 * Parts in the order of the parties. They add up to `total` unless the leasts alone are more or the mosts together less.
 * Each round settles at least one party for good: the rule by which flexible boxes are laid out.
 */
export function shareOut(total: number, parties: readonly Party[]): number[] {
  const parts = parties.map(() => 0);
  let left = total;
  let open = parties.map((_, index) => index);
  while (open.length > 0) {
    const shares = open.reduce((sum, index) => sum + parties[index]!.shares, 0);
    const wished = new Map(open.map((index) => [index, (Math.max(0, left) * parties[index]!.shares) / shares]));
    const bounded = new Map([...wished].map(([index, part]) => [index, clamp(part, parties[index]!.least, parties[index]!.most)]));
    const excess = open.reduce((sum, index) => sum + bounded.get(index)! - wished.get(index)!, 0);
    // More is needed by those at their least than is left over by those at their most: the former are settled, or the other way.
    const settles = (index: number): boolean => {
      const change = bounded.get(index)! - wished.get(index)!;
      return excess > 0 ? change > 0 : excess < 0 ? change < 0 : true;
    };
    for (const index of open.filter(settles)) {
      parts[index] = bounded.get(index)!;
      left -= parts[index];
    }
    open = open.filter((index) => !settles(index));
  }
  return parts;
}

const clamp = (value: number, least: number, most: number): number => Math.min(Math.max(value, least), most);
