/** Fetching from the hub into the cache, against a server that behaves like it. */
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
  rmSync,
  statSync,
  truncateSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { resolveModelDirectory, type ResolveOptions } from "../src/models/hub/resolve.ts";
import type { LoadProgress } from "../src/models/load-options.ts";
import { FakeHub, gitHash, sha256, type Fault, type SeenRequest } from "./support/fake-hub/fake-hub.ts";
import { noise, SHARDED_NEEDED, shardedFiles } from "./support/fake-hub/repositories.ts";
import { until } from "./support/http.ts";
import { temporaryDirectory } from "./support/model-files.ts";

const ID = "some-one/some-model";
const FOLDER = "models--some-one--some-model";
const SHARD = "model-00001-of-00002.safetensors";
const LIMITS = {
  attempts: 4,
  backoff: 5,
  maxBackoff: 20,
  maxRetryAfter: 1500,
  stall: 400,
  slow: 60_000,
  leastBytes: 1,
};

let hub: FakeHub;
beforeEach(async () => {
  hub = await FakeHub.start();
});
afterEach(() => hub.close());

function fetchInto(cache: string, options: ResolveOptions = {}, id = ID): Promise<string> {
  const home = dirname(cache);
  return resolveModelDirectory(id, {
    cwd: home,
    env: { HOME: home, USERPROFILE: home, HF_HUB_CACHE: cache, HF_ENDPOINT: hub.url },
    transfer: { limits: LIMITS },
    ...options,
  });
}

function newCache(): string {
  return join(temporaryDirectory(), "hub");
}

/** The faults of the requests for a file's content: one after the other, then none. */
function faultsOf(
  file: Uint8Array,
  ...faults: readonly (Fault | undefined)[]
): (request: SeenRequest) => Fault | undefined {
  const left = [...faults];
  return ({ host, url }) => (host === "storage" && url.includes(sha256(file)) ? left.shift() : undefined);
}

function expectComplete(directory: string, files: Record<string, Uint8Array>): void {
  expect(readdirSync(directory).sort()).toEqual(SHARDED_NEEDED);
  for (const name of SHARDED_NEEDED) {
    expect(Buffer.compare(readFileSync(join(directory, name)), files[name]), name).toBe(0);
  }
}

/** Bytes of a file; 0 where there is none. */
function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Names of files in a cache that are not finished, and of locks. */
function leftovers(cache: string): string[] {
  return readdirSync(cache, { recursive: true, encoding: "utf8" }).filter((name) =>
    /\.(incomplete|tmp|model-compose)/.test(name),
  );
}

