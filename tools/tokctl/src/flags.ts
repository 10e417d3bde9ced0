// The flags of a command, made from the members of its contract's input: one flag per value that a person can give.
import type { Member, Shape } from './shape.ts';

export interface Flag {
  /** Without the dashes. */
  readonly name: string;
  /** Where the value goes in the input. */
  readonly path: readonly string[];
  readonly shape: Shape;
  readonly required: boolean;
  readonly nullable: boolean;
  readonly repeatable: boolean;
  readonly preset: unknown;
  readonly description: string;
}

/** Names that the rule below would make worse, or the same as another one. */
const given: Readonly<Record<string, string>> = { diskBytes: 'disk-size', bootOrder: 'boot-order', dns: 'dns', version: 'if-version', folderId: 'folder' };
const units = /(Bytes|Ms)$/;
const ids = /Ids?$/;

const kebab = (text: string): string => text.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** `templateId` → `template`, `memoryBytes` → `memory`, `disks` → `disk`: what it is, without its type. */
export function flagName(member: string, shape: Shape): string {
  const named = given[member];
  if (named !== undefined) return named;
  const short = shape.kind === 'reference' || (shape.kind === 'list' && shape.item.kind === 'reference') ? member.replace(ids, '') : shape.kind === 'size' || shape.kind === 'duration' ? member.replace(units, '') : member;
  const one = (shape.kind === 'list' || shape.kind === 'pairs') && short === member ? short.replace(/s$/, '') : short;
  return kebab(one);
}

/** Flags of an object's members; those of a nested object are dotted. */
export function flagsOf(members: Readonly<Record<string, Member>>, above: { readonly path: readonly string[]; readonly name: string; readonly required: boolean } = { path: [], name: '', required: true }): Flag[] {
  return Object.entries(members).flatMap(([member, { shape, required, nullable, preset, description }]): Flag[] => {
    const path = [...above.path, member];
    const name = `${above.name}${flagName(member, shape)}`;
    if (shape.kind === 'object') return flagsOf(shape.members, { path, name: `${name}.`, required: above.required && required });
    return [{ name, path, shape, required: above.required && required, nullable, repeatable: shape.kind === 'list' || shape.kind === 'pairs', preset, description }];
  });
}

const valueNames: Readonly<Record<Shape['kind'], string>> = {
  text: 'text', integer: 'number', number: 'number', size: 'size', duration: 'duration', boolean: '', secret: '@file|-', any: 'json', choice: '', reference: '', list: '', pairs: 'name=value', object: 'members',
};

/** What stands behind the flag in help. */
export function placeholder(shape: Shape): string {
  if (shape.kind === 'choice') return shape.values.length <= 6 ? shape.values.join('|') : 'choice';
  if (shape.kind === 'reference') return shape.noun;
  if (shape.kind === 'list') return shape.item.kind === 'object' ? membersText(shape.item) : placeholder(shape.item);
  return valueNames[shape.kind];
}

/** `size=…,datastore=…,[bus=…]`: how an item of a list of objects is written. */
function membersText(shape: Shape & { kind: 'object' }): string {
  return Object.entries(shape.members).map(([member, { shape: inner, required }]) => {
    const text = `${flagName(member, inner)}=${placeholder(inner)}`;
    return required ? text : `[${text}]`;
  }).join(',');
}

export function presetText({ preset, shape }: Flag): string {
  if (preset === undefined || preset === null || preset === '') return '';
  if (shape.kind === 'boolean') return preset === true ? 'on' : 'off';
  const text = typeof preset === 'string' ? preset : JSON.stringify(preset);
  return text === '[]' || text === '{}' ? '' : text;
}
