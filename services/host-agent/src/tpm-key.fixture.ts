// Asks the TPM whose state lies in a file for a key, for tests: the same seed gives the same key, so it tells TPMs apart.
import { spawn } from 'node:child_process';
import { createConnection } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '#testing';

/** TPM2_CreatePrimary in the owner's hierarchy of an ECC key on P-256 (TCG TPM 2.0 library, part 3, section 24.1). */
const createPrimary = Buffer.from([
  '8002', '00000043', '00000131', '40000001', // sessions, 67 bytes, the command, the owner
  '00000009', '40000009', '0000', '00', '0000', // an empty password
  '0004', '0000', '0000', // nothing sensitive
  '001a', '0023', '000b', '00030472', '0000', '0006', '0080', '0043', '0010', '0003', '0010', '0000', '0000', // restricted decryption, AES-128-CFB
  '0000', '00000000',
].join(''), 'hex');
const publicAt = 18;

/** The public part of the key, as text; the file is used as it is, so no TPM may be running with it. */
export async function keyOf(stateFile: string): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'tok-tpm-'));
  const path = join(dir, 's');
  const tpm = spawn('swtpm', ['socket', '--tpm2', '--tpmstate', `backend-uri=file://${stateFile}`, '--server', `type=unixio,path=${path}`, '--flags', 'not-need-init,startup-clear', '--terminate'], { stdio: 'ignore' });
  const ended = new Promise((resolve) => tpm.once('exit', resolve));
  try {
    const socket = await until('swtpm listens', () => new Promise<ReturnType<typeof createConnection> | null>((resolve) => {
      const made = createConnection(path, () => { resolve(made); });
      made.once('error', () => { resolve(null); });
    }));
    const answered = new Promise<Buffer>((resolve) => socket.once('data', resolve));
    socket.write(createPrimary);
    const answer = await answered;
    socket.end();
    if (answer.readUInt32BE(6) !== 0) throw new Error(`the TPM answered ${answer.readUInt32BE(6).toString(16)}`);
    return answer.subarray(publicAt, publicAt + 2 + answer.readUInt16BE(publicAt)).toString('hex');
  } finally {
    tpm.kill();
    await ended;
    rmSync(dir, { recursive: true });
  }
}
