// Types of what the tests take from the lab's tools.
import type { ClusterId, DatastoreId, HostId, ImageId, PortGroupId, SubnetId, SwitchId, TemplateId } from '#contracts';

export interface LabProcess { readonly name: string; readonly pid: number; readonly startTime: string; readonly startedAt: string; readonly command: readonly string[]; readonly logFile: string }
export interface Lab {
  readonly dir: string;
  readonly tag: string;
  readonly repo: string;
  readonly node: string;
  readonly ports: Readonly<Record<string, number>>;
  readonly paths: {
    readonly datastore: string; readonly staging: string; readonly log: string; readonly redis: string; readonly uplinkSwitch: string;
    host(name: string): { readonly dir: string; readonly state: string; readonly ovs: string };
  };
  readonly names: { readonly uplinkNamespace: string; hostNamespace(host: string): string; cgroup(host: string): string };
  readonly processes: { get(name: string): LabProcess | undefined; isAlive(name: string): boolean; list(): LabProcess[]; signal(name: string, signal: string): boolean };
}
export interface LabHost { readonly id: HostId; readonly name: string; readonly namespace: string; readonly stateDir: string; readonly ovsRundir: string; readonly cgroup: string; readonly healthPort: number }
/** lab.json of a lab that is up and furnished for the tests. */
export interface LabRecord {
  readonly dir: string; readonly tag: string; readonly node: string;
  readonly nats: { readonly url: string; readonly creds: Readonly<Record<string, string>> };
  readonly redis: { readonly url: string };
  readonly mysql: { readonly urls: Readonly<Record<string, string>> };
  readonly gateway: { readonly url: string };
  readonly admin: { readonly user: string; readonly password: string };
  readonly hosts: readonly LabHost[];
  readonly cluster: { readonly id: ClusterId; readonly name: string };
  readonly datastore: { readonly id: DatastoreId; readonly name: string; readonly path: string };
  readonly network: { readonly switchId: SwitchId; readonly portGroupId: PortGroupId; readonly subnetId: SubnetId; readonly vlan: number; readonly cidr: string; readonly gateway: string };
  readonly otherNetwork: { readonly portGroupId: PortGroupId; readonly subnetId: SubnetId; readonly vlan: number; readonly cidr: string };
  readonly template: { readonly id: TemplateId; readonly name: string; readonly imageId: ImageId };
  readonly guestImage: string;
}
export interface RunOptions { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv; readonly input?: string; readonly timeoutMs?: number; readonly uid?: number; readonly gid?: number }
export interface ProcessRecord { readonly pid: number; readonly startTime: string }

export function openLab(dir?: string, options?: { say?: (text: string) => void }): Promise<Lab>;
export function readRecord(lab: Lab): LabRecord;
export function signIn(lab: Lab): Promise<unknown>;
export function waitReady(lab: Lab, options?: { withinMs?: number }): Promise<Record<string, number>>;
export function agentName(host: string): string;
export function cacheDir(env?: NodeJS.ProcessEnv): string;
export function shellEnv(lab: Lab): NodeJS.ProcessEnv;

export function crash(lab: Lab, name: string): Promise<void>;
export function freeze(lab: Lab, name: string): boolean;
export function thaw(lab: Lab, name: string): boolean;
export function startAgain(lab: Lab, name: string, more?: Readonly<Record<string, string>>): void;
export function restart(lab: Lab, name: string): Promise<void>;
export function moveToOwnDisk(lab: Lab, name: string, dir: string): Promise<void>;
export function leaveRoom(dir: string, bytes?: number): Promise<void>;
export function moveBack(lab: Lab, name: string, dir: string): Promise<void>;
export function cutHost(lab: Lab, host: string, options?: { how?: 'silent' | 'refuse' }): Promise<void>;
export function healHost(lab: Lab, host: string): Promise<void>;
export function cutUplink(lab: Lab, host: string): Promise<string>;
export function healUplink(lab: Lab, host: string): Promise<string>;
export function powerOffHost(lab: Lab, host: string): Promise<void>;
export function powerOnHost(lab: Lab, host: string): Promise<void>;

export function pingFromUplink(lab: Lab, ip: string, options?: { withinMs?: number }): Promise<boolean>;
export function runOnUplink(lab: Lab, argv: readonly string[], options?: RunOptions): Promise<string>;
export function inside(namespace: string, argv: readonly string[]): string[];
export function processesInside(namespace: string): Promise<ProcessRecord[]>;
export function vsctl(dir: string, args: readonly string[], options?: { timeoutMs?: number }): Promise<string>;
export function run(argv: readonly string[], options?: RunOptions): Promise<string>;
export function succeeds(argv: readonly string[], options?: RunOptions): Promise<boolean>;
export function startRedis(options: { dir: string; port: number; processes: Lab['processes'] }): Promise<{ port: number; url: string }>;

export function testLabDir(env?: NodeJS.ProcessEnv): string;
export function traceFile(dir: string): string;
export function bootRetriesFile(dir: string): string;
