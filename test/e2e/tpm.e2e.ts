// A VM's TPM as its guest sees it: measured into by the firmware, with keys that stay the same through sleep, stops and
// other hosts, and that go when they are taken away. And its UEFI's variables, which go the same ways.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { deleteVm, getHost, hibernateVm, listVolumes, modifyVm, powerOffVm, rebootVm, restoreVm, startVm } from '#contracts';
import type { Operation, Task, Vm } from '#contracts';
import { inGuest } from './guest-shell.ts';
import { booted, consoleOf, deploy, removeOwn, vmOf } from './vms.ts';
import { MiB, openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
let vm: Vm;
beforeAll(async () => {
  world = await openWorld('tpm');
  // UEFI loads the whole kernel before it begins: it wants more memory than a BIOS.
  vm = await booted(world, await deploy(world, 'vm', { firmware: 'uefi', tpm: '2.0', memoryBytes: 256 * MiB }));
}, 150_000);
afterAll(() => removeOwn(world));

const now = async (): Promise<Vm> => (vm = await vmOf(world, vm.id));
const carryOut = (operation: Operation, input: object = {}): Promise<Task> => world.rest.carryOut(operation, { vmId: vm.id, ...input });
const said = async (line: string): Promise<string> => (await inGuest(world, vm, line)).output.trim();
const volumes = async (): Promise<string[]> => (await world.rest.ask(listVolumes, { attachedTo: vm.id })).items.map(({ id }) => id);
const elsewhere = (): Vm['status']['hostId'] => world.record.hosts.find(({ id }) => id !== vm.status.hostId)!.id;

/** TPM2_CreatePrimary in the owner's hierarchy of an ECC key on P-256: the same seed gives the same key (TCG TPM 2.0 library, part 3, section 24.1). */
const createPrimary = [
  '8002', '00000043', '00000131', '40000001', '00000009', '40000009', '0000', '00', '0000', '0004', '0000', '0000',
  '001a', '0023', '000b', '00030472', '0000', '0006', '0080', '0043', '0010', '0003', '0010', '0000', '0000', '0000', '00000000',
].join('').replaceAll(/../g, (byte) => `\\${Number.parseInt(byte, 16).toString(8).padStart(3, '0')}`);
const key = async (): Promise<string> => {
  // By the kernel's resource manager, which lets the key go when the file is closed.
  const answer = await said(`exec 3<>/dev/tpmrm0; printf '${createPrimary}' >&3; dd bs=4096 count=1 <&3 2>/dev/null | hexdump -v -e '1/1 "%02x"'; exec 3>&-`);
  expect(answer).toMatch(/^8002[0-9a-f]{8}0{8}/); // with sessions, its length, success
  return answer.slice(36, 36 + 2 * 90);
};
const variable = '/run/efi/TokamakTest-12345678-1234-1234-1234-123456789abc';
const withVariables = 'insmod /lib/modules/efivarfs.ko 2>/dev/null; mkdir -p /run/efi; mount -t efivarfs none /run/efi 2>/dev/null';
/** Four bytes say that it stays and who may read it; then its text. */
const setVariable = (text: string): Promise<string> => said(`${withVariables}; printf '\\007\\000\\000\\000${text}' > ${variable} && echo written`);
const readVariable = (): Promise<string> => said(`${withVariables}; dd if=${variable} bs=1 skip=4 2>/dev/null`);
const measured = (): Promise<string> => said('cat /sys/class/tpm/tpm0/pcr-sha256/0');

async function startedOn(hostId: Vm['status']['hostId']): Promise<void> {
  const { length } = await consoleOf(world, { ...vm, status: { ...vm.status, hostId } }); // of an earlier boot there
  await carryOut(startVm, { hostId });
  vm = await booted(world, await now(), length);
}

describe('a VM with a TPM', () => {
  let first: { key: string; pcr: string; volumes: string[] };

  it('shows its guest a TPM 2.0, into which the firmware has measured what it began with', async () => {
    for (const { id } of world.record.hosts) expect((await world.rest.ask(getHost, { hostId: getHost.input.shape.hostId.parse(id) })).inventory?.tpm).toBe(true);
    await now();
    expect(await said('cat /sys/class/tpm/tpm0/tpm_version_major')).toBe('2');
    first = { key: await key(), pcr: await measured(), volumes: await volumes() };
    expect(await setVariable('of the guest')).toBe('written');
    expect(first.pcr).toMatch(/^(?!0{64})[0-9A-F]{64}$/);
    expect(first.volumes).toHaveLength(3);
    expect(first.volumes).toEqual(expect.arrayContaining([vm.status.tpm!.volumeId, vm.status.uefiVars!.volumeId]));
  }, 120_000);

  it('wakes on another host with the TPM that it fell asleep with', async () => {
    const other = elsewhere();
    await carryOut(hibernateVm);
    await carryOut(startVm, { hostId: other });
    expect((await now()).status).toMatchObject({ state: 'running', hostId: other });
    expect([await key(), await measured(), await readVariable()]).toEqual([first.key, first.pcr, 'of the guest']);
  }, 90_000);

  it('comes out of the recycle bin, and starts on another host, with the same keys', async () => {
    const other = elsewhere();
    await carryOut(powerOffVm);
    await carryOut(deleteVm);
    await world.rest.ask(restoreVm, { vmId: vm.id });
    expect((await now()).status.tpm?.volumeId).toBe(first.volumes.find((id) => id === vm.status.tpm?.volumeId));
    await startedOn(other);
    expect([await key(), await readVariable()]).toEqual([first.key, 'of the guest']);
  }, 120_000);

  it('loses its keys only when that is confirmed, and with the next start', async () => {
    expect(await world.rest.refusal(modifyVm, { vmId: vm.id, tpm: 'none' })).toMatchObject({ status: 409, code: 'CONFIRMATION_NEEDED', fault: { details: { confirm: 'forgetTpmKeys' } } });
    await carryOut(modifyVm, { tpm: 'none', forgetTpmKeys: true });
    expect(await now()).toMatchObject({ spec: { tpm: '2.0' }, pending: { tpm: 'none' }, status: { tpm: { volumeId: expect.any(String) } } });
    expect(await key()).toBe(first.key);
    const { length } = await consoleOf(world, vm);
    await carryOut(rebootVm, { graceMs: 1_000 });
    await booted(world, vm, length);
    expect(await now()).toMatchObject({ spec: { tpm: 'none' }, pending: null, status: { tpm: null } });
    expect(await said('ls /sys/class/tpm')).toBe('');
    expect(await volumes()).toHaveLength(2);
  }, 120_000);

  it('that gets one again gets another one', async () => {
    await carryOut(powerOffVm);
    await carryOut(modifyVm, { tpm: '2.0' });
    await startedOn(vm.status.hostId);
    expect(await key()).not.toBe(first.key);
  }, 120_000);
});
