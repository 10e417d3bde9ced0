// What the lab needs from Debian: says what is missing, installs it when it may, and otherwise tells how to
// get it. Installing leaves no service running and none enabled.
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { withLock } from './lock.mjs';
import { packageSource, refreshSystemLists } from './apt-download.mjs';
import { CommandFailed, run } from './run.mjs';
import { withServicesHeld } from './service-hold.mjs';

/** A file or command that proves the package is there, the package, and who needs it. */
const BACKENDS = [
  { command: 'mariadbd', package: 'mariadb-server', unit: 'mariadb.service' },
  { command: 'mariadb', package: 'mariadb-client' },
  { command: 'redis-server', package: 'redis-server', unit: 'redis-server.service' },
];
const HOSTS = [
  { command: 'qemu-system-x86_64', package: 'qemu-system-x86' },
  { command: 'qemu-img', package: 'qemu-utils' },
  { file: '/usr/share/OVMF/OVMF_CODE_4M.fd', package: 'ovmf' },
  { command: 'swtpm', package: 'swtpm' },
  { command: 'ovs-vswitchd', package: 'openvswitch-switch', unit: 'openvswitch-switch.service' },
  { command: 'dnsmasq', package: 'dnsmasq-base' },
  { command: 'ip', package: 'iproute2' },
  { command: 'nsenter', package: 'util-linux' },
  { command: 'ethtool', package: 'ethtool' },
  { command: 'ping', package: 'iputils-ping' },
];
const GUEST = [
  { command: 'qemu-img', package: 'qemu-utils' },
  { command: 'mcopy', package: 'mtools' },
  { command: 'syslinux', package: 'syslinux' },
  { file: '/usr/lib/syslinux/mbr/mbr.bin', package: 'syslinux-common' },
  { file: '/usr/lib/systemd/boot/efi/linuxx64.efi.stub', package: 'systemd-boot-efi' },
  { command: 'objcopy', package: 'binutils' },
];
/** What only the tests use: a DHCP client, a capture of frames with their tags, and the guides' commands. */
const TESTS = [
  { command: 'busybox', package: 'busybox' },
  { file: '/usr/bin/python3', package: 'python3' },
  { command: 'curl', package: 'curl' },
  { command: 'jq', package: 'jq' },
];
export const NEEDS = { backends: BACKENDS, hosts: HOSTS, guest: GUEST, tests: TESTS };

/** One installation at a time on this machine, whichever lab asks. */
const INSTALL_LOCK = '/run/tokamak-install.lock';
const ADMIN_PLACES = ['/usr/sbin', '/sbin'];

/** Full path of a command, looked for where administrators' commands stand too. */
export function findCommand(name, path = process.env.PATH ?? '') {
  for (const dir of [...path.split(delimiter), ...ADMIN_PLACES]) {
    if (dir === '') continue;
    try {
      accessSync(join(dir, name), constants.X_OK);
      return join(dir, name);
    } catch { /* the next place */ }
  }
  return undefined;
}

/** The needs of `groups` that this system does not meet, one per package. */
export function missing(groups = Object.keys(NEEDS)) {
  const lacking = groups.flatMap((group) => NEEDS[group])
    .filter((need) => (need.file ? !existsSync(need.file) : !findCommand(need.command)));
  return [...new Map(lacking.map((need) => [need.package, need])).values()];
}

/** Installs what is missing for `groups`; throws with the commands to run when it may not. */
export async function ensurePackages(groups, say = () => {}) {
  const needs = missing(groups);
  if (needs.length === 0) return;
  const names = needs.map((need) => need.package);
  const byHand = `Install them as root: apt-get update && apt-get install --no-install-recommends ${names.join(' ')}`;
  if (process.getuid() !== 0) throw new Error(`Missing Debian packages: ${names.join(' ')}. ${byHand}`);
  if (!findCommand('apt-get')) throw new Error(`Missing: ${names.join(' ')}, and this system has no apt-get. Install their equivalents, then repeat.`);
  say(`installing Debian packages: ${names.join(' ')}`);
  try {
    await withLock(INSTALL_LOCK, () => withServicesHeld(needs.flatMap((need) => need.unit ?? []), () => install(names)), { waitMs: 900_000 });
  } catch (error) {
    if (error instanceof CommandFailed) throw new Error(`${error.message}\n${byHand}`);
    throw error;
  }
  const still = missing(groups);
  if (still.length > 0) throw new Error(`Installed, but still not found: ${still.map((need) => need.command ?? need.file).join(' ')}.`);
}

async function install(names) {
  const argv = ['apt-get', '-q', '-y', '--no-install-recommends', '-o', 'Dpkg::Use-Pty=0', '-o', 'DPkg::Lock::Timeout=300', 'install', ...names];
  const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }, timeoutMs: 900_000 };
  try {
    await run(argv, options);
  } catch {
    await refreshSystemLists(); // without lists nothing is found; lists older than the archive name files that are gone
    await run(argv, options);
  }
}

const NATS_RELEASE = 'trixie';

/** Path of a NATS server new enough for us: the system's own, or one unpacked in the cache. */
export async function ensureNats(cache, say = () => {}) {
  const own = findCommand('nats-server');
  if (own && isNewEnough(await run([own, '--version']))) return own;
  const into = join(cache, 'nats-server');
  const binary = join(into, 'usr/sbin/nats-server');
  await withLock(join(cache, 'nats-server.lock'), async () => {
    if (existsSync(binary)) return;
    say(`fetching nats-server from Debian ${NATS_RELEASE} (unpacked in the cache, not installed)`);
    const source = await packageSource(cache, NATS_RELEASE);
    await source.unpack(['nats-server'], cache);
  }, { waitMs: 300_000 });
  const version = await run([binary, '--version']);
  if (!isNewEnough(version)) throw new Error(`${binary} is ${version.trim()}, and 2.10 or newer is needed: put one in PATH.`);
  return binary;
}

/** NATS before 2.10 cannot sync each JetStream write and knows no auth callout. */
export function isNewEnough(versionText) {
  const [, major, minor] = /v(\d+)\.(\d+)/.exec(versionText) ?? [];
  return Number(major) > 2 || (Number(major) === 2 && Number(minor) >= 10);
}
