/** The size of the web UI's page. */
import { loadPageFiles } from "../../src/webui/page-files.ts";

/**
 * The size of the page.
 *
 * @returns bytes of all its files, compressed as the server sends them
 */
export async function pageBytes(): Promise<number> {
  let bytes = 0;
  for (const { gzipped } of (await loadPageFiles()).values()) {
    bytes += gzipped.byteLength;
  }
  return bytes;
}
