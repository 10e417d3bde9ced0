// QEMU runs without privileges and opens /dev/net/tun itself. udev gives that device to everyone (0666); where
// nothing did so, the first lab does, notes in the cache what it was, and the last lab puts it back.
import { chmodSync, existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, writeJson } from './files.mjs';

const DEVICE = '/dev/net/tun';
const EVERYONE = 0o666;

const noteFile = (cache) => join(cache, 'tun-device.json');
/** A note holds for one boot of the machine: the next one makes the device anew. */
const thisBoot = () => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

export function openTunDevice({ cache, say }) {
  if (!existsSync(DEVICE)) throw new Error(`${DEVICE} is missing: load the kernel's tun module (modprobe tun), then repeat.`);
  const mode = statSync(DEVICE).mode & 0o777;
  if ((mode & EVERYONE) === EVERYONE) return;
  writeJson(noteFile(cache), { mode, boot: thisBoot() });
  chmodSync(DEVICE, EVERYONE);
  say(`${DEVICE} opened to all users (mode ${mode.toString(8)} to 666, as udev has it) until the last lab goes down`);
}

/** Puts the mode back, unless another lab still needs the device open. */
export function closeTunDevice({ cache }, { othersRun }) {
  const note = readJson(noteFile(cache));
  if (!note || othersRun) return;
  if (note.boot === thisBoot()) chmodSync(DEVICE, note.mode);
  rmSync(noteFile(cache));
}
