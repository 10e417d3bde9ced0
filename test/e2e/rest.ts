// The tests' client of the public REST interface. Operations are called by their contracts, so that route, request and
// reply are checked against what is published; `send` sends anything at all.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { endStates, ErrorBody, getTask, login, routeOf } from '#contracts';
import type { Operation, ReplyOf, RequestOf, Task, TaskRef } from '#contracts';

export interface Answer { readonly status: number; readonly headers: Headers; readonly body: unknown; readonly text: string }
export interface Sending { readonly body?: unknown; readonly headers?: Readonly<Record<string, string>>; readonly rawBody?: string | Uint8Array<ArrayBuffer> }
interface Asking { readonly key?: string; readonly patientMs?: number }

/** An answer that refuses. */
export class Refusal extends Error {
  constructor(readonly what: string, readonly status: number, readonly fault: ErrorBody) {
    super(`${what}: ${status} ${fault.code}: ${fault.detail} ${JSON.stringify(fault.details ?? {})} trace ${fault.traceId ?? '-'}`);
    this.name = 'Refusal';
  }

  get code(): string {
    return this.fault.code;
  }
}

/** What `fetch` throws when nobody listens or the connection ends. It comes from another realm than the tests, so by its name. */
export const isCutOff = (error: unknown): boolean => typeof error === 'object' && error !== null && 'name' in error && error.name === 'TypeError';

/** How long a service that comes up again is waited for. */
const PATIENT_MS = 20_000;

export class Rest {
  constructor(readonly url: string, readonly token: string | null = null) {}

  static async signIn(url: string, user: string, password: string): Promise<Rest> {
    return new Rest(url, (await new Rest(url).ask(login, { user, password })).accessToken);
  }

  async send(method: string, path: string, { body, headers = {}, rawBody }: Sending = {}): Promise<Answer> {
    const response = await fetch(new URL(path, this.url), {
      method,
      headers: {
        ...(this.token === null ? {} : { authorization: `Bearer ${this.token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined && rawBody === undefined ? {} : { body: rawBody ?? JSON.stringify(body) }),
      signal: AbortSignal.timeout(60_000),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: parsed(text) };
  }

  /** Calls an operation; throws `Refusal`. What passes by itself (503, 504, no connection) is tried again with the same key. */
  async ask<O extends Operation>(operation: O, input: RequestOf<O>, { key = randomUUID(), patientMs = PATIENT_MS }: Asking = {}): Promise<ReplyOf<O>> {
    const answer = await this.answerTo(operation, input, key, patientMs);
    return operation.reply.parse(answer.body) as ReplyOf<O>;
  }

  /** The refusal of an operation that must be refused. */
  async refusal(operation: Operation, input: unknown, { key = randomUUID() }: Asking = {}): Promise<Refusal> {
    const answer = await this.answerTo(operation, input, key, PATIENT_MS).catch((error: unknown) => {
      if (error instanceof Refusal) return error;
      throw error;
    });
    if (answer instanceof Refusal) return answer;
    throw new Error(`${operation.name} was not refused: ${answer.status} ${answer.text}`);
  }

  private async answerTo(operation: Operation, input: unknown, key: string, patientMs: number): Promise<Answer> {
    const { method, path, sending } = requestOf(operation, input, key);
    for (const giveUpAt = performance.now() + patientMs; ;) {
      const answer = await this.send(method, path, sending).catch((error: unknown) => {
        if (isCutOff(error) && performance.now() < giveUpAt) return undefined; // nobody listens
        throw error;
      });
      if (answer !== undefined && answer.status < 400) return answer;
      if (answer !== undefined && (!(answer.status === 503 || answer.status === 504) || performance.now() > giveUpAt)) throw refusalOf(operation.name, answer);
      await sleep(200);
    }
  }

  /** Follows a task to its end, whichever that is. */
  async ended({ taskId }: TaskRef, withinMs = 120_000): Promise<Task> {
    let afterVersion: number | undefined;
    let last: Task | undefined;
    for (const giveUpAt = performance.now() + withinMs; performance.now() < giveUpAt;) {
      last = await this.ask(getTask, { taskId, waitMs: 5_000, ...(afterVersion === undefined ? {} : { afterVersion }) }).catch(async (error: unknown) => {
        if (!(error instanceof Refusal && error.status === 404)) throw error; // its first event is still on the way
        await sleep(50);
        return undefined;
      });
      if (last !== undefined && endStates.includes(last.state)) return last;
      afterVersion = last?.version;
    }
    throw new Error(`task ${taskId} has not ended within ${withinMs} ms: ${JSON.stringify(last)}`);
  }

  /** Follows a task that must succeed. */
  async succeeded(ref: TaskRef, withinMs?: number): Promise<Task> {
    const task = await this.ended(ref, withinMs);
    if (task.state !== 'succeeded') throw new Error(`task ${task.kind} of ${task.object.name ?? task.object.id} ${task.state}: ${JSON.stringify(task.error)} at ${JSON.stringify(task.steps.filter((step) => step.state !== 'done'))}`);
    return task;
  }

  /** An operation that answers a task, followed to its success. */
  async carryOut(operation: Operation, input: Readonly<Record<string, unknown>>, withinMs?: number): Promise<Task> {
    return this.succeeded((await this.ask(operation, input)) as TaskRef, withinMs);
  }
}

function requestOf(operation: Operation, input: unknown, key: string): { method: string; path: string; sending: Sending } {
  const route = routeOf(operation);
  if (route === undefined) throw new Error(`${operation.name} has no route`);
  const given = input as Readonly<Record<string, unknown>>;
  const filled = route.path.replace(/:([A-Za-z0-9]+)/g, (_, name: string) => encodeURIComponent(String(given[name])));
  const members = Object.fromEntries(Object.entries(given).filter(([name]) => !route.pathParams.includes(name)));
  const headers = route.method === 'GET' ? {} : { 'idempotency-key': key };
  if (route.rest === 'body') return { method: route.method, path: filled, sending: { body: members, headers } };
  const query = new URLSearchParams(Object.entries(members).filter(([, value]) => value !== undefined).map(([name, value]): [string, string] => [name, String(value)]));
  return { method: route.method, path: query.size === 0 ? filled : `${filled}?${query.toString()}`, sending: { headers } };
}

function refusalOf(what: string, answer: Answer): Refusal {
  const fault = ErrorBody.safeParse(answer.body);
  if (!fault.success) throw new Error(`${what}: ${answer.status} with a body that is no error: ${answer.text.slice(0, 500)}`);
  return new Refusal(what, answer.status, fault.data);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // a body that is not JSON; `text` has it
  }
}
