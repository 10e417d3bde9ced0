// The bus door: users ask on `tok.v1.user.<handle>.req.<service>.<noun>.<verb>` and are answered to their inbox. The NATS
// server lets nobody but the user speak there, so the subject says who asks; the pipeline behind it is that of REST.
import { defaultLimits, isIdempotencyKey, Responder, userRequests } from '#bus';
import type { Endpoint, HeaderReader } from '#bus';
import type { GatewayConfig } from '#config';
import { InvalidArgument, membersOfDoor, RateLimited } from '#contracts';
import { newUuid, ok } from '#kernel';
import type { Result } from '#kernel';
import type { Door, Parts } from '#service';
import { admit } from '../rest/admission.ts';
import type { Gates } from '../rest/admission.ts';
import { doorNumbers } from '../rest/door.metrics.ts';
import { problemOf } from '../rest/problem.ts';
import { refuseDoorMembers } from '../rest/request.ts';
import { isOwnInbox, openOperation, placeOf } from './bus-subject.ts';

/** Questions that wait for something hold a place; one user cannot take all of them. */
const limits = { ...defaultLimits, running: 1_024, bodyBytes: 256 * 1024, graceMs: 8_000 };
const mostPerUser = 64;
const denials: ReadonlySet<number> = new Set([401, 403, 429]);

export function busDoor(parts: Parts<GatewayConfig>, shared: Omit<Gates, 'closing'>): Door {
  const { nats, log, bus } = parts;
  const gates: Gates = { ...shared, closing: () => false };
  const running = new Map<string, number>();
  let responder: Responder | undefined;

  /** What the door says itself about a request. */
  const fill = async (input: object, handle: string, members: readonly string[]): Promise<Result<object>> => {
    if (!members.includes('holder')) return ok(input);
    const caller = await gates.callers.resolveHandle(handle);
    return caller.ok ? ok({ ...input, holder: caller.value.holder }) : caller;
  };

  const route = (subject: string): Endpoint | undefined => {
    const place = placeOf(subject);
    const operation = place && openOperation(place.operation);
    if (place === undefined || operation === undefined) return undefined;
    const { handle } = place;
    const isCommand = operation.kind === 'command';
    const doorMembers = membersOfDoor(operation);
    return {
      name: operation.name, subject: `tok.v1.user.*.req.${operation.name}`, timeoutMs: operation.timeoutMs, answered: true,
      async admit(read: HeaderReader) {
        const key = read('Idempotency-Key');
        if (key !== '' && !isIdempotencyKey(key)) return keyWrong;
        const caller = await gates.callers.resolveHandle(handle);
        const admitted = caller.ok ? admit(gates, caller.value, operation) : caller;
        return admitted.ok ? ok({ actor: admitted.value.actor, system: false, actorToken: admitted.value.actorToken, caller: null }) : admitted;
      },
      parse: (body) => (typeof body === 'object' && body !== null && !Array.isArray(body) ? refuseDoorMembers(body as Record<string, unknown>, doorMembers) : notAnObject),
      async run(input, ctx): Promise<Result<unknown>> {
        const mine = running.get(handle) ?? 0;
        if (mine >= mostPerUser) return RateLimited.fail(`You have ${mine} requests under way already.`, { retryAfterMs: 1_000 });
        running.set(handle, mine + 1);
        try {
          const filled = await fill(input as object, handle, doorMembers);
          if (!filled.ok) return filled;
          return await bus.request(operation, filled.value, { ctx, ...(isCommand ? { idempotencyKey: ctx.idempotencyKey ?? newUuid() } : {}) });
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
        connection: nats, log, limits, mayAnswer: isOwnInbox,
        onAnswer(operation, code, tookMs) {
          const { status } = code === undefined ? { status: 200 } : problemOf({ code, detail: '' });
          numbers.served(operation, status, tookMs);
          if (code !== undefined && denials.has(status)) {
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

const keyWrong = InvalidArgument.fail('The header Idempotency-Key must be 1 to 128 printable ASCII characters.', { issues: [{ path: 'Idempotency-Key', message: '1 to 128 printable ASCII characters' }] });
const notAnObject = InvalidArgument.fail('The body must be a JSON object.', { issues: [{ path: '', message: 'must be a JSON object' }] });
