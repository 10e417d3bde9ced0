// Compute as a table: its module, schema, tasks, what it hears of hosts' liveness, and what it keeps right by itself.
import { livenessChanged } from '#contracts';
import { computeConfig } from '#config';
import type { TaskService } from '#service';
import { ComputeModule } from './compute.module.ts';
import { computeMigrations } from './migrations/0001-tables.ts';
import { computeReportMigrations } from './migrations/0002-reports.ts';
import { computeHeartbeatMigrations } from './migrations/0003-host-heartbeat.ts';
import { computeSavedMigrations } from './migrations/0004-saved.ts';
import { computePendingMigrations } from './migrations/0005-pending.ts';
import { computeListMigrations } from './migrations/0007-lists.ts';
import { computeFolderMigrations } from './migrations/0008-folders.ts';
import { computeGuestMemoryMigrations } from './migrations/0010-guest-memory.ts';
import { computeTpmMigrations } from './migrations/0012-tpm.ts';
import { computeConsoleMigrations } from './migrations/0019-console-tickets.ts';
import { computeUefiVarsMigrations } from './migrations/0026-uefi-vars.ts';
import { hostDrift } from './src/drift/host.drift.ts';
import { vmTaskDrift } from './src/drift/vm-task.drift.ts';
import { ensureSite } from './src/cluster/cluster.store.ts';
import { consoleTicketReconciler } from './src/console/console-ticket.reconciler.ts';
import { hostReconciler } from './src/host/host.reconciler.ts';
import { HostReports } from './src/host/host.reports.ts';
import { attachDiskTask, attachNicTask } from './src/vm/attach.task.ts';
import { changeNicTask } from './src/vm/change-nic.task.ts';
import { createVmTask } from './src/vm/create-vm.task.ts';
import { detachDiskTask, detachNicTask } from './src/vm/detach.task.ts';
import { deleteVmTask } from './src/vm/delete-vm.task.ts';
import { modifyVmTask } from './src/vm/modify-vm.task.ts';
import { powerOffVmTask, rebootVmTask, startVmTask, stopVmTask } from './src/vm/power-vm.task.ts';
import { hibernateVmTask, wakeVmTask } from './src/vm/hibernate-vm.task.ts';
import { pauseVmTask, resetVmTask, resumeVmTask } from './src/vm/steer-vm.task.ts';
import { recycleVmTask } from './src/vm/recycle-vm.task.ts';
import { recycleBinReconciler } from './src/vm/vm-bin.reconciler.ts';
import { idleClaimReconciler } from './src/vm/vm.reconciler.ts';

export const computeTables = [...computeMigrations, ...computeReportMigrations, ...computeHeartbeatMigrations, ...computeSavedMigrations, ...computePendingMigrations, ...computeListMigrations, ...computeFolderMigrations, ...computeGuestMemoryMigrations, ...computeTpmMigrations, ...computeConsoleMigrations, ...computeUefiVarsMigrations];

export const computeService: TaskService<typeof computeConfig> = {
  name: 'compute',
  module: ComputeModule,
  config: computeConfig,
  migrations: computeTables,
  tasks: () => [createVmTask, startVmTask, stopVmTask, powerOffVmTask, rebootVmTask, pauseVmTask, resumeVmTask, resetVmTask, hibernateVmTask, wakeVmTask, deleteVmTask, recycleVmTask, attachDiskTask, detachDiskTask, attachNicTask, detachNicTask, changeNicTask, modifyVmTask],
  consumers: ({ get }) => [
    {
      name: 'compute-liveness',
      sources: ['ha'],
      filters: [livenessChanged.name],
      handle: async (tx, event) => {
        const { liveness } = livenessChanged.data.parse(event.data);
        const reports = get(HostReports);
        if (liveness.state === 'connected') await reports.heard(tx, liveness.hostId);
        else await reports.lost(tx, liveness.hostId);
      },
    },
  ],
  doors: ({ db }) => [{ name: 'site', open: () => ensureSite(db), close: () => Promise.resolve() }],
  drift: ({ db, bus }) => [hostDrift(db, bus), vmTaskDrift(db)],
  reconcilers: ({ db, bus, get }) => [hostReconciler(db, get(HostReports)), idleClaimReconciler(db, bus), recycleBinReconciler(db, bus), consoleTicketReconciler(db)],
};
