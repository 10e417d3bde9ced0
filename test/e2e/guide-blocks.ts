// What the guides ask their reader to type, as data. A block says behind its language what the tests do with it:
//   `sh run`            pasted into one shell with all others of its page, in their order
//   `sh run needs=X`    the same where this machine has X, and counted as skipped where it has not
//   `sh run endless`    each line is begun, and ended with Ctrl-C as soon as it has said something
//   `js file=NAME`      saved under this name before the page begins; a `sh run` block of the page runs it
// A block that no test runs says why in a comment before it: <!-- not run: the reason -->
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

export interface Block {
  readonly line: number;
  /** The last heading before it. */
  readonly heading: string;
  readonly language: string;
  readonly isRun: boolean;
  readonly isEndless: boolean;
  readonly needs: string | undefined;
  readonly file: string | undefined;
  readonly notRun: string | undefined;
  readonly text: string;
}

/** Languages of what somebody types or saves; others (json, …) are looked at only. */
const typed: ReadonlySet<string> = new Set(['', 'sh', 'bash', 'console', 'shell', 'js', 'mjs', 'javascript', 'ts', 'typescript', 'py', 'python']);
export const isTyped = ({ language }: Block): boolean => typed.has(language);

/** Guides that a test of their own pastes, because what they show has to be made first; all others are pasted by guides.e2e.ts. */
export const pastedBy: Readonly<Record<string, string>> = {
  'drift.md': 'drift.e2e.ts', // there are orphans to look at
};

export const guidesOf = (repo: string): string[] => readdirSync(join(repo, 'docs/guides')).filter((name) => name.endsWith('.md')).sort();

const words = /^(?:run|endless|needs=[\w-]+|file=[\w.-]+)$/;

export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  let heading = '';
  let notRun: string | undefined;
  const lines = markdown.split('\n');
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    const [, fence, info] = /^\s*(`{3,})(.*)$/.exec(line) ?? [];
    if (fence === undefined) {
      heading = /^#+ (.*)$/.exec(line)?.[1] ?? heading;
      if (line.trim() !== '') notRun = /^<!-- not run: (\S.*) -->$/.exec(line)?.[1];
      continue;
    }
    const end = lines.findIndex((other, index) => index > at && other.trim() === fence);
    if (end < 0) throw new Error(`line ${at + 1}: the block has no end`);
    const [language = '', ...marks] = (info ?? '').trim().split(/\s+/);
    const strange = marks.find((mark) => !words.test(mark));
    if (strange !== undefined) throw new Error(`line ${at + 1}: nobody knows what "${strange}" means behind a block's language`);
    const valued = (name: string): string | undefined => marks.find((mark) => mark.startsWith(`${name}=`))?.slice(name.length + 1);
    blocks.push({
      line: at + 1, heading, language, isRun: marks.includes('run'), isEndless: marks.includes('endless'), needs: valued('needs'), file: valued('file'), notRun,
      text: lines.slice(at + 1, end).map((one) => `${one}\n`).join(''),
    });
    notRun = undefined;
    at = end;
  }
  return blocks;
}
