// Fetches single Debian packages without installing them: from the system's release, or from a newer
// one through an apt configuration of our own in the cache. The system's apt stays as it was.
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { debianMirror, readSystemSources } from './apt-sources.mjs';
import { writeWhole } from './files.mjs';
import { run } from './run.mjs';

const KEYRINGS = ['/usr/share/keyrings/debian-archive-keyring.gpg', '/usr/share/keyrings/debian-archive-keyring.pgp'];
const LIST_MAX_AGE_MS = 24 * 3600_000;

function codename() {
  return /^VERSION_CODENAME=(\S+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
}

/** apt options that read and write only below `dir` and know only `suite`. */
function privateApt(dir, suite) {
  const mirror = debianMirror(readSystemSources(), codename());
  if (!mirror) throw new Error('No Debian archive in the apt sources of this system: add one, then repeat.');
  const keyring = KEYRINGS.find((path) => existsSync(path));
  if (!keyring) throw new Error('No Debian archive keyring: install the package debian-archive-keyring, then repeat.');
  for (const part of ['lists/partial', 'archives/partial', 'parts']) mkdirSync(join(dir, part), { recursive: true });
  chmodSync(dir, 0o755);
  writeWhole(join(dir, 'sources.list'), `deb [signed-by=${keyring}] ${mirror} ${suite} main\n`);
  writeWhole(join(dir, 'status'), '');
  return [
    ['Dir::Etc::SourceList', join(dir, 'sources.list')], ['Dir::Etc::SourceParts', join(dir, 'parts')],
    ['Dir::Etc::PreferencesParts', join(dir, 'parts')], ['Dir::State::Lists', join(dir, 'lists')],
    ['Dir::State::Status', join(dir, 'status')], ['Dir::Cache', dir], ['Dir::Cache::Archives', join(dir, 'archives')],
    ['APT::Sandbox::User', ''],
  ].flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

/** Apt's package lists may be missing on a fresh system; only root can fetch those of the system. */
export async function refreshSystemLists() {
  await run(['apt-get', '-q', 'update'], { timeoutMs: 300_000 });
}

function listsAreFresh(dir) {
  try {
    return readdirSync(join(dir, 'lists')).some((name) => /_(In)?Release$/.test(name))
      && Date.now() - Number(readFileSync(join(dir, 'fetched-at'), 'utf8')) < LIST_MAX_AGE_MS;
  } catch {
    return false;
  }
}

/**
 * A source of packages. `suite` undefined means the system's own release with the lists that it has.
 * Each call costs apt the reading of its lists, so all take many names at once.
 */
export async function packageSource(cache, suite) {
  const dir = join(cache, 'apt', suite ?? 'system');
  mkdirSync(dir, { recursive: true });
  const options = suite ? privateApt(dir, suite) : ['-o', 'APT::Sandbox::User='];
  if (suite && !listsAreFresh(dir)) {
    await run(['apt-get', '-q', ...options, 'update'], { timeoutMs: 300_000 });
    writeWhole(join(dir, 'fetched-at'), String(Date.now()));
  }
  const ask = (...args) => run(['apt-cache', ...options, ...args], { env: { ...process.env, LC_ALL: 'C' } });

  /** What each package needs, directly and through others: Map of name to names. */
  async function dependencies(names) {
    return parseDependencies(await ask('depends', '--recurse', '--important', ...names));
  }

  /** Downloads the packages and unpacks each into `<into>/<name>`; resolves with { name: version }. */
  async function unpack(names, into) {
    const work = join(dir, `download-${process.pid}`);
    rmSync(work, { recursive: true, force: true });
    mkdirSync(work, { recursive: true });
    try {
      await run(['apt-get', '-q', ...options, 'download', ...names], { cwd: work, timeoutMs: 600_000 });
      const versions = {};
      for (const file of readdirSync(work).filter((found) => found.endsWith('.deb'))) {
        const [name, version] = file.split('_');
        versions[name] = decodeURIComponent(version);
        const aside = join(into, `${name}.${process.pid}.new`);
        mkdirSync(aside, { recursive: true });
        await run(['dpkg-deb', '-x', join(work, file), aside]);
        rmSync(join(into, name), { recursive: true, force: true });
        renameSync(aside, join(into, name));
      }
      return versions;
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }

  return { dependencies, unpack };
}

/** Reads `apt-cache depends --recurse`: a name at the line's start, what it needs indented below. */
export function parseDependencies(text) {
  const needs = new Map();
  let current;
  for (const line of text.split('\n')) {
    const needed = /^\s+\|?(?:Pre)?Depends: (\S+)/.exec(line);
    if (needed) current?.push(needed[1]);
    else if (/^\S/.test(line)) needs.set(line.trim(), (current = []));
  }
  return needs;
}
