/** `model-compose models` by the real command line, on caches as this program and huggingface_hub leave them. */
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runCommand, type CommandResult } from "./support/command.ts";
import { FakeHub, gitHash, sha256 } from "./support/fake-hub/fake-hub.ts";
import { noise, shardedFiles, talesFiles } from "./support/fake-hub/repositories.ts";
import { temporaryDirectory } from "./support/model-files.ts";

const ID = "some-one/some-model";
const FOLDER = "models--some-one--some-model";
const SHARD = "model-00001-of-00002.safetensors";

let hub: FakeHub;
let home: string;
let cache: string;
beforeEach(async () => {
  hub = await FakeHub.start();
  home = temporaryDirectory();
  cache = join(home, "hub");
});
afterEach(() => hub.close());

function models(...args: readonly string[]): Promise<CommandResult> {
  return run("models", ...args);
}

function run(...args: readonly string[]): Promise<CommandResult> {
  const env = {
    HOME: home,
    USERPROFILE: home,
    HF_HUB_CACHE: cache,
    MODEL_COMPOSE_CACHE_DIR: join(home, "made"),
    HF_ENDPOINT: hub.url,
    HF_TOKEN: "",
    HF_HUB_OFFLINE: "",
  };
  return runCommand(args, { cwd: home, env });
}

/** Writes a blob of the cache as huggingface_hub does, and a file of a snapshot that leads to it. */
function writeAsPython(commit: string, name: string, bytes: Uint8Array, isLarge: boolean): string {
  const hash = isLarge ? sha256(bytes) : gitHash(bytes);
  const blob = join(cache, FOLDER, "blobs", hash);
  const link = join(cache, FOLDER, "snapshots", commit, name);
  for (const path of [blob, link]) {
    mkdirSync(dirname(path), { recursive: true });
  }
  writeFileSync(blob, bytes);
  if (!existsSync(link)) {
    symlinkSync(join("..", "..", "blobs", hash), link);
  }
  // Python's lock stays when nobody holds it.
  mkdirSync(join(cache, ".locks", FOLDER), { recursive: true });
  writeFileSync(join(cache, ".locks", FOLDER, `${hash}.lock`), "");
  return blob;
}

/** Makes a model that Python fetched: all files at a commit, "main" at it. */
function fetchAsPython(commit: string, files: Record<string, Uint8Array>): void {
  for (const [name, bytes] of Object.entries(files)) {
    writeAsPython(commit, name, bytes, /\.(safetensors|bin)$/.test(name));
  }
  mkdirSync(join(cache, FOLDER, "refs"), { recursive: true });
  writeFileSync(join(cache, FOLDER, "refs", "main"), commit);
}

interface Listed {
  id: string;
  revisions: string[];
  commit?: string;
  family?: string;
  supported: boolean;
  format?: string;
  bytes: number;
  last_used?: string;
  status: string;
}

async function list(): Promise<Listed[]> {
  return JSON.parse((await models("list", "--json")).stdout) as Listed[];
}

