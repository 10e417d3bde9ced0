// News of children on their way into their parents' rows: at most twice a second for each parent, the last word of each
// child always among them.
import type { Task } from '#contracts';
import type { TaskLog } from './kind.ts';
import type { Book } from './record.store.ts';
import { showChildren } from './show-child.store.ts';

const SHOW_EVERY_MS = 500;

interface Waiting { readonly tasks: Map<string, Task>; readonly timer: NodeJS.Timeout }

export class ChildNews {
  private readonly waiting = new Map<string, Waiting>();
  private readonly writing = new Set<Promise<void>>();
  private closed = false;

  constructor(private readonly book: Book, private readonly log: TaskLog) {}

  tell(parentTaskId: string, task: Task): void {
    if (this.closed) return;
    const known = this.waiting.get(parentTaskId);
    if (known !== undefined) {
      const before = known.tasks.get(task.id);
      if (before === undefined || before.version < task.version) known.tasks.set(task.id, task);
      return;
    }
    this.waiting.set(parentTaskId, { tasks: new Map([[task.id, task]]), timer: setTimeout(() => { this.write(parentTaskId); }, SHOW_EVERY_MS) });
  }

  private write(parentTaskId: string): void {
    const news = this.waiting.get(parentTaskId);
    this.waiting.delete(parentTaskId);
    if (news === undefined) return;
    const work = this.show(parentTaskId, [...news.tasks.values()]).finally(() => { this.writing.delete(work); });
    this.writing.add(work);
  }

  private async show(parentTaskId: string, tasks: readonly Task[]): Promise<void> {
    try {
      await showChildren(this.book, parentTaskId, tasks);
    } catch (error) {
      // For the eye: the parent looks at its child again by itself.
      this.log.warn({ err: error, taskId: parentTaskId }, 'the progress of a child could not be shown');
    }
  }

  /** Forgets what waits and resolves when nothing is being written any more. */
  async close(): Promise<void> {
    this.closed = true;
    for (const { timer } of this.waiting.values()) clearTimeout(timer);
    this.waiting.clear();
    await Promise.all(this.writing);
  }
}