describe("a model that is not in the cache", () => {
  test("is fetched: the needed files only, in the layout of huggingface_hub", async () => {
    const files = shardedFiles();
    const commit = hub.add(ID, files);
    const cache = newCache();
    const directory = await fetchInto(cache);
    expect(directory).toBe(join(cache, FOLDER, "snapshots", commit));
    expectComplete(directory, files);
    expect(readFileSync(join(cache, FOLDER, "refs", "main"), "utf8")).toBe(commit);
    const blobs = SHARDED_NEEDED.map((name) =>
      /00002\.s/.test(name) ? sha256(files[name]) : gitHash(files[name]),
    );
    expect(readdirSync(join(cache, FOLDER, "blobs")).sort()).toEqual(blobs.sort());
    if (process.platform !== "win32") {
      const link = join(directory, SHARD);
      expect(lstatSync(link).isSymbolicLink()).toBe(true);
      expect(readlinkSync(link)).toBe(join("..", "..", "blobs", sha256(files[SHARD])));
    }
    expect(readdirSync(join(cache, FOLDER, ".no_exist", commit)).sort()).toEqual([
      "added_tokens.json",
      "chat_template.jinja",
      "chat_template.json",
      "special_tokens_map.json",
    ]);
    expect(leftovers(cache)).toEqual([]);
  });

  test("is complete from then on: no request is made, and a dead endpoint does not matter", async () => {
    hub.add(ID, shardedFiles());
    const cache = newCache();
    const directory = await fetchInto(cache);
    const count = hub.requests.length;
    hub.add(ID, shardedFiles(1000));
    expect(await fetchInto(cache)).toBe(directory);
    expect(hub.requests.length).toBe(count);
    expect(await fetchInto(cache, { env: { HF_HUB_CACHE: cache, HF_ENDPOINT: "http://127.0.0.1:9" } })).toBe(
      directory,
    );
  });

  test.skipIf(process.platform === "win32")(
    "is fetched again where a file of it has another size",
    async () => {
      const files = shardedFiles();
      hub.add(ID, files);
      const cache = newCache();
      const directory = await fetchInto(cache);
      // What is complete is not looked at again: only a fetch compares sizes.
      rmSync(join(directory, "tokenizer.json"));
      truncateSync(join(directory, SHARD), 1000);
      expectComplete(await fetchInto(cache), files);
    },
  );

  test("counts a content that two files share once", async () => {
    const files = shardedFiles();
    const total = async (contents: Record<string, Uint8Array>): Promise<number | undefined> => {
      hub.add(ID, contents);
      const reports: LoadProgress[] = [];
      await fetchInto(newCache(), { onProgress: (progress) => reports.push(progress) });
      const last = reports.filter(({ stage }) => stage === "download").at(-1);
      expect(last?.done).toBe(last?.total);
      return last?.total;
    };
    const more = new Uint8Array(100);
    const alone = (await total(files)) ?? 0;
    expect(await total({ ...files, "special_tokens_map.json": files["tokenizer.json"] })).toBe(alone);
    expect(await total({ ...files, "special_tokens_map.json": more })).toBe(alone + 100);
  });

  test("tells bytes, from none to all", async () => {
    const files = shardedFiles();
    hub.add(ID, files);
    hub.fault = ({ host }) => (host === "storage" ? { delay: 20, pieceBytes: 32_768 } : undefined);
    const reports: LoadProgress[] = [];
    const notices: string[] = [];
    await fetchInto(newCache(), {
      onProgress: (progress) => reports.push(progress),
      onNotice: (line) => notices.push(line),
    });
    const main = reports.filter(({ total }) => total > 600_000);
    expect(main.length).toBeGreaterThan(2);
    expect(main.every(({ stage, done, total }) => stage === "download" && done <= total)).toBe(true);
    expect(main.map(({ done }) => done)).toEqual(main.map(({ done }) => done).toSorted((a, b) => a - b));
    expect(main[0]).toMatchObject({ done: 0 });
    expect(main.at(-1).done).toBe(main.at(-1).total);
    expect(notices).toEqual([
      expect.stringMatching(/^Fetching some-one\/some-model \(main, [0-9a-f]{7}\): 60\d kB in 5 files\.$/),
    ]);
  });

  test("comes in as many pages as the hub likes", async () => {
    const files = shardedFiles();
    hub.add(ID, files);
    hub.pageSize = 4;
    expectComplete(await fetchInto(newCache()), files);
    expect(hub.seen("hub", /tree/).length).toBe(4);
  });

  test("comes from a branch, a tag or a commit", async () => {
    const first = hub.add(ID, shardedFiles(1000));
    const second = hub.add(ID, shardedFiles(2000));
    hub.repositories.get(ID)!.revisions.set("v1", first);
    const cache = newCache();
    expect(await fetchInto(cache, { revision: "v1" })).toMatch(first);
    expect(readFileSync(join(cache, FOLDER, "refs", "v1"), "utf8")).toBe(first);
    expect(await fetchInto(cache, { revision: second })).toMatch(second);
    expect(readdirSync(join(cache, FOLDER, "refs"))).toEqual(["v1"]);
    await expect(fetchInto(cache, { revision: "v2" })).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining(`"${ID}" has no revision "v2".`) as string,
    });
  });

  test("may have its weights in one file, or only in PyTorch's format", async () => {
    const { "config.json": config, "tokenizer.json": tokenizer } = shardedFiles();
    const single = {
      "config.json": config,
      "tokenizer.json": tokenizer,
      "pytorch_model.bin": noise(5000, 5),
    };
    hub.add(ID, { ...single, "model.safetensors": noise(5000, 6) });
    expect(readdirSync(await fetchInto(newCache()))).toEqual([
      "config.json",
      "model.safetensors",
      "tokenizer.json",
    ]);
    hub.add(ID, single);
    expect(readdirSync(await fetchInto(newCache()))).toEqual([
      "config.json",
      "pytorch_model.bin",
      "tokenizer.json",
    ]);
  });

  test("without a tokenizer.json brings the files from which it is made", async () => {
    const files = shardedFiles();
    delete files["tokenizer.json"];
    hub.add(ID, files);
    const cache = newCache();
    const directory = await fetchInto(cache);
    expect(readdirSync(directory)).toEqual(expect.arrayContaining(["vocab.json", "merges.txt"]));
    const count = hub.requests.length;
    await fetchInto(cache);
    expect(hub.requests.length).toBe(count);
  });
});

