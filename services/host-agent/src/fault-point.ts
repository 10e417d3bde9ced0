// Named instants at which a test lets the agent die, so that "what if it stops right here" is tried and not believed.
// Without TOK_TEST_FAULT_POINT a point costs one comparison and does nothing.

const awaited = new Set((process.env['TOK_TEST_FAULT_POINT'] ?? '').split(',').filter((point) => point !== ''));

/**
 * Ends this process as SIGKILL does when the environment names this point: as `name`, or as `name@of`, which is that of one
 * command to the host (by its id) or of one VM alone. Where it names several, with commas in between, whatever comes to one
 * of them stays there, and the process ends when all have been come to.
 */
export function faultPoint(name: string, of: string): Promise<void> | undefined {
  if (awaited.size === 0) return undefined;
  const point = [name, `${name}@${of}`].find((one) => awaited.has(one));
  if (point === undefined) return undefined;
  awaited.delete(point);
  process.stderr.write(`at fault point ${point}\n`);
  if (awaited.size === 0) process.kill(process.pid, 'SIGKILL');
  return new Promise(() => undefined);
}