describe("models list", () => {
  test("has the bundled model, also without a cache", async () => {
    const { code, stdout, stderr } = await models("list");
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^MODEL +REVISION +COMMIT +FAMILY +FORMAT +SIZE +LAST USED +STATUS\ntales +smollm3 +safetensors +3\.7 MB +bundled\n$/,
    );
    expect(stderr).toBe(`No model is in the cache, "${cache}".\n`);
  });

  test("has what this program fetched, what Python did, and what was interrupted", async () => {
    const commit = hub.add("org/ours", talesFiles());
    await models("pull", "org/ours");
    fetchAsPython("a".repeat(40), {
      "config.json": new TextEncoder().encode('{"model_type": "bert"}'),
      "pytorch_model.bin": noise(2000, 1),
    });
    mkdirSync(join(cache, "models--org--part", "refs"), { recursive: true });
    writeFileSync(join(cache, "models--org--part", "refs", "main"), "b".repeat(40));
    const used = new Date("2026-01-02T12:00:00Z");
    for (const name of readdirSync(join(cache, FOLDER, "blobs"))) {
      utimesSync(join(cache, FOLDER, "blobs", name), used, used);
    }
    const entries = await list();
    expect(
      entries.map(({ id, family, supported, format, status, revisions }) => [
        id,
        family,
        supported,
        format,
        status,
        ...revisions,
      ]),
    ).toEqual([
      ["tales", "smollm3", true, "safetensors", "bundled"],
      ["org/ours", "smollm3", true, "safetensors", "complete", "main"],
      ["org/part", undefined, false, undefined, "incomplete", "main"],
      [ID, "bert", false, "pytorch", "complete", "main"],
    ]);
    expect(entries[1]).toMatchObject({ commit });
    expect(entries[1].bytes).toBeGreaterThan(3_800_000);
    expect(entries[3]).toMatchObject({ bytes: 2022, last_used: used.toISOString() });
    const { stdout } = await models("list");
    expect(stdout).toMatch(/^org\/part +main +bbbbbbb +0 bytes +incomplete$/m);
    expect(stdout).toMatch(
      /^some-one\/some-model +main +aaaaaaa +bert \(does not run here\) +pytorch +2\.0 kB +2026-01-02 +complete$/m,
    );
  });
});

describe.skipIf(process.platform === "win32")("a cache that Python wrote", () => {
  test("is used as it is: nothing is fetched", async () => {
    fetchAsPython("a".repeat(40), talesFiles());
    const { code, stdout } = await runCommand(
      [
        "generate",
        "-m",
        ID,
        "Once upon a time",
        "--max-tokens",
        "3",
        "--greedy",
        "--device",
        "cpu",
        "--threads",
        "1",
      ],
      { cwd: home, env: { HOME: home, HF_HUB_CACHE: cache, HF_ENDPOINT: hub.url } },
    );
    expect(code).toBe(0);
    expect(stdout.length).toBeGreaterThan(2);
    expect(hub.requests).toEqual([]);
  });

  test("that is not complete is completed: only what is missing is fetched, also the rest of a file", async () => {
    const files = shardedFiles();
    const commit = hub.add(ID, files);
    const { "config.json": config, "tokenizer.json": tokenizer, [SHARD]: shard } = files;
    fetchAsPython(commit, { "config.json": config, "tokenizer.json": tokenizer });
    writeFileSync(join(cache, FOLDER, "blobs", `${sha256(shard)}.incomplete`), shard.subarray(0, 123_456));
    const { code, stdout } = await models("pull", ID);
    expect(code).toBe(0);
    expect(stdout.trim()).toBe(join(cache, FOLDER, "snapshots", commit));
    expect(hub.seen("hub", /resolve.*(\/config|\/tokenizer)\.json$/)).toEqual([]);
    expect(hub.seen("storage", new RegExp(sha256(shard)))[0].headers.range).toBe("bytes=123456-");
    expect(Buffer.compare(readFileSync(join(stdout.trim(), SHARD)), shard)).toBe(0);
  });

  test("may share content with other repositories, which keep it when one is removed", async () => {
    const bytes = noise(5000, 7);
    const commit = "a".repeat(40);
    const stored = join(cache, "blobs", "ab", "ab12");
    mkdirSync(dirname(stored), { recursive: true });
    writeFileSync(stored, bytes);
    writeFileSync(`${stored}.refs`, "");
    for (const folder of [FOLDER, "models--org--other"]) {
      const blob = join(cache, folder, "blobs", sha256(bytes));
      const link = join(cache, folder, "snapshots", commit, "model.safetensors");
      for (const path of [blob, link]) {
        mkdirSync(dirname(path), { recursive: true });
      }
      symlinkSync(join("..", "..", "blobs", "ab", "ab12"), blob);
      symlinkSync(join("..", "..", "blobs", sha256(bytes)), link);
    }
    expect(await models("verify", ID)).toMatchObject({
      stdout: expect.stringContaining("1 of 2 files are good") as string,
    });
    expect((await models("remove", ID, "--yes")).code).toBe(0);
    expect(existsSync(stored)).toBe(true);
    expect((await models("remove", "org/other", "--yes")).code).toBe(0);
    expect(existsSync(stored)).toBe(false);
    expect(existsSync(`${stored}.refs`)).toBe(false);
  });
});

