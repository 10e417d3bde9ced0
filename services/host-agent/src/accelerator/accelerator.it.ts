import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createAccelerator, runProbeGuest } from './accelerator.driver.ts';
import { goodExitStatus } from './probe-rom.ts';

let stateDir = '';
beforeEach(async () => { stateDir = await mkdtemp('/tmp/tok-accel-'); });
afterEach(async () => { await rm(stateDir, { recursive: true, force: true }); });

describe('the accelerator', () => {
  it('passes the probe guest on TCG: a failure on KVM is KVM’s', async () => {
    const outcome = await runProbeGuest('qemu-system-x86_64', 'tcg', 20_000);
    expect(outcome).toMatchObject({ ended: 'exit', code: goodExitStatus });
  });

  it('answers KVM exactly when the probe guest ends well on it, and says why otherwise', async () => {
    const answer = await createAccelerator({ stateDir }).probe();
    const outcome = await runProbeGuest('qemu-system-x86_64', 'kvm');
    expect(answer.accelerator).toBe(outcome.code === goodExitStatus ? 'kvm' : 'tcg');
    expect(answer.reason).toMatch(answer.accelerator === 'kvm' ? /ran to its end/ : /KVM does not run guests here|\/dev\/kvm/);
  });

  it('remembers the answer for this boot and this QEMU, and for no other', async () => {
    const file = join(stateDir, 'accelerator.json');
    const answer = await createAccelerator({ stateDir }).probe();
    const kept = JSON.parse(await readFile(file, 'utf8')) as Record<string, string>;
    await writeFile(file, JSON.stringify({ ...kept, reason: 'remembered' }));
    expect((await createAccelerator({ stateDir }).probe()).reason).toBe('remembered');
    await writeFile(file, JSON.stringify({ ...kept, key: 'another boot', reason: 'remembered' }));
    expect(await createAccelerator({ stateDir }).probe()).toEqual(answer);
  });

  it('asks again when the remembered answer is torn', async () => {
    await writeFile(join(stateDir, 'accelerator.json'), '{"key":');
    expect((await createAccelerator({ stateDir }).probe()).reason).not.toBe('');
  });

  it('falls back to TCG with a reason when QEMU cannot be started', async () => {
    const answer = await createAccelerator({ stateDir, qemu: '/nonexistent/qemu' }).probe();
    expect(answer.accelerator).toBe('tcg');
    expect(answer.reason).not.toBe('');
  });
});
