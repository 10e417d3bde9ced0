// Opens a call: gives it its trace, which the answer names and the bus carries on.
import type { FastifyRequest } from 'fastify';
import { deadlineIn } from '#bus';
import type { BusContext } from '#bus';
import { openConsole } from '#contracts';
import type { Clock } from '#kernel';
import { bindSpan, openServerSpan } from '#telemetry';
import type { Call } from './call.ts';

const traceparentOf = ({ headers }: FastifyRequest): string | undefined => {
  const text = headers['traceparent'];
  return typeof text === 'string' ? text : undefined;
};

export function openCall(name: string, request: FastifyRequest, clock: Clock): Call {
  const span = openServerSpan(name, traceparentOf(request), { 'http.request.method': request.method });
  const call: Call = {
    name,
    door: name === openConsole.name ? 'console' : 'rest',
    traceId: span.traceId,
    address: request.ip,
    startedAt: clock.monotonic(),
    caller: undefined,
    refused: undefined,
    end: () => { span.end(call.refused === undefined ? undefined : { code: call.refused, detail: '' }); },
    context: (timeoutMs, signal, idempotencyKey): BusContext => {
      const ctx: BusContext = {
        actor: call.caller?.actor ?? null,
        system: false,
        actorToken: call.caller?.actorToken ?? null,
        caller: null,
        idempotencyKey,
        door: call.door,
        deadline: deadlineIn(timeoutMs),
        signal,
        traceId: call.traceId,
      };
      // Without a tracer the trace id is all there is to pass on, and it stands in the context.
      if (span.span.isRecording()) bindSpan(ctx, span);
      return ctx;
    },
  };
  return call;
}