describe("a cache in which there is something of the model", () => {
  test("for another program: what is missing here is fetched", async () => {
    const files = shardedFiles();
    const commit = hub.add(ID, { ...files, "tf_model.h5": "x" });
    const cache = newCache();
    const snapshot = join(cache, FOLDER, "snapshots", commit);
    mkdirSync(snapshot, { recursive: true });
    mkdirSync(join(cache, FOLDER, "refs"));
    writeFileSync(join(cache, FOLDER, "refs", "main"), commit);
    writeFileSync(join(snapshot, "tf_model.h5"), "x");
    writeFileSync(join(snapshot, "config.json"), files["config.json"]);
    writeFileSync(join(snapshot, "tokenizer.json"), files["tokenizer.json"]);
    expect(readdirSync(await fetchInto(cache))).toEqual([...SHARDED_NEEDED, "tf_model.h5"].sort());
  });

  test("a tokenizer alone is fetched, and used, without the rest", async () => {
    const { "tokenizer.json": tokenizer } = shardedFiles();
    hub.add(ID, { "tokenizer.json": tokenizer });
    const cache = newCache();
    const directory = await fetchInto(cache, { requires: "tokenizer" });
    expect(readdirSync(directory)).toEqual(["tokenizer.json"]);
    const count = hub.requests.length;
    expect(await fetchInto(cache, { requires: "tokenizer" })).toBe(directory);
    expect(hub.requests.length).toBe(count);
  });
});

