// The guest's whole userland as one compressed archive: busybox, the QEMU guest agent with its libraries, a few
// kernel modules, and the scripts of ./root.
import { readFileSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { run } from '../lab.d/run.mjs';
import { cpioArchive } from './cpio.mjs';
import { chooseModules } from './kernel-modules.mjs';

const LIBRARY_DIRS = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu', 'lib64', 'lib', 'usr/lib'];
const LOADER = 'ld-linux-x86-64.so.2';
const EMPTY_DIRS = ['proc', 'sys', 'dev', 'tmp', 'run', 'var/run', 'mnt', 'root'];

const file = (path, data, mode = 0o755) => ({ path, type: 'file', data, mode });

/** `packages` maps each unpacked Debian package's name to its folder. Returns the gzip'd archive. */
export async function buildInitramfs({ scripts, modulesDir, packages }) {
  const entries = [
    ...EMPTY_DIRS.map((path) => ({ path, type: 'directory' })),
    ...scriptEntries(scripts),
    ...(await busyboxEntries(packages['busybox-static'])),
    ...(await agentEntries(packages)),
    ...moduleEntries(modulesDir),
  ];
  return gzipSync(cpioArchive(entries), { level: 9 });
}

function scriptEntries(dir, top = dir) {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const path = join(dir, entry.name);
    return entry.isDirectory() ? scriptEntries(path, top) : [file(relative(top, path), readFileSync(path))];
  });
}

async function busyboxEntries(tree) {
  const binary = [join(tree, 'bin/busybox'), join(tree, 'usr/bin/busybox')].find(exists);
  const applets = (await run([binary, '--list'])).split('\n').filter((name) => name && name !== 'busybox');
  return [
    file('bin/busybox', readFileSync(binary)),
    ...applets.map((name) => ({ path: `bin/${name}`, type: 'link', data: 'busybox' })),
  ];
}

/** The agent and, found by name in the unpacked packages, every library it asks for. */
async function agentEntries(packages) {
  const agent = join(packages['qemu-guest-agent'], 'usr/sbin/qemu-ga');
  const libraries = new Map();
  const visit = async (binary) => {
    const wanted = [...(await run(['objdump', '-p', binary])).matchAll(/NEEDED\s+(\S+)/g)].map((match) => match[1]);
    for (const name of wanted) {
      if (libraries.has(name)) continue;
      const found = findLibrary(name, Object.values(packages));
      libraries.set(name, found);
      await visit(found);
    }
  };
  await visit(agent);
  libraries.set(LOADER, findLibrary(LOADER, Object.values(packages)));
  return [
    file('bin/qemu-ga', readFileSync(agent)),
    ...[...libraries].map(([name, path]) => file(name === LOADER ? `lib64/${name}` : `lib/x86_64-linux-gnu/${name}`, readFileSync(path))),
  ];
}

function findLibrary(name, trees) {
  for (const tree of trees) {
    for (const dir of LIBRARY_DIRS) {
      const path = join(tree, dir, name);
      if (exists(path)) return realpathSync(path);
    }
  }
  throw new Error(`The guest agent needs ${name}, which is in none of its packages: name its package in build-guest.mjs.`);
}

function moduleEntries(modulesDir) {
  const { early, late, onDemand } = chooseModules(modulesDir);
  const list = (files) => files.map((path) => basename(path)).join('\n') + '\n';
  return [
    ...[...early, ...late, ...onDemand].map((path) => file(`lib/modules/${basename(path)}`, readFileSync(path), 0o644)),
    file('lib/modules/early', list(early), 0o644),
    file('lib/modules/late', list(late), 0o644),
    file('lib/modules/on-demand', list(onDemand), 0o644),
  ];
}

function exists(path) {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
