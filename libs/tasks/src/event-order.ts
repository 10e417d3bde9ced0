// How a consumer that hears of some nouns alone knows that it has missed nothing: with each event goes, in a header, the number
// of the last event of each noun before it. Numbers are without gaps for all nouns together, so they alone tell it only to those
// who hear everything.

/** Header of a message on the stream EVENTS: `<base> <noun>=<number> …`. Of nouns that it does not name, the last event is `base` at the latest. */
export const BEFORE = 'Tok-Before';

/** On the side of who sends. Knows what it has seen itself; all that was before may have been of any noun. */
export class Predecessors {
  private base = 0;
  private next = 0;
  private readonly last = new Map<string, number>();

  /** The header of an event. To be asked of each event as it is sent, in the order of the numbers; after a jump, back or forth, it knows nothing. */
  of({ seq, noun }: { readonly seq: number; readonly noun: string }): string {
    if (seq !== this.next) {
      this.base = seq - 1;
      this.last.clear();
    }
    const header = [String(this.base), ...[...this.last].map(([name, at]) => `${name}=${at}`)].join(' ');
    this.last.set(noun, seq);
    this.next = seq + 1;
    return header;
  }
}

/**
 * The number of the last event before this one that is wanted, or one behind it: who has all up to there has missed nothing. Without
 * nouns everything is wanted; without a header, as from a relay that writes none, anything may have been.
 */
export function lastWantedBefore(seq: number, header: string | undefined, nouns: ReadonlySet<string> | undefined): number {
  const read = nouns === undefined || header === undefined ? null : /^(\d{1,16})((?: [a-z][a-z0-9-]*=\d{1,16})*)$/.exec(header);
  if (read === null) return seq - 1;
  const [, base, rest = ''] = read;
  const numbers = rest.split(' ').flatMap((pair) => {
    const [noun = '', at] = pair.split('=');
    return nouns?.has(noun) === true ? [Number(at)] : [];
  });
  return Math.min(seq - 1, Math.max(Number(base), ...numbers));
}

/** The nouns of event names like `compute.vm.changed`; undefined when there may be any. */
export function nounsOf(names: readonly string[] | undefined): ReadonlySet<string> | undefined {
  const nouns = new Set(names?.map((name) => name.split('.')[1] ?? '*'));
  return nouns.size === 0 || nouns.has('*') ? undefined : nouns;
}
