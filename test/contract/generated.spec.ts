// What is committed equals what the contracts say, and a schema that changed is noticed before anybody else notices it.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { settings } from '#config';
import { documents } from '../../tools/generate/src/documents.ts';
import { root, sources } from './services.ts';

const committed = (path: string): string | undefined => (existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : undefined);
const generated = documents();
const snapshot = 'test/contract/schemas.json';
type Schemas = Readonly<Record<string, unknown>>;
const parsed = (text: string | undefined): Schemas => JSON.parse(text ?? '{}') as Schemas;
const changedText = 'The published schema changed. Clients rely on it: give what is new a new name (or the event a higher version). If the change is meant and compatible, `npm run docs` updates the snapshot; say it in CHANGELOG.md.';

describe('generated files', () => {
  it.each([...generated.keys()].filter((path) => path !== snapshot))('%s is up to date (npm run docs)', (path) => {
    expect(committed(path)).toBe(generated.get(path));
  });

  it('are the same each time', () => {
    expect([...documents()]).toEqual([...generated]);
  });
});

describe('published schemas', () => {
  const before = parsed(committed(snapshot));
  const now = parsed(generated.get(snapshot));

  it('exist in the snapshot', () => {
    expect(Object.keys(before).length).toBeGreaterThan(100);
  });
  it('changed in none of these', () => {
    const changed = Object.keys(before).filter((name) => name in now && JSON.stringify(before[name]) !== JSON.stringify(now[name]));
    expect(changed.length === 0 ? '' : `${changedText}\n${changed.join('\n')}`).toBe('');
  });
  it('neither came nor went unnoticed', () => {
    const gone = Object.keys(before).filter((name) => !(name in now));
    const fresh = Object.keys(now).filter((name) => !(name in before));
    expect([...gone.map((name) => `gone: ${name}. ${changedText}`), ...fresh.map((name) => `new: ${name}. npm run docs adds it to the snapshot.`)]).toEqual([]);
  });
});

describe('the configuration reference', () => {
  /** Variables of tools that run before or beside the processes; documented where the tool is. */
  const ofTools = /^TOK_(TEST_.*|LAB_.*|URL|TOKEN|PROFILE|FAULT_.*|BENCH_.*)$/;

  it('has every variable that the processes read', () => {
    const known = new Set(settings().map(({ name }) => name));
    const used = new Set(sources('services', 'libs').flatMap((path) => readFileSync(path, 'utf8').match(/\bTOK_[A-Z0-9_]+\b/g) ?? []));
    expect([...used].filter((name) => !known.has(name) && !ofTools.test(name)).sort()).toEqual([]);
  });
  it('has no variable that nobody reads', () => {
    const read = sources('services', 'libs').filter((path) => !path.endsWith('libs/config/src/schemas.ts')).map((path) => readFileSync(path, 'utf8')).join('\n');
    expect(settings().map(({ name }) => name).filter((name) => !new RegExp(`\\b${name}\\b`).test(read))).toEqual([]);
  });
});
