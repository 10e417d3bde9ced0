// Completion scripts for bash, zsh and fish, made from the same tree that parses: commands, flags, choices; names of objects
// are asked of the platform when they are wanted.
import type { Command as Parser } from 'commander';
import { usageFailure } from './failures.ts';
import { fishScript } from './fish.ts';
import { isNoun, nounOf } from './nouns.ts';

/** A point of the command tree and what may follow there. */
export interface Place {
  /** Words that lead here, joined by a space. */
  readonly words: string;
  readonly commands: readonly string[];
  readonly flags: readonly string[];
  /** Flag → what follows it: fixed words, or `@noun` for names. */
  readonly values: readonly (readonly [flag: string, wanted: string])[];
  readonly argument: string;
}

/** Every place of the tree, from the root down. */
export function places(parser: Parser, words: readonly string[] = []): Place[] {
  const options = parser.options.filter(({ hidden }) => !hidden);
  return [
    {
      words: words.join(' '),
      commands: parser.commands.flatMap(namesOf),
      flags: [...options.flatMap(({ long, short }) => [...(long ? [long] : []), ...(short && !long ? [short] : [])]), '--help'],
      values: options.flatMap(({ long, flags }) => {
        const wanted = wantedOf(/<([^>]*)>/.exec(flags)?.[1] ?? '');
        return long && wanted ? [[long, wanted] as const] : [];
      }),
      argument: wantedOf(parser.registeredArguments[0]?.name() ?? ''),
    },
    ...parser.commands.flatMap((child) => namesOf(child).flatMap((name) => places(child, [...words, name]))),
  ];
}

const namesOf = (parser: Parser): string[] => [parser.name(), ...parser.aliases()];

function wantedOf(placeholder: string): string {
  if (placeholder === 'format') return 'table json yaml name id';
  if (placeholder === 'shell') return 'bash zsh fish';
  if (placeholder === 'path' || placeholder === '@file|-') return '@@file';
  if (isNoun(placeholder)) return nounOf(placeholder).label === null ? '' : `@${placeholder}`;
  return /^[a-z0-9-]+(\|[a-z0-9-]+)+$/.test(placeholder) ? placeholder.replaceAll('|', ' ') : '';
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** One function for bash and zsh: zsh runs it through bashcompinit. */
function script(program: Parser): string {
  const all = places(program);
  const words = all.map(({ words: path, commands, flags }) => `    ${quote(path)}) commands=${quote(commands.join(' '))}; flags=${quote(flags.join(' '))} ;;`);
  const values = all.flatMap(({ words: path, values: wanted }) => wanted.map(([flag, what]) => `    ${quote(`${path} ${flag}`)}) wanted=${quote(what)} ;;`));
  const usual = all.flatMap(({ words: path, argument }) => (argument ? [`    ${quote(path)}) wanted=${quote(argument)} ;;`] : []));
  return `_tokctl() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} path='' commands='' flags='' wanted='' word at
  for ((at = 1; at < COMP_CWORD; at++)); do
    word=\${COMP_WORDS[at]}
    _tokctl_place "$path"
    case " $commands " in *" $word "*) path="\${path:+$path }$word" ;; esac
  done
  _tokctl_place "$path"
  case "$path $previous" in
${values.join('\n')}
  esac
  if [ -z "$wanted" ] && [ "\${current#-}" = "$current" ] && [ -z "$commands" ]; then
    case "$path" in
${usual.join('\n')}
    esac
  fi
  case $wanted in
    @@file) COMPREPLY=($(compgen -f -- "\${current#@}")) ;;
    @*) _tokctl_names "\${wanted#@}" "$current" ;;
    ?*) COMPREPLY=($(compgen -W "$wanted" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$commands $flags" -- "$current")) ;;
  esac
}
_tokctl_place() {
  commands='' flags=''
  case "$1" in
${words.join('\n')}
  esac
}
_tokctl_names() {
  local IFS=$'\\n' name
  COMPREPLY=()
  for name in $(tokctl "$1" list -o name 2>/dev/null); do
    case $name in "$2"*) COMPREPLY+=("$(printf '%q' "$name")") ;; esac
  done
}
complete -F _tokctl tokctl`;
}

export function completionFor(shell: string, program: Parser): string {
  if (shell === 'bash') return script(program);
  if (shell === 'zsh') return `#compdef tokctl\nautoload -Uz bashcompinit && bashcompinit\n${script(program)}`;
  if (shell === 'fish') return fishScript(places(program));
  throw usageFailure(`There is no completion for "${shell}"; bash, zsh and fish have one.`);
}
