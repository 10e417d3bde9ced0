// The bus door: users ask on `tok.v1.user.<handle>.req.<service>.<noun>.<verb>` and are answered to their inbox. The NATS
// server lets nobody but the user speak there, so the subject says who asks; the pipeline behind it is that of REST.
import { defaultLimits, dryRefusal, header, isIdempotencyKey, Responder, userRequests } from '#bus';
import type { Endpoint } from '#bus';
import type { GatewayConfig } from '#config';
import { RateLimited } from '#contracts';
import type { Operation } from '#contracts';
import { newUuid, ok } from '#kernel';
import type { Result } from '#kernel';
import { AuditDenials } from '#service';
import type { Door, Parts } from '#service';
import type { Denials } from '#tasks';
import { admit, SharedGates } from '../rest/admission.ts';
import type { Gates } from '../rest/admission.ts';
import { doorNumbers } from '../rest/door.metrics.ts';
import { problemOf } from '../rest/problem.ts';
import { askPatiently } from '../waits/long-question.client.ts';
import { asksForCaller, keyWrong, readInput, withCaller } from './bus-input.ts';
import { isOwnInbox, openOperation, placeOf } from './bus-subject.ts';

/** Questions that wait for something hold a place; one user cannot take all of them. */
const limits = { ...defaultLimits, running: 1_024, bodyBytes: 256 * 1024, graceMs: 8_000 };
const mostPerUser = 64;
const deniedStatuses: ReadonlySet<number> = new Set([401, 403, 429]);

function claimOf(subject = ''): { claimed?: string } {
  const place = placeOf(subject);
  return place === undefined ? {} : { claimed: place.handle };
}

export function busDoor(parts: Parts<GatewayConfig>): Door {
  const { nats, log, bus } = parts;
  const gates: Gates = { ...parts.get<SharedGates>(SharedGates), closing: () => false };
  const denials = parts.get<Denials>(AuditDenials);
  const running = new Map<string, number>();
  let responder: Responder | undefined;

  /** What the door says itself about a request. */
  const filled = async (operation: Operation, input: object, handle: string): Promise<Result<object>> => {
    if (!asksForCaller(operation)) return ok(input);
    const caller = await gates.callers.resolveHandle(handle);
    return caller.ok ? ok(withCaller(operation, input, caller.value)) : caller;
  };

  const route = (subject: string): Endpoint | undefined => {
    const place = placeOf(subject);
    const operation = place && openOperation(place.operation);
    if (place === undefined || operation === undefined) return undefined;
    const { handle } = place;
    const isCommand = operation.kind === 'command';
    let dry = false;
    return {
      name: operation.name, subject: `tok.v1.user.*.req.${operation.name}`, timeoutMs: operation.timeoutMs, answered: true,
      async admit(read, identified) {
        const key = read('Idempotency-Key');
        if (key !== '' && !isIdempotencyKey(key)) return keyWrong;
        const refused = dryRefusal(operation, read(header.dryRun));
        if (refused !== undefined) return refused;
        dry = read(header.dryRun) !== '';
        const caller = await gates.callers.resolveHandle(handle);
        if (!caller.ok) return caller;
        const { actor, actorToken } = caller.value;
        const acting = { actor, system: false, actorToken, caller: null };
        identified(acting);
        const admitted = admit(gates, caller.value, operation);
        return admitted.ok ? ok(acting) : admitted;
      },
      parse: (body) => readInput(operation, body),
      async run(input, ctx): Promise<Result<unknown>> {
        const mine = running.get(handle) ?? 0;
        if (mine >= mostPerUser) return RateLimited.fail(`You have ${mine} requests under way already.`, { retryAfterMs: 1_000 });
        running.set(handle, mine + 1);
        try {
          const whole = await filled(operation, input as object, handle);
          if (!whole.ok) return whole;
          if (dry) return await bus.explain(operation, whole.value, { ctx });
          return await askPatiently(bus, operation, whole.value, { ctx, ...(isCommand ? { idempotencyKey: ctx.idempotencyKey ?? newUuid() } : {}) });
        } finally {
          const left = (running.get(handle) ?? 1) - 1;
          if (left === 0) running.delete(handle);
          else running.set(handle, left);
        }
      },
      encode: (value) => value,
    };
  };

  return {
    name: 'bus',
    async open() {
      const numbers = await doorNumbers(parts.metrics.registry, 'bus_door');
      responder = new Responder({
        connection: nats, log, limits, mayAnswer: isOwnInbox, door: 'bus',
        // Who says that he is somebody, and cannot be any more, is recorded by the name that NATS let him in under.
        onDenied: (denied) => denials.note(denied.caller.actor === null ? { ...denied, ...claimOf(denied.subject) } : denied),
        onAnswer(operation, code, tookMs) {
          const { status } = code === undefined ? { status: 200 } : problemOf({ code, detail: '' });
          numbers.served(operation, status, tookMs);
          if (code !== undefined && deniedStatuses.has(status)) {
            numbers.denied(operation, code);
            log.warn({ operation, code }, 'denied at the bus door');
          }
        },
      });
      // One group for all gateways: each request is taken once.
      responder.subscribe(userRequests, 'gateway', route);
      await nats.flush();
      log.info({}, 'the bus door is open');
    },
    async close() {
      await responder?.drain();
    },
  };
}
