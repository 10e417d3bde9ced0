// Where the TPM of a VM keeps its keys.
import { defineMigration } from '#database';

export const computeTpmMigrations = [defineMigration('compute.0012-tpm', ['ALTER TABLE vm ADD COLUMN tpm json NULL'])];
