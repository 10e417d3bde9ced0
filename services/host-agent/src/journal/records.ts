// What journals hold about commands, and how the records of a file add up to what is known.
import { z } from 'zod';

export const RecordedFault = z.object({ code: z.string(), detail: z.string(), details: z.record(z.string(), z.unknown()).optional() });
export const RecordedOutcome = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true), value: z.unknown() }),
  z.object({ ok: z.literal(false), fault: RecordedFault }),
]);
export type RecordedOutcome = z.infer<typeof RecordedOutcome>;

const at = z.number();
export const CommandRecord = z.discriminatedUnion('type', [
  /** Written before the first effect of a command. */
  z.object({ type: z.literal('intent'), at, commandId: z.string(), name: z.string(), input: z.unknown() }),
  /** Written before the answer. */
  z.object({ type: z.literal('result'), at, commandId: z.string(), name: z.string(), outcome: RecordedOutcome }),
  /** The intent has ended without a result worth keeping: the command may be carried out again. */
  z.object({ type: z.literal('dropped'), at, commandId: z.string(), why: z.string() }),
  z.object({ type: z.literal('forgotten'), at, commandIds: z.array(z.string()) }),
]);
export type CommandRecord = z.infer<typeof CommandRecord>;
export type IntentRecord = Extract<CommandRecord, { type: 'intent' }>;
export type ResultRecord = Extract<CommandRecord, { type: 'result' }>;

/** Commands as the records tell them: those begun and not ended, and those with a result. */
export class CommandBook {
  readonly intents = new Map<string, IntentRecord>();
  readonly results = new Map<string, ResultRecord>();

  apply(record: CommandRecord): void {
    switch (record.type) {
      case 'intent':
        this.intents.set(record.commandId, record);
        return;
      case 'result':
        this.intents.delete(record.commandId);
        this.results.set(record.commandId, record);
        return;
      case 'dropped':
        this.intents.delete(record.commandId);
        return;
      case 'forgotten':
        for (const id of record.commandIds) this.results.delete(id);
    }
  }

  /** Drops results older than `keepMs`; answers how many. */
  expire(now: number, keepMs: number): number {
    const old = [...this.results.values()].filter((result) => now - result.at > keepMs);
    for (const { commandId } of old) this.results.delete(commandId);
    return old.length;
  }

  /** The fewest records that tell the same. */
  toRecords(): CommandRecord[] {
    return [...this.results.values(), ...this.intents.values()];
  }
}

/** Results are kept until the caller confirms the end of its task, and at most this long. */
export const resultsKeptMs = 30 * 24 * 3600_000;
