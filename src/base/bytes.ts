/** "6.15 GB", "36.2 MB", "64.0 kB", "640 bytes": decimal units, about three digits. */
export function formatBytes(bytes: number): string {
  if (bytes >= 1e9) {
    return `${(bytes / 1e9).toFixed(2)} GB`;
  }
  if (bytes >= 1e6) {
    return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`;
  }
  if (bytes >= 1e3) {
    return `${(bytes / 1e3).toFixed(bytes < 1e5 ? 1 : 0)} kB`;
  }
  return `${Math.round(bytes)} bytes`;
}
