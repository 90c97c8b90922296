/** Fetching by the real command line: several processes, ends that nobody planned, no network. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runCommand, startCommand } from "./support/command.ts";
import { FakeHub, sha256, type Fault } from "./support/fake-hub/fake-hub.ts";
import { SHARDED_NEEDED, shardedFiles, talesFiles } from "./support/fake-hub/repositories.ts";
import { until } from "./support/http.ts";
import { temporaryDirectory } from "./support/model-files.ts";

const ID = "some-one/some-model";
const FOLDER = "models--some-one--some-model";
const SHARD = "model-00001-of-00002.safetensors";
/** A fault that makes a shard take about two seconds. */
const SLOW: Fault = { delay: 100, pieceBytes: 16_384 };

let hub: FakeHub;
let home: string;
let env: Record<string, string>;
beforeEach(async () => {
  hub = await FakeHub.start();
  home = temporaryDirectory();
  env = environment(hub.url);
});
afterEach(() => hub.close());

/** An environment that has nothing of the user's own. */
function environment(endpoint: string): Record<string, string> {
  return {
    HOME: home,
    USERPROFILE: home,
    HF_HOME: join(home, "hf"),
    HF_HUB_CACHE: join(home, "hub"),
    HF_ENDPOINT: endpoint,
    HF_TOKEN: "",
    HF_HUB_OFFLINE: "",
    MODEL_COMPOSE_STATE_DIR: join(home, "state"),
  };
}

function expectComplete(directory: string, files: Record<string, Uint8Array>): void {
  expect(readdirSync(directory).sort()).toEqual(SHARDED_NEEDED);
  for (const name of SHARDED_NEEDED) {
    expect(Buffer.compare(readFileSync(join(directory, name)), files[name]), name).toBe(0);
  }
}

function blobs(): string[] {
  return readdirSync(join(home, "hub", FOLDER, "blobs"));
}

async function closedPort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

describe("models pull", () => {
  const files = shardedFiles();
  const shardHash = sha256(files[SHARD]);
  const pull = ["models", "pull", ID];

  test("in two processes at once fetches each file once; the second waits, says so, and has the model too", async () => {
    hub.add(ID, files);
    const waits = Promise.withResolvers<void>();
    hub.fault = ({ host }) => (host === "storage" ? { holdAfter: 100_000, until: waits.promise } : undefined);
    const first = startCommand(pull, { cwd: home, env });
    await until("the first fetches", () => hub.seen("storage").length === 2);
    const second = startCommand(pull, { cwd: home, env });
    await until("the second waits", () => second.stderr().includes("Waiting for"));
    waits.resolve();
    const results = await Promise.all([first.ended, second.ended]);
    expect(results.map(({ code }) => code)).toEqual([0, 0]);
    expect(results[0].stdout).toBe(results[1].stdout);
    expect(results[1].stderr).toContain(`Waiting for process ${first.pid}, which fetches model-0000`);
    expect(hub.seen("storage").length).toBe(2);
    expectComplete(results[0].stdout.trim(), files);
    expect(readdirSync(join(home, "hub", ".locks", FOLDER))).toEqual([]);
  });

  test("that was killed leaves what arrived; the next goes on from there", async () => {
    hub.add(ID, files);
    hub.fault = ({ host }) => (host === "storage" ? SLOW : undefined);
    const first = startCommand(pull, { cwd: home, env });
    const incomplete = join(home, "hub", FOLDER, "blobs", `${shardHash}.incomplete`);
    await until("something arrived", () => {
      try {
        return readFileSync(incomplete).length > 60_000;
      } catch {
        return false;
      }
    });
    first.kill("SIGKILL");
    await first.ended;
    const left = readFileSync(incomplete).length;
    hub.fault = () => undefined;
    hub.requests.length = 0;
    // How long the lock of a process that ended is respected, the tests of the lock tell.
    const { code, stdout } = await runCommand(pull, { cwd: home, env });
    expect(code).toBe(0);
    expectComplete(stdout.trim(), files);
    const requests = hub.seen("storage", new RegExp(shardHash));
    expect(requests.map(({ headers }) => headers.range)).toEqual([`bytes=${left}-`]);
    expect(blobs().filter((name) => name.endsWith(".incomplete"))).toEqual([]);
  });

  test.skipIf(process.platform === "win32")(
    "ends by Ctrl-C, though the hub says nothing, and keeps what arrived",
    async () => {
      hub.add(ID, files);
      const never = new Promise<never>(() => undefined);
      hub.fault = ({ host }) => (host === "storage" ? { holdAfter: 100_000, until: never } : undefined);
      const command = startCommand(pull, { cwd: home, env });
      await until("something arrives", () => hub.seen("storage").length === 2);
      await until(
        "what comes arrived",
        () => blobs().filter((name) => name.endsWith(".incomplete")).length === 2,
      );
      command.kill("SIGINT");
      const { code, stderr } = await command.ended;
      expect(code).toBe(130);
      expect(stderr).not.toContain("error:");
      expect(blobs().filter((name) => name.endsWith(".incomplete")).length).toBe(2);
      expect(readdirSync(join(home, "hub", ".locks", FOLDER))).toEqual([]);
    },
  );

  test("looks for what is newer, and says when there is nothing", async () => {
    const first = hub.add(ID, files);
    const { stdout, stderr } = await runCommand(pull, { cwd: home, env });
    expect(stdout).toContain(first);
    expect(stderr).toMatch(
      /^Fetching some-one\/some-model \(main, [0-9a-f]{7}\): 6\d+ kB in 5 files\.\n.*: fetched 6\d+ kB\.\n$/,
    );
    expect((await runCommand(pull, { cwd: home, env })).stderr).toBe(
      `${ID} at ${first.slice(0, 7)}: up to date.\n`,
    );
    const second = hub.add(ID, { ...files, "tokenizer_config.json": '{"new": true}' });
    hub.requests.length = 0;
    const newer = await runCommand(pull, { cwd: home, env });
    expect(newer.stdout).toContain(second);
    // Files that are the same in both commits are not fetched again.
    expect(hub.seen("hub", /resolve/).map(({ url }) => url.split("/").at(-1))).toEqual([
      "tokenizer_config.json",
    ]);
  });

  test("does not print a token, also with --verbose", async () => {
    hub.add(ID, files);
    const { code, stderr } = await runCommand([...pull, "--verbose"], {
      cwd: home,
      env: { ...env, HF_TOKEN: "hf_wrongWrong" },
    });
    expect(code).toBe(1);
    expect(stderr).toContain("The hub does not know the token (HF_TOKEN).");
    expect(stderr).not.toContain("hf_wrong");
  });
});

