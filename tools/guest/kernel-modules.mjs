// Chooses kernel modules with everything they depend on, in loading order, straight from the unpacked kernel package.
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';

/** Needed before userland can speak: PCI transport, disk, network, guest agent's port. */
export const EARLY = ['virtio_pci', 'virtio_blk', 'virtio_net'];
/** What may come a moment later. Some kernels lack one or have it built in; those are left out. */
export const LATE = [
  'virtio_console', 'evdev', 'button', 'virtio_balloon', 'virtio_rng', 'pvpanic-pci', 'pvpanic', 'i6300esb',
  'virtio_scsi', 'sd_mod', 'sr_mod', 'isofs', 'ahci', 'virtio_mem',
];

/** What only some tests need: there to be loaded, not loaded at boot. A file system, with the tables that it reads names by; and the variables of UEFI. */
export const ON_DEMAND = ['vfat', 'nls_cp437', 'nls_ascii', 'efivarfs'];

function findModules(dir) {
  const found = new Map();
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) for (const [name, file] of findModules(path)) found.set(name, file);
    else if (entry.name.endsWith('.ko')) found.set(key(basename(entry.name, '.ko')), path);
  }
  return found;
}

const key = (name) => name.replaceAll('-', '_');

/** A module says in its .modinfo section what it depends on. */
function dependencies(file) {
  const text = readFileSync(file, 'latin1');
  const match = /\0depends=([^\0]*)\0/.exec(text);
  return match && match[1] ? match[1].split(',') : [];
}

/** { early: [file], late: [file], onDemand: [file] }, each in loading order and none twice. */
export function chooseModules(modulesDir) {
  const available = findModules(modulesDir);
  const taken = new Set();
  const collect = (names, into) => {
    for (const name of names) {
      const file = available.get(key(name));
      if (!file || taken.has(file)) continue;
      collect(dependencies(file), into);
      taken.add(file);
      into.push(file);
    }
    return into;
  };
  return { early: collect(EARLY, []), late: collect(LATE, []), onDemand: collect(ON_DEMAND, []) };
}
