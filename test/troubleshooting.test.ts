/** What the documentation says to do when something goes wrong is what the program says, and it helps. */
import { spawn } from "node:child_process";
import path from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { LoadTextModel } from "../src/compose/model-host.ts";
import { failureText } from "../src/cli/report.ts";
import { startServer, type ComposeServer } from "../src/server/server.ts";
import { hintWhenSlow } from "../src/cli/slow-hint.ts";
import { availableCores } from "../src/runtime/platform/system.ts";
import { GpuContext } from "../src/runtime/webgpu/run/device.ts";
import { USAGE } from "../src/runtime/webgpu/run/constants.ts";
import { loadText } from "./support/compose.ts";
import { ADAPTER } from "./support/devices.ts";
import { FakeHub } from "./support/fake-hub/fake-hub.ts";
import { talesFiles } from "./support/fake-hub/repositories.ts";
import { call, type CallOptions } from "./support/http.ts";
import { temporaryDirectory } from "./support/model-files.ts";
import { PacedModels } from "./support/paced-models.ts";
import { readAdvice, type Advice } from "./support/documentation.ts";

const root = path.resolve(import.meta.dirname, "..");
const entry = path.join(root, "dist", "cli.js");
const tales = path.join(root, "models", "tales");

/** Titles of refusals that do not print a remedy: an answer to somebody unknown does not tell how to get in. */
const refusals = ["A web page is refused (403)", "A name is refused (403)"];
const advice = readAdvice("When something goes wrong", (title) => !refusals.includes(title));

interface CliOptions {
  /** JavaScript that runs before the program: the machine on which things go wrong. */
  readonly machine?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** What `model-compose generate` says on stderr when it fails. */
function generate(args: readonly string[], { machine = "", env = {} }: CliOptions = {}): Promise<string> {
  const preload = `data:text/javascript,${encodeURIComponent(machine)}`;
  const command = [entry, "generate", "x", "--max-tokens", "1", ...args];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, command, {
      cwd: temporaryDirectory(),
      // The processes that it starts are on that machine too.
      env: { ...process.env, NO_COLOR: "1", NODE_OPTIONS: `--import ${preload}`, ...env },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 1) {
        resolve(stderr);
      } else {
        reject(new Error(`expected the exit code 1, found ${String(code)}: ${stderr}`));
      }
    });
  });
}

/** The environment of a user with an empty cache. */
function ownCache(env: Readonly<Record<string, string>>): Record<string, string> {
  const home = temporaryDirectory();
  return {
    HF_HOME: home,
    HF_HUB_CACHE: "",
    HUGGINGFACE_HUB_CACHE: "",
    HF_TOKEN: "",
    HF_HUB_OFFLINE: "",
    ...env,
  };
}

/** What `generate` says about a model of a hub on which something is wrong. */
async function fromHub(prepare: (hub: FakeHub) => unknown, options: CliOptions = {}): Promise<string> {
  const hub = await FakeHub.start();
  try {
    prepare(hub);
    const env = ownCache({ HF_ENDPOINT: hub.url });
    return await generate(["--model", "some-one/some-model"], { ...options, env });
  } finally {
    await hub.close();
  }
}

const servers: ComposeServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close({ timeoutMilliseconds: 0 })));
});

interface ServeOptions {
  readonly controller?: string;
  readonly port?: number;
  readonly key?: string;
  readonly allowedHosts?: readonly string[];
}

async function serve(options: ServeOptions = {}): Promise<ComposeServer> {
  const { controller = "{}", port = 0, key, allowedHosts } = options;
  const component = "{ type: model, task: text-generation, model: m, action: { prompt: x } }";
  const server = await startServer(loadText(`controller: ${controller}\ncomponent: ${component}\n`), {
    loadModel: new PacedModels().load,
    port,
    environment: new Map(key === undefined ? [] : [["MODEL_COMPOSE_API_KEY", key]]),
    allowedHosts,
  });
  servers.push(server);
  return server;
}

/** The answer to a harmless question: its status and its message. */
async function ask(
  server: ComposeServer,
  headers: CallOptions["headers"],
): Promise<{ status: number; detail: string }> {
  const { status, json } = await call("GET", `${server.url}/workflows`, { headers });
  const { detail = "" } = json as { detail?: string };
  return { status, detail };
}

async function failureOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "nothing failed",
    (error: unknown) => failureText(error, false),
  );
}

