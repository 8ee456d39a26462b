// Figures in words.

const PREFIXES = ["", "k", "M", "G", "T", "P"];

function scaled(value: number, base: number, unit: string): string {
  let power = 0;
  while (value >= base && power < PREFIXES.length - 1) {
    value /= base;
    power++;
  }
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${PREFIXES[power]}${unit}`;
}

export const NONE = "–";
export const bits = (bps: number | null | undefined): string => (bps == null ? NONE : scaled(bps, 1000, "bit/s"));
export const bytes = (value: number | null | undefined): string => (value == null ? NONE : scaled(value, 1000, "B"));
export const count = (value: number | null | undefined): string => (value == null ? NONE : value.toLocaleString("en"));
export const plural = (num: number, name: string): string => `${count(num)} ${name}${num === 1 ? "" : "s"}`;
export const share = (value: number): string => `${Math.round(value * 100)} %`;

export function ago(us: number, now = Date.now()): string {
  const s = Math.max(0, Math.round(now / 1000 - us / 1e6));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

export const clock = (at: string | number): string => new Date(at).toLocaleTimeString("en-GB");
