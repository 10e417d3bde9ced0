// A guide's blocks marked `sh run`, as a reader pastes them: into one shell, in their order.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Ended, Shell } from './shell.ts';
import type { World } from './world.ts';

/** The last line that a guide prints which went through. */
export const PASTED = '@@ done';

export function blocksOf({ lab }: World, guide: string): { heading: string; text: string }[] {
  const text = readFileSync(join(lab.repo, 'docs/guides', guide), 'utf8');
  return text.split(/^## /m).flatMap((section) => {
    const heading = section.split('\n')[0] ?? '';
    return [...section.matchAll(/^```sh run\n([\s\S]*?)^```$/gm)].map(([, block]) => ({ heading, text: block ?? '' }));
  });
}

/** What was printed last is enough to see where it ended. */
export async function paste(shell: Shell, blocks: readonly { heading: string; text: string }[], withinMs: number): Promise<Ended> {
  const script = ['set -euo pipefail', ...blocks.flatMap(({ heading, text }, index) => [`echo '@@ ${index}: ${heading.replaceAll('\'', '’')}'`, text]), `echo '${PASTED}'`].join('\n');
  const ended = await shell.run(['bash', '-c', script], { withinMs });
  return { ...ended, out: ended.out.slice(-2_000), err: ended.err.slice(-2_000) };
}
