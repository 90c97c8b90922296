import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryDirectory } from "../../../test/support/model-files.ts";
import { describeModel } from "../describe-model.ts";
import { hubCacheDirectory } from "./environment.ts";
import { resolveModelDirectory, type ResolveOptions } from "./resolve.ts";

const MODEL = "HuggingFaceTB/SmolLM3-3B";
const FOLDER = "models--HuggingFaceTB--SmolLM3-3B";

function write(path: string, content = ""): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

/** A hub cache with MODEL at commit "abc123", branch "main"; the cache and its snapshot. */
function cacheWith(files: Record<string, string>, folder = FOLDER): { cache: string; snapshot: string } {
  const cache = temporaryDirectory();
  write(join(cache, folder, "refs", "main"), "abc123");
  const snapshot = join(cache, folder, "snapshots", "abc123");
  mkdirSync(snapshot, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    write(join(snapshot, name), content);
  }
  return { cache, snapshot };
}

const weightsOnly = { "config.json": "{}", "model.safetensors": "" };
const complete = { ...weightsOnly, "tokenizer.json": "{}" };

/** Resolves in an empty working directory and home unless told otherwise. */
function resolveIn(model: string, options: ResolveOptions = {}): Promise<string> {
  const home = temporaryDirectory();
  return resolveModelDirectory(model, {
    cwd: temporaryDirectory(),
    env: { HOME: home, USERPROFILE: home },
    ...options,
  });
}

describe("local paths", () => {
  it("are what begins like a path, relative to cwd and home", async () => {
    const root = temporaryDirectory();
    const model = join(root, "a", "model");
    mkdirSync(model, { recursive: true });
    const env = { HOME: root, USERPROFILE: root };
    expect(await resolveIn("./model", { cwd: join(root, "a") })).toBe(model);
    expect(await resolveIn("../a/model", { cwd: join(root, "a") })).toBe(model);
    expect(await resolveIn("..", { cwd: model })).toBe(join(root, "a"));
    expect(await resolveIn("~/a/model", { env })).toBe(model);
    expect(await resolveIn(model)).toBe(model);
  });

  it("are the names of bundled models, where no directory has that name", async () => {
    const directory = await resolveModelDirectory("tales", { cwd: temporaryDirectory() });
    expect((await describeModel(directory)).family.type).toBe("smollm3");
    const cwd = temporaryDirectory();
    mkdirSync(join(cwd, "tales"));
    expect(await resolveModelDirectory("tales", { cwd })).toBe(join(cwd, "tales"));
  });

  it("are also bare names of directories that exist, before the cache", async () => {
    const { cache } = cacheWith(complete);
    const cwd = temporaryDirectory();
    mkdirSync(join(cwd, MODEL), { recursive: true });
    mkdirSync(join(cwd, "tales"));
    expect(await resolveIn(MODEL, { cwd, cacheDirectory: cache })).toBe(join(cwd, MODEL));
    expect(await resolveIn("tales", { cwd })).toBe(join(cwd, "tales"));
  });

  it("that are not there, or are files, are errors and never looked up in the cache", async () => {
    const { cache } = cacheWith(complete);
    const cwd = temporaryDirectory();
    write(join(cwd, "model.safetensors"));
    await expect(resolveIn(`./${MODEL}`, { cwd, cacheDirectory: cache })).rejects.toMatchObject({
      code: "not-found",
      message: `No model at "./${MODEL}": "${join(cwd, MODEL)}" does not exist. Check the path.`,
    });
    await expect(resolveIn("./model.safetensors", { cwd })).rejects.toThrow(
      `is not a directory. Name the directory`,
    );
    await expect(resolveIn("C:\\models\\x", { cwd })).rejects.toMatchObject({ code: "not-found" });
    await expect(resolveIn("C:/models/x", { cwd })).rejects.toMatchObject({ code: "not-found" });
  });
});

