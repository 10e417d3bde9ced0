// How generated JSON is written: for people who read it and for diffs.
const WIDTH = 160;

/** JSON in which whatever fits stands on one line: a third of the lines, and a change shows as one. */
export function json(value: unknown): string {
  const written = (one: unknown, indent: string, before: number): string => {
    const flat = flatJson(one);
    if (typeof one !== 'object' || one === null || indent.length + before + flat.length <= WIDTH) return flat;
    const deeper = `${indent}  `;
    const rows = Array.isArray(one)
      ? one.map((item) => `${deeper}${written(item, deeper, 1)}`)
      : membersOf(one).map(([name, member]) => `${deeper}${JSON.stringify(name)}: ${written(member, deeper, name.length + 5)}`);
    return `${Array.isArray(one) ? '[' : '{'}\n${rows.join(',\n')}\n${indent}${Array.isArray(one) ? ']' : '}'}`;
  };
  return `${written(value, '', 0)}\n`;
}

const membersOf = (value: object): [string, unknown][] => Object.entries(value).filter(([, member]) => member !== undefined);
function flatJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flatJson).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = membersOf(value).map(([name, member]) => `${JSON.stringify(name)}: ${flatJson(member)}`);
  return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`;
}