/** Ways to make the troubles of the documentation happen, by their titles; each gives what a person then reads. */
const provocations: Readonly<Record<string, () => Promise<string>>> = {
  "Out of memory": () =>
    generate(["--model", tales, "--device", "cpu"], {
      machine: "process.constrainedMemory = () => process.memoryUsage.rss() + 2 ** 20;",
    }),
  "The model is not on the hub": () => fromHub(() => undefined),
  "The model is gated": () =>
    fromHub((hub) => {
      hub.add("some-one/some-model", talesFiles());
      hub.repositories.get("some-one/some-model")!.isGated = true;
    }),
  "There is no network": async () => {
    const hub = await FakeHub.start();
    await hub.close();
    return generate(["--model", "some-one/some-model"], { env: ownCache({ HF_ENDPOINT: hub.url }) });
  },
  "The model is not there": () =>
    generate(["--model", "some-one/some-model"], { env: ownCache({ HF_HUB_OFFLINE: "1" }) }),
  "There is no room for a model": () =>
    fromHub((hub) => hub.add("some-one/some-model", talesFiles()), {
      machine: `import files from "node:fs/promises";
        import { syncBuiltinESMExports } from "node:module";
        files.statfs = async () => ({ bavail: 1000, bsize: 4096 });
        syncBuiltinESMExports();`,
    }),
  "A download broke off": () =>
    fromHub((hub) => {
      hub.fault = () => ({ status: 429, headers: { "retry-after": "3600" } });
    }),
  Slow: async () => {
    const models = new PacedModels();
    models.words = 12;
    const lines: string[] = [];
    // A second of the model is a millisecond here.
    const loadModel: LoadTextModel = async (source, options) => {
      const device = { kind: "wasm" as const, description: "wasm", threads: availableCores() };
      return { ...(await models.load(source, options)), device };
    };
    const load = hintWhenSlow(loadModel, { now: () => performance.now() * 1000 });
    const model = await load("m", { onNotice: (line) => lines.push(line) });
    let text = "";
    for await (const part of model.stream("x", {})) {
      text += part.text;
    }
    expect(text).toContain("w11");
    await model.dispose();
    return lines.join("\n");
  },
  "No GPU is found": () =>
    generate(["--model", tales, "--device", "webgpu"], {
      machine: `const open = process.dlopen;
        process.dlopen = (module, name, ...flags) => {
          if (name.includes("vulkan")) throw new Error(name + ": No such file or directory");
          return open.call(process, module, name, ...flags);
        };`,
    }),
  "Dawn does not load": () =>
    generate(["--model", tales, "--device", "webgpu"], {
      machine: `process.dlopen = (module, name) => {
          if (name.endsWith(".node")) throw new Error(name + ": version GLIBC_2.99 not found");
        };`,
    }),
  "The GPU is out of memory": async () => {
    const gpu = await GpuContext.open({ name: ADAPTER });
    try {
      return await failureOf(gpu.createBuffer("weights", gpu.limits.maxBufferSize + 4, USAGE.STORAGE));
    } finally {
      gpu.destroy();
    }
  },
  "The model does not fit into --gpu-memory": () =>
    generate(["--model", tales, "--device", `webgpu:${ADAPTER}`, "--gpu-memory", "1MB"]),
  "Node is too old": () =>
    generate(["--model", tales], {
      machine: `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.11.0" } });`,
    }),
  "The port is in use": async () => {
    const first = await serve();
    return failureOf(serve({ port: Number(new URL(first.origin).port) }));
  },
  "The API key is refused (401)": async () => (await ask(await serve({ key: "secret" }), {})).detail,
  "A web page is refused (403)": async () =>
    (await ask(await serve(), { origin: "https://app.example.com" })).detail,
  "A name is refused (403)": async () => (await ask(await serve(), { host: "proxy.example.com" })).detail,
};

describe("the documentation tells what is printed", () => {
  test.for(advice)("$title", async ({ title, printed }, { skip }) => {
    const provoke = provocations[title];
    expect(provoke, `how to provoke "${title}"`).toBeDefined();
    skip(title === "No GPU is found" && process.platform !== "linux", "only Linux has a Vulkan loader");
    const text = (await provoke?.()) ?? "";
    expect(text.replaceAll(/\s+/g, " ")).toMatch(printed);
    expect(text).not.toMatch(/^\s+at /m);
  });

  test("of everything that is provoked here", () => {
    expect(advice.map(({ title }) => title).sort()).toEqual(Object.keys(provocations).sort());
  });
});

describe("what the documentation says to do helps", () => {
  const codeOf = (title: string): readonly string[] =>
    advice.find((one: Advice) => one.title === title)?.code ?? [];

  test("a page's origin in the setting that it names", async () => {
    const [origin = "", setting = ""] = codeOf("A web page is refused (403)");
    expect((await ask(await serve(), { origin })).status).toBe(403);
    const [section, key] = setting.split(".");
    expect(section).toBe("controller");
    expect((await ask(await serve({ controller: `{ ${key}: ["${origin}"] }` }), { origin })).status).toBe(
      200,
    );
  });

  test("another name of the server", async () => {
    const host = "proxy.example.com";
    expect((await ask(await serve(), { host })).status).toBe(403);
    expect((await ask(await serve({ allowedHosts: [host] }), { host })).status).toBe(200);
  });

  test("the key in the header, from the variable that it names", async () => {
    expect(codeOf("The API key is refused (401)")).toContain("MODEL_COMPOSE_API_KEY");
    const server = await serve({ key: "secret" });
    expect((await ask(server, { authorization: "Bearer wrong" })).status).toBe(401);
    expect((await ask(server, { authorization: "Bearer secret" })).status).toBe(200);
  });

  test("the variables of the cache: that is where it is looked for", async () => {
    expect(codeOf("The model is not there")).toEqual(expect.arrayContaining(["HF_HOME", "HF_HUB_CACHE"]));
    const [home, hub] = [temporaryDirectory(), temporaryDirectory()];
    const env = ownCache({ HF_HOME: home, HF_HUB_OFFLINE: "1" });
    expect(await generate(["--model", "a/b"], { env })).toContain(path.join(home, "hub"));
    expect(await generate(["--model", "a/b"], { env: { ...env, HF_HUB_CACHE: hub } })).toContain(hub);
  });
});