describe("models that are used", () => {
  const generate = [
    "generate",
    "-m",
    ID,
    "Once upon a time",
    "--max-tokens",
    "4",
    "--greedy",
    "--device",
    "cpu",
    "--threads",
    "1",
  ];

  test("are fetched at first use; then the network is not needed", async () => {
    hub.add(ID, talesFiles());
    const first = await runCommand(generate, { cwd: home, env });
    expect(first).toMatchObject({ code: 0 });
    expect(first.stdout.length).toBeGreaterThan(3);
    expect(first.stderr).toContain("Fetching some-one/some-model (main, ");
    const dead = environment(await closedPort());
    const second = await runCommand(generate, { cwd: home, env: dead });
    expect(second).toMatchObject({ code: 0, stdout: first.stdout });
    expect(second.stderr).not.toMatch(/hub|network|Fetching/);
    // The reason is not that the process keeps tokenizers in a cache.
    expect(hub.seen("hub", /resolve.*tokenizer\.json/).length).toBe(1);
  });

  test("are fetched by run as a compose file says; start only takes what is here", async () => {
    const commit = hub.add(ID, talesFiles());
    hub.repositories.get(ID)!.isPrivate = true;
    const folder = join(home, "project");
    mkdirSync(folder);
    writeFileSync(
      join(folder, "model-compose.yml"),
      `component:
  type: model
  task: text-generation
  model:
    provider: huggingface
    repository: ${ID}
    revision: \${env.REVISION}
    token: \${env.MY_TOKEN}
    cache_dir: ./cache
    local_files_only: \${env.OFFLINE | false}
  device: cpu
  text: \${input.prompt as text}
  max_output_length: 4
  seed: 1
`,
    );
    const variables = ["-e", `MY_TOKEN=${hub.token}`, "-e", `REVISION=${commit}`];
    const run = ["run", ...variables, "-i", '{"prompt": "Once upon a time"}'];
    const offline = await runCommand([...run, "-e", "OFFLINE=true"], { cwd: folder, env });
    expect(offline.code).toBe(1);
    expect(offline.stderr).toContain(
      "the network is not used: only local files were asked for (start, or local_files_only)",
    );
    const start = await runCommand(["start", ...variables], { cwd: folder, env });
    expect(start.code).toBe(1);
    expect(start.stderr).toContain(`The model "${ID}" at revision "${commit}" is not on this machine`);
    expect(hub.requests).toEqual([]);
    const fetched = await runCommand(run, { cwd: folder, env });
    expect(fetched.stderr).toContain("Fetching");
    expect(fetched).toMatchObject({ code: 0, stdout: expect.stringContaining("Once upon a time") as string });
    expect(readdirSync(join(folder, "cache"))).toContain(FOLDER);
    const again = await runCommand([...run, "-e", "OFFLINE=true"], { cwd: folder, env });
    expect(again).toMatchObject({ code: 0, stdout: fetched.stdout });
    for (const { stderr } of [offline, start, fetched, again]) {
      expect(stderr).not.toContain(hub.token);
    }
  });
});
