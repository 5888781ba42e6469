// Sizes as people read them: binary, three digits that count.
// Never knows: what is that large.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** `1.25 GiB`. */
export function bytes(count: number | null | undefined): string {
  if (count === null || count === undefined) return "unknown";
  let [value, unit] = [Math.abs(count), 0];
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${count < 0 ? "−" : ""}${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** `12,345`. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}
