// Has the database itself refuse to change the audit log, where it lets us: a server that writes a binary log gives triggers
// only to privileged users. Without them a change is found all the same, by the chain.
import type { DataSource } from 'typeorm';
import { execute, selectRows } from '#database';
import type { Logger } from '#telemetry';

const triggers: Readonly<Record<string, string>> = {
  audit_log_no_update: `BEFORE UPDATE ON audit_log FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the audit log is never changed'`,
  audit_log_no_delete: `BEFORE DELETE ON audit_log FOR EACH ROW IF OLD.seq > (SELECT seq FROM audit_link WHERE name = 'base') THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the audit log is only pruned from its old end'; END IF`,
};

const codeOf = (error: unknown): string => (error as { code?: string }).code ?? '';
/** Another replica made it in this moment. */
const isThere = (error: unknown): boolean => codeOf(error) === 'ER_TRG_ALREADY_EXISTS';
const isForbidden = (error: unknown): boolean => ['ER_BINLOG_CREATE_ROUTINE_NEED_SUPER', 'ER_TABLEACCESS_DENIED_ERROR', 'ER_SPECIFIC_ACCESS_DENIED_ERROR', 'ER_DBACCESS_DENIED_ERROR'].includes(codeOf(error));

export async function guardAuditLog(db: DataSource, log: Pick<Logger, 'warn'>): Promise<void> {
  const rows = await selectRows<{ name: string }>(db, 'SELECT trigger_name AS name FROM information_schema.triggers WHERE trigger_schema = DATABASE()');
  const known = new Set(rows.map(({ name }) => name));
  for (const [name, text] of Object.entries(triggers)) {
    if (known.has(name)) continue;
    try {
      await execute(db, `CREATE TRIGGER ${name} ${text}`);
    } catch (error) {
      if (isThere(error)) continue;
      if (!isForbidden(error)) throw error;
      log.warn({ err: error, trigger: name }, 'the database does not let the audit log be guarded by a trigger; its chain still shows changes');
    }
  }
}
