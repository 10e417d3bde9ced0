// Which handler takes which host command. No decisions: one call each, and an answer before the caller's time is over.
import type { BusContext, HostRoute } from '#bus';
import { hostHandler } from '#bus';
import type { InputOf, hostVolumeCancel } from '#contracts';
import {
  CommandRunning, ShuttingDown, hostCommands, hostConfirm, hostConsoleOpen, hostDatastoreProbe, hostDatastoreScan, hostDatastoreSurvey, hostStatus, hostSwitchSurvey, hostUploadWrite,
  hostVmAdjust, hostVmDefine, hostVmDelete, hostVmPause, hostVmPowerOff, hostVmReset, hostVmResume, hostVmSave, hostVmStart, hostVmStatus, hostVmStop,
} from '#contracts';
import type { HostVmStatus, ReplyOf } from '#contracts';
import type { Result } from '#kernel';
import { sleep } from '#kernel';
import type { ConsoleSessions } from '../console/console-sessions.nats.ts';
import type { Drivers } from '../environment.ts';
import type { HostActor } from './host-actor.ts';
import { isLasting } from './host-commands.ts';
import type { Steering } from '../vm/vm.ts';

/** Kept back from the caller's time, so that COMMAND_RUNNING reaches him before his own limit. */
const marginMs = 150;

/** The result, or COMMAND_RUNNING when it does not come in the caller's time; the work goes on. */
async function inTime<T>(commandId: string, ctx: BusContext, work: Promise<Result<T>>): Promise<Result<T>> {
  const enough = new AbortController();
  const leftMs = ctx.deadline.leftMs();
  const late = sleep(Math.max(leftMs / 2, leftMs - marginMs), enough.signal).then(() => CommandRunning.fail('The command is still being carried out.', { commandId }));
  try {
    return await Promise.race([work, late]);
  } finally {
    enough.abort();
    work.catch(() => undefined); // the actor has logged it; here nobody waits any more
  }
}

type StatusResult = Promise<Result<HostVmStatus>>;
const commandIdOf = (input: unknown): string => (input as { commandId: string }).commandId; // every lasting command's contract has it

export function hostRoutes(host: HostActor, { volumes }: Drivers, consoles: ConsoleSessions): HostRoute[] {
  const own: HostRoute[] = [
    hostHandler(hostVmDefine, ({ vmId, commandId, epoch, spec }, ctx) => inTime(commandId, ctx, host.command({ type: 'vm.define', vmId, commandId, epoch, spec }) as StatusResult)),
    hostHandler(hostVmStart, ({ vmId, commandId, epoch, spec, paused, memory }, ctx) => inTime(commandId, ctx, host.command({ type: 'vm.start', vmId, commandId, epoch, spec, paused, memory }) as StatusResult)),
    hostHandler(hostVmStop, ({ vmId, commandId, epoch, graceMs, by }, ctx) => inTime(commandId, ctx, host.command({ type: 'vm.stop', vmId, commandId, epoch, graceMs, by }) as StatusResult)),
    hostHandler(hostVmPowerOff, ({ vmId, commandId, epoch }, ctx) => inTime(commandId, ctx, host.command({ type: 'vm.power-off', vmId, commandId, epoch }) as StatusResult)),
    hostHandler(hostVmDelete, ({ vmId, commandId, epoch }, ctx) => inTime(commandId, ctx, host.command({ type: 'vm.delete', vmId, commandId, epoch }) as Promise<Result<Record<string, never>>>)),
    hostHandler(hostVmAdjust, ({ vmId, commandId, epoch, change }, ctx) => inTime(commandId, ctx, host.command({ type: 'vm.adjust', vmId, commandId, epoch, change }) as Promise<Result<ReplyOf<typeof hostVmAdjust>>>)),
    ...[hostVmPause, hostVmResume, hostVmReset].map((operation) => hostHandler(operation, ({ vmId, commandId, epoch }, ctx) => inTime(commandId, ctx, host.command({ type: operation.name as Steering, vmId, commandId, epoch }) as StatusResult))),
    hostHandler(hostVmSave, ({ vmId, commandId, epoch, place }, ctx) => inTime(commandId, ctx, host.command({ type: 'vm.save', vmId, commandId, epoch, place }) as StatusResult)),
    hostHandler(hostVmStatus, ({ vmId }) => host.vmStatus(vmId)),
    hostHandler(hostConsoleOpen, (input) => consoles.open(input)),
    hostHandler(hostStatus, async () => (host.ready ? host.status() : ShuttingDown.fail('The agent has not yet looked at its host, or is stopping.'))),
    hostHandler(hostConfirm, ({ commandIds }) => host.confirm(commandIds)),
    hostHandler(hostUploadWrite, (input, ctx) => volumes.uploadWrite(input, host.volumeWork('upload', null, ctx.signal))),
    hostHandler(hostDatastoreProbe, (input, ctx) => volumes.probe(input, host.volumeWork('probe', null, ctx.signal))),
    hostHandler(hostSwitchSurvey, () => host.surveySwitches()),
    hostHandler(hostDatastoreSurvey, (input, ctx) => volumes.survey(input, host.volumeWork('survey', null, ctx.signal))),
    hostHandler(hostDatastoreScan, (input, ctx) => volumes.scan(input, host.volumeWork('scan', null, ctx.signal))),
  ];
  return [...own, ...hostCommands.flatMap((operation): HostRoute[] => {
    const { name } = operation;
    if (!isLasting(name)) return [];
    return [{
      operation,
      run: (input, ctx) => {
        if (name === 'volume.cancel') host.abort((input as InputOf<typeof hostVolumeCancel>).targetCommandId);
        return inTime(commandIdOf(input), ctx, host.lasting(name, commandIdOf(input), input));
      },
    }];
  })];
}
