// Types of what the tests take from the record of the kill matrix.
export interface MatrixRecord { readonly points: Readonly<Record<string, readonly string[]>>; readonly sets: readonly { readonly victims: readonly string[]; readonly kinds: readonly string[]; readonly commit: string; readonly day: string }[] }

export function readRecord(file?: string): MatrixRecord;
export function withCells(record: MatrixRecord, points: MatrixRecord['points'], cells: readonly unknown[], seen: { readonly commit: string; readonly day: string }): MatrixRecord;
export function cellsOf(record: MatrixRecord): readonly unknown[];
