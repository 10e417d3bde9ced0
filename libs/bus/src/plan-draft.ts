// The plan of a dry run while it is being made. Code that decides says here what it found; in a real run these words go
// nowhere. Whoever rolls back what the dry run did says so, and only then is there an answer.
import { mayAccess } from '#contracts';
import type { ErrorBody, Plan, PlanNote, PlanStep, Who } from '#contracts';

type Foreseeing = () => Promise<void>;

export class PlanDraft {
  /** Nothing is left of what the command did. */
  rolledBack = false;
  private checks: string[] = [];
  private decisions: PlanNote[] = [];
  private warnings: string[] = [];
  private steps: PlanStep[] = [];
  private task: string | null = null;
  private error: ErrorBody | null = null;
  private ahead: Foreseeing[] = [];

  checked(text: string): void {
    this.checks.push(text);
  }

  decided(...notes: readonly PlanNote[]): void {
    this.decisions.push(...notes);
  }

  warned(text: string): void {
    this.warnings.push(text);
  }

  /** The command would start this task; `look` adds what its steps would do. */
  begins(task: string, look: Foreseeing): void {
    this.task ??= task;
    this.ahead.push(look);
  }

  step(step: PlanStep): void {
    this.steps.push(step);
  }

  fails(error: ErrorBody): void {
    this.error ??= error;
  }

  async foresee(): Promise<void> {
    for (const look of this.ahead.splice(0)) await look();
  }

  /** Answers a way back to what has been said up to now: work in a transaction may be done several times. */
  mark(): () => void {
    const [checks, decisions, warnings] = [[...this.checks], [...this.decisions], [...this.warnings]];
    return () => {
      Object.assign(this, { checks: [...checks], decisions: [...decisions], warnings: [...warnings], steps: [], ahead: [], task: null, error: null });
    };
  }

  /** As `who` may read it. */
  finished(operation: { readonly name: string }, who: Who | null, reply: unknown): Plan {
    const readable = (notes: readonly PlanNote[]): PlanNote[] => (who === 'system' ? [...notes] : notes.flatMap((note) => forReader(note, who)));
    return {
      operation: operation.name, task: this.task, succeeds: this.error === null, error: this.error, checks: this.checks, decisions: readable(this.decisions), warnings: this.warnings,
      steps: this.steps.map((step) => ({ ...step, decisions: readable(step.decisions) })), result: this.task === null ? reply : null,
    };
  }
}

function forReader({ seenWith, ...note }: PlanNote, who: Exclude<Who, 'system'> | null): PlanNote[] {
  const seen = seenWith === undefined || (who !== null && mayAccess(who, seenWith.permission, seenWith));
  return seen ? [note] : [];
}

interface Asking { readonly dryRun?: PlanDraft }

/** Says in the plan, where one is asked for, what was looked at and found right. */
export const checked = (ctx: Asking, text: string): void => { ctx.dryRun?.checked(text); };
/** Says in the plan, where one is asked for, what was decided. */
export const decided = (ctx: Asking, text: string, details?: Readonly<Record<string, unknown>>): void => {
  ctx.dryRun?.decided({ text, ...(details === undefined ? {} : { details: { ...details } }) });
};
/** Says in the plan, where one is asked for, what its reader should know before. */
export const warned = (ctx: Asking, text: string): void => { ctx.dryRun?.warned(text); };
