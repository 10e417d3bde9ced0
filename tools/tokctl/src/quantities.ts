// Sizes and durations as people write them. Nothing is rounded: what cannot be said exactly is refused.

const binary = { '': 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;
const sizeUnits: Readonly<Record<string, number>> = { ...binary, B: 1, K: binary.KiB, M: binary.MiB, G: binary.GiB, T: binary.TiB, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };
const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

const form = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/;

function quantity(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const [, digits, unit = ''] = form.exec(text.trim()) ?? [];
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  if (digits === undefined || factor === undefined) return undefined;
  const value = Number(digits) * factor;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Bytes of `10GiB`, `512M` (powers of 1024), `20GB` (powers of 1000) or a plain number; undefined for anything else. */
export const parseSize = (text: string): number | undefined => quantity(text, sizeUnits);
export const sizeForm = 'a size such as 512MiB, 10GiB or a number of bytes';

/** Milliseconds of `500ms`, `30s`, `5m`, `2h`, `7d`; a number without unit is no duration, because nobody knows which was meant. `0` is. */
export const parseDuration = (text: string): number | undefined => (text.trim() === '0' ? 0 : quantity(text, durationUnits));
export const durationForm = 'a duration such as 500ms, 30s or 5m';

/** For tables and progress: `3s`, `2m5s`, `4h10m`, `6d2h`. */
export function durationText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return two(seconds, 60, 'm', 1, 's');
  if (seconds < 86_400) return two(seconds, 3600, 'h', 60, 'm');
  return two(seconds, 86_400, 'd', 3600, 'h');
}

function two(seconds: number, large: number, largeUnit: string, small: number, smallUnit: string): string {
  const rest = Math.floor((seconds % large) / small);
  return `${Math.floor(seconds / large)}${largeUnit}${rest > 0 ? `${rest}${smallUnit}` : ''}`;
}
