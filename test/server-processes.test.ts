/** Servers as processes: up, stop, ps, logs, and run on a server of the project; with the bundled model. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { runningServers, stopServer } from "../src/registry/running-servers.ts";
import { startServer } from "../src/server/server.ts";
import type { Task } from "../src/server/task.ts";
import { loadModelSized } from "../src/models/model.ts";
import { idleShare } from "./support/idle-share.ts";
import { loadText } from "./support/compose.ts";
import { call, until } from "./support/http.ts";

const root = path.resolve(import.meta.dirname, "..");
const entry = path.join(root, "dist", "cli.js");
const tales = path.join(root, "models", "tales").replaceAll("\\", "/");

const isWindows = process.platform === "win32";

interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; stdout: string; stderr: string }>;
  readonly stderr: () => string;
}

let folder = "";
let state = "";
let port = 0;
const children = new Set<ChildProcess>();

/** Starts the command line as a user would call it, in the project's folder. */
function start(args: readonly string[], env: Record<string, string> = {}): Started {
  const child = spawn(process.execPath, [entry, ...args], {
    cwd: folder,
    env: { ...process.env, NO_COLOR: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.add(child);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      children.delete(child);
      resolve({ code, stdout, stderr });
    });
  });
  return { child, ended, stderr: () => stderr };
}

function cli(args: readonly string[], env?: Record<string, string>): Started["ended"] {
  return start(args, env).ended;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port: free } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return free;
}

const yaml = (model: string): string => `controller:
  port: \${env.TEST_PORT | ${port}}
component:
  type: model
  task: text-generation
  model: ${model}
  device: cpu
  action:
    prompt: \${input.prompt as text}
    max_output_length: \${input.tokens as integer | 8}
    min_output_length: \${input.tokens as integer | 1}
    seed: \${env.TEST_SEED | 1}
`;
const long = { prompt: "Once upon a time", tokens: 1900 };

const api = (): string => `http://127.0.0.1:${port}/api`;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "model-compose-server-"));
  state = path.join(folder, "state");
  vi.stubEnv("MODEL_COMPOSE_STATE_DIR", state);
  port = await freePort();
  await writeFile(path.join(folder, "model-compose.yml"), yaml(tales));
  await writeFile(path.join(folder, "missing.yml"), yaml("./no-such-model"));
});

