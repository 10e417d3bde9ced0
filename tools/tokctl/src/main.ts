// The command tokctl: real terminal, real exit status.
import { version } from '#config';
import { exit } from './exit-codes.ts';
import { run } from './run.ts';
import { realSurroundings } from './terminal.process.ts';

process.on('SIGINT', () => {
  process.stderr.write('\nInterrupted. A task that was accepted goes on: tokctl task list --open\n');
  process.exit(exit.interrupted);
});
// A reader that has seen enough (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(exit.ok);
});

const around = realSurroundings(process.env);
process.exitCode = await run(process.argv.slice(2), around, version);
around.close();
