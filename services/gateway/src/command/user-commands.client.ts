// Carries out a published command for its user: the same checks as at the other doors, and the owner asked under the user's
// own key, so that however often this is done the effect is one.
import type { BusClient } from '#bus';
import { header, parseBody } from '#bus';
import { Internal, InvalidArgument } from '#contracts';
import type { Result } from '#kernel';
import { openServerSpan, within } from '#telemetry';
import type { Caller } from '../caller/callers.client.ts';
import { keyWrong, readInput, withCaller } from '../bus/bus-input.ts';
import { admit } from '../rest/admission.ts';
import type { Gates } from '../rest/admission.ts';
import { publishable } from './published.ts';

export interface UserCommand {
  readonly handle: string;
  readonly operation: string;
  /** Null = none, or none of the form that keys have. */
  readonly idempotencyKey: string | null;
  /** As it was published. */
  readonly body: Uint8Array;
  readonly traceparent: string;
  /** What the header says; '' = nothing. */
  readonly dryRun: string;
}

export interface Carried {
  /** Undefined = there is no such user any more, or he is disabled. */
  readonly caller: Caller | undefined;
  readonly traceId: string;
  readonly answer: Result<unknown>;
}

export class UserCommands {
  constructor(private readonly bus: Pick<BusClient, 'request'>, private readonly gates: Gates) {}

  async carryOut(command: UserCommand): Promise<Carried> {
    const span = openServerSpan(`command ${command.operation.slice(0, 100)}`, command.traceparent, {});
    const caller = await this.gates.callers.resolveHandle(command.handle);
    const answer = caller.ok ? await within(span, () => this.askAs(caller.value, command).catch(bug)) : caller;
    span.end(answer.ok ? undefined : answer.fault);
    return { caller: caller.ok ? caller.value : undefined, traceId: span.traceId, answer };
  }

  private async askAs(caller: Caller, { operation: name, idempotencyKey, body, dryRun }: UserCommand): Promise<Result<unknown>> {
    const operation = publishable(name);
    if (!operation.ok) return operation;
    if (dryRun !== '') return InvalidArgument.fail('A dry run is an answer and nothing else: ask for it on …req….', { issues: [{ path: header.dryRun, message: 'cannot be published' }] });
    if (idempotencyKey === null) return keyWrong;
    const parsed = parseBody(body, body.length); // the stream takes none that is too large
    const input = parsed.ok ? readInput(operation.value, parsed.value) : parsed;
    if (!input.ok) return input;
    const admitted = admit(this.gates, caller, operation.value);
    if (!admitted.ok) return admitted;
    return this.bus.request(operation.value, withCaller(operation.value, input.value, caller), { actorToken: caller.actorToken, idempotencyKey, door: 'command' });
  }
}

/** A command that we stumble over must come to an end too, not be delivered for ever. */
const bug = (error: unknown): Result<never> => Internal.fail('The command met an error that nobody expected; the log of the gateway has it.', undefined, error);
