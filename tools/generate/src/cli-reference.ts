// The reference of the command line, made from the tree that tokctl parses with.
import type { Command as Parser } from 'commander';
import { commandTree } from '../../tokctl/src/command-tree.ts';
import { examples } from '../../tokctl/src/examples.ts';
import { exitMeanings } from '../../tokctl/src/exit-codes.ts';
import { programOf } from '../../tokctl/src/program.ts';
import { ProfileStore } from '../../tokctl/src/profile.store.ts';
import type { Surroundings } from '../../tokctl/src/surroundings.ts';
import { code, page, table } from './markdown.ts';

/** Nobody runs a command here: the tree is only read. */
const nowhere: Surroundings = {
  env: {}, store: new ProfileStore('/nonexistent'), watched: false, width: Number.POSITIVE_INFINITY,
  out: ignore, say: ignore, redraw: ignore, readLine: () => Promise.resolve(undefined), question: () => Promise.resolve(undefined), nowMs: () => 0,
  line: () => ({ input: process.stdin, output: process.stdout, takeKeys: undefined }),
};
function ignore(): void {
  // There is nobody to tell.
}

function leaves(parser: Parser, words: readonly string[] = []): { readonly words: readonly string[]; readonly parser: Parser }[] {
  if (parser.commands.length === 0) return [{ words, parser }];
  return parser.commands.flatMap((child) => leaves(child, [...words, child.name()]));
}

function usage({ words, parser }: { readonly words: readonly string[]; readonly parser: Parser }): string {
  const given = parser.registeredArguments.map((argument) => `${argument.required ? '<' : '['}${argument.name()}${argument.variadic ? '...' : ''}${argument.required ? '>' : ']'}`);
  return ['tokctl', ...words, ...given].join(' ');
}

export function cliReference(): string {
  const all = leaves(programOf(nowhere, '0', commandTree()));
  return page(
    '# tokctl', 'This page is made from the contracts by `npm run docs`; it is not edited.',
    'Names and ids are interchangeable: `tokctl vm stop web-1` looks the name up. Sizes are written `512MiB`, `10GiB`; durations `30s`, `5m`. `--wait` follows a task to its end. Tokens lie in `$XDG_CONFIG_HOME/tokamak`, readable by their owner alone. `TOK_URL`, `TOK_TOKEN` and `TOK_PROFILE` choose platform, token and profile for scripts. Nothing but that platform is contacted.',
    '## Exit status', table(['status', 'meaning'], exitMeanings.map(({ code: status, meaning }) => [String(status), meaning])),
    '## Commands', table(['command', 'what it does'], all.map((leaf) => [code(usage(leaf)), leaf.parser.summary()])),
    ...all.map((leaf) => section(leaf.words, leaf.parser)),
  );
}

function section(words: readonly string[], parser: Parser): string {
  const rows = parser.options.filter(({ hidden, negate, description }) => !hidden && !(negate && description === '')).map(({ flags, description }) => [code(flags), description]);
  const shown = examples[words.join(' ')] ?? [];
  return page(
    `## tokctl ${words.join(' ')}`, `${parser.description()}.${parser.aliases().map((alias) => ` Also called \`${alias}\`.`).join('')}`, `\`\`\`\n${usage({ words, parser })}\n\`\`\``,
    rows.length === 0 ? '' : table(['flag', 'meaning'], rows), shown.length === 0 ? '' : `\`\`\`sh\n${shown.join('\n')}\n\`\`\``,
  ).trimEnd();
}
