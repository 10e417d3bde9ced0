// Writes the generated references, or with --check says which committed ones differ from the contracts and ends with 1.
// Runs on what `npm run build` made.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const built = join(root, 'dist/tools/generate/src/documents.js');
const unknown = process.argv.slice(2).filter((word) => word !== '--check');
if (unknown.length > 0) {
  console.error(`usage: node tools/generate/main.mjs [--check]; ${unknown.join(' ')} is not known`);
  process.exit(2);
}
if (!existsSync(built)) {
  console.error('Not built yet: run npm run build.');
  process.exit(2);
}

const { documents } = await import(built);
const committed = (path) => (existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : undefined);
const changed = [...documents()].filter(([path, text]) => committed(path) !== text);

if (process.argv.includes('--check')) {
  for (const [path, text] of changed) {
    const { stdout, error } = spawnSync('diff', ['-u', '--label', `${path} (committed)`, '--label', `${path} (contracts)`, committed(path) === undefined ? '/dev/null' : join(root, path), '-'], { input: text, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
    console.log(error ? `${path} differs` : stdout);
  }
  if (changed.length > 0) console.error(`${changed.length} generated file(s) are out of date: npm run docs writes them.`);
  process.exit(changed.length > 0 ? 1 : 0);
}

for (const [path, text] of changed) {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.draft`, text);
  renameSync(`${file}.draft`, file);
  console.log(`wrote ${path}`);
}
if (changed.length === 0) console.log('The references are up to date.');
