// A small service over the real transport, for the tests of the bus: every handler does what its input says.
import { Controller, Inject, Module } from '@nestjs/common';
import type { DynamicModule, INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { z } from 'zod';
import type { Actor, BodyOf, InputOf, ReplyOf, UserId } from '#contracts';
import { defineCommand, defineQuery, defineReport, NotFound, Unauthenticated } from '#contracts';
import { FaultError, newUuid, ok } from '#kernel';
import { checked, decided } from './plan-draft.ts';
import type { Result } from '#kernel';
import { BusClient } from './bus.client.ts';
import { BusServer } from './bus.server.ts';
import { connectBus } from './connect.nats.ts';
import { silentLog } from './context.ts';
import type { ActorVerifier, BusContext, BusLog, ReportContext } from './context.ts';
import { Handles, OnHeartbeat, OnReport } from './handles.decorator.ts';
import type { Limits } from './limits.ts';

export const echo = defineQuery('ha.probe.echo', { summary: 'Answers its input', permission: 'public', input: z.object({ text: z.string(), times: z.int().default(1) }), reply: z.strictObject({ text: z.string() }) });
export const hold = defineQuery('ha.probe.hold', { summary: 'Waits to be released', permission: 'public', input: z.strictObject({ n: z.int() }), reply: z.strictObject({ n: z.int() }), timeoutMs: 30_000 });
export const fail = defineQuery('ha.probe.fail', { summary: 'Fails as asked', permission: 'public', input: z.strictObject({ how: z.enum(['fault', 'thrown-fault', 'bug', 'bad-reply', 'huge-reply']) }), reply: z.strictObject({ text: z.string() }), errors: [NotFound] });
export const who = defineQuery('ha.probe.who', { summary: 'Says who asks', permission: 'vm.create', input: z.strictObject({}), reply: z.strictObject({ handle: z.string().nullable(), system: z.boolean(), caller: z.string().nullable(), traceId: z.string(), leftMs: z.number() }) });
export const write = defineCommand('ha.probe.write', { summary: 'Changes something', permission: 'vm.power', input: z.strictObject({}), reply: z.strictObject({ key: z.string().nullable() }) });
export const tell = defineCommand('ha.probe.tell', { summary: 'Tells what it would do, or fails to take it back', permission: 'vm.power', dryRun: true, input: z.strictObject({ takesBack: z.boolean() }), reply: z.strictObject({ done: z.string() }) });
export const secret = defineQuery('ha.probe.secret', { summary: 'For services', permission: 'internal', input: z.strictObject({}), reply: z.strictObject({}) });
export const relay = defineQuery('ha.probe.relay', { summary: 'Asks who', permission: 'public', input: z.strictObject({ timeoutMs: z.int() }), reply: who.reply });
export const missing = defineQuery('ha.probe.missing', { summary: 'Has no handler', permission: 'public', input: z.strictObject({}), reply: z.strictObject({}) });
export const moved = defineReport('probe.moved', { summary: 'Something moved', body: z.strictObject({ to: z.string() }) });

export const tokenOf = (handle: string, ...permissions: Actor['rights'][number]['permissions']): string =>
  Buffer.from(JSON.stringify({ userId: newUuid() as UserId, handle, rights: [{ permissions, scope: 'site', scopeId: null }] } satisfies Actor)).toString('base64url');

/** Takes the token's text for the actor; real tokens are signed by auth. */
const verifier: ActorVerifier = {
  verify: async (token) => (token.startsWith('ey') ? ok(JSON.parse(Buffer.from(token, 'base64url').toString()) as Actor) : Unauthenticated.fail('The token is not valid.')),
};

/** What the handlers have seen and wait for. */
export class Ledger {
  running = 0;
  mostRunning = 0;
  held: number[] = [];
  aborted = 0;
  reports: { hostId: string; body: unknown }[] = [];
  heartbeats: string[] = [];
  errors: object[] = [];
  private open = false;
  private waiters: (() => void)[] = [];

  release(): void {
    this.open = true;
    this.waiters.splice(0).forEach((go) => go());
  }

  async wait(n: number, signal: AbortSignal): Promise<void> {
    this.held.push(n);
    this.mostRunning = Math.max(this.mostRunning, ++this.running);
    signal.addEventListener('abort', () => { this.aborted++; }, { once: true });
    await (this.open ? new Promise((resolve) => setImmediate(resolve)) : new Promise<void>((resolve) => this.waiters.push(resolve)));
    this.running -= 1;
  }
}

@Controller()
class ProbeHandlers {
  constructor(
    @Inject(Ledger) private readonly ledger: Ledger,
    @Inject(BusClient) private readonly bus: BusClient,
  ) {}

  @Handles(echo)
  async echo(input: InputOf<typeof echo>): Promise<ReplyOf<typeof echo>> {
    return { text: input.text.repeat(input.times) };
  }

  @Handles(hold)
  async hold({ n }: InputOf<typeof hold>, ctx: BusContext): Promise<ReplyOf<typeof hold>> {
    await this.ledger.wait(n, ctx.signal);
    return { n };
  }

  @Handles(fail)
  async fail({ how }: InputOf<typeof fail>): Promise<Result<ReplyOf<typeof fail>>> {
    if (how === 'bug') throw new Error('SELECT secret FROM users');
    if (how === 'thrown-fault') throw new FaultError(NotFound.fault('There is no such probe.', { noun: 'probe', id: '2' }));
    if (how === 'bad-reply') return ok({ text: 'x', leaked: 'y' } as ReplyOf<typeof fail>);
    if (how === 'huge-reply') return ok({ text: 'x'.repeat(2_000_000) });
    return NotFound.fail('There is no such probe.', { noun: 'probe', id: '1' });
  }

  @Handles(who)
  async who(_: InputOf<typeof who>, ctx: BusContext): Promise<ReplyOf<typeof who>> {
    return { handle: ctx.actor?.handle ?? null, system: ctx.system, caller: ctx.caller, traceId: ctx.traceId, leftMs: ctx.deadline.leftMs() };
  }

  @Handles(write)
  async write(_: InputOf<typeof write>, ctx: BusContext): Promise<ReplyOf<typeof write>> {
    return { key: ctx.idempotencyKey };
  }

  @Handles(tell)
  async tell({ takesBack }: InputOf<typeof tell>, ctx: BusContext): Promise<ReplyOf<typeof tell>> {
    checked(ctx, 'It can be told.');
    decided(ctx, 'it is told', { loudly: true });
    ctx.dryRun?.decided({ text: 'for other eyes', seenWith: { permission: 'host.read', id: 'h', clusterId: null } });
    if (takesBack && ctx.dryRun) ctx.dryRun.rolledBack = true;
    return { done: 'told' };
  }

  @Handles(secret)
  async secret(): Promise<ReplyOf<typeof secret>> {
    return {};
  }

  @Handles(relay)
  relay({ timeoutMs }: InputOf<typeof relay>, ctx: BusContext): Promise<Result<ReplyOf<typeof relay>>> {
    return this.bus.request(who, {}, { ctx, timeoutMs, ...(ctx.actorToken ? {} : { as: 'system' }) });
  }

  @OnReport(moved)
  async moved(body: BodyOf<typeof moved>, { hostId }: ReportContext): Promise<void> {
    this.ledger.reports.push({ hostId, body });
  }

  @OnHeartbeat()
  heartbeat(_: unknown, { hostId }: ReportContext): void {
    this.ledger.heartbeats.push(hostId);
  }
}

@Module({})
class ProbeModule {
  static with(ledger: Ledger, bus: BusClient): DynamicModule {
    return { module: ProbeModule, controllers: [ProbeHandlers], providers: [{ provide: Ledger, useValue: ledger }, { provide: BusClient, useValue: bus }] };
  }
}

export interface ProbeService {
  readonly app: INestMicroservice;
  readonly server: BusServer;
  readonly ledger: Ledger;
}

export async function startProbe(url: string, limits: Partial<Limits> = {}): Promise<ProbeService> {
  const ledger = new Ledger();
  const log: BusLog = { ...silentLog, error: (fields) => void ledger.errors.push(fields) };
  const connection = await connectBus({ url, name: 'probe', log });
  const server = new BusServer({ connection, service: 'ha', version: '0.1.0', verifier, log, limits });
  const app = await NestFactory.createMicroservice(ProbeModule.with(ledger, new BusClient({ connection, service: 'ha' })), { strategy: server, logger: false });
  await app.listen();
  return { app, server, ledger };
}
