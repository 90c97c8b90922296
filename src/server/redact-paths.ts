import { homedir } from "node:os";

/** In quotes a path may have spaces; elsewhere it ends at the first. */
const quotedPath = /(["'])((?:[A-Za-z]:[\\/]|\\\\|\/|~[\\/])[^"'\n]*)\1/g;
// What is behind a "#" is a place in a JSON document.
const barePath = /(?<![\w:/\\.~#-])(?:[A-Za-z]:[\\/]|\\\\|~[\\/]|\/(?=[^\s/]+\/))[^\s"'`,;:()<>]+/g;

/**
 * A message without the folders of this machine: of a path in it, only the last name is left. Whoever talks to the
 * server over the network has no use for the rest, and learns nothing of who runs it.
 */
export function redactPaths(
  message: string,
  folders: readonly string[] = [process.cwd(), homedir()],
): string {
  const known = folders.filter((folder) => folder.length > 1).sort((a, b) => b.length - a.length);
  const shortened = known.reduce((text, folder) => text.replaceAll(folder, "~"), message);
  return shortened
    .replace(quotedPath, (_match, quote: string, path: string) => `${quote}${lastName(path)}${quote}`)
    .replace(barePath, lastName);
}

function lastName(path: string): string {
  return path.split(/[\\/]/).findLast((name) => name !== "") ?? "";
}
