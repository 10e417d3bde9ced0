// The completion script of fish, made from the places of the command tree as those of bash and zsh are.
import type { Place } from './completion.ts';

/** `words` are plain: letters, digits, dashes; nothing in them means anything to the shell inside single quotes. */
const quote = (text: string): string => `'${text}'`;

/** What stands behind `complete`'s condition for a value: fixed words, files, or the names of objects. */
function offered(wanted: string): string {
  if (wanted === '@@file') return '-r -F';
  return `-x -a ${quote(wanted.startsWith('@') ? `(__tokctl_names ${wanted.slice(1)})` : wanted)}`;
}

function linesOf({ words, commands, flags, values, argument }: Place): string[] {
  const here = `complete -c tokctl -n ${quote(`__tokctl_at ${words}`.trimEnd())}`;
  const wantedBy = new Map(values);
  return [
    ...(commands.length > 0 ? [`${here} -a ${quote(commands.join(' '))}`] : []),
    ...flags.map((flag) => {
      const wanted = wantedBy.get(flag);
      const name = flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`;
      return [here, name, ...(wanted === undefined ? [] : [offered(wanted)])].join(' ');
    }),
    ...(commands.length === 0 && argument !== '' ? [`${here} ${offered(argument).replace(/^-[xr] /, '')}`] : []),
  ];
}

export function fishScript(places: readonly Place[]): string {
  return `set -g __tokctl_commands ${places.map(({ words }) => quote(words)).join(' ')}
function __tokctl_at
    set -l path
    set -l typed (commandline -opc)
    for word in $typed[2..-1]
        set -l longer $path $word
        contains -- "$longer" $__tokctl_commands; and set path $longer
    end
    test "$path" = "$argv"
end
function __tokctl_names
    tokctl $argv[1] list -o name 2>/dev/null
end
complete -c tokctl -f
${places.flatMap(linesOf).join('\n')}`;
}
