// Many VMs as rows of compute's schema, like one that exists, and gone again afterwards.
const FIRST_NUMBER = 10_000_000;

/** `count` stopped VMs, every tenth failed if `someFailed`, with addresses. */
export async function fillVms(sql, like, count, { someFailed }) {
  const columns = ['description', 'labels', 'cluster_id', 'template_id', 'spec', 'addresses'];
  await sql.query(`INSERT INTO vm (id, name, live_name, uid, state, owner_id, number, created_at, updated_at, ${columns.join(', ')})
    SELECT CONCAT('00000000-0000-7000-8000-', LPAD(seq, 12, '0')), CONCAT('many-', LPAD(MOD(seq * 7919, 100000), 5, '0')), CONCAT('many-', LPAD(MOD(seq * 7919, 100000), 5, '0')), 300000 + seq,
      IF(? AND MOD(seq, 10) = 0, 'failed', 'stopped'), owner_id, ${FIRST_NUMBER} + seq, UTC_TIMESTAMP(3) - INTERVAL seq SECOND, UTC_TIMESTAMP(3), ${columns.join(', ')}
    FROM seq_1_to_${count}, vm WHERE vm.id = ?`, [someFailed, like]);
  await sql.query(`INSERT INTO vm_address (vm_id, mac, ip) SELECT id, CONCAT('06:00:00:', SUBSTR(HEX(number), 1, 2), ':', SUBSTR(HEX(number), 3, 2), ':', SUBSTR(HEX(number), 5, 2)),
    CONCAT('172.16.', MOD(number DIV 250, 250), '.', MOD(number, 250)) FROM vm WHERE number >= ${FIRST_NUMBER}`);
  await sql.query('ANALYZE TABLE vm, vm_address');
}

export async function removeVms(sql) {
  await sql.query(`DELETE vm_address FROM vm_address JOIN vm ON vm.id = vm_address.vm_id WHERE vm.number >= ${FIRST_NUMBER}`);
  await sql.query(`DELETE FROM vm WHERE number >= ${FIRST_NUMBER}`);
}
