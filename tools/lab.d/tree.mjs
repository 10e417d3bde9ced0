// Makes the source tree runnable: npm packages as the lock file says, and the compiled services. Does nothing when
// neither the lock file nor a source has changed since.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { writeWhole } from './files.mjs';
import { withLock } from './lock.mjs';
import { findCommand } from './packages.mjs';
import { run } from './run.mjs';

const SOURCE_DIRS = ['libs', 'services', 'tools'];
const SOURCE_FILES = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'tools/build/main.mjs', 'tools/build/joined.mjs'];
const SOURCE_NAME = /\.(ts|tsx|css|html|svg|json|sql)$/;
const SKIPPED = new Set(['node_modules', 'dist', 'lab.d', 'guest']);

/** The Node that services run with: pinned by the lock file; before `npm ci` the one that runs this. */
export function nodeBinary(repo) {
  const pinned = join(repo, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node');
  return existsSync(pinned) ? pinned : process.execPath;
}

/** Runs `npm ci` and `npm run build` where they are due. */
export async function ensureTree({ repo, cache, logDir, say }) {
  mkdirSync(logDir, { recursive: true });
  const lock = join(cache, `tree-${createHash('sha256').update(repo).digest('hex').slice(0, 12)}.lock`);
  await withLock(lock, async () => {
    await ensureNpmPackages({ repo, logDir, say });
    await ensureBuild({ repo, logDir, say });
  }, { waitMs: 600_000 });
}

async function ensureNpmPackages({ repo, logDir, say }) {
  const lockHash = createHash('sha256').update(readFileSync(join(repo, 'package-lock.json'))).digest('hex');
  const stamp = join(repo, 'node_modules', '.lab-lock-hash');
  if (readText(stamp) === lockHash) return;
  if (!installedByHand(repo)) {
    if (!findCommand('npm')) throw new Error('No npm: install Node.js 18 or newer with npm, then repeat.');
    const started = Date.now();
    await run(['npm', 'ci', '--no-audit', '--no-fund'], { cwd: repo, timeoutMs: 900_000, logFile: join(logDir, 'npm-ci.log') });
    say(`npm packages installed (${seconds(started)})`);
  }
  writeWhole(stamp, lockHash);
}

/** npm notes what it installed; a note that is not older than the lock file means somebody ran it after the last change. */
function installedByHand(repo) {
  const note = statSync(join(repo, 'node_modules', '.package-lock.json'), { throwIfNoEntry: false });
  return note !== undefined && note.mtimeMs >= statSync(join(repo, 'package-lock.json')).mtimeMs;
}

async function ensureBuild({ repo, logDir, say }) {
  const stamp = join(repo, 'dist', '.lab-source-hash');
  const hash = sourceHash(repo);
  if (readText(stamp) === hash) return;
  const started = Date.now();
  const env = { ...process.env, PATH: `${dirname(nodeBinary(repo))}:${process.env.PATH}` };
  await run(['npm', 'run', '--silent', 'build'], { cwd: repo, env, timeoutMs: 600_000, logFile: join(logDir, 'build.log') });
  writeWhole(stamp, hash);
  say(`built (${seconds(started)})`);
}

/** Changes when any source is added, removed or written. */
export function sourceHash(repo) {
  const hash = createHash('sha256');
  const take = (path) => {
    const at = statSync(path, { throwIfNoEntry: false });
    if (at) hash.update(`${path.slice(repo.length)}\0${at.size}\0${at.mtimeMs}\n`);
  };
  const walk = (dir) => {
    for (const entry of readdirSync(dir, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (entry.isDirectory()) {
        if (!SKIPPED.has(entry.name)) walk(join(dir, entry.name));
      } else if (SOURCE_NAME.test(entry.name)) take(join(dir, entry.name));
    }
  };
  for (const name of SOURCE_FILES) take(join(repo, name));
  for (const name of SOURCE_DIRS) if (existsSync(join(repo, name))) walk(join(repo, name));
  return hash.digest('hex');
}

const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`;
const readText = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : undefined);