describe("models verify", () => {
  test("a model of which only the configuration is here is not damaged; one that cannot be repaired stops no other", async () => {
    const files = shardedFiles();
    const commit = hub.add(ID, files);
    await models("info", ID);
    expect(await models("verify")).toMatchObject({
      code: 0,
      stdout: `${ID} at ${commit.slice(0, 7)}: its weights are not here\n`,
    });
    await models("pull", ID);
    rmSync(join(cache, FOLDER, "blobs", sha256(files[SHARD])));
    // A model of the cache is not served by any hub any more.
    cpSync(join(cache, FOLDER), join(cache, "models--gone--model"), {
      recursive: true,
      verbatimSymlinks: true,
    });
    const { code, stdout } = await models("verify", "--repair");
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^gone\/model at [^]*not repaired: [^]*\nsome-one\/some-model at [^]*repaired: 30\d kB fetched\n$/,
    );
  });

  test("reads every file, names what is wrong, and repairs it when told to", async () => {
    const files = shardedFiles();
    const commit = hub.add(ID, files);
    await models("pull", ID);
    const title = `${ID} at ${commit.slice(0, 7)}`;
    expect(await models("verify")).toMatchObject({ code: 0, stdout: `${title}: 7 of 7 files are good\n` });

    const blob = join(cache, FOLDER, "blobs", sha256(files[SHARD]));
    const damaged = readFileSync(blob);
    damaged[1000] ^= 1;
    writeFileSync(blob, damaged);
    truncateSync(join(cache, FOLDER, "blobs", gitHash(files["tokenizer.json"])), 3);
    rmSync(join(cache, FOLDER, "blobs", gitHash(files["generation_config.json"])));
    const wrong = await models("verify", ID);
    expect(wrong.code).toBe(1);
    expect(wrong.stdout).toBe(
      `${title}: 4 of 7 files are good\n  generation_config.json: missing\n  ${SHARD}: damaged\n  tokenizer.json: damaged\n`,
    );
    expect(wrong.stderr).toContain(`error: Damaged or incomplete: ${title}.`);
    expect(wrong.stderr).toContain(
      `"model-compose models verify ${ID} --repair" fetches again what is wrong.`,
    );

    hub.requests.length = 0;
    const repaired = await models("verify", ID, "--repair");
    expect(repaired).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/\n {2}repaired: 30\d kB fetched\n$/) as string,
    });
    expect(hub.seen("storage").length).toBe(1);
    expect(await models("verify", ID)).toMatchObject({
      code: 0,
      stdout: `${title}: 7 of 7 files are good\n`,
    });
  });

  test.each([
    ["some-one/some-modle", 'has no model "some-one/some-modle". Did you mean "some-one/some-model"?'],
    ["tales", "came with this program"],
  ])("of %s is an error", async (id, message) => {
    fetchAsPython("a".repeat(40), {});
    const { code, stderr } = await models("verify", id);
    expect(code).toBe(1);
    expect(stderr).toContain(message);
  });
});

