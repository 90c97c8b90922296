/** What the hub refuses, who sees the token, and what must be so before anything large is fetched. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { loadModel, loadTokenizer } from "../src/index.ts";
import { hubToken } from "../src/models/hub/environment.ts";
import { resolveModelDirectory, type ResolveOptions } from "../src/models/hub/resolve.ts";
import { FakeHub, sha256 } from "./support/fake-hub/fake-hub.ts";
import { shardedFiles, talesFiles } from "./support/fake-hub/repositories.ts";
import { temporaryDirectory } from "./support/model-files.ts";

const ID = "some-one/some-model";
const FOLDER = "models--some-one--some-model";
const LIMITS = {
  attempts: 3,
  backoff: 5,
  maxBackoff: 20,
  maxRetryAfter: 1000,
  stall: 1000,
  slow: 60_000,
  leastBytes: 1,
};

let hub: FakeHub;
beforeEach(async () => {
  hub = await FakeHub.start();
});
afterEach(() => hub.close());

function newCache(): string {
  return join(temporaryDirectory(), "hub");
}

function fetchInto(
  cache: string,
  env: Record<string, string> = {},
  options: ResolveOptions = {},
  id = ID,
): Promise<string> {
  const home = dirname(cache);
  return resolveModelDirectory(id, {
    cwd: home,
    env: { HOME: home, USERPROFILE: home, HF_HUB_CACHE: cache, HF_ENDPOINT: hub.url, ...env },
    transfer: { limits: LIMITS },
    ...options,
  });
}

async function failureOf(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  return work.then(
    () => ({ code: "none", message: "nothing failed" }),
    (error: unknown) => error as { code: string; message: string },
  );
}

describe("a repository that is not there", () => {
  test.each([
    [
      "HuggingFaceTB/SmolLM3-1.7B",
      'There is no "HuggingFaceTB/SmolLM3-1.7B": "HuggingFaceTB/SmolLM2-1.7B" is what is meant.',
    ],
    ["HuggingFaceTB/SmolLM3-3b", 'Did you mean "HuggingFaceTB/SmolLM3-3B"?'],
    ["Microsoft/DialoGPT-smal", 'Did you mean "microsoft/DialoGPT-small"?'],
    ["openai/gpt2-medium", 'Did you mean "openai-community/gpt2-medium"?'],
    ["nobody/nothing-like-it", "Check the name. If it is private, give a token"],
  ])("%s: says so, with the name that is meant", async (id, message) => {
    const error = await failureOf(fetchInto(newCache(), {}, {}, id));
    expect(error.code).toBe("not-found");
    if (!id.endsWith("SmolLM3-1.7B")) {
      expect(error.message).toContain(`"${id}" is not on ${hub.url}.`);
    }
    expect(error.message).toContain(message);
  });

  test("leaves nothing in the cache", async () => {
    const cache = newCache();
    await failureOf(fetchInto(cache));
    expect(existsSync(cache)).toBe(false);
  });

  test("is told from one that the token may not see, as far as the hub tells", async () => {
    hub.add(ID, shardedFiles());
    hub.repositories.get(ID)!.isPrivate = true;
    expect((await failureOf(fetchInto(newCache()))).message).toContain("If it is private, give a token");
    expect(await fetchInto(newCache(), { HF_TOKEN: hub.token })).toContain(FOLDER);
  });
});

describe("access", () => {
  test("to a gated model needs its terms accepted and a token", async () => {
    hub.add(ID, shardedFiles());
    hub.repositories.get(ID)!.isGated = true;
    const error = await failureOf(fetchInto(newCache()));
    expect(error).toMatchObject({ code: "download" });
    expect(error.message).toContain(`"${ID}" is gated`);
    expect(error.message).toContain(`Accept them at ${hub.url}/${ID}, then give a token`);
    expect(await fetchInto(newCache(), { HF_TOKEN: hub.token })).toContain(FOLDER);
  });

  test("refused to an account that has a token names where the token is from, and not the token", async () => {
    hub.add(ID, shardedFiles());
    const wrong = await failureOf(fetchInto(newCache(), { HF_TOKEN: "hf_wrong" }));
    expect(wrong.message).toContain("The hub does not know the token (HF_TOKEN).");
    hub.fault = () => ({ status: 403, headers: { "x-error-code": "GatedRepo" } });
    const gated = await failureOf(fetchInto(newCache(), {}, { token: hub.token }));
    expect(gated.message).toContain("The account of the token (the option token) has no access");
    hub.fault = () => ({ status: 403, headers: { "x-error-message": "Forbidden: no reading." } });
    const forbidden = await failureOf(fetchInto(newCache(), { HF_TOKEN: hub.token }));
    expect(forbidden.message).toContain(
      "(403): Forbidden: no reading. Check that the token (HF_TOKEN) may read",
    );
    for (const { message } of [wrong, gated, forbidden]) {
      expect(message).not.toMatch(/hf_/);
    }
  });

  test("the token is shown to the hub only, not to the storage to which it redirects, and to no page it names", async () => {
    hub.add(ID, shardedFiles());
    hub.pageSize = 5;
    await fetchInto(newCache(), { HF_TOKEN: hub.token });
    const bearer = `Bearer ${hub.token}`;
    expect(hub.seen("hub").map(({ headers }) => headers.authorization)).toEqual(
      hub.seen("hub").map(() => bearer),
    );
    expect(hub.seen("storage").length).toBe(2);
    expect(hub.seen("storage").filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
  });

  test("a page of the list on another host does not get it", async () => {
    hub.add(ID, shardedFiles());
    const seen: unknown[] = [];
    const stranger = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(200, { "content-type": "application/json" }).end("[]");
    });
    const url = await listen(stranger);
    hub.fault = (request) =>
      request.url.includes("/tree/")
        ? {
            status: 200,
            headers: { "content-type": "application/json", link: `<${url}/more>; rel="next"` },
            body: "[]",
          }
        : undefined;
    const error = await failureOf(fetchInto(newCache(), { HF_TOKEN: hub.token }));
    await new Promise((resolve) => stranger.close(resolve));
    expect(seen).toEqual([undefined]);
    expect(error).toMatchObject({ code: "unsupported" });
  });

  test("the token comes from where huggingface_hub has it", async () => {
    const home = temporaryDirectory();
    const file = join(home, "token-file");
    writeFileSync(file, "hf_from_path\n");
    mkdirSync(join(home, "hf"));
    writeFileSync(join(home, "hf", "token"), " hf_from_home \r\n");
    const env = { HF_HOME: join(home, "hf") };
    expect(await hubToken("hf_given", { ...env, HF_TOKEN: "hf_env" })).toEqual({
      value: "hf_given",
      source: "the option token",
    });
    expect(await hubToken(undefined, { ...env, HF_TOKEN: " hf_env\n" })).toEqual({
      value: "hf_env",
      source: "HF_TOKEN",
    });
    expect(await hubToken("", { ...env, HF_TOKEN: "", HUGGING_FACE_HUB_TOKEN: "hf_old" })).toMatchObject({
      value: "hf_old",
    });
    expect(await hubToken(undefined, { ...env, HF_TOKEN_PATH: file })).toMatchObject({
      value: "hf_from_path",
    });
    expect(await hubToken(undefined, env)).toMatchObject({ value: "hf_from_home" });
    expect(
      await hubToken(undefined, { ...env, HF_HUB_DISABLE_IMPLICIT_TOKEN: "1", HF_TOKEN: "hf_env" }),
    ).toBeUndefined();
    expect(await hubToken("hf_given", { HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" })).toMatchObject({
      value: "hf_given",
    });
    expect(await hubToken(undefined, { HF_HOME: join(home, "nowhere") })).toBeUndefined();
    const bad = await failureOf(hubToken("hf_a\nb", {}));
    expect(bad).toMatchObject({ code: "invalid-argument" });
    expect(bad.message).not.toContain("hf_a");
  });
});

describe("before anything large is fetched", () => {
  test("a family that does not run here is refused by its config.json alone", async () => {
    const config = JSON.stringify({ model_type: "bert", architectures: ["BertForMaskedLM"] });
    hub.add(ID, { ...shardedFiles(), "config.json": config });
    const error = await failureOf(fetchInto(newCache()));
    expect(error).toMatchObject({ code: "unsupported" });
    expect(error.message).toContain('model_type "bert" is not supported');
    expect(hub.seen("storage")).toEqual([]);
    expect(hub.seen("hub", /resolve/).map(({ url }) => url.split("/").at(-1))).toEqual(["config.json"]);
  });

  test.each(["quantize_config.json", "quant_config.json"])(
    "weights that a file beside config.json calls quantised are refused (%s)",
    async (name) => {
      hub.add(ID, { ...shardedFiles(), [name]: '{"bits": 4}' });
      const error = await failureOf(fetchInto(newCache()));
      expect(error).toMatchObject({ code: "unsupported" });
      expect(error.message).toContain(`the weights are quantized (${name} is there)`);
      expect(hub.seen("storage")).toEqual([]);
      expect(hub.seen("hub", /safetensors|tokenizer/)).toEqual([]);
    },
  );

  test.each([
    ["config.json", 4 * 2 ** 20],
    ["tokenizer_config.json", 4 * 2 ** 20],
    ["chat_template.jinja", 4 * 2 ** 20],
    ["tokenizer.json", 64 * 2 ** 20],
  ])("a file that is longer than any is refused, and not fetched (%s)", async (name, most) => {
    hub.add(ID, { ...shardedFiles(), [name]: new Uint8Array(most + 1) });
    const error = await failureOf(fetchInto(newCache()));
    expect(error).toMatchObject({ code: "invalid-config" });
    expect(error.message).toContain(`"${name}" of "${ID}" has ${most + 1} bytes; expected at most ${most}.`);
    expect(hub.seen("hub", /resolve/)).toEqual([]);
  });

  test("what the caller finds wrong with the small files: no weights and no vocabulary come", async () => {
    hub.add(ID, { ...shardedFiles(), "tokenizer_config.json": "{}" });
    const check = (directory: string): Promise<void> => {
      expect(readdirSync(directory).sort()).toEqual(["config.json", "tokenizer_config.json"]);
      return Promise.reject(new Error("it will not do"));
    };
    expect((await failureOf(fetchInto(newCache(), {}, { check }))).message).toBe("it will not do");
    expect(hub.seen("storage")).toEqual([]);
  });

  test.each([
    [{ architecture: "seq2seq" }, "is a decoder (causal) by its configuration"],
    [{ chat: true }, "has no chat template"],
  ] as const)("a model asked for %j", async (purpose, message) => {
    hub.add(ID, shardedFiles());
    const cacheDirectory = newCache();
    vi.stubEnv("HF_ENDPOINT", hub.url);
    const error = await failureOf(loadModel(ID, { cacheDirectory, device: "wasm", ...purpose }));
    vi.unstubAllEnvs();
    expect(error.message).toContain(message);
    expect(hub.seen("storage")).toEqual([]);
  });

  test.each<[string, Record<string, string>, string]>([
    ["no config.json", { "model.gguf": "x" }, "has no config.json, only GGUF files"],
    ["no weights that can be read", { "config.json": "{}", "tf_model.h5": "x" }, "found tf_model.h5."],
  ])("a repository with %s is refused", async (_what, files, message) => {
    hub.add(ID, files);
    const error = await failureOf(fetchInto(newCache()));
    expect(error).toMatchObject({ code: "unsupported" });
    expect(error.message).toContain(message);
  });

  test("room on the drive is looked for: the error has what is needed and what is free", async () => {
    hub.add(ID, shardedFiles());
    const cache = newCache();
    const asked: string[] = [];
    const full = (path: string): Promise<number> => {
      asked.push(path);
      return Promise.resolve(64 * 2 ** 20 + 200_000);
    };
    const error = await failureOf(fetchInto(cache, {}, { transfer: { limits: LIMITS, freeBytes: full } }));
    expect(error).toMatchObject({ code: "download" });
    expect(error.message).toMatch(
      /There is no room for "some-one\/some-model" in ".*": 60\d kB are to be fetched, 67\.3 MB are free, of which 67\.1 MB are left to others\. Free some space/,
    );
    expect(new Set(asked)).toEqual(new Set([cache]));
    expect(hub.seen("storage")).toEqual([]);
  });

  test("what has arrived counts: the rest may fit", async () => {
    const files = shardedFiles();
    hub.add(ID, files);
    const cache = newCache();
    const blobs = join(cache, FOLDER, "blobs");
    mkdirSync(blobs, { recursive: true });
    for (const name of ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]) {
      const bytes = files[name];
      writeFileSync(join(blobs, `${sha256(bytes)}.incomplete`), bytes.subarray(0, 250_000));
    }
    const freeBytes = (): Promise<number> => Promise.resolve(64 * 2 ** 20 + 200_000);
    expect(await fetchInto(cache, {}, { transfer: { limits: LIMITS, freeBytes } })).toContain(FOLDER);
  });

  test.each(["../../evil.safetensors", "sub/evil.safetensors", "C:evil.safetensors", "..", ""])(
    "an index cannot name %j",
    async (name) => {
      const index = JSON.stringify({ weight_map: { a: name } });
      hub.add(ID, { ...shardedFiles(), "model.safetensors.index.json": index, [name || "x"]: "evil" });
      const cache = newCache();
      expect(await failureOf(fetchInto(cache))).toMatchObject({ code: "invalid-checkpoint" });
      expect(
        readdirSync(cache, { recursive: true, encoding: "utf8" }).filter((path) => path.includes("evil")),
      ).toEqual([]);
    },
  );

  test("an index cannot name a shard that the repository does not have", async () => {
    const index = JSON.stringify({ weight_map: { a: "gone.safetensors" } });
    hub.add(ID, { ...shardedFiles(), "model.safetensors.index.json": index });
    await expect(fetchInto(newCache())).rejects.toThrow(
      'names "gone.safetensors", which the repository does not have',
    );
  });

  test.each<[string, string]>([
    ["a commit that is a path", '{"sha": "../../x", "id": "x"}'],
    ["no commit", '{"id": "x"}'],
  ])("an answer with %s is refused", async (_what, body) => {
    hub.add(ID, shardedFiles());
    const headers = { "content-type": "application/json" };
    hub.fault = ({ url }) => (url.includes("/revision/") ? { status: 200, headers, body } : undefined);
    await expect(fetchInto(newCache())).rejects.toMatchObject({
      code: "download",
      message: expect.stringContaining("in a form that is not the hub's") as string,
    });
  });

  test("an answer with a hash that is none is refused, and names that are paths are passed over", async () => {
    hub.add(ID, shardedFiles());
    const headers = { "content-type": "application/json" };
    const entry = (path: string, oid: string): object => ({ type: "file", path, size: 1, oid });
    let list = [entry("config.json", "../../../x")];
    hub.fault = ({ url }) =>
      url.includes("/tree/") ? { status: 200, headers, body: JSON.stringify(list) } : undefined;
    await expect(fetchInto(newCache())).rejects.toThrow('"config.json" has no size or no hash');
    list = [entry("../config.json", "0".repeat(40))];
    await expect(fetchInto(newCache())).rejects.toThrow("has no config.json");
  });
});

describe("without a network", () => {
  test("a hub that cannot be reached is named, at once", async () => {
    const endpoint = await deadEndpoint();
    // Another attempt would come after so long a pause that the test would not see its end.
    const limits = { ...LIMITS, backoff: 600_000, maxBackoff: 600_000 };
    const error = await failureOf(fetchInto(newCache(), { HF_ENDPOINT: endpoint }, { transfer: { limits } }));
    expect(error).toMatchObject({ code: "download" });
    expect(error.message).toContain(
      `"${ID}" cannot be fetched: there is no connection to the hub, "${new URL(endpoint).host}" (ECONNREFUSED).`,
    );
  });

  test.each([
    ["ftp://x", "found"],
    ["nonsense", "found"],
    ["https://user:secret@hub", "a name or a password is in it"],
  ])("the endpoint %s is refused", async (endpoint, message) => {
    const error = await failureOf(fetchInto(newCache(), { HF_ENDPOINT: endpoint }));
    expect(error).toMatchObject({ code: "invalid-argument" });
    expect(error.message).toContain(message);
    expect(error.message).not.toContain("secret");
  });

  test.each<[string, Record<string, string>, ResolveOptions]>([
    ["HF_HUB_OFFLINE=1", { HF_HUB_OFFLINE: "1" }, {}],
    ["only local files were asked for (start, or local_files_only)", {}, { localFilesOnly: true }],
  ])("%s: no request is made, and the error says so", async (what, env, options) => {
    hub.add(ID, shardedFiles());
    const error = await failureOf(fetchInto(newCache(), env, options));
    expect(error.message).toContain(`the network is not used: ${what}.`);
    expect(hub.requests).toEqual([]);
  });

  test("a model whose tokenizer may be missing is used all the same, with a word", async () => {
    const cache = newCache();
    const snapshot = join(cache, FOLDER, "snapshots", "a".repeat(40));
    mkdirSync(snapshot, { recursive: true });
    mkdirSync(join(cache, FOLDER, "refs"));
    writeFileSync(join(cache, FOLDER, "refs", "main"), "a".repeat(40));
    for (const name of ["config.json", "model.safetensors"]) {
      writeFileSync(join(snapshot, name), talesFiles()[name]);
    }
    const notices: string[] = [];
    const options = { onNotice: (line: string): unknown => notices.push(line) };
    expect(await fetchInto(cache, { HF_ENDPOINT: await deadEndpoint() }, options)).toBe(snapshot);
    expect(notices).toEqual([
      expect.stringMatching(/no connection.*used as it is in the cache, without tokenizer\.json\.$/),
    ]);
  });
});

describe("the library", () => {
  test("loads a model from the hub, and its tokenizer alone without the weights", async () => {
    hub.add(ID, talesFiles());
    const cacheDirectory = newCache();
    // The environment names the endpoint: nobody else decides with whom this process talks.
    const before = process.env["HF_ENDPOINT"];
    process.env["HF_ENDPOINT"] = hub.url;
    try {
      const options = { cacheDirectory, token: hub.token, revision: "main" };
      const tokenizer = await loadTokenizer(ID, options);
      expect(tokenizer.encode("Once").length).toBeGreaterThan(0);
      expect(hub.seen("storage")).toEqual([]);
      const stages = new Set<string>();
      const onProgress = ({ stage }: { stage: string }): unknown => stages.add(stage);
      const model = await loadModel(ID, { ...options, device: "wasm", threads: 1, onProgress });
      const { newText } = await model.generate("Once upon a time", { maxNewTokens: 4, doSample: false });
      await model.dispose();
      expect(newText).not.toBe("");
      expect([...stages]).toEqual(expect.arrayContaining(["config", "download", "weights", "ready"]));
      const offline = await loadModel(ID, {
        cacheDirectory,
        localFilesOnly: true,
        device: "wasm",
        threads: 1,
      });
      expect(offline.directory).toBe(model.directory);
      await offline.dispose();
    } finally {
      if (before === undefined) {
        delete process.env["HF_ENDPOINT"];
      } else {
        process.env["HF_ENDPOINT"] = before;
      }
    }
    expect(readFileSync(join(cacheDirectory, FOLDER, "refs", "main"), "utf8")).toMatch(/^[0-9a-f]{40}$/);
  });

  test.each([
    [{ revision: 5 }, "revision"],
    [{ localFilesOnly: "yes" }, "localFilesOnly"],
    [{ cacheDirectory: "" }, "cacheDirectory"],
  ])("refuses the option %j", async (options, name) => {
    await expect(loadModel("tales", options as never)).rejects.toMatchObject({
      code: "invalid-argument",
      message: expect.stringContaining(`"${name}"`) as string,
    });
  });

  test("does not show a token that is none", async () => {
    const error = await failureOf(loadModel("tales", { token: { hf_secret: 1 } as never }));
    expect(error).toMatchObject({ code: "invalid-argument" });
    expect(error.message).not.toContain("hf_secret");
  });
});

/** An address at which nobody listens. */
async function deadEndpoint(): Promise<string> {
  const server = createServer();
  const url = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return url;
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("an answer that is no hub's", () => {
  const headers = { "content-type": "application/json" };
  test.each([
    ["revision", { status: 200, headers, body: "{nope" }],
    ["revision", { status: 200, headers, body: "null" }],
    ["revision", { status: 204, headers }],
    ["revision", { status: 416, headers, body: "{}" }],
    ["tree", { status: 200, headers, body: '{"files": []}' }],
    ["tree", { status: 200, headers, body: "[null]" }],
    ["tree", { status: 205, headers }],
  ])("to the question for the %s (%o): is an error that names the hub", async (kind, answer) => {
    hub.add(ID, talesFiles());
    hub.fault = ({ url }) => (url.includes(`/${kind}/`) ? answer : undefined);
    const { code, message } = await failureOf(fetchInto(newCache()));
    expect(code).toBe("download");
    expect(message).toContain("HF_ENDPOINT");
  });

  test("a list of files that never ends is given up", async () => {
    hub.add(ID, talesFiles());
    const next = `<${hub.url}/api/models/${ID}/tree/main?cursor=1>; rel="next"`;
    hub.fault = ({ url }) =>
      url.includes("/tree/") ? { status: 200, headers: { ...headers, link: next }, body: "[]" } : undefined;
    expect(await failureOf(fetchInto(newCache()))).toMatchObject({
      code: "download",
      message: expect.stringContaining("goes on after 1000 pages") as string,
    });
  });
});
