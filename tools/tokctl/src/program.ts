// All commands in one tree: those of the contracts and those written by hand. Parsing, help and completion read it.
import { Command as Parser, Option } from 'commander';
import { callApi } from './api.command.ts';
import { verifyFile, verifyPlatform } from './audit.command.ts';
import type { AuditVerifyOptions } from './audit.command.ts';
import { busLogin } from './bus.command.ts';
import type { BusLoginOptions } from './bus.command.ts';
import { commandTree } from './command-tree.ts';
import type { Command } from './command-tree.ts';
import { completionFor } from './completion.ts';
import { contextOf } from './context.ts';
import type { Options } from './context.ts';
import { showEvents } from './events.command.ts';
import type { EventsOptions } from './events.command.ts';
import { examples } from './examples.ts';
import { exitMeanings } from './exit-codes.ts';
import { usageFailure } from './failures.ts';
import type { Failure } from './failures.ts';
import { placeholder, presetText } from './flags.ts';
import type { Flag } from './flags.ts';
import { getAnything } from './get.command.ts';
import type { Typed } from './input.ts';
import { runOperation, watchTask } from './operation.command.ts';
import { deleteProfile, listProfiles, showProfile, switchProfile } from './profile.command.ts';
import { login, logout, passwd } from './sign-in.command.ts';
import type { LoginOptions } from './sign-in.command.ts';
import type { Surroundings } from './surroundings.ts';
import { uploadImage } from './upload.command.ts';
import { isId } from './values.ts';
import { showConsole } from './vm-console.command.ts';
import type { ConsoleOptions } from './vm-console.command.ts';
import { serveScreen } from './vm-vnc.command.ts';
import type { VncOptions } from './vm-vnc.command.ts';

/** What a command is called too. */
const aliases: Readonly<Record<string, string>> = { 'vm start': 'wake' }; // the other end of hibernate

type Values = Options & LoginOptions & Typed;

const collected = (text: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), text];

/** The tree, ready to parse; actions use `around`. */
export function programOf(around: Surroundings, version: string, commands: readonly Command[] = commandTree()): Parser {
  const program = new Parser('tokctl').description('Works with a Tokamak platform: virtual machines, disks, networks, hosts.').version(version, '-V, --version').helpCommand(false).enablePositionalOptions();
  for (const command of commands) addOperation(program, around, command);
  addHandWritten(program, around, commands);
  sortTree(program);
  addExamples(program, '');
  program.addHelpText('after', '\nEvery command and group has --help. Exit status: tokctl help exit-codes.');
  return program;
}

/** The parser of these words, made with its groups where it is not there yet. */
export function parserAt(program: Parser, words: readonly string[]): Parser {
  return words.reduce((parent, word) => parent.commands.find((child) => child.name() === word) ?? parent.command(word).helpCommand(false).enablePositionalOptions(), program);
}

function addOperation(program: Parser, around: Surroundings, command: Command): void {
  const parser = parserAt(program, command.words).summary(command.operation.summary).description([command.operation.summary, command.operation.description].filter(Boolean).join('.\n'));
  const alias = aliases[command.words.join(' ')];
  if (alias !== undefined) parser.alias(alias);
  for (const { name } of command.positionals) parser.argument(`<${name}>`, 'name or id');
  for (const flag of command.flags) addFlag(parser, flag);
  if (command.paged) parser.addOption(new Option('--limit <number>', 'show at most so many'));
  addUsual(parser, { changes: command.operation.kind === 'command', task: command.operation.task });
  addDryRun(parser, command);
  parser.action(async (...given: unknown[]) => {
    const positionals = given.slice(0, command.positionals.length) as string[];
    const values = parser.opts<Values>();
    const most = command.paged ? limitOf(values['limit']) : undefined;
    await runOperation(command, contextOf(around, values), { positionals, typed: typedOf(command, values), ...(most === undefined ? {} : { most }) });
  });
}

function limitOf(text: unknown): number | undefined {
  if (text === undefined) return undefined;
  if (typeof text !== 'string' || !/^[1-9]\d{0,8}$/.test(text)) throw usageFailure('--limit takes a number from 1.');
  return Number(text);
}

/** Commander keeps `--if-version` as `ifVersion`; the rest of the program says it as the user does. */
const typedOf = ({ flags }: Command, values: Values): Typed => Object.fromEntries(flags.map(({ name }) => [name, values[new Option(`--${name}`).attributeName()]]));

function addFlag(parser: Parser, flag: Flag): void {
  const { name, shape, description, required, repeatable } = flag;
  const preset = presetText(flag);
  const notes = [...(required ? ['required'] : []), ...(repeatable ? ['may be repeated'] : []), ...(flag.nullable && !repeatable ? ['none = without'] : []), ...(preset ? [`default ${preset}`] : [])];
  const text = [description, notes.length > 0 ? `(${notes.join('; ')})` : ''].filter(Boolean).join(' ');
  if (shape.kind === 'boolean') {
    parser.addOption(new Option(`--${name}`, text)).addOption(new Option(`--no-${name}`, ''));
    return;
  }
  const option = new Option(`--${name} <${placeholder(shape)}>`, text);
  parser.addOption(repeatable ? option.argParser(collected) : option);
}

