import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import type * as files from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { temporaryDirectory } from "../../../test/support/model-files.ts";

/** What the file system refuses: calls by their names, or "room". */
const refused = vi.hoisted(() => new Set<string>());
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof files>();
  const refuse = (name: string): void => {
    if (refused.has(name)) {
      throw Object.assign(new Error(`${name} is not permitted`), { code: "EPERM" });
    }
  };
  const full = (): never => {
    throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  };
  return {
    ...real,
    symlink: (...args: Parameters<typeof real.symlink>) => {
      refuse("symlink");
      return real.symlink(...args);
    },
    link: (...args: Parameters<typeof real.link>) => {
      refuse("link");
      return real.link(...args);
    },
    writeFile: (...args: Parameters<typeof real.writeFile>) =>
      refused.has("room") ? full() : real.writeFile(...args),
  };
});

const store = await import("./file-store.ts");
beforeEach(() => refused.clear());

describe("another name of a file", () => {
  test.each<[string, readonly string[], boolean]>([
    ["is a symbolic link", [], true],
    ["is a hard link where symbolic ones are not allowed", ["symlink"], true],
    ["is the file itself where there are no links", ["symlink", "link"], false],
  ])("%s, and takes the place of what was there", async (_what, without, staysInPlace) => {
    for (const name of process.platform === "win32" ? ["symlink", ...without] : without) {
      refused.add(name);
    }
    const folder = temporaryDirectory();
    const blob = join(folder, "blobs", "abc");
    const name = join(folder, "snapshots", "1", "file");
    mkdirSync(join(folder, "blobs"));
    mkdirSync(join(folder, "snapshots", "1"), { recursive: true });
    writeFileSync(blob, "content");
    writeFileSync(name, "before");
    await store.alias(name, blob);
    expect(readFileSync(name, "utf8")).toBe("content");
    expect(existsSync(blob)).toBe(staysInPlace);
    expect(readdirSync(join(folder, "snapshots", "1"))).toEqual(["file"]);
    if (!staysInPlace) {
      return;
    }
    // A second call does the same, and leaves nothing behind.
    await store.alias(name, blob);
    expect(statSync(name).ino).toBe(statSync(blob).ino);
    expect(readdirSync(join(folder, "snapshots", "1"))).toEqual(["file"]);
  });
});

describe("a file that is written piece by piece", () => {
  test("keeps what it held, and has each piece at its position", async () => {
    const path = join(temporaryDirectory(), "deep", "file");
    const first = await store.openWritable(path);
    await first.write(new Uint8Array([1, 2, 3]), 0);
    await first.close();
    const second = await store.openWritable(path);
    expect(second.size).toBe(3);
    await second.write(new Uint8Array([4, 5]), 3);
    const read: number[] = [];
    for await (const bytes of second.read(4)) {
      read.push(...bytes);
    }
    await second.truncate(4);
    await second.close();
    expect(read).toEqual([1, 2, 3, 4]);
    expect([...readFileSync(path)]).toEqual([1, 2, 3, 4]);
  });

  // Windows has no such flag, and links need rights there.
  test.runIf(process.platform !== "win32")("is no link to another file", async () => {
    const folder = temporaryDirectory();
    const [link, victim] = [join(folder, "file"), join(folder, "victim")];
    writeFileSync(victim, "precious");
    symlinkSync(victim, link);
    await expect(store.openWritable(link)).rejects.toMatchObject({ code: "download" });
    expect(readFileSync(victim, "utf8")).toBe("precious");
  });
});

test("directories that cannot be made are an error, at once", async () => {
  const file = join(temporaryDirectory(), "file");
  writeFileSync(file, "");
  await expect(store.makeDirectory(join(file, "deep", "deeper"))).rejects.toMatchObject({ code: "download" });
  if (process.platform !== "linux") {
    return;
  }
  await expect(store.makeDirectory("/proc/nope/deep")).rejects.toMatchObject({ code: "download" });
});

describe("failures", () => {
  test("of a full drive say so", async () => {
    refused.add("room");
    const path = join(temporaryDirectory(), "file");
    await expect(store.writeWhole(path, "x")).rejects.toMatchObject({
      code: "download",
      message: expect.stringMatching(
        /^There is no room on the drive for ".*file"\. Free some space/,
      ) as string,
    });
  });

  test.skipIf(process.platform === "win32" || process.getuid?.() === 0)(
    "of a folder that may not be written name it",
    async () => {
      const folder = temporaryDirectory();
      chmodSync(folder, 0o500);
      await expect(store.makeDirectory(join(folder, "x"))).rejects.toMatchObject({
        code: "download",
        message: expect.stringContaining("HF_HUB_CACHE") as string,
      });
    },
  );

  test("of a path through a file name it", async () => {
    const file = join(temporaryDirectory(), "file");
    writeFileSync(file, "");
    await expect(store.makeDirectory(join(file, "x"))).rejects.toMatchObject({ code: "download" });
    expect(await store.freeBytes(join(file, "x"))).toBeGreaterThan(0);
  });
});

test("a small file is created once, and is whole", async () => {
  const path = join(temporaryDirectory(), "file");
  expect(await store.createExclusively(path, "one")).toBe(true);
  expect(await store.createExclusively(path, "two")).toBe(false);
  await store.writeWhole(path, "three");
  expect(await store.readText(path)).toBe("three");
  expect(await store.readText(`${path}x`)).toBeUndefined();
  expect(await store.renameFile(`${path}x`, path)).toBe(false);
});
