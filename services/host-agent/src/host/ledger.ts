// Commands of the host that leave something behind: each effect once. The intent is journaled before the work and the
// result before the answer; the same id again gets the result, or shares the work that is under way.
import { CommandRunning, IdempotencyKeyReused } from '#contracts';
import type { Result } from '#kernel';
import { failed } from '#kernel';
import { faultPoint } from '../fault-point.ts';
import { isKept, outcomeOf, resultOf } from '../journal/outcome.ts';
import type { CommandRecord } from '../journal/records.ts';
import type { HostMemory } from './host-memory.store.ts';

export interface LedgerCommand { readonly commandId: string; readonly name: string; readonly input: unknown }

export class Ledger {
  private readonly running = new Map<string, Promise<Result<unknown>>>();

  constructor(private readonly memory: HostMemory) {}

  run(command: LedgerCommand, work: () => Promise<Result<unknown>>): Promise<Result<unknown>> {
    const known = this.memory.book.results.get(command.commandId);
    if (known) return Promise.resolve(known.name === command.name ? resultOf(known.outcome) : IdempotencyKeyReused.fail(`The command id ${command.commandId} was used for another command.`));
    return this.share(command.commandId, () => this.begin(command, work));
  }

  /**
   * After a crash: a command with an intent and no result gets its result when its effect is there (`reply` reads it off
   * the world), else the intent is dropped and the caller sends it again. Where the world cannot be seen now, or the intent
   * was written by a version that had other inputs, the intent stays and the caller is told to send the command again.
   */
  recover(command: LedgerCommand, happened: () => Promise<boolean>, reply: () => Promise<Result<unknown>>): Promise<Result<unknown>> {
    return this.share(command.commandId, async () => {
      try {
        if (await happened()) return await this.end(command, await reply());
      } catch (error) {
        return CommandRunning.fail('The agent has restarted and cannot see what became of this command; send it again.', { commandId: command.commandId }, error);
      }
      const dropped = await this.memory.append([{ type: 'dropped', at: Date.now(), commandId: command.commandId, why: 'its effect had not happened when the agent looked' }]);
      return dropped.ok ? CommandRunning.fail('The agent has restarted; send the command again.', { commandId: command.commandId }) : dropped;
    });
  }

  private share(commandId: string, work: () => Promise<Result<unknown>>): Promise<Result<unknown>> {
    const shared = this.running.get(commandId) ?? work().finally(() => this.running.delete(commandId));
    this.running.set(commandId, shared);
    return shared;
  }

  private async begin(command: LedgerCommand, work: () => Promise<Result<unknown>>): Promise<Result<unknown>> {
    const { commandId, name, input } = command;
    const noted = await this.memory.append([{ type: 'intent', at: Date.now(), commandId, name, input }]);
    if (!noted.ok) return noted;
    await faultPoint(`${name}:intent`, commandId);
    const result = await work().catch((error: unknown) => failed({ code: 'INTERNAL', detail: 'The agent failed on this command.', cause: error }));
    await faultPoint(`${name}:effect`, commandId);
    return this.end(command, result);
  }

  private async end({ commandId, name }: LedgerCommand, result: Result<unknown>): Promise<Result<unknown>> {
    const outcome = outcomeOf(result);
    const at = Date.now();
    const record: CommandRecord = isKept(outcome) ? { type: 'result', at, commandId, name, outcome } : { type: 'dropped', at, commandId, why: outcome.ok ? '' : outcome.fault.code };
    const kept = await this.memory.append([record]);
    await faultPoint(`${name}:done`, commandId);
    // Unrecorded success is no answer: after a crash nobody would know of it.
    return kept.ok || !result.ok ? result : kept;
  }
}
