// How a controller's method becomes the handler of a contract. The compiler rejects a method of another shape.
import { applyDecorators, Catch, UseFilters } from '@nestjs/common';
import type { RpcExceptionFilter } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import type { BodyOf, InputOf, Operation, ReplyOf, Report } from '#contracts';
import type { Result } from '#kernel';
import type { BusContext, ReportContext } from './context.ts';

export type Handler<O extends Operation> = (input: InputOf<O>, ctx: BusContext) => Promise<Result<ReplyOf<O>> | ReplyOf<O>>;
export type ReportHandler<R extends Report> = (body: BodyOf<R>, ctx: ReportContext) => Promise<void>;
export type HeartbeatHandler = (body: unknown, ctx: ReportContext) => Promise<void> | void;
type MethodOf<H> = <T extends H>(target: object, key: string | symbol, descriptor: TypedPropertyDescriptor<T>) => void;

/** What a decorated method serves; the server reads it from Nest's `extras`. */
export type Served =
  | { readonly kind: 'operation'; readonly operation: Operation }
  | { readonly kind: 'report'; readonly report: Report; readonly everyReplica: boolean }
  | { readonly kind: 'heartbeat'; readonly everyReplica: boolean };

/** Nest would turn what a handler throws into a text of its own; the server wants the thing itself. */
@Catch()
class RethrowFilter implements RpcExceptionFilter {
  catch(exception: unknown): Observable<never> {
    return throwError(() => exception);
  }
}

function serves<H>(subject: string, served: Served): MethodOf<H> {
  return (target, key, descriptor) => {
    Payload()(target, key, 0);
    Ctx()(target, key, 1);
    applyDecorators(MessagePattern(subject, { served }), UseFilters(new RethrowFilter()))(target, key, descriptor);
  };
}

/** The method answers requests for `operation`. A thrown FaultError becomes its fault; any other throw is INTERNAL. */
export const Handles = <O extends Operation>(operation: O): MethodOf<Handler<O>> => serves(operation.subject, { kind: 'operation', operation });

/**
 * The method takes this report of any host. One replica gets it, unless `everyReplica`. Reports are not answered and
 * may arrive twice, late or never: the handler orders them by what they carry.
 */
export const OnReport = <R extends Report>(report: R, options: { everyReplica?: boolean } = {}): MethodOf<ReportHandler<R>> =>
  serves(`tok.v1.rpt.*.${report.name}`, { kind: 'report', report, everyReplica: options.everyReplica ?? false });

/** The method takes each host's heartbeat, in every replica unless `everyReplica: false`. */
export const OnHeartbeat = (options: { everyReplica?: boolean } = {}): MethodOf<HeartbeatHandler> =>
  serves('tok.v1.hb.*', { kind: 'heartbeat', everyReplica: options.everyReplica ?? true });