describe("models remove", () => {
  test("does not remove unasked", async () => {
    hub.add(ID, shardedFiles());
    await models("pull", ID);
    const { code, stderr } = await models("remove", ID);
    expect(code).toBe(2);
    expect(stderr).toContain("Add --yes to remove it unasked.");
    expect((await list()).length).toBe(2);
  });

  test("removes a model whole, with its locks", async () => {
    hub.add(ID, shardedFiles());
    await models("pull", ID);
    const { code, stderr } = await models("remove", ID, "--yes");
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /^Removed some-one\/some-model \([0-9a-f]{7}\) from ".*": 60\d kB are free again\.\n$/,
    );
    expect(existsSync(join(cache, FOLDER))).toBe(false);
    expect(readdirSync(join(cache, ".locks"))).toEqual([]);
  });

  test("removes quantised copies, alone or with their model", async () => {
    hub.add(ID, talesFiles());
    const generate = async (kind: string): Promise<void> => {
      const flags = ["--device", "cpu", "--quantization", kind, "--max-tokens", "2", "--greedy", "Once"];
      const { code, stderr } = await run("generate", "-m", ID, ...flags);
      expect(code, stderr).toBe(0);
    };
    const copies = async (): Promise<(string | undefined)[]> =>
      (await list()).filter(({ status }) => status === "quantized copy").map(({ format }) => format);
    await generate("int8");
    await generate("int4");
    expect((await copies()).sort()).toEqual(["int4", "int8"]);
    expect((await models("list")).stdout).toMatch(
      /^some-one\/some-model +int4 +1\.\d MB +[\d-]+ +quantized copy$/m,
    );

    const removed = await models("remove", ID, "--quantized", "--yes");
    expect(removed.stderr).toMatch(
      /^Removed the quantised copies of some-one\/some-model from ".*": \d\.\d MB are free/,
    );
    expect(await copies()).toEqual([]);
    expect(await models("remove", ID, "--quantized", "--yes")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`There is no quantised copy of "${ID}"`) as unknown,
    });

    await generate("int8");
    await models("remove", ID, "--yes");
    expect((await list()).map(({ id }) => id)).toEqual(["tales"]);
  });

  test("of one commit leaves what another uses", async () => {
    const files = shardedFiles();
    const old = hub.add(ID, files);
    await models("pull", ID);
    const newer = hub.add(ID, { ...files, [SHARD]: noise(300_000, 8) });
    await models("pull", ID);
    expect(
      (await list())
        .map(({ commit, revisions }) => [commit, ...revisions])
        .slice(1)
        .toSorted(),
    ).toEqual([[newer, "main"], [old]].toSorted());
    const ambiguous = await models("remove", ID, "--revision", "nothing", "--yes");
    expect(ambiguous.stderr).toContain(`No cached commit of "${ID}" is "nothing"; there are: `);
    expect((await models("remove", ID, "--revision", old.slice(0, 7), "--yes")).code).toBe(0);
    const blobs = readdirSync(join(cache, FOLDER, "blobs"));
    expect(blobs).not.toContain(sha256(files[SHARD]));
    expect(blobs).toContain(sha256(files["model-00002-of-00002.safetensors"]));
    expect(readdirSync(join(cache, FOLDER, "snapshots"))).toEqual([newer]);
    expect(await models("verify", ID)).toMatchObject({ code: 0 });
    await models("remove", ID, "--revision", "main", "--yes");
    expect(existsSync(join(cache, FOLDER))).toBe(false);
  });

  test("refuses while a process fetches the model", async () => {
    fetchAsPython("a".repeat(40), { "config.json": noise(10, 1) });
    const lock = join(cache, ".locks", FOLDER, "abc.model-compose");
    writeFileSync(lock, "{}");
    const { code, stderr } = await models("remove", ID, "--yes");
    expect(code).toBe(1);
    expect(stderr).toContain(`"${ID}" is being fetched by another process.`);
    const past = new Date(Date.now() - 60_000);
    utimesSync(lock, past, past);
    expect((await models("remove", ID, "--yes")).code).toBe(0);
  });
});