afterEach(async () => {
  for (const child of children) {
    child.kill("SIGKILL");
  }
  const signal = AbortSignal.timeout(30_000);
  for (const server of await runningServers()) {
    await stopServer(server, { signal, now: true, timeoutMilliseconds: 30_000 });
  }
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

/** Options of tests with a dozen commands, each in a process of its own, on a machine that may be busy. */
const manyCommands = { timeout: 180_000 };

describe("a detached server", () => {
  test("of a model without a compose file is known and stopped by the model", manyCommands, async () => {
    const options = ["--detach", "--wait", "--no-ui", "--port", String(port), "--device", "cpu"];
    const up = await cli(["up", "--model", path.relative(folder, tales), ...options]);
    expect(up).toMatchObject({ code: 0, stdout: "" });
    const body = { model: "tales", prompt: "The king", max_tokens: 3 };
    const { json } = await call("POST", `http://127.0.0.1:${port}/v1/completions`, { body });
    expect(json).toMatchObject({ usage: { completion_tokens: 3 } });
    const [server] = await runningServers();
    expect(server?.registration).toMatchObject({ name: "tales", files: [`model:${path.resolve(tales)}`] });
    const log = server?.registration.log ?? "";
    expect(await readFile(log, "utf8")).toContain("Ready.");
    // The bundled model is the same folder.
    const down = await cli(["down", "-m", "tales", "--now"]);
    expect(down.stderr).toContain("has ended");
    await expect(readFile(log)).rejects.toThrow("ENOENT");
  });

  test(
    "serves, is used by run, is listed, keeps a log without prompts, and is gone after stop",
    manyCommands,
    async () => {
      const up = await cli(["up", "--detach", "--wait", "--no-ui"]);
      expect(up).toMatchObject({ code: 0, stdout: "" });
      expect(up.stderr).toContain(api());
      expect(await call("GET", `${api()}/health`)).toMatchObject({ status: 200, json: { status: "ok" } });

      const input = JSON.stringify({ prompt: "Rumpelstiltskin" });
      const there = await cli(["run", "-i", input]);
      expect(there.code).toBe(0);
      expect(there.stderr).toContain(`Runs on the server at ${api()}`);
      expect(there.stderr).toMatch(/8 tokens, .* tokens\/s, wasm/);
      expect(JSON.parse(there.stdout)).toEqual({
        generated: expect.stringMatching(/^Rumpelstiltskin./) as string,
      });
      expect(await call("GET", `${api()}/tasks`)).toMatchObject({ json: [{ status: "completed" }] });
      const refused = await cli(["run", "-i", "{}"]);
      expect(refused).toMatchObject({ code: 2, stdout: "" });
      expect(refused.stderr).toContain('error: The workflow input "prompt" is missing');

      const here = await cli(["run", "--local", "-i", input]);
      expect(here.stdout).toBe(there.stdout);
      expect(here.stderr).not.toContain("Runs on the server");
      const other = await cli(["run", "-i", input], { TEST_SEED: "2" });
      expect(other.stderr).toContain("has another configuration: runs without it");
      const threads = await cli(["run", "--threads", "1", "-i", input]);
      expect(threads.stderr).toContain("has another configuration: runs without it");
      expect(threads.stdout).toBe(there.stdout);
      expect(await call("GET", `${api()}/tasks?status=completed`)).toMatchObject({ json: { length: 1 } });

      const generate = (...more: readonly string[]): Started["ended"] =>
        cli([
          "generate",
          "-m",
          tales,
          "Once",
          "--device",
          "cpu",
          "--max-tokens",
          "5",
          "--seed",
          "3",
          ...more,
        ]);
      const lent = await generate();
      expect(lent.code).toBe(0);
      expect(lent.stderr).toContain(`Generates on the server at ${api()}`);
      const own = await generate("--local");
      expect(own.stderr).not.toContain("server");
      expect(own.stdout).toBe(lent.stdout);
      const smaller = await generate("--quantization", "int8");
      expect(smaller.stderr).toContain("has the model with quantization none instead of int8");
      // A failure there is what it would be here.
      const refusedThere = await generate("--regex", "[");
      expect(refusedThere).toMatchObject({ code: 2, stdout: "" });
      expect(refusedThere.stderr).toContain("error: --regex cannot be followed");

      const listed = await cli(["ps"]);
      expect(listed.stdout).toMatch(/^PROJECT +PID +STATUS/);
      expect(listed.stdout).toContain(`model-compose.yml`);
      expect(listed.stdout).toMatch(/ ready .*http:\/\/127/);
      const json = JSON.parse((await cli(["ps", "--json"])).stdout) as unknown;
      expect(json).toMatchObject([{ status: "ok", url: api(), running: 0 }]);

      const second = await cli(["up", "--detach"]);
      expect(second.code).toBe(1);
      expect(second.stderr).toContain(`served already: ${api()}`);

      const stopped = await cli(["stop"]);
      expect(stopped).toMatchObject({ code: 0, stdout: "" });
      expect(stopped.stderr).toContain(`The server at ${api()} has ended.`);
      await expect(call("GET", `${api()}/health`)).rejects.toThrow("ECONNREFUSED");
      expect(await readdir(path.join(state, "servers"))).toEqual([]);
      expect((await cli(["stop"])).stderr).toBe("No server of this project runs.\n");

      const logs = await cli(["logs"]);
      expect(logs.stdout).toMatch(/\[task 01\w+\] workflow __workflow__ completed in .* 8 tokens/);
      expect(logs.stdout).toContain("failed in");
      expect(logs.stdout).toMatch(/Ended\.\n$/);
      expect(logs.stdout).not.toMatch(/Rumpel|prompt/);
      expect((await cli(["logs", "--tail", "1"])).stdout).toMatch(/^\S+ Ended\.\n$/);
      expect((await cli(["down"])).code).toBe(0);
      const none = await cli(["logs"]);
      expect(none).toMatchObject({ code: 1, stdout: "" });
      expect(none.stderr).toContain("There is no log of this project.");
    },
  );

  test("Ctrl-C of a run on it ends the run there", async () => {
    await cli(["up", "--detach", "--no-ui"]);
    const run = start(["run", "-i", JSON.stringify(long)]);
    const task = async (): Promise<unknown> => (await call("GET", `${api()}/tasks`)).json;
    await until("it writes", async () => JSON.stringify(await task()).includes('"tokens":'));
    run.child.kill("SIGINT");
    const { code } = await run.ended;
    if (!isWindows) {
      expect(code).toBe(130);
    }
    await until("it is cancelled", async () => JSON.stringify(await task()).includes('"cancelled"'));
  });
  test("stop says what it waits for; --now does not wait", async () => {
    await cli(["up", "--detach", "--no-ui"]);
    const run = start(["run", "-i", JSON.stringify(long)]);
    const task = async (): Promise<unknown> => (await call("GET", `${api()}/tasks`)).json;
    await until("it writes", async () => JSON.stringify(await task()).includes('"tokens":'));
    const waiting = start(["stop"]);
    await until("it says what it waits for", () => waiting.stderr().includes("--now ends it at once"));
    expect(waiting.stderr()).toMatch(/ends when its run has, in \d+ s at the latest/);
    const stopped = await cli(["stop", "--now"]);
    expect(stopped).toMatchObject({ code: 0, stdout: "" });
    expect(stopped.stderr).toMatch(/^The server at \S+ has ended\.$/m);
    expect((await waiting.ended).code).toBe(0);
    expect((await run.ended).code).toBe(1);
  });

  test("that fails to load says so, and up exits with 1", async () => {
    for (const args of [["up"], ["up", "--detach", "--wait"], ["start"]]) {
      const { code, stdout, stderr } = await cli([...args, "--no-ui", "-f", "missing.yml"]);
      expect({ args, code, stdout }).toEqual({ args, code: 1, stdout: "" });
      expect(stderr).toMatch(/error: No model at .*no-such-model/);
      expect(stderr).not.toMatch(/^\s+at /m);
    }
    expect((await cli(["ps"])).stderr).toBe("No server runs.\n");
  });

  test("a port in use ends it with 1, attached and detached", async () => {
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(0, "127.0.0.1", resolve));
    const { port: taken } = blocker.address() as AddressInfo;
    try {
      for (const args of [["up"], ["up", "--detach"]]) {
        const { code, stderr } = await cli([...args, "--no-ui"], { TEST_PORT: String(taken) });
        expect(code).toBe(1);
        expect(stderr).toContain(
          `error: The server cannot listen on 127.0.0.1:${taken}: the port is in use.`,
        );
      }
    } finally {
      blocker.close();
    }
  });
});

describe("what a server left behind", () => {
  test("does not matter: it is passed over, removed, and a new server starts", async () => {
    const servers = path.join(state, "servers");
    await mkdir(servers, { recursive: true });
    const stale = {
      id: "0123456789abcdef",
      version: "0.0.1",
      pid: process.pid,
      startedAt: new Date(0).toISOString(),
      files: [path.join(folder, "model-compose.yml")],
      definitionHash: "",
      overrides: "{}",
      url: api(),
      shutdownMilliseconds: 1,
      controlPort: await freePort(),
      token: "x",
    };
    await writeFile(path.join(servers, `${stale.id}.json`), JSON.stringify(stale));
    await writeFile(path.join(servers, "broken.json"), "{");
    expect((await cli(["ps"])).stderr).toBe("No server runs.\n");
    expect(await readdir(servers)).toEqual(["broken.json"]);
    expect((await cli(["up", "--detach", "--no-ui"])).code).toBe(0);
    expect((await cli(["ps"])).stdout).toContain(api());
  });

  test("only this user may read what is written down", { skip: isWindows }, async () => {
    const servers = path.join(state, "servers");
    await rm(servers, { recursive: true, force: true });
    await cli(["up", "--detach", "--no-ui"]);
    expect((await stat(servers)).mode & 0o777).toBe(0o700);
    const [name = ""] = await readdir(servers);
    expect((await stat(path.join(servers, name))).mode & 0o777).toBe(0o600);
    expect(await readFile(path.join(servers, name), "utf8")).toContain('"token"');
  });
});

describe("signals", { skip: isWindows }, () => {
  /** Starts a server in the foreground. @returns when it listens */
  async function foreground(): Promise<Started> {
    const server = start(["up", "--no-ui"]);
    await until("it is ready", () => server.stderr().includes("Ready."));
    return server;
  }

  test("SIGTERM ends it with 0 when its runs have ended, SIGINT with 130", async () => {
    const first = await foreground();
    const answer = call("POST", `${api()}/workflows/runs`, { body: { input: { ...long, tokens: 300 } } });
    await until("it runs", () => first.stderr().includes("started"));
    first.child.kill("SIGTERM");
    expect(await answer).toMatchObject({ status: 200, json: { status: "completed" } });
    expect((await first.ended).code).toBe(0);

    const second = await foreground();
    second.child.kill("SIGINT");
    const { code, stderr } = await second.ended;
    expect(code).toBe(130);
    expect(stderr).toMatch(/Ended\.\n$/);
  });

  test("a second one ends it at once, whatever runs", async () => {
    const server = await foreground();
    const response = call("POST", `${api()}/workflows/runs`, { body: { input: long } });
    response.catch(() => undefined);
    await until("it runs", () => server.stderr().includes("started"));
    server.child.kill("SIGINT");
    await until("it waits", () => server.stderr().includes("Ending; waits for 1 run."));
    server.child.kill("SIGINT");
    expect((await server.ended).code).toBe(130);
    expect(server.stderr()).not.toContain("Ended.");
    await expect(response).rejects.toThrow();
  });
});

test("the processor is idle when the one who waited has left", async () => {
  const definition = loadText(yaml(tales));
  const server = await startServer(definition, {
    loadModel: loadModelSized,
    port: 0,
    environment: new Map(),
  });
  try {
    await server.ready;
    const leave = new AbortController();
    const answer = fetch(`${server.url}/workflows/runs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ input: long }),
      signal: leave.signal,
    });
    answer.catch(() => undefined);
    const task = (): Task | undefined => server.service.tasks.list()[0];
    await until("it writes", () => (task()?.tokens ?? 0) > 5);
    leave.abort();
    await until("it is cancelled", () => task()?.status === "cancelled");
    expect(await idleShare()).toBeLessThan(0.4);
  } finally {
    await server.close({ timeoutMilliseconds: 0 });
  }
});