describe("transfers that break", () => {
  const files = shardedFiles();
  const shard = files[SHARD];

  test.each<[string, readonly (Fault | undefined)[]]>([
    ["cut connections", [{ cutAfter: 100_000 }, { cutAfter: 0 }, { cutAfter: 100_000 }]],
    ["a connection that stalls", [{ stallAfter: 50_000 }]],
    [
      "500, 503 and 429",
      [{ status: 500 }, { status: 503 }, { status: 429, headers: { "retry-after": "0" } }],
    ],
    ["a server that ignores ranges", [{ cutAfter: 100_000 }, { ignoreRange: true }, undefined]],
    ["a range that is not there", [{ cutAfter: 100_000 }, { status: 416 }]],
  ])("go on after %s", async (_what, faults) => {
    hub.add(ID, files);
    hub.fault = faultsOf(shard, ...faults);
    const cache = newCache();
    expectComplete(await fetchInto(cache), files);
    expect(hub.seen("storage", new RegExp(sha256(shard))).length).toBe(
      // The answer without a range is good, so that nothing more is asked for.
      faults.includes(undefined) ? faults.length - 1 : faults.length + 1,
    );
    expect(leftovers(cache)).toEqual([]);
  });

  test("ask only for what is missing, and only of the same file", async () => {
    hub.add(ID, files);
    hub.fault = faultsOf(shard, { cutAfter: 114_688 });
    const notices: string[] = [];
    await fetchInto(newCache(), { onNotice: (line) => notices.push(line) });
    const requests = hub.seen("storage", new RegExp(sha256(shard)));
    const [first, second] = requests;
    // What had arrived counts: nothing is fetched from the beginning again.
    expect(requests).toHaveLength(2);
    expect(notices.join()).not.toContain("did not fit");
    expect(first.headers.range).toBeUndefined();
    expect(second.headers.range).toMatch(/^bytes=[1-9]\d*-$/);
    expect(second.headers["if-range"]).toBe(`"storage-${sha256(shard).slice(0, 8)}"`);
  });

  test("are given up where a server sends a byte now and then, for ever", async () => {
    hub.add(ID, files);
    hub.fault = ({ host, url }) =>
      host === "storage" && url.includes(sha256(shard)) ? { delay: 5, pieceBytes: 1 } : undefined;
    const limits = { ...LIMITS, slow: 60, leastBytes: 1000 };
    await expect(fetchInto(newCache(), { transfer: { limits } })).rejects.toMatchObject({
      code: "download",
      message: expect.stringMatching(
        /failed 4 times in a row: "[\d.:]+" sent less than 1000 bytes in 0\.06 seconds\. Try again later/,
      ) as string,
    });
  });

  test("wait as long as the server asks, and not longer than anybody would", async () => {
    hub.add(ID, files);
    hub.fault = faultsOf(shard, { status: 429, headers: { "retry-after": "1" } });
    const notices: string[] = [];
    await fetchInto(newCache(), { onNotice: (line) => notices.push(line) });
    expect(notices).toContainEqual(
      expect.stringMatching(/limits how often it is asked \(429\); goes on in 1 s\.$/),
    );
    expect(hub.seen("storage", new RegExp(sha256(shard)))).toHaveLength(2);
    hub.fault = faultsOf(shard, { status: 429, headers: { "retry-after": "3600" } });
    await expect(fetchInto(newCache())).rejects.toMatchObject({
      code: "download",
      message: expect.stringContaining(
        "limits how often it is asked (429). It asks to wait 3600 seconds.",
      ) as string,
    });
  });

  test("end after some failures in a row, say what failed, and go on with what is there at the next start", async () => {
    const commit = hub.add(ID, files);
    const cache = newCache();
    hub.fault = faultsOf(shard, { cutAfter: 160_000 }, ...Array.from({ length: 9 }, () => ({ status: 502 })));
    await expect(fetchInto(cache)).rejects.toMatchObject({
      code: "download",
      message: expect.stringContaining(
        `Fetching ${SHARD} of "${ID}" failed 4 times in a row: the server answered 502.`,
      ) as string,
    });
    const incomplete = `${sha256(shard)}.incomplete`;
    const left = readFileSync(join(cache, FOLDER, "blobs", incomplete));
    expect(left.length).toBeGreaterThan(50_000);
    expect(Buffer.compare(left, shard.subarray(0, left.length))).toBe(0);
    hub.fault = () => undefined;
    hub.requests.length = 0;
    // The branch has moved in the meantime: what was begun is finished.
    hub.add(ID, shardedFiles(1000));
    const directory = await fetchInto(cache);
    expect(directory).toMatch(commit);
    expectComplete(directory, files);
    // Its hash is of all of it: what was there counts too.
    const requests = hub.seen("storage", new RegExp(sha256(shard)));
    expect(requests.map(({ headers }) => headers.range)).toEqual([`bytes=${left.length}-`]);
    expect(hub.seen("hub", /config\.json$/)).toEqual([]);
  });

  test("also begin anew when the commit that was begun is gone", async () => {
    hub.add(ID, files);
    const cache = newCache();
    hub.fault = ({ host }) => (host === "storage" ? { status: 502 } : undefined);
    await expect(fetchInto(cache)).rejects.toThrow("502");
    hub.fault = () => undefined;
    hub.repositories.delete(ID);
    hub.add("x/y", {});
    const repository = { commits: new Map(), revisions: new Map(), isGated: false, isPrivate: false };
    hub.repositories.set(ID, repository);
    repository.commits.set("0".repeat(40), new Map());
    const commit = hub.add(ID, files);
    expect(await fetchInto(cache)).toMatch(commit);
  });

  test("end when the caller aborts, whatever the server does then, and keep what arrived", async () => {
    hub.add(ID, files);
    const cache = newCache();
    hub.fault = ({ host }) => (host === "storage" ? { stallAfter: 120_000 } : undefined);
    const stop = new AbortController();
    const work = fetchInto(cache, {
      signal: stop.signal,
      // Nobody but the caller ends this: the server says nothing more, and has longer for it than the test.
      transfer: { limits: { ...LIMITS, stall: 600_000, slow: 600_000 } },
    });
    const refused = expect(work).rejects.toMatchObject({ code: "aborted" });
    const incomplete = join(cache, FOLDER, "blobs", `${sha256(shard)}.incomplete`);
    await until("most of what comes has arrived", () => sizeOf(incomplete) > 50_000);
    stop.abort();
    await refused;
    expect(leftovers(cache).every((name) => name.endsWith(".incomplete"))).toBe(true);
    const left = readFileSync(join(cache, FOLDER, "blobs", `${sha256(shard)}.incomplete`)).length;
    hub.fault = () => undefined;
    hub.requests.length = 0;
    expectComplete(await fetchInto(cache), files);
    expect(hub.seen("storage", new RegExp(sha256(shard)))[0].headers.range).toBe(`bytes=${left}-`);
  });
});

