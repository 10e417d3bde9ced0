// Carries out a command that a contract stands behind: input checked, names looked up, sent once, result shown.
import { getTask, histories, httpStatusOf, listTasks, Plan, routeOf, Task } from '#contracts';
import { showItem, showList, settled, timeoutOf } from './context.ts';
import type { Context } from './context.ts';
import type { Command } from './command-tree.ts';
import { exit, exitCodeOf } from './exit-codes.ts';
import { Failure, problemLines, usageFailure } from './failures.ts';
import { followTask } from './follow-task.client.ts';
import { checkInput, flagOfPath, inputOf } from './input.ts';
import type { Input, Typed } from './input.ts';
import { columnsOf, isNoun, nounOf } from './nouns.ts';
import { formatOf, itemText } from './output.ts';
import { planLines } from './plan-text.ts';
import { operationNamed } from './platform.client.ts';
import { barLine, endLines, logLine } from './task-text.ts';
import { visible } from './visible.ts';

/** What a list shows unless told otherwise: logs grow for ever, inventories do not. */
const usualMost: Readonly<Record<string, number>> = { 'monitoring.task.list': 50, ...Object.fromEntries(histories.map(({ name }) => [name, 50])) };

export interface Given {
  readonly positionals: readonly string[];
  readonly typed: Typed;
  /** `--limit` of a list that has pages. */
  readonly most?: number;
}

export async function runOperation(command: Command, context: Context, given: Given): Promise<void> {
  const { operation } = command;
  const typed = await askedFor(command, context, inputOf(command, given.positionals, given.typed));
  await checkInput(command, typed);
  const input = await settled(context, typed);
  if (context.options.dryRun === true) return showPlan(command, context, input);
  if (command.paged) return showPages(command, context, input, given.most);
  const reply = await context.platform.call(operation, input, { flagOf: (path) => flagOfPath(command, path) });
  if (operation.task) return showTask(command, context, reply as { taskId: string; objectId: string });
  if (Array.isArray(reply['items'])) return showList(context, reply['items'], columnsOf(operation.name), operation.noun);
  if (Object.keys(reply).length === 0) {
    showDone(context, command);
    return;
  }
  const columns = operation.kind === 'command' && isNoun(operation.noun) && 'id' in reply ? nounOf(operation.noun).columns : [];
  return showItem(context, reply, columns, operation.noun, columns.length === 0);
}

/** Asks what the command would do. One whose task would fail ends the command as a refusal does. */
async function showPlan(command: Command, { options, platform, around }: Context, input: Input): Promise<void> {
  if (options.wait === true) throw usageFailure('--dry-run starts no task that --wait could follow; give one of the two.');
  const plan = Plan.parse(await platform.call(command.operation, input, { flagOf: (path) => flagOfPath(command, path), dryRun: true }));
  const format = formatOf(options.output ?? 'table');
  around.out(format === 'table' ? planLines(plan).map(visible).join('\n') : itemText(plan, { format, columns: [], noun: undefined, names: new Map(), width: around.width, nowMs: around.nowMs() }, true));
  if (plan.error !== null) throw new Failure(exitCodeOf(plan.error.code, httpStatusOf(plan.error.code)), ...problemLines(plan.error, httpStatusOf(plan.error.code)));
}

/** Secrets that are needed and were not given are asked for, where somebody can answer. */
async function askedFor(command: Command, { around }: Context, input: Input): Promise<Input> {
  const asked = { ...input };
  for (const { shape, path, name, description } of command.flags) {
    const [member = ''] = path;
    // The current password is optional in the contract, and needed for one's own account: the flag says so.
    if (shape.kind !== 'secret' || path.length > 1 || asked[member] !== undefined) continue;
    const answer = await around.question(`${description || name}: `, true);
    if (answer !== undefined && answer !== '') asked[member] = answer;
  }
  return asked;
}

async function showPages(command: Command, context: Context, input: Input, most = usualMost[command.operation.name]): Promise<void> {
  const { items, more } = await context.platform.list(command.operation, input, most);
  await showList(context, items, columnsOf(command.operation.name), command.operation.noun);
  if (more) context.around.say(`Only the first ${items.length} are shown: --limit N shows more.`);
}

function showDone({ around, options }: Context, { words, operation }: Command): void {
  const format = formatOf(options.output ?? 'table');
  if (format === 'json' || format === 'yaml') around.out('{}');
  else if (format === 'table') around.out(`${words.join(' ')}: done${operation.verb === 'cancel' ? '; the task undoes what it did' : ''}`);
}

async function showTask(command: Command, context: Context, reply: { taskId: string; objectId: string }): Promise<void> {
  const { options, around, platform } = context;
  const { noun, verb } = command.operation;
  const format = formatOf(options.output ?? 'table');
  if (!options.wait) {
    around.out(format === 'table' ? `${command.words.join(' ')}: accepted as task ${reply.taskId} for ${noun} ${reply.objectId}` : taskRefText(format, reply));
    return;
  }
  const task = await waitFor(context, reply.taskId);
  const get = isNoun(noun) ? nounOf(noun).get : undefined;
  if (verb === 'delete' || get === undefined || !isNoun(noun)) {
    if (format !== 'table') return showItem(context, { ...task }, [], 'task', true);
    around.out(`${command.words.join(' ')}: done`);
    return;
  }
  const operation = operationNamed(get);
  const item = await platform.call(operation, { [routeOf(operation)?.pathParams[0] ?? 'id']: reply.objectId });
  return showItem(context, item, nounOf(noun).columns, noun, false);
}

function taskRefText(format: string, { taskId, objectId }: { taskId: string; objectId: string }): string {
  if (format === 'json') return JSON.stringify({ taskId, objectId }, null, 2);
  if (format === 'yaml') return `taskId: ${taskId}\nobjectId: ${objectId}`;
  return objectId;
}

/** Follows the task, showing what it does; resolves when it has succeeded, and fails with what it says otherwise. */
export async function waitFor({ around, platform, options }: Context, taskId: string): Promise<Task> {
  let shown = '';
  const onChange = (task: Task): void => {
    const line = logLine(task);
    if (around.watched) around.redraw(barLine(task, around.width === Number.POSITIVE_INFINITY ? 100 : around.width));
    else if (line !== shown) around.say(line);
    shown = line;
  };
  const task = await followTask(platform, taskId, { timeoutMs: timeoutOf(options), onChange });
  if (task.state !== 'succeeded') throw new Failure(exit.refused, ...endLines(task));
  return task;
}

/** The one task that is under way; which one is meant must be said when there are several. */
async function openTask({ platform }: Context): Promise<string> {
  const { items } = await platform.list(operationNamed(listTasks.name), { open: true }, 20);
  const [only, ...others] = items.map((item) => Task.parse(item));
  if (!only) throw new Failure(exit.notFound, 'No task is under way.', 'Those that have ended: tokctl task list');
  if (others.length > 0) throw new Failure(exit.usage, 'Several tasks are under way; say which:', ...[only, ...others].map((task) => `  tokctl task watch ${task.id}  ${logLine(task)}`));
  return only.id;
}

/** `tokctl task watch`. */
export async function watchTask(context: Context, given?: string): Promise<void> {
  const task = await waitFor(context, given ?? (await openTask(context)));
  if (formatOf(context.options.output ?? 'table') !== 'table') await showItem(context, { ...task }, [], getTask.noun, true);
  // Where a bar was drawn nothing of it stays: the end is said once more.
  else if (context.around.watched) context.around.say(logLine(task));
}
