// Keeps Debian's package scripts from starting services while something is installed. The switch is Debian's
// own (/usr/sbin/policy-rc.d) and is put back as it was, also after a crash of an earlier run.
import { chmodSync, existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { succeeds } from './run.mjs';

const POLICY = '/usr/sbin/policy-rc.d';
const KEPT = `${POLICY}.tokamak-kept`;
const MARK = '# held by tokamak while packages are installed';
const REFUSE_ALL = `#!/bin/sh\n${MARK}\nexit 101\n`;

/** Runs `work` with service starts refused; afterwards the new `units` do not start at boot either. */
export async function withServicesHeld(units, work) {
  restore();
  hold();
  const onSignal = () => { restore(); process.exit(130); };
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    return await work();
  } finally {
    process.removeListener('SIGINT', onSignal).removeListener('SIGTERM', onSignal);
    restore();
    for (const unit of units) await keepOffAtBoot(unit);
  }
}

function keepOffAtBoot(unit) {
  return existsSync('/run/systemd/system')
    ? succeeds(['systemctl', 'disable', '--quiet', unit])
    : succeeds(['update-rc.d', unit.replace(/\.service$/, ''), 'disable']);
}

function hold() {
  if (existsSync(POLICY)) {
    if (readFileSync(POLICY, 'utf8').includes('exit 101') && statSync(POLICY).mode & 0o111) return; // refuses already
    renameSync(POLICY, KEPT);
  }
  writeFileSync(POLICY, REFUSE_ALL);
  chmodSync(POLICY, 0o755);
}

function restore() {
  if (existsSync(POLICY) && readFileSync(POLICY, 'utf8').includes(MARK)) rmSync(POLICY);
  if (existsSync(KEPT)) renameSync(KEPT, POLICY);
}
