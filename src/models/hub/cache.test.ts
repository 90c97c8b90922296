/** By which content a file of the cache is known. */
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryDirectory } from "../../../test/support/model-files.ts";
import { cachedModels, CachedRepository } from "./cache.ts";

const COMMIT = "c".repeat(40);

function repository(): CachedRepository {
  const made = new CachedRepository(temporaryDirectory(), "org/name");
  mkdirSync(join(made.directory, "blobs"), { recursive: true });
  mkdirSync(made.snapshotDirectory(COMMIT), { recursive: true });
  return made;
}

test.skipIf(process.platform === "win32")("a link's is that of the blob that it leads to", async () => {
  const cache = repository();
  writeFileSync(cache.blob("abc"), "x");
  symlinkSync(join("..", "..", "blobs", "abc"), join(cache.snapshotDirectory(COMMIT), "in.json"));
  const elsewhere = join(cache.cacheDirectory, "elsewhere");
  writeFileSync(elsewhere, "x");
  symlinkSync(elsewhere, join(cache.snapshotDirectory(COMMIT), "out.json"));
  expect(await cache.hashOf(COMMIT, "in.json")).toBe("abc");
  expect(await cache.hashOf(COMMIT, "out.json")).toBeUndefined();
});

test("a second name's is that of the blob that is the same file", async () => {
  const cache = repository();
  for (const hash of ["abc", "def"]) {
    writeFileSync(cache.blob(hash), "same content");
  }
  linkSync(cache.blob("def"), join(cache.snapshotDirectory(COMMIT), "a.json"));
  writeFileSync(join(cache.snapshotDirectory(COMMIT), "own.json"), "same content");
  expect(await cache.hashOf(COMMIT, "a.json")).toBe("def");
  expect(await cache.hashOf(COMMIT, "own.json")).toBeUndefined();
  expect(await cache.hashOf(COMMIT, "none.json")).toBeUndefined();
});

test("a revision is a commit that its reference names, or that is there", async () => {
  const cache = repository();
  mkdirSync(join(cache.directory, "refs"));
  writeFileSync(join(cache.directory, "refs", "main"), `${COMMIT}\n`);
  writeFileSync(join(cache.directory, "refs", "broken"), "not a commit");
  expect(await cache.commitOf("main")).toBe(COMMIT);
  expect(await cache.commitOf(COMMIT)).toBe(COMMIT);
  expect(await cache.commitOf("v1")).toBeUndefined();
  await expect(cache.commitOf("broken")).rejects.toMatchObject({
    code: "not-found",
    message: expect.stringMatching(
      /holds "not a commit"; expected a commit hash\. The cache is damaged: remove that file\./,
    ) as string,
  });
  await cache.setReference("refs/pr/1", COMMIT);
  expect(await cache.commitOf("refs/pr/1")).toBe(COMMIT);
  // A commit needs no reference to itself.
  await cache.setReference(COMMIT, COMMIT);
  expect(await cachedModels(cache.cacheDirectory)).toEqual(["org/name"]);
});
