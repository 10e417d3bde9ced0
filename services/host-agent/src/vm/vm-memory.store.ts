// What an actor knows of its VM, and its form on disk: the last state, the commands begun and the results kept. Damage
// is named, never guessed over: the VM stays, with its highest known epoch, until somebody looks.
import { access, copyFile } from 'node:fs/promises';
import { HostVmState, ExitReason, JournalFailed } from '#contracts';
import type { BusLog } from '#bus';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import { z } from 'zod';
import { CommandBook, CommandRecord, resultsKeptMs } from '../journal/records.ts';
import type { RecordedOutcome } from '../journal/records.ts';
import { isKept, outcomeOf } from '../journal/outcome.ts';
import { Journal } from '../journal/journal.store.ts';
import type { JournalContent } from '../journal/journal-lines.ts';
import { isMissing } from './vm-directory.store.ts';
import type { VmDirectory, VmDocument } from './vm-directory.store.ts';
import { absentVm } from './vm.ts';
import type { OpenCommand, Vm, VmCommand } from './vm.ts';

const VmRecord = z.object({
  type: z.literal('vm'), at: z.number(),
  vm: z.object({
    state: HostVmState, epoch: z.number(), exitReason: ExitReason.nullable(), detail: z.string().nullable(), attempt: z.number(), ending: ExitReason.nullable(),
    process: z.object({ pid: z.number(), startTicks: z.number(), startedAt: z.string() }).nullable(),
  }),
});
type VmRecord = z.infer<typeof VmRecord>;

const compactAboveBytes = 256 * 1024;

function recordOf({ state, epoch, exitReason, detail, attempt, ending, process }: Vm): VmRecord {
  return { type: 'vm', at: Date.now(), vm: { state, epoch, exitReason, detail, attempt, ending, process } };
}

export class VmMemory {
  book = new CommandBook();
  document: VmDocument | null = null;
  /** What was found damaged when it was read; told until the agent's next start. */
  problem: string | null = null;
  private journal: Journal | null = null;

  private constructor(private readonly directory: VmDirectory, public vm: Vm) {}

  static async open(directory: VmDirectory, seenEpoch: number, log: BusLog): Promise<VmMemory> {
    const memory = new VmMemory(directory, { ...absentVm(directory.vmId), epoch: seenEpoch });
    if (await exists(directory.path)) await memory.load(log);
    return memory;
  }

  get exists(): boolean {
    return this.journal !== null;
  }

  async create(): Promise<Result<void>> {
    try {
      await this.directory.create();
      this.journal = (await Journal.open(this.directory.journal)).journal;
      return ok(undefined);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return JournalFailed.fail(`The VM’s directory cannot be made: ${reason}`, { reason }, error);
    }
  }

  private async load(log: BusLog): Promise<void> {
    const { journal, content } = await Journal.open(this.directory.journal);
    this.journal = journal;
    const read = await this.directory.readDocument();
    this.document = read.kind === 'document' ? read.document : null;
    const state: VmRecord['vm'] = this.replay(content) ?? { state: 'defined', epoch: 0, exitReason: null, detail: null, attempt: 0, ending: null, process: null };
    const problems = [
      ...(content.damaged.length > 0 ? [`journal.ndjson is damaged in line ${content.damaged.join(', ')}; the file is kept as journal.ndjson.damaged`] : []),
      ...(read.kind === 'damaged' ? [read.reason] : []),
    ];
    const epoch = Math.max(this.vm.epoch, state.epoch, this.document?.epoch ?? 0);
    const open = [...this.book.intents.values()].map(({ commandId, name }) => ({ commandId, name }) as OpenCommand);
    this.vm = { ...this.vm, ...state, epoch, open };
    this.problem = problems.length > 0 ? problems.join('; ') : null;
    if (problems.length > 0) log.error({ vmId: this.vm.vmId, problems }, 'what the host keeps of a VM is damaged; the VM is kept');
    if (content.damaged.length > 0) await copyFile(this.directory.journal, `${this.directory.journal}.damaged`);
    const expired = this.book.expire(Date.now(), resultsKeptMs);
    if (expired > 0 || content.damaged.length > 0 || journal.sizeBytes > compactAboveBytes) await this.compact();
  }

