// The lab's client of the public REST interface: bearer token, idempotency keys, problem texts as errors, tasks waited for.
import { randomUUID } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const TASK_WAIT_MS = 20_000;
const END_STATES = ['succeeded', 'failed', 'cancelled', 'needs-attention'];

/** An answer of the platform that refuses; `code` is the platform's error code. */
export class Refused extends Error {
  constructor(what, status, problem) {
    super(`${what}: ${problem.detail ?? problem.title ?? `HTTP ${status}`}${problem.code ? ` (${problem.code})` : ''}${problem.traceId ? `, trace ${problem.traceId}` : ''}`);
    this.name = 'Refused';
    this.status = status;
    this.code = problem.code;
    this.details = problem.details;
  }
}

const RETRY_WITHIN_MS = 15_000;

/** Whether the same request may well succeed a moment later: nobody answered, or a service is still coming up. */
function passes(error) {
  return error instanceof Refused ? error.status === 503 || error.status === 504 : error.name === 'TypeError';
}

/** `url` is the gateway's. `as(token)` gives the client of a signed-in user. */
export function restClient(url, token) {
  /** A request that changes something carries one key through all its repetitions, so it takes effect once. */
  async function call(method, path, { body, query } = {}) {
    const key = method === 'GET' ? undefined : randomUUID();
    for (const until = Date.now() + RETRY_WITHIN_MS; ;) {
      try {
        return await callOnce(method, path, { body, query, key });
      } catch (error) {
        if (!passes(error) || Date.now() > until) throw error;
        await sleep(200);
      }
    }
  }

  async function callOnce(method, path, { body, query, key }) {
    const target = new URL(path, url);
    for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined) target.searchParams.set(name, value);
    const response = await fetch(target, {
      method,
      headers: {
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key ? { 'idempotency-key': key } : {}),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(60_000),
    });
    return answerOf(`${method} ${path}`, response.status, await response.text());
  }

  /** The one object of a collection with this name, or undefined. */
  async function named(collection, name) {
    const { items } = await call('GET', `/v1/${collection}`, { query: { name } });
    return items.find((item) => item.name === name);
  }

  /** Follows a task to its end; resolves with it, or fails with the task's own error. */
  async function finished({ taskId }, { withinMs = 180_000 } = {}) {
    const until = Date.now() + withinMs;
    let version;
    while (Date.now() < until) {
      const task = await call('GET', `/v1/tasks/${taskId}`, { query: { waitMs: TASK_WAIT_MS, afterVersion: version } }).catch((error) => {
        if (error.status === 404) return undefined; // its first event is still on the way
        throw error;
      });
      if (task?.state === 'succeeded') return task;
      if (END_STATES.includes(task?.state)) throw new Refused(`task ${taskId} (${task.kind}) ${task.state}`, 0, task.error ?? {});
      version = task?.version;
      if (!task) await sleep(50);
    }
    throw new Error(`Task ${taskId} is not done after ${withinMs / 1000} s: see GET /v1/tasks/${taskId}.`);
  }

  /** Sends a file as the body, streamed. */
  function upload(path, file) {
    return new Promise((resolve, reject) => {
      const sending = request(new URL(path, url), {
        method: 'PUT',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/octet-stream', 'content-length': statSync(file).size, 'idempotency-key': randomUUID() },
      }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part) => { text += part; }).on('end', () => {
          try {
            resolve(answerOf(`PUT ${path}`, response.statusCode, text));
          } catch (error) {
            reject(error);
          }
        });
      });
      sending.on('error', reject);
      createReadStream(file).on('error', reject).pipe(sending);
    });
  }

  return {
    get: (path, query) => call('GET', path, { query }),
    post: (path, body) => call('POST', path, { body }),
    patch: (path, body) => call('PATCH', path, { body }),
    delete: (path) => call('DELETE', path),
    token,
    named, finished, upload,
    as: (newToken) => restClient(url, newToken),
  };
}

function answerOf(what, status, text) {
  let value;
  try {
    value = text === '' ? {} : JSON.parse(text);
  } catch {
    throw new Refused(what, status, { detail: `HTTP ${status} with a body that is not JSON` });
  }
  if (status >= 400) throw new Refused(what, status, value);
  return value;
}
