// What is done to a VM that runs without changing what it is: pause, resume, reset, and saving its memory to end it.
import { z } from 'zod';
import { defineHostCommand } from '../define.ts';
import { CommandRunning, DatastoreFull, HostCommandFailed, JournalFailed, NotFoundOnHost, StaleEpoch, VmBusy, WrongState } from '../errors.ts';
import { VmId } from '../ids.ts';
import { CommandId, Epoch, HostVmStatus, VolumePlace } from './shapes.ts';

const input = { commandId: CommandId, vmId: VmId, epoch: Epoch };
const errors = [VmBusy, StaleEpoch, CommandRunning, JournalFailed, NotFoundOnHost, WrongState, HostCommandFailed];

export const hostVmPause = defineHostCommand('vm.pause', { summary: 'Hold the guest still; its QEMU and memory stay', actor: 'vm', probe: 'qemu-process', timeoutMs: 15_000, input: z.strictObject(input), reply: HostVmStatus, errors });
export const hostVmResume = defineHostCommand('vm.resume', { summary: 'Let a paused guest go on', actor: 'vm', probe: 'qemu-process', timeoutMs: 15_000, input: z.strictObject(input), reply: HostVmStatus, errors });
export const hostVmReset = defineHostCommand('vm.reset', { summary: 'Press the reset button: the guest starts anew, QEMU stays', actor: 'vm', probe: 'qemu-process', timeoutMs: 15_000, input: z.strictObject(input), reply: HostVmStatus, errors });
export const hostVmSave = defineHostCommand('vm.save', {
  summary: 'Save the memory of a VM that runs into a volume and end QEMU; a VM whose memory cannot be saved goes on', actor: 'vm', probe: 'qemu-process', timeoutMs: 3600_000,
  input: z.strictObject({ ...input, place: VolumePlace }), reply: HostVmStatus, errors: [...errors, DatastoreFull],
});
