// The words after `npm run chaos --`. Unknown ones are refused.
const OPTIONS = {
  '--minutes': [/^[1-9]\d{0,3}$/, 'minutes'],
  '--seed': [/^\d{1,9}$/, 'seed'],
  '--tasks': [/^[1-9]\d{0,4}$/, 'tasks'],
};
export const CHAOS_USAGE = '[--outages] [--minutes N] [--seed N] [--tasks N]';
const SMALL = { minutes: 10, tasks: 200 };
/** Most of it is one outage, in which nothing is acknowledged. */
const OUTAGES = { minutes: 16, tasks: 100 };

/** { minutes, seed, tasks, outages }; the seed is the day's where none is given. */
export function readChaosWords(argv, now = Date.now()) {
  const outages = argv.includes('--outages');
  const words = argv.filter((word) => word !== '--outages');
  const found = { ...(outages ? OUTAGES : SMALL), seed: Math.floor(now / 86_400_000), outages };
  for (let at = 0; at < words.length; at += 2) {
    const [form, name] = OPTIONS[words[at]] ?? [];
    if (form === undefined) throw new Error(`There is no option ${words[at]}. There are: ${CHAOS_USAGE}`);
    const value = words[at + 1];
    if (value === undefined || !form.test(value)) throw new Error(`${words[at]} needs a value like ${form.source}; options: ${CHAOS_USAGE}`);
    found[name] = Number(value);
  }
  return found;
}
