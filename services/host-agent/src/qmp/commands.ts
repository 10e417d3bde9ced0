// How long each monitor command may take, ms. A command that is not here may take `defaultLimitMs`.

export const defaultLimitMs = 5_000;
export const commandLimitsMs: Readonly<Record<string, number>> = {
  qmp_capabilities: 2_000,
  'query-uuid': 2_000,
  'query-status': 2_000,
  quit: 2_000,
  cont: 10_000,
  stop: 10_000,
  system_powerdown: 2_000,
  system_reset: 5_000,
  'device_add': 10_000,
  'device_del': 10_000,
  'blockdev-add': 30_000,
  'blockdev-del': 30_000,
  // They begin in QEMU's one thread for such things, which on a busy host reads and writes the memory of a guest meanwhile.
  'snapshot-save': 30_000,
  'snapshot-load': 30_000,
  'snapshot-delete': 30_000,
  'guest-sync-delimited': 2_000,
  'guest-ping': 2_000,
  'guest-network-get-interfaces': 5_000,
  'guest-get-fsinfo': 5_000,
  'guest-get-disks': 5_000,
  'guest-exec': 10_000,
  'guest-exec-status': 5_000,
};
export const limitOf = (command: string): number => commandLimitsMs[command] ?? defaultLimitMs;
/** A process that answers a connect greets at once; a second client of one monitor is never greeted. */
export const greetingLimitMs = 2_000;