function addUsual(parser: Parser, { changes = false, task = false, output = true }): Parser {
  if (task) parser.addOption(new Option('--wait', 'follow the task to its end and show the object')).addOption(new Option('--timeout <duration>', 'how long --wait waits (default 1h); the task goes on'));
  if (changes) parser.addOption(new Option('--idempotency-key <key>', 'sent again with the same key, the command has one effect'));
  if (output) parser.addOption(new Option('-o, --output <format>', 'table, json, yaml, name or id (default table)'));
  return parser.addOption(new Option('--profile <name>', 'use this profile (TOK_PROFILE)')).addOption(new Option('--url <address>', 'use this platform (TOK_URL)'));
}

/** Where the server cannot explain, the flag is known all the same, so that the refusal says why. */
function addDryRun(parser: Parser, { operation, words }: Command): void {
  if (operation.dryRun) parser.addOption(new Option('--dry-run', 'only show what would happen; nothing is done'));
  else parser.addOption(new Option('--dry-run').hideHelp()).on('option:dry-run', () => { throw refusedDryRun(words, operation.kind); });
}

const refusedDryRun = (words: readonly string[], kind: 'command' | 'query'): Failure => (kind === 'query'
  ? usageFailure(`tokctl ${words.join(' ')} only shows something: it needs no --dry-run.`)
  : usageFailure(`tokctl ${words.join(' ')} takes no --dry-run: the server cannot explain it beforehand. Nothing was done.`, 'Commands that can be explained have --dry-run in their --help.'));

function addHandWritten(program: Parser, around: Surroundings, commands: readonly Command[]): void {
  const at = (words: string, summary: string): Parser => parserAt(program, words.split(' ')).summary(summary).description(summary);

  addUsual(at('login', 'Sign in; keeps the session in a profile').argument('[url]', 'address of the platform'), { output: false })
    .option('--user <handle>', 'who signs in')
    .option('--password-stdin', 'read the password from standard input; a second line is the new one, if one has to be set')
    .action((url: string | undefined, values: LoginOptions) => login(around, url, values));
  addUsual(at('logout', 'End the session and forget its tokens'), { output: false }).action((values: Options) => logout(around, values));
  addUsual(at('passwd', 'Change your own password'), { output: false })
    .option('--password-stdin', 'read the current and the new password from standard input, a line each')
    .action((values: LoginOptions) => passwd(around, values));

  addUsual(at('bus login', 'Get credentials for the bus, or renew them, in a standard NATS credentials file'), { output: false })
    .option('--file <path>', 'the credentials file (default: beside the profile)').option('--name <name>', 'what the key is called in tokctl bus-credential list (default: the name of this machine)').option('--life <duration>', 'how long they are good for, 5m to 1d (default 1h)')
    .action((values: BusLoginOptions) => busLogin(contextOf(around, values), values));

  addUsual(at('audit verify', 'Check the whole audit log: fails when a row was altered, removed, moved or added'), { output: false })
    .option('--from <seq>', 'begin at this row (default the oldest that is kept)').option('--expect <seq:hash>', 'what an earlier verify printed as newest: has that row changed since?')
    .option('--file <path>', 'check a list that was kept (tokctl audit list --sort seq -o json) instead, without the platform')
    .action((values: AuditVerifyOptions & { file?: string }) => (values.file === undefined ? verifyPlatform(contextOf(around, values), values) : verifyFile(around.out, values.file)));

  addUsual(at('profile list', 'List the profiles'), {}).action((values: Options) => { listProfiles(around, values); });
  addUsual(at('profile show', 'Show which platform and token the next command uses'), {}).action((values: Options) => { showProfile(around, values); });
  at('profile use', 'Make a profile the current one').argument('<name>').action((name: string) => switchProfile(around, name));
  at('profile delete', 'Delete a profile and its tokens').argument('<name>').action((name: string) => deleteProfile(around, name));

  addUsual(at('task watch', 'Follow a task to its end').argument('[task]', 'id; left away, the only one under way'), {}).addOption(new Option('--timeout <duration>', 'how long to wait (default 1h); the task goes on'))
    .action((task: string | undefined, values: Options) => {
      if (task !== undefined && !isId(task)) throw usageFailure('[task]: give the id of a task (tokctl task list -o id).');
      return watchTask(contextOf(around, values), task?.toLowerCase());
    });
  addUsual(at('events', 'Show what has happened, and with --follow what happens'), {}).option('-f, --follow', 'go on for ever, also over breaks of the connection, without a gap')
    .option('--after <number>', 'begin behind this event (its SEQ)').option('--name <event>', 'only events of this name, such as compute.vm.changed').option('--object <id>', 'only events about this object')
    .action((values: EventsOptions) => showEvents(contextOf(around, values), values));
  addUsual(at('get', 'Show anything by its id or name').argument('<what>', 'id, name, or noun/name such as vm/web-1'), {})
    .action((what: string, values: Options) => getAnything(contextOf(around, values), what));
  addUsual(at('api', 'Send any request of the REST interface').argument('<words...>', 'METHOD PATH [BODY], the body as JSON, @file or -'), { changes: true, output: false })
    .action((words: string[], values: Options) => callApi(contextOf(around, values), words));
  addConsoles(at, around);
  addUpload(program, around, commands);

  at('completion', 'Print the completion script of a shell').argument('<shell>', 'bash, zsh or fish').action((shell: string) => { around.out(completionFor(shell, program)); });
  at('help', 'Show help for a command, or for exit-codes').argument('[words...]').action((words: string[]) => { around.out(helpText(program, words)); });
}