describe("hub ids", () => {
  it("are found in the cache by branch, by commit and by other revisions", async () => {
    const { cache, snapshot } = cacheWith(complete);
    write(join(cache, FOLDER, "refs", "refs", "pr", "1"), "def456\n");
    const other = join(cache, FOLDER, "snapshots", "def456");
    write(join(other, "config.json"));
    write(join(other, "model.safetensors"));
    write(join(other, "tokenizer.json"));
    const find = (revision?: string) =>
      resolveIn(MODEL, { cacheDirectory: cache, revision, localFilesOnly: true });
    expect(await find()).toBe(snapshot);
    expect(await find("main")).toBe(snapshot);
    expect(await find("abc123")).toBe(snapshot);
    expect(await find("refs/pr/1")).toBe(other);
    await expect(find("v2")).rejects.toThrow('at revision "v2" is not on this machine, ');
    await expect(find("v2")).rejects.toThrow("The cache has other revisions of it: abc123, def456.");
  });

  it("are looked up where the environment says, as huggingface_hub does", () => {
    const home = join("/", "home", "u");
    const base = { HOME: home, USERPROFILE: home };
    expect(hubCacheDirectory(base)).toBe(join(home, ".cache", "huggingface", "hub"));
    expect(hubCacheDirectory({ ...base, XDG_CACHE_HOME: "/x" })).toBe(join("/x", "huggingface", "hub"));
    expect(hubCacheDirectory({ ...base, XDG_CACHE_HOME: "/x", HF_HOME: "~/h" })).toBe(join(home, "h", "hub"));
    const disk = { ...base, DISK: "/mnt/d", EMPTY: undefined };
    expect(hubCacheDirectory({ ...disk, HF_HOME: "$DISK/h" })).toBe(join("/mnt/d/h", "hub"));
    expect(hubCacheDirectory({ ...disk, HF_HUB_CACHE: "${DISK}/$EMPTY/x" })).toBe("/mnt/d/$EMPTY/x");
    expect(hubCacheDirectory({ ...disk, HF_HUB_CACHE: "~/x$DISK" })).toBe(join(home, "x/mnt/d"));
    expect(hubCacheDirectory({ ...base, HF_HOME: "/h", HF_HUB_CACHE: "/c" })).toBe("/c");
    expect(hubCacheDirectory({ ...base, HF_HOME: "", HF_HUB_CACHE: "" })).toBe(hubCacheDirectory(base));
  });

  it("use the environment's cache when none is given", async () => {
    const { cache, snapshot } = cacheWith(complete);
    expect(await resolveIn(MODEL, { env: { HF_HUB_CACHE: cache } })).toBe(snapshot);
  });

  it("that are not there say where they were looked for, why not on the network, and how to get them", async () => {
    const cwd = temporaryDirectory();
    const { cache } = cacheWith(complete);
    const options = { cwd, cacheDirectory: cache };
    const missing = resolveIn("HuggingFaceTB/SmolLM3-3", { ...options, localFilesOnly: true });
    await expect(missing).rejects.toMatchObject({ code: "not-found" });
    const message = await missing.catch((error: unknown) => String(error));
    expect(message).toContain(
      "the network is not used: only local files were asked for (start, or local_files_only)",
    );
    expect(message).toContain(`"${join(cwd, "HuggingFaceTB/SmolLM3-3")}"`);
    expect(message).toContain(`"${join(cache, "models--HuggingFaceTB--SmolLM3-3", "snapshots", "main")}"`);
    expect(message).toContain(`The cache has "${MODEL}".`);
    expect(message).toContain(`Did you mean "${MODEL}"?`);
    expect(message).toContain('"model-compose models pull HuggingFaceTB/SmolLM3-3" fetches it');
    await expect(
      resolveIn("HuggingFaceTB/SmolLM3-1.7B", { ...options, env: { HF_HUB_OFFLINE: "on" } }),
    ).rejects.toThrow(
      /not used: HF_HUB_OFFLINE=on\. .* There is no "HuggingFaceTB\/SmolLM3-1\.7B": "HuggingFaceTB\/SmolLM2-1\.7B" is what is meant\./,
    );
  });

  it.each<[string, Record<string, string>, string]>([
    ["weights", { "config.json": "{}" }, "lacks model.safetensors"],
    ["its config", { "model.safetensors": "" }, "lacks config.json;"],
    ["half of the tokenizer", { ...weightsOnly, "vocab.json": "{}" }, "lacks merges.txt;"],
    [
      "a shard",
      {
        "config.json": "{}",
        "1.safetensors": "",
        "model.safetensors.index.json": '{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}',
      },
      "lacks 2.safetensors;",
    ],
  ])("whose snapshot lacks %s are errors without the network", async (_what, files, message) => {
    const { cache } = cacheWith(files);
    await expect(resolveIn(MODEL, { cacheDirectory: cache, localFilesOnly: true })).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining(message) as string,
    });
  });

  it("may lack what the use does not need", async () => {
    const { cache, snapshot } = cacheWith({ "tokenizer.json": "{}", "config.json": "{}" });
    expect(await resolveIn(MODEL, { cacheDirectory: cache, requires: "tokenizer" })).toBe(snapshot);
    expect(await resolveIn(MODEL, { cacheDirectory: cache, requires: "config" })).toBe(snapshot);
  });

  it("without a tokenizer are used when the cache knows that there is none, or nobody may ask", async () => {
    const { cache, snapshot } = cacheWith(weightsOnly);
    expect(await resolveIn(MODEL, { cacheDirectory: cache, localFilesOnly: true })).toBe(snapshot);
    for (const name of ["tokenizer.json", "vocab.json", "merges.txt"]) {
      write(join(cache, FOLDER, ".no_exist", "abc123", name));
    }
    const env = { HF_ENDPOINT: "http://127.0.0.1:9" };
    const notices: string[] = [];
    const onNotice = (line: string): unknown => notices.push(line);
    expect(await resolveIn(MODEL, { cacheDirectory: cache, env, onNotice })).toBe(snapshot);
    expect(notices).toEqual([]);
  });

  it.skipIf(process.platform === "win32")("see links that lead nowhere as missing files", async () => {
    const { cache, snapshot } = cacheWith({ "config.json": "{}" });
    symlinkSync("../../blobs/gone", join(snapshot, "model.safetensors"));
    await expect(resolveIn(MODEL, { cacheDirectory: cache, localFilesOnly: true })).rejects.toThrow(
      "lacks model.safetensors",
    );
  });

  it.each([
    ["a b", "is neither a directory"],
    ["a/b/c", "is neither a directory"],
    ["org/na me", "is neither a directory"],
    ["org/.name", "is neither a directory"],
    ["org/a--b", "is neither a directory"],
    ["-org/name", "is neither a directory"],
    ["", "is an empty string"],
    ["https://hub.example/org/name/tree/main", 'is a URL; expected a path or an id. Write "org/name".'],
  ])("have the form org/name: %j is refused", async (model, message) => {
    await expect(resolveIn(model)).rejects.toMatchObject({
      code: "invalid-argument",
      message: expect.stringContaining(message) as string,
    });
  });

  it("may have no owner, as those of the hub's first years: what is in the cache is used", async () => {
    const { cache } = cacheWith(complete, "models--gpt2");
    const directory = await resolveIn("gpt2", { cacheDirectory: cache, localFilesOnly: true });
    expect(directory).toContain("models--gpt2");
  });

  it("are no files: GGUF is told what is read here", async () => {
    const folder = temporaryDirectory();
    writeFileSync(join(folder, "m.gguf"), "GGUF");
    const supported =
      "GGUF files are llama.cpp's, and are not read here. Supported: safetensors and pytorch_model.bin";
    for (const model of ["m.gguf", "./m.gguf", join(folder, "m.gguf")]) {
      await expect(resolveModelDirectory(model, { cwd: folder })).rejects.toMatchObject({
        code: "unsupported",
        message: expect.stringMatching(
          `${supported}.* Name the repository, or the folder, that the GGUF`,
        ) as string,
      });
    }
  });

  it.each(["../../x", "a/../b", "", "a\\b", "/main"])("refuse the revision %j", async (revision) => {
    await expect(resolveIn(MODEL, { revision })).rejects.toMatchObject({ code: "invalid-argument" });
  });
});