describe("content that is wrong", () => {
  const files = shardedFiles();
  const shard = files[SHARD];
  const incomplete = (cache: string): string => join(cache, FOLDER, "blobs", `${sha256(shard)}.incomplete`);

  test("is discarded, and the error names the file", async () => {
    hub.add(ID, files);
    const cache = newCache();
    hub.fault = faultsOf(shard, { corrupt: true });
    await expect(fetchInto(cache)).rejects.toMatchObject({
      code: "download",
      message: expect.stringMatching(
        `^What arrived of ${SHARD} of "${ID}" is damaged: its SHA-256 is .*discarded`,
      ) as string,
    });
    expect(readdirSync(join(cache, FOLDER, "blobs"))).not.toContain(sha256(shard));
    expect(leftovers(cache)).not.toContain(incomplete(cache));
    expectComplete(await fetchInto(cache), files);
  });

  test("is found in small files too, by git's hash", async () => {
    hub.add(ID, files);
    hub.fault = ({ url }) => (url.endsWith("/tokenizer.json") ? { corrupt: true } : undefined);
    await expect(fetchInto(newCache())).rejects.toThrow(/tokenizer\.json of .* is damaged: its git hash is/);
  });

  test("at the beginning of a file that somebody left is fetched anew", async () => {
    hub.add(ID, files);
    const cache = newCache();
    mkdirSync(join(cache, FOLDER, "blobs"), { recursive: true });
    writeFileSync(incomplete(cache), noise(70_000, 9));
    const notices: string[] = [];
    expectComplete(await fetchInto(cache, { onNotice: (line) => notices.push(line) }), files);
    expect(notices).toContainEqual(expect.stringContaining("did not fit the rest"));
  });

  test("behind the end of a file that somebody left is cut off", async () => {
    hub.add(ID, files);
    const cache = newCache();
    mkdirSync(join(cache, FOLDER, "blobs"), { recursive: true });
    writeFileSync(incomplete(cache), noise(400_000, 9));
    expectComplete(await fetchInto(cache), files);
  });

  test("of another size is refused", async () => {
    hub.add(ID, files);
    hub.fault = faultsOf(shard, { replaceBy: noise(1000, 3) });
    await expect(fetchInto(newCache())).rejects.toThrow(
      `lists ${SHARD} of "${ID}" with 300000 bytes, but sends 1000.`,
    );
  });

  test("that came while the connection was cut is not mixed with what there is", async () => {
    hub.add(ID, files);
    const other = { replaceBy: noise(400_000, 3) };
    hub.fault = faultsOf(shard, { cutAfter: 100_000 }, other, other);
    const cache = newCache();
    await expect(fetchInto(cache)).rejects.toThrow("with 300000 bytes, but sends 400000.");
    expectComplete(await fetchInto(cache), files);
  });
});

test("a server that breaks off and then refuses to go on, again and again, is given up", async () => {
  const files = shardedFiles();
  hub.add(ID, files);
  let asked = 0;
  hub.fault = ({ host, url }) => {
    if (host !== "storage" || !url.includes(sha256(files[SHARD]))) {
      return undefined;
    }
    return asked++ % 2 === 0 ? { cutAfter: 50_000 } : { status: 416 };
  };
  await expect(fetchInto(newCache())).rejects.toMatchObject({
    code: "download",
    message: expect.stringContaining("times in a row") as string,
  });
  expect(asked).toBeLessThan(2 * LIMITS.attempts);
});