function addConsoles(at: (words: string, summary: string) => Parser, around: Surroundings): void {
  addUsual(at('vm console', 'The serial console of a running VM on this terminal; Ctrl-] leaves').argument('<vm>', 'name or id'), { output: false })
    .option('--history <size>', 'show so much of what it has shown before (default 64KiB)')
    .option('--until <text>', 'leave when this text shows, in what it has shown before too; fails when it does not')
    .option('--timeout <duration>', 'how long --until waits (default 1h)')
    .option('--linger <duration>', 'how long to stay when the input has ended (default 1s)')
    .action((vm: string, values: ConsoleOptions) => showConsole(contextOf(around, values), vm, values));
  addUsual(at('vm vnc', 'The screen of a running VM for any VNC viewer on this machine; prints where it listens').argument('<vm>', 'name or id'), { output: false })
    .option('--port <number>', 'listen at this port of 127.0.0.1 (default any free one)')
    .option('--socket <path>', 'listen at a unix socket that is yours alone')
    .option('--once', 'end with the first viewer')
    .option('--browser', 'print the address of the page that shows the screen instead')
    .action((vm: string, values: VncOptions) => serveScreen(contextOf(around, values), vm, values));
}

function addUpload(program: Parser, around: Surroundings, commands: readonly Command[]): void {
  const create = commands.find(({ operation }) => operation.name === 'templates.image.create');
  if (!create) return;
  const summary = 'Announce an image and send its bytes; sent again after a break it goes on with the same image';
  const command = { ...create, words: ['image', 'upload'] };
  const parser = parserAt(program, command.words).summary(summary).description(summary);
  parser.requiredOption('--file <path>', 'the bytes (required)');
  for (const flag of create.flags) addFlag(parser, flag);
  addUsual(parser, { changes: true, task: true }).action(async () => {
    const values = parser.opts<Values & { file: string }>();
    await uploadImage(command, contextOf(around, values), values.file, typedOf(command, values));
  });
}

export const exitCodesText = (): string => ['Exit status:', ...exitMeanings.map(({ code, meaning }) => `  ${String(code).padStart(3)}  ${meaning}`)].join('\n');

function helpText(program: Parser, words: readonly string[]): string {
  if (words.join(' ') === 'exit-codes') return exitCodesText();
  let found = program;
  for (const word of words) {
    const next = found.commands.find((child) => child.name() === word || child.aliases().includes(word));
    if (!next) throw usageFailure(`There is no command "${words.join(' ')}".`, 'See tokctl --help.');
    found = next;
  }
  return found.helpInformation().trimEnd() + examplesText(words.join(' '));
}

const examplesText = (words: string): string => {
  const lines = examples[words] ?? [];
  return lines.length === 0 ? '' : `\n\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`;
};

const groupSummaries: Readonly<Record<string, string>> = { audit: 'The audit log', bus: 'Credentials for NATS clients', 'bus-credential': 'Your keys on the bus', 'dead-letter': 'Published commands that were refused', drift: 'Differences between what is written down and what is there', 'event-feed': 'Events that are pushed to you on the bus', webhook: 'Events that are delivered to a URL', 'webhook-delivery': 'What webhooks have delivered', vm: 'VMs', site: 'The site', capacity: 'Capacity and claims per host', placement: 'Where a VM would go', ha: 'Liveness of hosts', profile: 'Which platform the commands speak to', 'port-group': 'Port groups', switch: 'Distributed switches' };

function addExamples(parser: Parser, words: string): void {
  if (parser.commands.length > 0 && words !== '' && parser.summary() === '') {
    const summary = groupSummaries[words] ?? `${words[0]!.toUpperCase()}${words.slice(1)}s`;
    parser.summary(`${summary}: ${parser.commands.map((child) => child.name()).join(', ')}`).description(summary);
  }
  const own = examplesText(words);
  // A group shows its commands' first examples.
  const below = own === '' && parser.commands.length > 0 ? parser.commands.flatMap((child) => examples[`${words} ${child.name()}`]?.slice(0, 1) ?? []) : [];
  if (own !== '') parser.addHelpText('after', own.slice(1));
  else if (below.length > 0) parser.addHelpText('after', `\nExamples:\n${below.map((line) => `  ${line}`).join('\n')}`);
  for (const child of parser.commands) addExamples(child, words === '' ? child.name() : `${words} ${child.name()}`);
}

function sortTree(parser: Parser): void {
  (parser.commands as Parser[]).sort((a, b) => (a.name() < b.name() ? -1 : 1));
  for (const child of parser.commands) sortTree(child);
}
