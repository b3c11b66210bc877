/** Numbers as people read them: three or four figures, units, thin spaces between thousands. */

const THIN = '\u202f';
const MINUS = '\u2212';

/** `12 345`, `−3`. */
export const count = (value: number): string =>
  Math.round(value)
    .toString()
    .replace('-', MINUS)
    .replace(/\B(?=(\d{3})+$)/g, THIN);

/** With so many decimals. */
export const fixed = (value: number, decimals: number): string => value.toFixed(decimals).replace('-', MINUS);

/** Three figures at least. */
export function figures(value: number): string {
  const size = Math.abs(value);
  if (value === 0) return '0';
  if (size < 1e-3 || size >= 1e6) {
    const [mantissa, exponent] = value.toExponential(1).split('e') as [string, string];
    return `${mantissa}e${Number(exponent)}`.replaceAll('-', MINUS);
  }
  return fixed(value, Math.max(0, 2 - Math.floor(Math.log10(size))));
}

const scaled = (value: number, units: readonly string[]): string => {
  const step = Math.max(0, Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, Math.abs(value))) / 3)));
  const mantissa = value / 1000 ** step;
  const decimals = step === 0 ? 0 : Math.abs(mantissa) < 10 ? 2 : Math.abs(mantissa) < 100 ? 1 : 0;
  return `${fixed(mantissa, decimals)}${units[step] ? `${THIN}${units[step]}` : ''}`;
};

/** `812 B`, `3.61 kB`, `1.62 MB`. */
export const bytes = (value: number): string => scaled(value, ['B', 'kB', 'MB', 'GB']);

/** `812`, `3.61 k`, `1.62 M`. */
export const short = (value: number): string => scaled(value, ['', 'k', 'M', 'G', 'T']);

/** Of ticks, which are round: `20 kB`, `1.5 MB`. */
export function bytesTick(value: number): string {
  const step = Math.max(0, Math.min(3, Math.floor(Math.log10(value) / 3 + 1e-9)));
  return `${Number((value / 1000 ** step).toPrecision(3))}${THIN}${['B', 'kB', 'MB', 'GB'][step]}`;
}

/** With one decimal. */
export const percent1 = (value: number): string => `${fixed(value, 1)}${THIN}%`;

export const percent = (value: number): string => `${fixed(value, 2)}${THIN}%`;

export const milliseconds = (value: number): string =>
  `${fixed(value, value < 1 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0)}${THIN}ms`;

/** `8 s`, `2 min 5 s`, `1 h 4 min`. */
export function seconds(value: number): string {
  if (value < 10) return `${fixed(value, 1)}${THIN}s`;
  const whole = Math.round(value);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const units = ['h', 'min', 's'];
  const first = parts.findIndex((n) => n > 0);
  return [first, first + 1]
    .filter((i) => i < 3 && parts[i]! > 0)
    .map((i) => `${parts[i]}${THIN}${units[i]}`)
    .join(' ');
}
