// What a VM of the tests may have to do with a TPM.

/** A TPM that the next start makes, one that has keys, one that goes with the next start, and one that waits for it. */
export const tpmCases = {
  asked: { spec: '2.0', made: false, pending: null }, kept: { spec: '2.0', made: true, pending: null },
  leaving: { spec: 'none', made: true, pending: null }, waiting: { spec: 'none', made: false, pending: { tpm: '2.0' } },
} as const;
export type TpmCase = keyof typeof tpmCases;
