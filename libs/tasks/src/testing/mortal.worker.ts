// A worker in a process of its own that kills or freezes itself in the middle of a step: `node mortal.worker.ts <mysql url>`.
// What it is to do stands in the task's input.
import { execute, openDatabase, tasksMigrations } from '#database';
import { defineTask } from '../kind.ts';
import { TaskEngine } from '../task.engine.ts';
import { quickSettings, SceneBus, silentTaskLog } from './scene.ts';
import { worldMigration } from './sample-kinds.ts';

export interface MortalInput {
  readonly id: string;
  /** The step at which the first worker gets `signal`, and whether before or after its effect. */
  readonly at: string;
  readonly place: 'before' | 'after';
  readonly signal: 'SIGKILL' | 'SIGSTOP';
}

/** Each step writes its row once and tells in which process it was recorded. `mortal` = the process heeds the input's signal. */
export const mortalKind = (mortal: boolean) => defineTask<MortalInput>({
  kind: 'compute.mortal.work', object: 'mortal',
  steps: ['one', 'two', 'three'].map((name) => ({
    name,
    run: async (ctx) => {
      const meets = (place: MortalInput['place']): void => {
        if (mortal && ctx.input.at === name && ctx.input.place === place) process.kill(process.pid, ctx.input.signal);
      };
      meets('before');
      await ctx.tx((tx) => execute(tx, 'INSERT IGNORE INTO world (id, owner) VALUES (?, ?)', [`${ctx.input.id.slice(-12)}-${name}`, ctx.task.id]));
      meets('after');
      return { pid: process.pid };
    },
  })),
});

const [, script, url] = process.argv;
if (script?.endsWith('mortal.worker.ts') === true && url !== undefined) {
  const db = await openDatabase({ url, migrations: [...tasksMigrations, worldMigration], name: 'mortal' });
  const engine = new TaskEngine({ service: 'compute', db, bus: new SceneBus().of('compute'), log: silentTaskLog, settings: quickSettings });
  engine.add([mortalKind(true)]);
  await engine.open();
  process.once('SIGTERM', () => { void engine.close().then(() => db.destroy()); });
}