describe("models info", () => {
  // Of the bundled model: a table, and in each of 8 layers q and o, k and v, and three matrices of the MLP; 17 norms.
  const table = 2048 * 128;
  const values = 8 * 64 * 128;
  const others = 8 * (2 * 128 * 128 + 64 * 128 + 3 * 128 * 384);
  const norms = 17 * 128 * 4;
  const rows = 8 * (128 + 64 + 128 + 384 + 384 + 128);
  const INT8 = (table + values + others) * (8.5 / 8) + norms;
  const INT4 = (table + values) * (8.5 / 8) + others * (4.5 / 8) + rows * 4 + norms;

  test("of the bundled model: from its configuration, as the checkpoint has it", async () => {
    const { code, stdout } = await models("info", "tales", "--json");
    expect(code).toBe(0);
    const info = JSON.parse(stdout) as Record<string, unknown>;
    // The file of weights holds, counted, 3,674,368 bytes of bf16.
    expect(info).toMatchObject({
      model: "tales",
      family: "smollm3",
      architecture: "causal",
      parameters: 1_837_184,
      stored_precision: "bfloat16",
      // 8.5 bits a weight of the matrices; with int4 4.5, and 32 a row, of all but the table and the projections of values.
      weight_bytes: { float32: 7_348_736, float16: 3_674_368, bfloat16: 3_674_368, int8: INT8, int4: INT4 },
      // The cache of 1000 tokens takes 2 (keys, values) · 8 layers · 2 heads · 32 · 4 bytes a token.
      kv_bytes_per_1000_tokens: 4_096_000,
      fits: { bfloat16: true, int8: true, int4: true },
    });
    // Beside quantised weights the cache is float16.
    expect(info["needed_bytes"]).toMatchObject({
      bfloat16: 3_674_368 + 2048 * 4096,
      int4: INT4 + (2048 * 4096) / 2,
    });
  });

  test("of a repository fetches its configuration only", async () => {
    hub.add(ID, talesFiles());
    const { code, stdout } = await models("info", ID);
    expect(code).toBe(0);
    expect(stdout).toContain(
      "Family      smollm3 (decoder)\nParameters  1,837,184\nContext     2,048 tokens\n",
    );
    expect(stdout).toMatch(/^bfloat16 +3\.7 MB +12\.1 MB +yes$/m);
    expect(stdout).toMatch(/^int8 +2\.0 MB +6\.2 MB +yes$/m);
    expect(stdout).toMatch(/^int4 +1\.2 MB +5\.4 MB +yes$/m);
    // Weights, cache and work, drawn: the cache of 2,048 tokens takes 8.4 MB.
    expect(stdout).toMatch(/^bfloat16 +█+▓+░+ +weights 3\.7 MB, KV cache 8\.4 MB, work \d/m);
    expect(
      hub
        .seen("hub", /resolve/)
        .map(({ url }) => url.split("/").at(-1))
        .toSorted(),
    ).toEqual(["config.json", "generation_config.json"]);
    expect(hub.seen("storage")).toEqual([]);
    // A fetch has only begun: the model is completed when it is used.
    expect((await list())[1]).toMatchObject({ id: ID, status: "incomplete" });
    expect((await models("pull", ID)).code).toBe(0);
    expect((await list())[1]).toMatchObject({ id: ID, status: "complete" });
  });

  test("of a folder and of what does not run here", async () => {
    const folder = join(home, "model");
    mkdirSync(folder);
    writeFileSync(join(folder, "config.json"), talesFiles()["config.json"]);
    expect(await models("info", "./model")).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("1,837,184") as string,
    });
    writeFileSync(join(folder, "config.json"), '{"model_type": "bert"}');
    expect(await models("info", "./model")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('model_type "bert" is not supported') as string,
    });
  });
});

describe("the command line", () => {
  test("has help with examples for each", async () => {
    for (const name of ["list", "pull", "verify", "remove", "info"]) {
      const { code, stdout } = await models(name, "--help");
      expect(code).toBe(0);
      expect(stdout).toContain(`Examples:\n  model-compose models ${name}`);
    }
  });

  test("refuses what it does not take", async () => {
    expect(await models("pull")).toMatchObject({ code: 2 });
    expect(await models("fetch", ID)).toMatchObject({ code: 2 });
    const { code, stderr } = await models("pull", "tales");
    expect(code).toBe(1);
    expect(stderr).toContain("came with this program: there is nothing to fetch.");
  });

  test("completes commands and models", async () => {
    const { stdout } = await runCommand(["complete", "--", "models", "pull", "microsoft/"], { cwd: home });
    expect(stdout).toContain("microsoft/DialoGPT-small\tgpt2");
  });

  test.skipIf(process.platform === "win32")("leaves links that can be moved with the cache", async () => {
    hub.add(ID, shardedFiles());
    const { stdout } = await models("pull", ID);
    for (const name of readdirSync(stdout.trim())) {
      expect(lstatSync(join(stdout.trim(), name)).isSymbolicLink()).toBe(true);
    }
  });
});
