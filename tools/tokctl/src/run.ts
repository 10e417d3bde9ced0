// Runs one command line and answers its exit status; never throws. Bugs show their stack, everything else a clear text.
import { CommanderError } from 'commander';
import type { Command as Parser } from 'commander';
import { exit } from './exit-codes.ts';
import { Failure } from './failures.ts';
import { programOf } from './program.ts';
import type { Surroundings } from './surroundings.ts';

const answered: ReadonlySet<string> = new Set(['commander.helpDisplayed', 'commander.version']);

function prepare(parser: Parser, around: Surroundings, path: string): void {
  parser.exitOverride().configureOutput({
    writeOut: (text) => { around.out(text.trimEnd()); },
    writeErr: (text) => { around.say(text.trimEnd()); },
    getOutHelpWidth: () => (Number.isFinite(around.width) ? Math.max(60, around.width) : 120),
    outputError: (text, write) => { write(text.replace(/^error: /, '')); },
  }).showSuggestionAfterError(true).showHelpAfterError(`What there is: ${path} --help`);
  for (const child of parser.commands) prepare(child, around, `${path} ${child.name()}`);
}

export async function run(argv: readonly string[], around: Surroundings, version: string): Promise<number> {
  const program = programOf(around, version);
  prepare(program, around, program.name());
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exit.ok;
  } catch (error) {
    if (error instanceof Failure) {
      for (const line of error.lines) around.say(line);
      return error.exitCode;
    }
    if (error instanceof CommanderError) return answered.has(error.code) ? exit.ok : exit.usage;
    around.say(error instanceof Error ? (error.stack ?? error.message) : String(error));
    around.say('This is a bug in tokctl.');
    return exit.refused;
  }
}
