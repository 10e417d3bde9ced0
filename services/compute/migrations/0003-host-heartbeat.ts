// What ha last said of a host's heartbeat, apart from the state, which an answer of the host itself may change earlier.
import { defineMigration } from '#database';

export const computeHeartbeatMigrations = [
  defineMigration('compute.0003-host-heartbeat', [
    'ALTER TABLE host ADD COLUMN heartbeat varchar(20) CHARACTER SET ascii COLLATE ascii_bin NULL',
    "UPDATE host SET heartbeat = 'connected' WHERE state = 'connected'",
  ]),
];
