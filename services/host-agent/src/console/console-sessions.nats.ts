// The console sessions that this host serves: each a pipe over the bus and a line into a VM. They end with the VM's run,
// with the door that asked for them, with the bus and with the agent; guests never notice.
import type { NatsConnection } from '@nats-io/transport-node';
import { openPipe } from '#bus';
import type { Pipe, PipeLimits } from '#bus';
import { consoleSubject, HostCommandFailed, Overloaded, ShuttingDown } from '#contracts';
import type { HostVmStatus, InputOf, hostConsoleOpen } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import type { VmPaths } from '../vm/command-line.ts';
import type { ConsoleLine, ConsoleSink } from './console-line.ts';
import { isOver, servesConsole } from './console.ts';
import { openScreen } from './screen.socket.ts';
import { SerialConsole } from './serial-console.socket.ts';

type Opening = InputOf<typeof hostConsoleOpen>;

interface Session { readonly vmId: string; readonly epoch: number; readonly pipe: Pipe; line: ConsoleLine | undefined }

export interface ConsoleOptions {
  readonly hostId: string;
  /** What is known of a VM, and where its sockets are. */
  readonly vmOf: (vmId: string) => Promise<Result<{ readonly status: HostVmStatus; readonly paths: VmPaths }>>;
  readonly limits?: Partial<PipeLimits>;
}

const mostPerVm = 16;
const mostAtOnce = 256;
/** A socket that closes tells less than the VM's state, which follows in a moment. */
const stateFollowsMs = 1_000;

export class ConsoleSessions {
  private readonly sessions = new Map<string, Session>();
  private readonly serials = new Map<string, Promise<SerialConsole>>();
  private connection: NatsConnection | undefined;

  constructor(private readonly options: ConsoleOptions) {}

  get count(): number {
    return this.sessions.size;
  }

  /** The bus is there (again), or away: then nothing can be passed on. */
  use(connection: NatsConnection | undefined): void {
    this.connection = connection;
  }

  /** Listens for the door's first word, which must come soon; everything else follows it. */
  async open(opening: Opening): Promise<Result<Record<string, never>>> {
    const { vmId, epoch, sessionId, kind } = opening;
    const vm = await this.options.vmOf(vmId);
    if (!vm.ok) return vm;
    const serves = servesConsole(vm.value.status, epoch);
    if (!serves.ok) return serves;
    const ofVm = [...this.sessions.values()].filter((session) => session.vmId === vmId).length;
    if (ofVm >= mostPerVm || this.sessions.size >= mostAtOnce) return Overloaded.fail(`The VM has ${ofVm} consoles open, and its host ${this.sessions.size}: close one first.`);
    const { connection } = this;
    if (connection === undefined) return ShuttingDown.fail('The agent has lost the bus, or is stopping.');
    const session: Session = { vmId, epoch, line: undefined, pipe: this.pipe(connection, opening) };
    this.sessions.set(sessionId, session);
    try {
      session.line = await this.line(opening, vm.value.paths, this.sinkOf(session));
    } catch (error) {
      session.pipe.close('failed');
      const reason = error instanceof Error ? error.message : String(error);
      return HostCommandFailed.fail(`QEMU’s ${kind} socket cannot be reached: ${reason}`, { reason }, error);
    }
    if (session.pipe.over !== undefined) session.line.close();
    return ok({});
  }

  /** What the host sees of a VM has changed: sessions of a run that is over end. */
  vmChanged(status: HostVmStatus): void {
    for (const { vmId, epoch, pipe } of [...this.sessions.values()]) {
      if (vmId === status.vmId && isOver(status, epoch)) pipe.end('vm-stopped');
    }
  }

  /** Ends all of them; whoever looks is told why and may come again. */
  stop(): void {
    for (const { pipe } of [...this.sessions.values()]) pipe.end('agent-stopping');
  }

  private pipe(connection: NatsConnection, { sessionId }: Opening): Pipe {
    const { hostId, limits = {} } = this.options;
    return openPipe(connection, { from: consoleSubject(hostId, sessionId, 'in'), to: consoleSubject(hostId, sessionId, 'out') }, {
      listensFirst: true, limits,
      onBytes: (bytes) => this.sessions.get(sessionId)?.line?.write(bytes),
      onEnd: () => {
        this.sessions.get(sessionId)?.line?.close();
        this.sessions.delete(sessionId);
      },
    });
  }

  private sinkOf({ pipe }: Session): ConsoleSink {
    return {
      take: (bytes) => pipe.send(bytes),
      onEnd: () => { setTimeout(() => { pipe.end('closed'); }, stateFollowsMs).unref(); },
    };
  }

  private async line({ vmId, kind, historyBytes }: Opening, paths: VmPaths, sink: ConsoleSink): Promise<ConsoleLine> {
    return kind === 'vnc' ? openScreen(paths, sink) : (await this.serialOf(vmId, paths)).join(historyBytes, sink);
  }

  private async serialOf(vmId: string, paths: VmPaths): Promise<SerialConsole> {
    const known = this.serials.get(vmId);
    if (known !== undefined && (await known).open) return known;
    const opening = SerialConsole.open(paths, () => { if (this.serials.get(vmId) === opening) this.serials.delete(vmId); });
    this.serials.set(vmId, opening);
    opening.catch(() => { if (this.serials.get(vmId) === opening) this.serials.delete(vmId); });
    return opening;
  }
}
