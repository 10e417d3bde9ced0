import { describe, expect, it } from '@jest/globals';
import { open, readFile, rm } from 'node:fs/promises';
import { outputOf, runCommand } from './run-command.ts';

describe('a command', () => {
  it('answers its output and status', async () => {
    expect(await runCommand(['sh', '-c', 'cat; echo bad >&2; exit 3'], { deadlineMs: 5_000, input: 'hello' })).toEqual({ code: 3, stdout: 'hello', stderr: 'bad\n', ended: 'exit' });
  });

  it('gets its arguments as they are, whatever they contain', async () => {
    const text = '$(touch /tmp/x); `id` "\' && | > *\n--flag';
    expect(await outputOf(['printf', '%s', text], { deadlineMs: 5_000 })).toEqual({ ok: true, value: text });
  });

  it('is killed with its children at the deadline', async () => {
    const outcome = await runCommand(['sh', '-c', 'sleep 300 & echo $!; wait'], { deadlineMs: 300 });
    expect(outcome.ended).toBe('deadline');
    const child = Number(outcome.stdout.trim());
    const state = (await readFile(`/proc/${child}/stat`, 'utf8').catch(() => ') gone')).split(') ')[1]?.[0];
    expect(['Z', 'X', 'g']).toContain(state);
  });

  it('ends when its signal aborts, before the start too', async () => {
    const controller = new AbortController();
    const running = runCommand(['sh', '-c', 'echo started; sleep 300'], { deadlineMs: 60_000, signal: controller.signal, onStdout: () => controller.abort() });
    expect(await running).toMatchObject({ ended: 'aborted', stdout: 'started\n' });
    expect(await runCommand(['true'], { deadlineMs: 1_000, signal: controller.signal })).toMatchObject({ ended: 'aborted' });
  });

  it('that does not exist is a failure with a reason', async () => {
    expect(await outputOf(['/nonexistent/program'], { deadlineMs: 1_000 })).toMatchObject({ ok: false, fault: { code: 'HOST_COMMAND_FAILED' } });
  });

  it('sees the open files that it is given', async () => {
    const path = `/tmp/tok-run-${process.pid}`;
    const file = await open(path, 'w+');
    await file.write('content');
    expect(await outputOf(['cat', '/proc/self/fd/3'], { deadlineMs: 5_000, files: [file.fd] })).toEqual({ ok: true, value: 'content' });
    await file.close();
    await rm(path);
  });
});
