// How a contract is written down. One definition yields the subject, the route, the permission, the CLI command,
// the documents and the types of both sides; nothing about an operation is written a second time.
import type { z } from 'zod';
import type { ErrorDef } from './errors.ts';
import type { Permission } from './permissions.ts';

export const services = ['auth', 'compute', 'network', 'storage', 'templates', 'scheduler', 'ha', 'monitoring', 'gateway'] as const;
export type ServiceName = (typeof services)[number];

/**
 * Who may call: a permission of the catalogue (checked at the door coarsely, by the owner on the object);
 * `authenticated` = any signed-in user, about himself; `public` = no credentials; `internal` = services only,
 * no route and no bus door.
 */
export type Access = Permission | 'authenticated' | 'public' | 'internal';

export interface Operation<I extends z.ZodType = z.ZodType, R extends z.ZodType = z.ZodType> {
  readonly kind: 'command' | 'query';
  /** `<service>.<noun>.<verb>` */
  readonly name: string;
  readonly service: ServiceName;
  readonly noun: string;
  readonly verb: string;
  /** `tok.v1.<service>.<noun>.<verb>` */
  readonly subject: string;
  readonly summary: string;
  readonly description?: string;
  /** `METHOD /v1/path/:param`; absent = only on the service bus. */
  readonly http?: string;
  readonly permission: Access;
  /** The input member that names the object the right is checked on. */
  readonly on?: string;
  readonly input: I;
  readonly reply: R;
  readonly errors: readonly ErrorDef[];
  /** The reply is a TaskRef: 202 and `Location: /v1/tasks/{id}`. */
  readonly task: boolean;
  /** Time a caller grants by default, ms. */
  readonly timeoutMs: number;
  /** A command that can be asked what it would do: the answer is a `Plan`, and nothing is left of the question. */
  readonly dryRun: boolean;
  /** How the CLI calls it, where `<noun> <verb>` would read badly. */
  readonly cli?: string;
  /** Of a question that can wait (`waitMs`): whether this is what was waited for, not only the end of the wait. */
  news?(input: z.output<I>, reply: z.output<R>): boolean;
}

export type InputOf<O> = O extends { input: infer I extends z.ZodType } ? z.output<I> : never;
/** What a caller writes: defaults may be left out. */
export type RequestOf<O> = O extends { input: infer I extends z.ZodType } ? z.input<I> : never;
export type ReplyOf<O> = O extends { reply: infer R extends z.ZodType } ? z.output<R> : never;

interface OperationText<I extends z.ZodType, R extends z.ZodType> {
  summary: string;
  description?: string;
  http?: string;
  permission: Access;
  on?: string;
  input: I;
  reply: R;
  errors?: readonly ErrorDef[];
  timeoutMs?: number;
  dryRun?: true;
  cli?: string;
  news?: (input: z.output<I>, reply: z.output<R>) => boolean;
}

const segment = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;

/** Splits and checks a dotted contract name; throws on a name outside the grammar (a bug found at import). */
export function parseName(name: string): { service: ServiceName; noun: string; verb: string } {
  const [service, noun, verb, ...rest] = name.split('.');
  if (!services.includes(service as ServiceName) || !noun || !verb || rest.length > 0 || !segment.test(noun) || !segment.test(verb)) {
    throw new Error(`"${name}" is not <service>.<noun>.<verb>`);
  }
  return { service: service as ServiceName, noun, verb };
}

function define<I extends z.ZodType, R extends z.ZodType>(kind: 'command' | 'query', name: string, text: OperationText<I, R>): Operation<I, R> {
  return {
    kind,
    name,
    ...parseName(name),
    subject: `tok.v1.${name}`,
    task: text.reply.meta()?.id === 'TaskRef',
    timeoutMs: 10_000,
    dryRun: false,
    ...text,
    errors: text.errors ?? [],
  };
}

/** An operation that changes something. Carries an idempotency key; answers its result or a TaskRef. */
export const defineCommand = <I extends z.ZodType, R extends z.ZodType>(name: string, text: OperationText<I, R>): Operation<I, R> =>
  define('command', name, text);

/** An operation that only reads. */
export const defineQuery = <I extends z.ZodType, R extends z.ZodType>(name: string, text: OperationText<I, R>): Operation<I, R> =>
  define('query', name, text);

/** How the agent finds out, after a crash, whether a command's effect happened. */
export type Probe = 'read-only' | 'qemu-process' | 'vm-directory' | 'file' | 'switch';

export interface HostOperation<I extends z.ZodType = z.ZodType, R extends z.ZodType = z.ZodType> {
  /** `<noun>.<verb>`, sent to `tok.v1.host.<hostId>.<noun>.<verb>` */
  readonly name: string;
  readonly summary: string;
  /** `vm` = goes to the actor of `input.vmId` and carries its epoch; `host` = goes to the host actor. */
  readonly actor: 'host' | 'vm';
  readonly input: I;
  readonly reply: R;
  readonly probe: Probe;
  readonly errors: readonly ErrorDef[];
  /**
   * How long the effect may take, ms. A command that takes longer than its caller waits goes on; the caller asks
   * again with the same commandId and gets `COMMAND_RUNNING` (retry) or the recorded result.
   */
  readonly timeoutMs: number;
}

type HostText<I extends z.ZodType, R extends z.ZodType> = Omit<HostOperation<I, R>, 'name' | 'timeoutMs' | 'errors'> & { timeoutMs?: number; errors?: readonly ErrorDef[] };

export const defineHostCommand = <I extends z.ZodType, R extends z.ZodType>(name: string, text: HostText<I, R>): HostOperation<I, R> => ({
  name,
  timeoutMs: 10_000,
  ...text,
  errors: text.errors ?? [],
});

export const hostSubject = (hostId: string, operation: { name: string }): string => `tok.v1.host.${hostId}.${operation.name}`;

/** A host's report on `tok.v1.rpt.<hostId>.<noun>.<verb>`; the owner turns it into state and an event. */
export interface Report<B extends z.ZodType = z.ZodType> {
  readonly name: string;
  readonly summary: string;
  readonly body: B;
}
export const defineReport = <B extends z.ZodType>(name: string, text: { summary: string; body: B }): Report<B> => ({ name, ...text });
export const reportSubject = (hostId: string, report: { name: string }): string => `tok.v1.rpt.${hostId}.${report.name}`;
export const heartbeatSubject = (hostId: string): string => `tok.v1.hb.${hostId}`;

/** Something that happened, on `tok.v1.evt.<service>.<noun>.<past-verb>.<objectId>`. */
export interface EventDef<D extends z.ZodType = z.ZodType> {
  readonly name: string;
  readonly service: ServiceName;
  readonly noun: string;
  readonly verb: string;
  readonly summary: string;
  readonly data: D;
  readonly version: number;
}
export const defineEvent = <D extends z.ZodType>(name: string, text: { summary: string; data: D; version?: number }): EventDef<D> => ({
  name,
  ...parseName(name),
  version: 1,
  ...text,
});
export const eventSubject = (event: { name: string }, objectId: string): string => `tok.v1.evt.${event.name}.${objectId}`;
export type DataOf<E> = E extends { data: infer D extends z.ZodType } ? z.output<D> : never;
export type BodyOf<E> = E extends { body: infer D extends z.ZodType } ? z.output<D> : never;