  private replay({ records }: JournalContent): VmRecord['vm'] | null {
    let last: VmRecord['vm'] | null = null;
    for (const record of records) {
      const state = VmRecord.safeParse(record);
      if (state.success) last = state.data.vm;
      const command = CommandRecord.safeParse(record);
      if (command.success) this.book.apply(command.data);
    }
    return last;
  }

  /** Journals a move with the command that caused it and the answers it gives; one write, one sync. */
  async move(vm: Vm, command: VmCommand | null, answers: readonly { open: OpenCommand; result: Result<unknown> }[], drops: readonly OpenCommand[]): Promise<Result<void>> {
    if (this.journal === null) return ok(undefined); // absent before and after: the tombstone is the host's to keep
    const at = Date.now();
    const isOpen = command !== null && vm.open.some(({ commandId }) => commandId === command.commandId);
    const records: CommandRecord[] = [
      ...(isOpen ? [{ type: 'intent' as const, at, commandId: command.commandId, name: command.type, input: command }] : []),
      ...answers.map(({ open, result }) => endRecord(at, open, outcomeOf(result))),
      ...drops.map(({ commandId }) => ({ type: 'dropped' as const, at, commandId, why: 'its effect had not happened when the agent looked' })),
    ];
    const written = await this.journal.append([...records.slice(0, isOpen ? 1 : 0), recordOf(vm), ...records.slice(isOpen ? 1 : 0)]);
    if (written.ok) for (const record of records) this.book.apply(record);
    return written;
  }

  accept(vm: Vm, command: VmCommand | null): void {
    this.vm = vm;
    const started = command?.type === 'vm.start' || command?.type === 'vm.define';
    if (started && vm.open.some(({ commandId }) => commandId === command.commandId)) this.document = { epoch: command.epoch, spec: command.spec, argv: null, saved: null };
    if ((this.journal?.sizeBytes ?? 0) > compactAboveBytes) void this.compact();
  }

  /** A document that a change to the running VM has made. */
  async keepDocument(document: VmDocument): Promise<void> {
    await this.directory.writeDocument(document);
    this.document = document;
  }

  async record(commandId: string, name: string, outcome: RecordedOutcome): Promise<void> {
    const record: CommandRecord = { type: 'result', at: Date.now(), commandId, name, outcome };
    if (this.journal !== null && (await this.journal.append([record])).ok) this.book.apply(record);
  }

  async forget(commandIds: readonly string[]): Promise<void> {
    const mine = commandIds.filter((id) => this.book.results.has(id));
    if (mine.length === 0 || this.journal === null) return;
    const record: CommandRecord = { type: 'forgotten', at: Date.now(), commandIds: mine };
    if ((await this.journal.append([record])).ok) this.book.apply(record);
  }

  /** The directory and all that is in it. */
  async remove(): Promise<void> {
    await this.journal?.close();
    this.journal = null;
    this.book = new CommandBook();
    this.document = null;
    await this.directory.remove();
  }

  async close(): Promise<void> {
    await this.journal?.close();
  }

  private async compact(): Promise<void> {
    this.book.expire(Date.now(), resultsKeptMs);
    await this.journal?.rewrite([...this.book.toRecords(), recordOf(this.vm)]);
  }
}

function endRecord(at: number, { commandId, name }: OpenCommand, outcome: RecordedOutcome): CommandRecord {
  if (isKept(outcome)) return { type: 'result', at, commandId, name, outcome };
  return { type: 'dropped', at, commandId, why: outcome.ok ? '' : outcome.fault.code };
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
