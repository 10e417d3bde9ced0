// Every operation, event, report and host command in one place, for the doors, the CLI, the documents and the tests.
import * as session from './auth/session.ts';
import * as user from './auth/user.ts';
import * as busCredential from './auth/bus-credential.ts';
import * as audit from './auth/audit.ts';
import * as inventory from './compute/inventory.ts';
import * as vm from './compute/vm.ts';
import * as vmHardware from './compute/vm-hardware.ts';
import * as vmPower from './compute/vm-power.ts';
import * as vmBin from './compute/vm-bin.ts';
import * as vmStanding from './compute/vm-standing.ts';
import * as vmConsole from './compute/console.ts';
import * as folder from './compute/folder.ts';
import * as storage from './storage/storage.ts';
import * as network from './network/network.ts';
import * as templates from './templates/templates.ts';
import * as placement from './scheduler/placement.ts';
import * as liveness from './ha/liveness.ts';
import * as monitoring from './monitoring/monitoring.ts';
import * as eventLog from './monitoring/event-log.ts';
import * as webhook from './monitoring/webhook.ts';
import * as eventFeed from './gateway/event-feed.ts';
import * as busCommand from './gateway/bus-command.ts';
import * as history from './monitoring/history.ts';
import * as drift from './drift/drift.ts';
import { computeTask, eventsRead, networkTask, storageTask, taskChanged, taskServices, templatesTask } from './task.ts';
import { services, type EventDef, type Operation } from './define.ts';

const modules = [session, user, busCredential, audit, inventory, vm, vmHardware, vmPower, vmBin, vmStanding, vmConsole, folder, storage, network, templates, placement, liveness, monitoring, history, busCommand, eventLog, webhook, eventFeed, drift];
const isOperation = (value: unknown): value is Operation => typeof value === 'object' && value !== null && 'subject' in value && 'kind' in value && 'input' in value;
const isEvent = (value: unknown): value is EventDef => typeof value === 'object' && value !== null && 'data' in value && 'noun' in value && !('subject' in value);
const members: unknown[] = modules.flatMap((module) => Object.values(module) as unknown[]);

export const allOperations: readonly Operation[] = [
  ...members.filter(isOperation),
  ...[computeTask, storageTask, networkTask, templatesTask].flatMap((set) => Object.values(set) as unknown as Operation[]),
  ...drift.driftServices.flatMap((service) => Object.values(drift.driftOperations(service)) as unknown as Operation[]),
  ...services.map((service) => eventsRead(service) as unknown as Operation),
].sort((a, b) => (a.name < b.name ? -1 : 1));

export const allEvents: readonly EventDef[] = [...members.filter(isEvent), ...taskServices.map((service) => taskChanged(service) as unknown as EventDef), ...services.map((service) => audit.auditRecorded(service) as unknown as EventDef), ...drift.driftServices.map((service) => drift.driftChanged(service) as unknown as EventDef)].sort((a, b) => (a.name < b.name ? -1 : 1));

export const operationByName: ReadonlyMap<string, Operation> = new Map(allOperations.map((operation) => [operation.name, operation]));
