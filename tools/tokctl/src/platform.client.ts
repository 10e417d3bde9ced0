// The platform as commands see it: operations called by their contract, lists turned page by page, names looked up.
import { createHash, randomUUID } from 'node:crypto';
import { operationByName, routeOf } from '#contracts';
import type { Operation } from '#contracts';
import { problemOf, valueOf } from './answers.ts';
import { exit } from './exit-codes.ts';
import { Failure, Refused } from './failures.ts';
import type { Answer, Exchange, Send } from './http.client.ts';
import { requestOf } from './input.ts';
import type { Input } from './input.ts';
import { nounOf } from './nouns.ts';
import type { NounName } from './nouns.ts';
import type { Bearer } from './session.client.ts';
import type { NamedReference } from './values.ts';

export interface Page {
  readonly items: readonly Readonly<Record<string, unknown>>[];
  /** More exist than were asked for. */
  readonly more: boolean;
}

const pageSize = 500;

export class Platform {
  /** `key` goes with every request of this invocation that changes something and brings no key of its own. */
  constructor(private readonly send: Send, private readonly bearer: Bearer, private readonly key: string = randomUUID()) {}

  /** A key for one more operation of the same invocation: the platform takes a key for one operation only. */
  keyFor(part: string): string {
    return `${part}-${createHash('sha256').update(this.key).digest('hex')}`;
  }

  /** Any request, signed in; renews the access token once when the door refuses it. Rejects with Refused. */
  async ask(exchange: Exchange, flagOf?: (path: string) => string | undefined): Promise<Answer> {
    let token = await this.bearer();
    const send = (): Promise<Answer> => this.send({ ...exchange, headers: { authorization: `Bearer ${token}`, ...(exchange.method === 'GET' ? {} : { 'idempotency-key': this.key }), ...exchange.headers } });
    let answer = await send();
    if (answer.status === 401) {
      const fresh = await this.bearer(token);
      if (fresh !== token) {
        token = fresh;
        answer = await send();
      }
    }
    if (answer.status >= 300) throw new Refused(problemOf(answer), answer.status, flagOf);
    return answer;
  }

  async call(operation: Operation, input: Input, options: { readonly flagOf?: (path: string) => string | undefined; readonly dryRun?: boolean } = {}): Promise<Readonly<Record<string, unknown>>> {
    const route = routeOf(operation);
    if (!route) throw new Error(`${operation.name} has no route`);
    const { method, path: plain, body } = requestOf(operation, route, input);
    const path = options.dryRun === true ? `${plain}${plain.includes('?') ? '&' : '?'}dryRun=true` : plain;
    const answer = await this.ask({ method, path, ...(body === undefined ? {} : { body: JSON.stringify(body) }), timeoutMs: operation.timeoutMs + 5_000 }, options.flagOf);
    return valueOf(answer) as Readonly<Record<string, unknown>>;
  }

  /** Objects of a list, page by page, at most `most`. */
  async list(operation: Operation, input: Input, most = Number.POSITIVE_INFINITY): Promise<Page> {
    const items: Readonly<Record<string, unknown>>[] = [];
    let cursor: string | undefined;
    for (;;) {
      const limit = Math.min(pageSize, most - items.length);
      const page = await this.call(operation, { ...input, limit, ...(cursor === undefined ? {} : { cursor }) }) as { items?: Page['items']; next?: string | null };
      items.push(...(page.items ?? []));
      cursor = page.next ?? undefined;
      if (cursor === undefined || items.length >= most) return { items: items.slice(0, most), more: cursor !== undefined || items.length > most };
    }
  }

  /** The id behind a name; refuses a name that nothing or more than one thing has. */
  async idOf({ noun, name, where }: NamedReference): Promise<string> {
    const { list, label } = nounOf(noun);
    if (label === null) throw new Failure(exit.usage, `${where}: a ${noun} has no name; give its id (tokctl ${noun} list -o id).`);
    const operation = operationNamed(list);
    const filters = routeOf(operation)?.members.includes(label) ?? false;
    if (filters && !operation.input.safeParse({ [label]: name }).success) throw new Failure(exit.notFound, `${where}: "${name}" is not a name that a ${noun} can have.`);
    const { items } = await this.list(operation, filters ? { [label]: name } : {});
    const found = items.filter((item) => item[label] === name);
    if (found.length > 1) throw new Failure(exit.usage, `${where}: ${found.length} ${noun}s are called "${name}"; give an id:`, ...found.map(({ id }) => `  ${String(id)}`));
    const [only] = found;
    if (!only) throw new Failure(exit.notFound, `${where}: there is no ${noun} "${name}" that you may see.`, `See tokctl ${noun} list.`);
    return String(only['id']);
  }

  /** Names by id, for tables; ids stay as they are where the list may not be read. */
  async namesOf(noun: NounName): Promise<ReadonlyMap<string, string>> {
    const { list, label } = nounOf(noun);
    if (label === null) return new Map();
    try {
      const { items } = await this.list(operationNamed(list), {});
      return new Map(items.map((item) => [String(item['id']), String(item[label])]));
    } catch (error) {
      if (error instanceof Failure) return new Map();
      throw error;
    }
  }
}

export function operationNamed(name: string): Operation {
  const operation = operationByName.get(name);
  if (!operation) throw new Error(`there is no operation ${name}`);
  return operation;
}
