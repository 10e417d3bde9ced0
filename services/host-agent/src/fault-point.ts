// Named instants at which a test lets the agent die, so that "what if it stops right here" is tried and not believed.
// Without TOK_TEST_FAULT_POINT a point costs one comparison and does nothing.

const chosen = process.env['TOK_TEST_FAULT_POINT'];

/** Ends this process as SIGKILL does when the environment names this point. */
export function faultPoint(name: string): void {
  if (chosen === name) process.kill(process.pid, 'SIGKILL');
}
