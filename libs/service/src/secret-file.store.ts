// Small secret files: whole or absent, readable for their owner alone, and there after a power cut.
import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, open, readFile, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

const isCode = (error: unknown, code: string): boolean => (error as { code?: string }).code === code;

export async function readSecret(path: string): Promise<string | undefined> {
  try {
    const text = await readFile(path, 'utf8');
    await chmod(path, 0o600);
    return text;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** What is in the file afterwards: `text`, or what another process had written first. */
export async function writeSecretOnce(path: string, text: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const fresh = `${path}.${randomBytes(6).toString('hex')}`;
  const file = await open(fresh, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    // A link fails where a rename would replace: the first writer wins, and nobody sees half a file.
    await link(fresh, path);
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
  } finally {
    await unlink(fresh);
  }
  await syncDirectory(dirname(path));
  const kept = await readSecret(path);
  if (kept === undefined) throw new Error(`${path} vanished while it was written`);
  return kept;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** The master key of this site, made at the first start. Replicas on other machines need a copy of the file. */
export async function masterKey(dataDir: string): Promise<Buffer> {
  const path = `${dataDir}/master.key`;
  const text = (await readSecret(path)) ?? (await writeSecretOnce(path, `${randomBytes(32).toString('hex')}\n`));
  if (!/^[0-9a-f]{64}\n?$/.test(text)) throw new Error(`${path} is not a master key: 64 hex digits were expected`);
  return Buffer.from(text.trim(), 'hex');
}
