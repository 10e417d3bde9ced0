// A guide as its reader goes through it: what it says to save is saved, and its commands are pasted into one shell, in their order.
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { blocksOf } from './guide-blocks.ts';
import type { Block } from './guide-blocks.ts';
import type { Shell } from './shell.ts';
import type { World } from './world.ts';

/** The last line of a page that went through. */
const PASTED = '@@ done';

/** Kinds of machine that blocks need, by their mark, with the environment to go with them. */
export type Had = Readonly<Record<string, NodeJS.ProcessEnv>>;

/** Directory of commands that stand in for those that are not here. */
export const STAND_INS = join(import.meta.dirname, 'stand-ins');

export const guideBlocks = ({ lab }: World, guide: string): Block[] => blocksOf(readFileSync(join(lab.repo, 'docs/guides', guide), 'utf8'));

/**
 * Begins what would go on for ever, and ends it as Ctrl-C does once it has said something. The stand-in of `nats` comes last in PATH: where
 * there is the real one, that is taken. Whatever a page left in the background goes with its shell.
 */
const PRELUDE = `set -euo pipefail
export PATH="$PATH:${STAND_INS}"
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
endless() {
  local said status=0
  said=$(mktemp)
  set -m
  (eval "$1") > "$said" 2>&1 < /dev/null &
  set +m
  local begun=$!
  until [ -s "$said" ] || ! kill -0 "$begun" 2>/dev/null; do sleep 0.05; done
  kill -INT -- "-$begun" 2>/dev/null || true
  wait "$begun" || status=$?
  cat "$said"
  rm "$said"
  [ "$status" -eq 0 ] || [ "$status" -eq 130 ]
}
`;

const quoted = (text: string): string => `'${text.replaceAll('\'', String.raw`'\''`)}'`;

function commandsOf({ isEndless, text }: Block): string {
  return isEndless ? text.split('\n').filter((line) => line.trim() !== '').map((line) => `endless ${quoted(line)}`).join('\n') : text;
}

/** Answers what the page has shown; rejects with where it ended. */
export async function paste(world: World, shell: Shell, guide: string, { withinMs, had = {} }: { withinMs: number; had?: Had }): Promise<string> {
  const blocks = guideBlocks(world, guide);
  // Beside the sources, so that the programs of a page find the NATS client.
  const dir = mkdtempSync(join(world.lab.repo, '.lab-guide-'));
  try {
    symlinkSync(join(world.lab.repo, 'tools'), join(dir, 'tools'));
    for (const { file, text } of blocks) if (file !== undefined) writeFileSync(join(dir, file), text);
    const commands = blocks.filter(({ isRun, needs }) => isRun && (needs === undefined || needs in had));
    const script = [PRELUDE, ...commands.flatMap((block) => [`echo ${quoted(`@@ line ${block.line}: ${block.heading}`)}`, commandsOf(block)]), `echo '${PASTED}'`].join('\n');
    const env = Object.entries(Object.assign({}, ...Object.values(had)) as Record<string, string>).map(([name, value]) => `${name}=${value}`);
    const { status, out, err } = await shell.run(['env', '-C', dir, ...env, 'timeout', '--signal=KILL', String(withinMs / 1000), 'bash', '-c', script], { withinMs: withinMs + 5_000 });
    if (status !== 0 || !out.endsWith(`${PASTED}\n`)) throw new Error(`${guide} ended with ${status} at ${out.split('\n').findLast((line) => line.startsWith('@@')) ?? 'its begin'}: ${err.slice(-1_500)}\n--- shown last:\n${out.slice(-1_500)}`);
    return out;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
