// The tables of network: switches and what hosts made of them, port groups, subnets, ports; a copy of compute's hosts.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';
const word = (length: number): string => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;
const stamps = `number int unsigned NOT NULL UNIQUE, version int unsigned NOT NULL DEFAULT 1,
  created_at datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), updated_at datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)`;
const options = 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4';

export const networkMigrations = [
  defineMigration('network.0001-tables', [
    // joined = (bootId, epoch) of the agent's start that was last heard of.
    `CREATE TABLE host (
      id ${id} NOT NULL PRIMARY KEY, state ${word(20)} NOT NULL, host_version int unsigned NOT NULL, joined varchar(200) NULL) ${options}`,
    // live_name is NULL once the switch is deleted and only waits for absent hosts to forget it.
    `CREATE TABLE dvswitch (
      id ${id} NOT NULL PRIMARY KEY, name varchar(63) NOT NULL, live_name varchar(63) NULL, description varchar(1000) NOT NULL, mtu smallint unsigned NOT NULL,
      uplinks json NOT NULL, generation int unsigned NOT NULL DEFAULT 1, deleting tinyint NOT NULL DEFAULT 0, ${stamps},
      UNIQUE KEY dvswitch_name (live_name), KEY dvswitch_created (created_at, id)) ${options}`,
    // attempt makes the id of the next command to the host; recheck = the host has restarted since it was applied.
    `CREATE TABLE dvswitch_host (
      switch_id ${id} NOT NULL, host_id ${id} NOT NULL, wanted tinyint NOT NULL, state ${word(10)} NOT NULL, generation int unsigned NOT NULL DEFAULT 0,
      attempt int unsigned NOT NULL DEFAULT 1, recheck tinyint NOT NULL DEFAULT 0, reason varchar(500) NULL, tried_at datetime(3) NULL,
      PRIMARY KEY (switch_id, host_id), KEY dvswitch_host_host (host_id), KEY dvswitch_host_state (state, recheck),
      CONSTRAINT dvswitch_host_switch FOREIGN KEY (switch_id) REFERENCES dvswitch (id) ON DELETE CASCADE) ${options}`,
    `CREATE TABLE port_group (
      id ${id} NOT NULL PRIMARY KEY, switch_id ${id} NOT NULL, name varchar(63) NOT NULL, description varchar(1000) NOT NULL, vlan smallint unsigned NOT NULL, ${stamps},
      UNIQUE KEY port_group_name (name), KEY port_group_created (created_at, id),
      CONSTRAINT port_group_on_switch FOREIGN KEY (switch_id) REFERENCES dvswitch (id)) ${options}`,
    // One subnet per port group: the unique key says so. next_ip = where the search for a free address goes on.
    `CREATE TABLE subnet (
      id ${id} NOT NULL PRIMARY KEY, port_group_id ${id} NOT NULL, name varchar(63) NOT NULL, cidr ${word(18)} NOT NULL, gateway int unsigned NULL, dns json NOT NULL,
      range_from int unsigned NOT NULL, range_to int unsigned NOT NULL, next_ip int unsigned NOT NULL, lease_seconds int unsigned NOT NULL, ${stamps},
      UNIQUE KEY subnet_name (name), UNIQUE KEY subnet_port_group (port_group_id), KEY subnet_created (created_at, id),
      CONSTRAINT subnet_of_port_group FOREIGN KEY (port_group_id) REFERENCES port_group (id)) ${options}`,
    `CREATE TABLE port (
      id ${id} NOT NULL PRIMARY KEY, port_group_id ${id} NOT NULL, vm_id ${id} NOT NULL, nic_id ${id} NOT NULL, mac char(17) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      subnet_id ${id} NULL, ip int unsigned NULL, owner_id ${id} NULL, folder_id ${id} NULL, ${stamps},
      UNIQUE KEY port_mac (mac), UNIQUE KEY port_ip (subnet_id, ip), UNIQUE KEY port_nic (nic_id), KEY port_vm (vm_id), KEY port_created (created_at, id),
      CONSTRAINT port_in_port_group FOREIGN KEY (port_group_id) REFERENCES port_group (id),
      CONSTRAINT port_in_subnet FOREIGN KEY (subnet_id) REFERENCES subnet (id)) ${options}`,
  ]),
];
