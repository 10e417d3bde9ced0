// docs/faults.md is written by several runs, each of which knows one part of it: a part stands between two marks and stays as
// its own run wrote it.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPO } from '../lab.d/layout.mjs';

const FILE = join(REPO, 'docs', 'faults.md');

/** In the order of the page. What stands before the first is the fault tests' own. */
export const PARTS = {
  matrix: { begin: '<!-- the kill matrix: written by `npm run test:faults -- --matrix` -->', end: '<!-- end of the kill matrix -->' },
  tasks: { begin: '<!-- the faults of the task engine: written by `npm run test:integration` -->', end: '<!-- end of the faults of the task engine -->' },
  chaos: { begin: '<!-- the chaos run: written by `npm run chaos` -->', end: '<!-- end of the chaos run -->' },
  outages: { begin: '<!-- the long outages: written by `npm run chaos -- --outages` -->', end: '<!-- end of the long outages -->' },
  churn: { begin: '<!-- the churn: written by `npm run churn` -->', end: '<!-- end of the churn -->' },
};

/** A part of a page with its marks, or ''. */
export function partOf(page, { begin, end }) {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  return from === -1 || to === -1 ? '' : page.slice(from, to + end.length + 1);
}

/** The page with one part, or with what stands before all parts (`own`), as it is now. */
export function withPart(page, name, text) {
  const parts = Object.entries(PARTS).map(([of, marks]) => (of === name ? text : partOf(page, marks)));
  const first = Math.min(...Object.values(PARTS).map(({ begin }) => page.indexOf(begin)).filter((at) => at !== -1), page.length);
  const own = name === 'own' ? text : page.slice(0, first);
  return `${[own, ...parts].map((part) => part.trim()).filter(Boolean).join('\n\n')}\n`;
}

export function writePart(name, text, say) {
  const before = pageBefore();
  const after = withPart(before, name, text);
  if (after === before) return;
  writeFileSync(FILE, after);
  say(`wrote ${FILE}`);
}

/** A part as it stands on the page now, or ''. */
export const currentPart = (name) => partOf(pageBefore(), PARTS[name]);

function pageBefore() {
  try {
    return readFileSync(FILE, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return '';
    throw error;
  }
}
