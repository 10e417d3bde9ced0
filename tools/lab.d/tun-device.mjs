// QEMU runs without privileges and opens /dev/net/tun itself. udev gives that device to everyone (0666); where
// nothing did so, the first lab or test run does, notes in the cache what it was, and the last one puts it back.
import { chmodSync, existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, writeJson } from './files.mjs';
import { withLock } from './lock.mjs';
import { identify, isAlive } from './processes.mjs';

const DEVICE = '/dev/net/tun';
const EVERYONE = 0o666;

const noteFile = (cache) => join(cache, 'tun-device.json');
/** A note holds for one boot of the machine: the next one makes the device anew. */
const thisBoot = () => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

const inTurn = (cache, work) => withLock(`${noteFile(cache)}.lock`, work, { waitMs: 10_000 });

/** Opens the device for as long as this process lives or a lab has its hosts up. */
export async function openTunDevice({ cache, say, device = DEVICE }) {
  if (!existsSync(device)) throw new Error(`${device} is missing: load the kernel's tun module (modprobe tun), then repeat.`);
  await inTurn(cache, () => {
    const mode = statSync(device).mode & 0o777;
    const note = noteOfThisBoot(cache);
    const open = (mode & EVERYONE) === EVERYONE;
    if (open && !note) return;
    writeJson(noteFile(cache), { mode: note?.mode ?? mode, boot: thisBoot(), holders: [...living(note), identify(process.pid)] });
    if (open) return;
    chmodSync(device, EVERYONE);
    say(`${device} opened to all users (mode ${mode.toString(8)} to 666, as udev has it) until the last lab goes down`);
  });
}

/** Puts the mode back, unless another lab or test run still needs the device open. */
export async function closeTunDevice({ cache, device = DEVICE }, { othersRun }) {
  if (!existsSync(noteFile(cache))) return;
  await inTurn(cache, () => {
    const note = noteOfThisBoot(cache);
    const holders = living(note).filter(({ pid }) => pid !== process.pid);
    if (note && (othersRun || holders.length > 0)) return writeJson(noteFile(cache), { ...note, holders });
    if (note) chmodSync(device, note.mode);
    return rmSync(noteFile(cache), { force: true });
  });
}

function noteOfThisBoot(cache) {
  const note = readJson(noteFile(cache));
  return note?.boot === thisBoot() ? note : undefined;
}

const living = (note) => (note?.holders ?? []).filter(isAlive);
