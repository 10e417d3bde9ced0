#!/usr/bin/env node
// Builds the small guest that the lab's demo and the tests boot: a qcow2 image from Debian's cloud kernel, busybox and
// the QEMU guest agent. Kept in the cache under a hash of the recipe, so it is built once.
// Usage: node tools/guest/build-guest.mjs      prints the image's path
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageSource, refreshSystemLists } from '../lab.d/apt-download.mjs';
import { writeJson } from '../lab.d/files.mjs';
import { cacheDir } from '../lab.d/layout.mjs';
import { withLock } from '../lab.d/lock.mjs';
import { ensurePackages } from '../lab.d/packages.mjs';
import { buildDisk } from './disk.mjs';
import { buildInitramfs } from './initramfs.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const MIB = 1024 * 1024;
const DISK_SIZE = 64 * MIB;
const KERNEL_PACKAGE = 'linux-image-cloud-amd64';
const AGENT_PACKAGE = 'qemu-guest-agent';

/** What is left out at boot is work that a short-lived virtual machine under emulation never needs. */
export const COMMAND_LINE = [
  'console=tty0', 'console=ttyS0', 'quiet', 'panic=1', 'counter=1', 'cryptomgr.notests', 'nokaslr', 'mitigations=off',
  'rcupdate.rcu_expedited=1', 'no_timer_check', 'tsc=reliable', 'random.trust_cpu=on',
  'initcall_blacklist=crypto_kdf108_init,load_system_certificate_list,init_kprobe_trace,acpi_cpufreq_init',
].join(' ');

/** Path of the guest's image, built first when the recipe has changed. The package versions it holds stand beside it. */
export async function ensureGuest({ cache = cacheDir(), say = () => {} } = {}) {
  const key = createHash('sha256').update(recipe().join('\n')).digest('hex').slice(0, 16);
  const image = join(cache, 'guest', `guest-${key}.qcow2`);
  if (existsSync(image)) return image;

  await ensurePackages(['guest'], say);
  await withLock(join(cache, 'guest.lock'), async () => {
    if (existsSync(image)) return;
    say('building the guest image');
    await withFreshLists(() => buildInto({ cache, key, image }));
  }, { waitMs: 300_000 });
  return image;
}

/** Package lists may be missing or older than the archive; root can renew them and try once more. */
async function withFreshLists(attempt) {
  try {
    return await attempt();
  } catch (error) {
    if (process.getuid() !== 0) throw error;
    await refreshSystemLists();
    return attempt();
  }
}

async function buildInto({ cache, key, image }) {
  const work = join(cache, 'guest', `build-${process.pid}`);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  try {
    const versions = await build({ source: await packageSource(cache), work, image: join(work, 'guest.qcow2') });
    writeJson(join(cache, 'guest', `guest-${key}.json`), { builtAt: new Date().toISOString(), packages: versions });
    renameSync(join(work, 'guest.qcow2'), image);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The kernel's real package, busybox, the agent and its libraries' packages. */
async function packageNames(source) {
  const needs = await source.dependencies([KERNEL_PACKAGE, AGENT_PACKAGE]);
  const kernel = needs.get(KERNEL_PACKAGE)?.find((name) => name.startsWith('linux-image-'));
  if (!kernel) throw new Error(`No package ${KERNEL_PACKAGE} in the package lists: run apt-get update as root, then repeat.`);
  const libraries = new Set();
  const visit = (name) => {
    for (const next of needs.get(name) ?? []) {
      if (!/^(lib|zlib)/.test(next) || libraries.has(next)) continue;
      libraries.add(next);
      visit(next);
    }
  };
  visit(AGENT_PACKAGE);
  return { kernel, all: [kernel, 'busybox-static', AGENT_PACKAGE, ...libraries] };
}

/** Everything in this folder but its tests decides what the guest is. */
function recipe(dir = HERE) {
  return readdirSync(dir, { withFileTypes: true }).filter(({ name }) => !name.endsWith('.test.mjs')).sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => (entry.isDirectory() ? recipe(join(dir, entry.name)) : [entry.name, readFileSync(join(dir, entry.name), 'utf8')]));
}

async function build({ source, work, image }) {
  const names = await packageNames(source);
  const versions = await source.unpack(names.all, work);
  const packages = Object.fromEntries(Object.keys(versions).map((name) => [name, join(work, name)]));
  const kernelTree = packages[names.kernel];
  const modulesRoot = [join(kernelTree, 'lib/modules'), join(kernelTree, 'usr/lib/modules')].find((path) => existsSync(path));
  const [version] = readdirSync(modulesRoot);
  const kernel = join(work, 'kernel');
  const initramfs = join(work, 'initramfs');
  copyFileSync(join(kernelTree, 'boot', `vmlinuz-${version}`), kernel);
  writeFileSync(initramfs, await buildInitramfs({ scripts: join(HERE, 'root'), modulesDir: join(modulesRoot, version), packages }));
  await buildDisk({ image, size: DISK_SIZE, kernel, initramfs, commandLine: COMMAND_LINE, work: join(work, 'disk') });
  return versions;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  ensureGuest({ say: (text) => console.error(text) }).then((image) => console.log(image), (error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
