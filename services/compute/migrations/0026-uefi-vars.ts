// Where the UEFI of a VM keeps its variables.
import { defineMigration } from '#database';

export const computeUefiVarsMigrations = [defineMigration('compute.0026-uefi-vars', ['ALTER TABLE vm ADD COLUMN uefi_vars json NULL'])];
