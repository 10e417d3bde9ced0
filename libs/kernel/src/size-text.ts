// Sizes as people read them.
const units = [['TiB', 1024 ** 4], ['GiB', 1024 ** 3], ['MiB', 1024 ** 2], ['KiB', 1024]] as const;

/** The largest unit with at least 1, at most one decimal: `1.5 GiB`. */
export function sizeText(bytes: number): string {
  const [unit, factor] = units.find(([, size]) => bytes >= size) ?? ['B', 1];
  return `${Number((bytes / factor).toFixed(1))} ${unit}`;
}
