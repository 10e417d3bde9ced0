// Text from elsewhere made safe and measurable for a terminal: control characters are shown, never obeyed.

/** C0, DEL, C1 and the marks that reverse the direction of text. */
const control = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

export const visible = (text: string): string => text.replace(control, (char) => (char === '\t' ? ' ' : `\\u{${char.codePointAt(0)!.toString(16)}}`));

const wide = /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const zero = /[\p{Mn}\p{Me}\u200b-\u200d\ufe00-\ufe0f]/u;
const plain = /^[\x20-\x7e]*$/;

const widthOf = (char: string): number => (zero.test(char) ? 0 : wide.test(char) ? 2 : 1);

/** Columns that a terminal needs for it. */
export const width = (text: string): number => (plain.test(text) ? text.length : Array.from(text).reduce((sum, char) => sum + widthOf(char), 0));

/** At most `columns` wide, the last one an ellipsis where something was cut. */
export function cut(text: string, columns: number): string {
  if (width(text) <= columns) return text;
  let taken = '';
  let used = 0;
  for (const char of text) {
    used += widthOf(char);
    if (used > columns - 1) break;
    taken += char;
  }
  return `${taken}…`;
}

export const padEnd = (text: string, columns: number): string => text + ' '.repeat(Math.max(0, columns - width(text)));
export const padStart = (text: string, columns: number): string => ' '.repeat(Math.max(0, columns - width(text))) + text;
