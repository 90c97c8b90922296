/** Tests of files in a folder that somebody else may have touched. */
import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryDirectory } from "../../../test/support/model-files.ts";
import { makePrivateFolder, openOwnFile, readOwnText } from "./own-files.ts";

const notOurs = {
  code: "invalid-argument",
  message: expect.stringContaining("is a link, a pipe or another") as string,
};

test("a file is written from its beginning, for its user alone, and read again", async () => {
  const path = join(temporaryDirectory(), "file");
  for (const text of ["a long text", "short"]) {
    const file = await openOwnFile(path, "write");
    await file.writeFile(text);
    await file.close();
    expect(await readOwnText(path, 100)).toBe(text);
  }
  if (process.platform !== "win32") {
    expect(statSync(path).mode & 0o777).toBe(0o600);
  }
  await expect(readOwnText(path, 4)).rejects.toThrow("has 5 bytes; expected 4 at most");
  await expect(readOwnText(`${path}x`, 4)).rejects.toMatchObject({ code: "ENOENT" });
});

describe.skipIf(process.platform === "win32")("what is not ours", () => {
  test("a link is neither read nor written through", async () => {
    const folder = temporaryDirectory();
    const target = join(folder, "target");
    writeFileSync(target, "theirs");
    symlinkSync(target, join(folder, "soft"));
    linkSync(target, join(folder, "hard"));
    for (const name of ["soft", "hard"]) {
      await expect(openOwnFile(join(folder, name), "write")).rejects.toMatchObject(notOurs);
      await expect(readOwnText(join(folder, name), 100)).rejects.toMatchObject(notOurs);
    }
    expect(readFileSync(target, "utf8")).toBe("theirs");
  });

  test("a pipe makes nobody wait, and a folder is no file", async () => {
    const folder = temporaryDirectory();
    execFileSync("mkfifo", [join(folder, "pipe")]);
    mkdirSync(join(folder, "folder"));
    for (const name of ["pipe", "folder"]) {
      await expect(readOwnText(join(folder, name), 100)).rejects.toMatchObject(notOurs);
      await expect(openOwnFile(join(folder, name), "write")).rejects.toMatchObject(notOurs);
    }
  });

  test("a folder becomes its user's alone; rights of what a link points to are left", async () => {
    const folder = temporaryDirectory();
    const [mine, theirs, link] = ["mine", "theirs", "link"].map((name) => join(folder, name));
    mkdirSync(mine, { mode: 0o755 });
    mkdirSync(theirs, { mode: 0o755 });
    symlinkSync(theirs, link);
    await makePrivateFolder(mine);
    expect(statSync(mine).mode & 0o777).toBe(0o700);
    await makePrivateFolder(join(folder, "new", "deep"));
    expect(statSync(join(folder, "new", "deep")).mode & 0o777).toBe(0o700);
    await expect(makePrivateFolder(link)).rejects.toMatchObject(notOurs);
    expect(statSync(theirs).mode & 0o777).toBe(0o755);
    writeFileSync(join(folder, "file"), "");
    await expect(makePrivateFolder(join(folder, "file"))).rejects.toThrow();
  });
});
