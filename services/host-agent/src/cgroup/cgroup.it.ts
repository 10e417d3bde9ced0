import { afterAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, readFile, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HostVmSpec } from '#contracts';
import { newUuid } from '#kernel';
import { createCgroupDriver } from './cgroup.driver.ts';

const name = `tok-it-${process.pid}`;
const made = new Set<string>();
afterAll(async () => { for (const directory of made) await rmdir(directory); });

const spec = HostVmSpec.parse({
  vmId: newUuid(), name: 'vm', uid: 250_001, cpu: { sockets: 1, cores: 2, threads: 1 }, cpuService: { shares: 2_000, limit: 3_000 }, memoryBytes: 256 * 1024 * 1024,
  memoryService: { limit: 128 * 1024 * 1024 }, firmware: 'bios', disks: [], nics: [],
});

describe('the cgroup driver', () => {
  it('says which version it uses, or why none', async () => {
    const driver = await createCgroupDriver({ name });
    expect(driver.reason).toContain(driver.version === 'none' ? 'cgroup' : driver.version);
    for (const file of await driver.prepare(spec.vmId, spec)) made.add(dirname(dirname(file)));
    await driver.release(spec.vmId);
  });

  it('makes groups with the limits of the document that a process can enter, twice with the same outcome, and removes them', async () => {
    const driver = await createCgroupDriver({ name, hostMhz: 2_000 });
    const entered = await driver.prepare(spec.vmId, spec);
    expect(await driver.prepare(spec.vmId, spec)).toEqual(entered);
    const child = spawn('sleep', ['60']);
    for (const file of entered) {
      made.add(dirname(dirname(file)));
      await writeFile(file, String(child.pid));
      expect((await readFile(file, 'utf8')).split('\n')).toContain(String(child.pid));
    }
    const cpu = dirname(entered[0] ?? '/');
    const [file, wanted] = driver.version === 'v2' ? ['cpu.max', '150000 100000'] : ['cpu.cfs_quota_us', '150000'];
    if (driver.version !== 'none') expect((await readFile(join(cpu, file), 'utf8')).trim()).toBe(wanted);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await driver.release(spec.vmId);
    await driver.release(spec.vmId);
    for (const procs of entered) await expect(access(procs)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
