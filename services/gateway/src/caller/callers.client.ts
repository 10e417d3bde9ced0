// Who stands behind a bearer token, or behind a handle that the bus has vouched for: asked from auth, kept for as long as
// auth allows, and forgotten at once when auth says that something about the user has changed. What is kept can be lost at
// any time.
import type { NatsConnection } from '@nats-io/transport-node';
import type { BusClient, BusLog } from '#bus';
import { resolveBearer, resolveHandle, userChanged, userDeleted } from '#contracts';
import type { Actor, Holder, ReplyOf } from '#contracts';
import { ok } from '#kernel';
import type { Clock, Result } from '#kernel';

export interface Caller {
  readonly actor: Actor;
  /** Signed by auth; goes along as `Tok-Actor`. */
  readonly actorToken: string;
  readonly mustChangePassword: boolean;
  /** What he stands on: a session, an API token, or himself on the bus. */
  readonly holder: Holder;
}

interface Kept {
  readonly caller: Caller;
  readonly until: number;
}

const mostKept = 5_000;

/** What a user may do has changed; undefined = perhaps everybody's has, because changes may have been missed. */
export type ChangeListener = (userId: string | undefined) => void;

export class Callers {
  private readonly kept = new Map<string, Kept>();
  private readonly asking = new Map<string, Promise<Result<Caller>>>();
  private readonly listeners = new Set<ChangeListener>();
  /** Rises with everything forgotten: an answer that was asked for before is used but not kept. */
  private changes = 0;

  constructor(private readonly bus: BusClient, private readonly clock: Clock) {}

  /** Without a question, when the answer is here. */
  known(bearer: string): Caller | undefined {
    return this.find(bearer);
  }

  /** The caller, or UNAUTHENTICATED, TOKEN_EXPIRED, UNAVAILABLE. Many who ask at once cost one question. */
  resolve(bearer: string): Promise<Result<Caller>> {
    return this.once(bearer, () => this.bus.request(resolveBearer, { bearer }, { as: 'system' }));
  }

  /** The same for a handle under which somebody speaks on the bus, where the NATS server lets nobody else. */
  resolveHandle(handle: string): Promise<Result<Caller>> {
    const key = `handle ${handle}`; // no bearer has a space in it
    const known = this.find(key);
    return known === undefined ? this.once(key, () => this.bus.request(resolveHandle, { handle }, { as: 'system' })) : Promise.resolve(ok(known));
  }

  private find(key: string): Caller | undefined {
    const kept = this.kept.get(key);
    if (kept === undefined) return undefined;
    if (this.clock.monotonic() < kept.until) return kept.caller;
    this.kept.delete(key);
    return undefined;
  }

  private once(key: string, question: () => Promise<Result<ReplyOf<typeof resolveBearer>>>): Promise<Result<Caller>> {
    const asked = this.asking.get(key);
    if (asked !== undefined) return asked;
    const asking = this.ask(key, question).finally(() => {
      if (this.asking.get(key) === asking) this.asking.delete(key);
    });
    this.asking.set(key, asking);
    return asking;
  }

  private async ask(key: string, question: () => Promise<Result<ReplyOf<typeof resolveBearer>>>): Promise<Result<Caller>> {
    const askedAt = this.clock.monotonic();
    const before = this.changes;
    const answer = await question();
    if (!answer.ok) return answer;
    const { validForMs, ...caller } = answer.value;
    if (before === this.changes && validForMs > 0) this.keep(key, { caller, until: askedAt + validForMs });
    return ok(caller);
  }

  private keep(key: string, kept: Kept): void {
    const oldest = this.kept.keys().next();
    if (this.kept.size >= mostKept && !oldest.done) this.kept.delete(oldest.value);
    this.kept.set(key, kept);
  }

  /** Tells of every change that is heard of, for what stays open longer than a request. Answers how to stop. */
  onChange(listener: ChangeListener): () => void {
    this.listeners.add(listener);
    return () => { this.listeners.delete(listener); };
  }

  forget(userId: string): void {
    this.changes += 1;
    this.asking.clear();
    for (const [key, { caller }] of this.kept) if (caller.actor.userId === userId) this.kept.delete(key);
    for (const listener of this.listeners) listener(userId);
  }

  forgetAll(): void {
    this.changes += 1;
    this.asking.clear();
    this.kept.clear();
    for (const listener of this.listeners) listener(undefined);
  }

  /** Listens for changes of users. Who was away from the bus may have missed some, so everything is forgotten then. */
  async watch(connection: NatsConnection, log: BusLog): Promise<() => Promise<void>> {
    const onEvent = (error: Error | null, { subject }: { subject: string }): void => {
      if (error) log.error({ err: error }, 'changes of users are not heard; what is known of them is kept until it ends');
      else this.forget(subject.split('.').at(-1) ?? '');
    };
    const subscriptions = [userChanged, userDeleted].map(({ name }) => connection.subscribe(`tok.v1.evt.${name}.*`, { callback: onEvent }));
    void this.watchConnection(connection);
    await connection.flush();
    return async () => { await Promise.all(subscriptions.map((subscription) => subscription.drain())); };
  }

  private async watchConnection(connection: NatsConnection): Promise<void> {
    for await (const { type } of connection.status()) {
      if (type === 'disconnect' || type === 'reconnect') this.forgetAll();
    }
  }
}
