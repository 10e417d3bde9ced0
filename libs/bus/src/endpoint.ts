// What the responder knows of a contract that it serves: who may call, what fits, what runs, what leaves.
import { z } from 'zod';
import type { HostOperation, Operation } from '#contracts';
import { DryRunUnsupported, InvalidArgument, Plan, projected } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import { identify, nobody, refusal } from './access.ts';
import type { Caller } from './access.ts';
import type { ActorVerifier, BusContext } from './context.ts';
import { callingService, header, isIdempotencyKey } from './headers.ts';
import { PlanDraft } from './plan-draft.ts';
import { isResult, parseWith } from './wire.ts';

/** Reads a header; '' where it is absent. */
export type HeaderReader = (name: string) => string;

export interface Endpoint {
  /** `<service>.<noun>.<verb>`, for logs, spans and statistics. */
  readonly name: string;
  readonly subject: string;
  readonly timeoutMs: number;
  /** Requests get an answer; notices (reports, heartbeats) get none. */
  readonly answered: boolean;
  /** `identified` is told whom the request speaks for as soon as that is known, also where he is refused afterwards. */
  admit(read: HeaderReader, identified: (caller: Caller) => void): Promise<Result<Caller>>;
  parse(body: unknown): Result<unknown>;
  /** Where the message only asks what would happen: the plan to fill; undefined = it is meant. `admit` has seen to it that it may ask. */
  draft?(read: HeaderReader): PlanDraft | undefined;
  run(input: unknown, ctx: BusContext): unknown;
  /** What leaves the process, as its caller asked for it; throws where the value does not fit its contract. */
  encode(value: unknown, input?: unknown): unknown;
}

type Run = (input: unknown, ctx: BusContext) => unknown;

/** Unknown members are refused, unless the contract's author said otherwise. */
function strict(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodObject && schema.def.catchall === undefined ? schema.strict() : schema;
}

export function operationEndpoint(operation: Operation, run: Run, verifier: ActorVerifier): Endpoint {
  const input = strict(operation.input);
  const needsKey = operation.kind === 'command' && operation.permission !== 'internal' && operation.permission !== 'public';
  return {
    name: operation.name,
    subject: operation.subject,
    timeoutMs: operation.timeoutMs,
    answered: true,
    async admit(read, identified) {
      const caller = await identify(read(header.actor), operation.permission, verifier);
      if (!caller.ok) return caller;
      identified(caller.value);
      const fault = refusal(operation.permission, caller.value);
      if (fault) return { ok: false, fault };
      const dry = read(header.dryRun);
      return dryRefusal(operation, dry) ?? keyRefusal(read(header.idempotencyKey), needsKey && dry === '') ?? caller;
    },
    draft: (read) => (read(header.dryRun) === '' ? undefined : new PlanDraft()),
    parse: (body) => parseWith(input, body),
    run: async (given, ctx) => {
      const answer = await run(given, ctx);
      return ctx.dryRun === undefined ? answer : planned(operation, ctx.dryRun, ctx, answer);
    },
    encode: (value, asked) => (value instanceof Planned ? Plan.parse(value.plan) : projected(operation.reply.parse(value), asked)),
  };
}

/** An answer that is a plan instead of the operation's reply. */
class Planned {
  constructor(readonly plan: Plan) {}
}

/** Throws where a handler did not roll back what it was asked to do for show: its contract must not say that it can. */
function planned(operation: Operation, draft: PlanDraft, ctx: BusContext, answer: unknown): unknown {
  const result = isResult(answer) ? answer : ok(answer);
  if (!result.ok) return result;
  if (!draft.rolledBack) throw new Error(`${operation.name} says that it takes dry runs and did one for good`);
  return new Planned(draft.finished(operation, ctx.system ? 'system' : ctx.actor, result.value));
}

/** Why a dry run cannot be had, by what the header says; undefined = it can, or none was asked for. */
export function dryRefusal({ name, dryRun }: Operation, asked: string): Result<never> | undefined {
  if (asked === '') return undefined;
  if (asked !== 'true') return InvalidArgument.fail(`The header ${header.dryRun} takes true alone.`, { issues: [{ path: header.dryRun, message: 'true, or no such header' }] });
  return dryRun ? undefined : DryRunUnsupported.fail(`The server cannot explain ${name} beforehand; nothing was done.`, { operation: name });
}

function keyRefusal(key: string, needed: boolean): Result<never> | undefined {
  if (key === '' ? !needed : isIdempotencyKey(key)) return undefined;
  const message = key === '' ? 'is missing' : 'must be 1 to 128 printable ASCII characters';
  return InvalidArgument.fail(`The header ${header.idempotencyKey} ${message}.`, { issues: [{ path: header.idempotencyKey, message }] });
}

/** A host trusts whoever the NATS server lets publish on its subjects: services alone. It knows no users. */
export function hostEndpoint(operation: HostOperation, subject: string, run: Run): Endpoint {
  const input = strict(operation.input);
  return {
    name: `host.${operation.name}`,
    subject,
    timeoutMs: operation.timeoutMs,
    answered: true,
    admit: (read) => {
      const key = keyRefusal(read(header.idempotencyKey), false);
      return Promise.resolve(key ?? ok({ ...nobody, system: true, caller: callingService(read(header.actor)) ?? null }));
    },
    parse: (body) => parseWith(input, body),
    run,
    encode: (value) => operation.reply.parse(value),
  };
}

const NOTICE_TIMEOUT_MS = 30_000;

/** A report or heartbeat of a host. */
export function noticeEndpoint(name: string, subject: string, body: z.ZodType, run: Run): Endpoint {
  const schema = strict(body);
  return {
    name,
    subject,
    timeoutMs: NOTICE_TIMEOUT_MS,
    answered: false,
    admit: () => Promise.resolve(ok(nobody)),
    parse: (value) => parseWith(schema, value, 'The report'),
    run,
    encode: () => undefined,
  };
}
