import { truncateSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryDirectory, temporaryFile } from "../../../test/support/model-files.ts";
import { FILE_LIMITS, fileStatus, listDirectory, openFile, readFileRange, readSmallFile } from "./files.ts";

/** The part of WebAssembly's interface used here; its types come with lib.dom only, which Node has not. */
interface WithMemory {
  WebAssembly: {
    Memory: new (options: { initial: number; maximum: number; shared: true }) => {
      buffer: SharedArrayBuffer;
    };
  };
}
const { Memory } = (globalThis as unknown as WithMemory).WebAssembly;

const bytes = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7) % 251);

describe("openFile", () => {
  it("reads at positions, also into shared memory, and only into the view", () => {
    const file = openFile(temporaryFile("data", bytes));
    expect(file.size).toBe(1000);
    const shared = new Uint8Array(new SharedArrayBuffer(300));
    file.read(shared.subarray(100, 200), 250);
    expect([...shared.subarray(100, 200)]).toEqual([...bytes.subarray(250, 350)]);
    expect(shared.subarray(0, 100).every((byte) => byte === 0)).toBe(true);
    expect(shared.subarray(200).every((byte) => byte === 0)).toBe(true);
    file.close();
  });

  it("reads into the last bytes of a 4 GiB WebAssembly memory", () => {
    const file = openFile(temporaryFile("data", bytes));
    const memory = new Memory({ initial: 65_536, maximum: 65_536, shared: true });
    const target = new Uint8Array(memory.buffer, 2 ** 32 - 1000, 1000);
    file.read(target, 0);
    file.close();
    expect(Buffer.compare(target, bytes)).toBe(0);
  });

  it("says where a file ended before the bytes asked for", () => {
    const path = temporaryFile("data", bytes);
    const file = openFile(path);
    expect(() => file.read(new Uint8Array(20), 990)).toThrow(
      `"${path}" ended before byte 1000; expected 20 bytes from byte 990 on. The file is truncated`,
    );
    file.close();
  });

  it("cannot be read after close, which may be called twice", () => {
    const file = openFile(temporaryFile("data", bytes));
    file.close();
    file.close();
    expect(() => file.read(new Uint8Array(1), 0)).toThrow("was read after it was closed");
  });

  it("names a file that is not there", () => {
    const path = join(temporaryDirectory(), "absent");
    expect(() => openFile(path)).toThrow(`"${path}" does not exist`);
  });
});

it("files of each kind have a size that they may have", async () => {
  const path = temporaryFile("config.json", "");
  truncateSync(path, FILE_LIMITS.config + 1);
  await expect(readSmallFile(path, "config")).rejects.toMatchObject({
    code: "invalid-config",
    message: expect.stringContaining("has 4194305 bytes; expected at most 4194304") as string,
  });
  expect(await readSmallFile(path, "tokenizer")).toHaveLength(FILE_LIMITS.config + 1);
});

describe("asynchronous reads", () => {
  it("read a range, a whole file, and refuse what is not there", async () => {
    const path = temporaryFile("data", bytes);
    expect([...(await readFileRange(path, 10, 20))]).toEqual([...bytes.subarray(10, 30)]);
    expect(Buffer.compare(await readSmallFile(path, "config"), bytes)).toBe(0);
    await expect(readFileRange(path, 990, 11)).rejects.toMatchObject({ code: "invalid-checkpoint" });
    await expect(readFileRange(`${path}.absent`, 0, 1)).rejects.toMatchObject({ code: "not-found" });
    await expect(readSmallFile(join(path, ".."), "config")).rejects.toMatchObject({ code: "not-found" });
  });

  it("tell files from directories and nothing", async () => {
    const path = temporaryFile("data", bytes);
    const directory = join(path, "..");
    expect(await fileStatus(path)).toEqual({ kind: "file", size: 1000 });
    expect((await fileStatus(directory))?.kind).toBe("directory");
    expect(await fileStatus(join(path, "below-a-file"))).toBeUndefined();
    expect(await listDirectory(directory)).toEqual(["data"]);
    expect(await listDirectory(join(directory, "absent"))).toEqual([]);
  });
});
