// Small records on disk. A record is replaced as a whole (write aside, fsync, rename),
// so a reader or a crash never meets half of one.
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

export const SECRET = 0o600;
export const PUBLIC = 0o644;

export function writeWhole(path, text, mode = PUBLIC) {
  mkdirSync(dirname(path), { recursive: true });
  const aside = `${path}.${process.pid}.new`;
  rmSync(aside, { force: true });
  const fd = openSync(aside, 'w', mode);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(aside, path);
}

export function writeJson(path, value, mode = PUBLIC) {
  writeWhole(path, JSON.stringify(value, null, 2) + '\n', mode);
}

/** The record, or `fallback` when the file is missing. A damaged file is an error that names it. */
export function readJson(path, fallback = undefined) {
  if (!existsSync(path)) return fallback;
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new Error(`${path} cannot be read as JSON: repair or remove it.`, { cause });
  }
}

/** The first folder on the way to `path` that other users may not pass, or undefined. */
export function closedParent(path) {
  for (let at = dirname(path); ; at = dirname(at)) {
    if (!(statSync(at).mode & 0o001)) return at;
    if (at === dirname(at)) return undefined;
  }
}
