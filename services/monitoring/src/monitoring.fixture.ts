// Events, tasks and users as monitoring's tests need them.
import { builtinRoles, type Actor, type EventEnvelope, type Right, type Task, type UserId } from '#contracts';
import { newUuid } from '#kernel';

export const event = (over: Partial<EventEnvelope> = {}): EventEnvelope => ({
  id: newUuid(), source: 'compute', seq: 1, name: 'compute.vm.changed', version: 1, noun: 'vm', objectId: newUuid(), at: new Date().toISOString(),
  actor: null, traceId: null, taskId: null, data: {}, ...over,
});
export const task = (over: Partial<Task> = {}): Task => ({
  id: newUuid(), service: 'compute', kind: 'compute.vm.start', object: { noun: 'vm', id: newUuid(), name: null }, state: 'running', progress: null, waitsFor: null,
  error: null, output: null, actor: null, parentTaskId: null, traceId: null, steps: [], version: 1, createdAt: new Date().toISOString(), startedAt: null, endedAt: null, ...over,
} as Task);
export const userId = () => newUuid() as UserId;
export const role = (name: string): Right => ({ permissions: [...(builtinRoles[name] ?? [])], scope: 'site', scopeId: null });
export const user = (id = userId(), rights: Right[] = []): Actor => ({ userId: id, handle: 'u', rights });
