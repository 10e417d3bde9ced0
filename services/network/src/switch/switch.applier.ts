// Brings hosts to what a switch says. Used by the tasks that change switches and by the reconciler; running it twice, or
// twice at once, changes nothing: hosts answer a command id they know, and an answer about an older generation is dropped.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { BusClient } from '#bus';
import { HostCommandFailed, hostSwitchApply, hostSwitchRemove, InUse, NotFoundOnHost, switchChanged } from '#contracts';
import type { HostId, SwitchId } from '#contracts';
import { transaction } from '#database';
import { emit } from '#tasks';
import type { Fault, Result } from '#kernel';
import { Bus, Db } from '#service';
import { applyCommandId, dueHosts, switchView, uplinksOf } from './switch.ts';
import type { StoredSwitch, SwitchHost } from './switch.ts';
import { dropBuried, findAnySwitch, recordApplied } from './switch.store.ts';

export interface Refusal {
  readonly hostId: HostId;
  readonly fault: Fault;
}

/** The host has looked and says no. Anything else (away, at work, no time) leaves its part pending. */
const refusals: ReadonlySet<string> = new Set([HostCommandFailed.code, InUse.code, NotFoundOnHost.code, 'INVALID_ARGUMENT', 'INTERNAL']);

@Injectable()
export class SwitchApplier {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(Bus) private readonly bus: Pick<BusClient, 'requestHost'>) {}

  /** Tells every connected host whose part is due; answers who refused. */
  async apply(switchId: SwitchId): Promise<Refusal[]> {
    const stored = await findAnySwitch(this.db, switchId);
    if (stored === undefined) return [];
    const answers = await Promise.all(dueHosts(stored).map(async (host) => ({ host, answer: await this.tell(stored, host) })));
    const recorded = await transaction(this.db, async (tx) => {
      let any = false;
      for (const { host, answer } of answers) {
        if (!answer.ok && !refusals.has(answer.fault.code)) continue;
        any = (await recordApplied(tx, stored, host, answer.ok ? { state: 'applied', reason: null } : { state: 'failed', reason: answer.fault.detail })) || any;
      }
      await dropBuried(tx);
      const now = any ? await findAnySwitch(tx, switchId) : undefined;
      if (now !== undefined && !now.deleting) await emit(tx, switchChanged, { objectId: switchId, data: { switch: switchView(now) } });
      return any;
    });
    if (!recorded) return [];
    return answers.flatMap(({ host, answer }) => (!answer.ok && refusals.has(answer.fault.code) ? [{ hostId: host.hostId, fault: answer.fault }] : []));
  }

  private tell(stored: StoredSwitch, host: SwitchHost): Promise<Result<unknown>> {
    const commandId = applyCommandId(stored, host);
    const options = { as: 'system', timeoutMs: 15_000 } as const;
    if (!host.wanted) return this.bus.requestHost(host.hostId, hostSwitchRemove, { commandId, switchId: stored.id }, options);
    return this.bus.requestHost(host.hostId, hostSwitchApply, {
      commandId, switchId: stored.id, name: stored.name, mtu: stored.mtu, uplinks: uplinksOf(stored, host.hostId), generation: stored.generation,
    }, options);
  }
}

