/** Hashes of content, as git and git LFS compute them. */
import { createHash, type Hash } from "node:crypto";
import type { ContentHash } from "./api.ts";

/** A running hash of a file's bytes. `size` is the file's, which git hashes first. */
export function startHash(kind: ContentHash["kind"], size: number): Hash {
  return kind === "sha256" ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
}
