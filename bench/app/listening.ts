/** Measures how long `model-compose up` takes until it listens, from the start of its process. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createConnection, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { workerUrl } from "../../src/runtime/platform/workers.ts";
import type { Progress } from "../harness/progress.ts";
import { summarize, type Summary } from "../harness/statistics.ts";
import { composeText } from "./workflow.ts";

/** Seconds from the start of the process to what each field names. */
export interface Listening {
  /** The end of an empty script, run by Node alone: what no program can do without. */
  emptyScript: Summary;
  /** Both sockets, the API's and the web UI's, take connections. */
  listening: Summary;
  /** The first answer of /health. */
  health: Summary;
  /** The models are loaded: /health says 200. */
  ready: Summary;
}

const PATIENCE_MILLISECONDS = 60_000;
const POLL_MILLISECONDS = 4;

/**
 * Starts the server several times and takes the times.
 *
 * @throws Error when a start does not come that far within a minute
 */
export async function measureListening(starts: number, progress: Progress): Promise<Listening> {
  const folder = await mkdtemp(join(tmpdir(), "model-compose-bench-"));
  try {
    const samples: Start[] = [];
    // The first start reads the program from the disk.
    for (let i = 0; i <= starts; i++) {
      progress.phase(`up: start ${i} of ${starts}`);
      const sample = { emptyScript: await emptyScript(), ...(await start(folder)) };
      if (i > 0) {
        samples.push(sample);
      }
    }
    const of = (name: keyof Start): Summary => summarize(samples.map((sample) => sample[name]));
    return {
      emptyScript: of("emptyScript"),
      listening: of("listening"),
      health: of("health"),
      ready: of("ready"),
    };
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

type Start = Record<keyof Listening, number>;

async function emptyScript(): Promise<number> {
  const begin = performance.now();
  await once(spawn(process.execPath, ["-e", ""], { stdio: "ignore" }), "exit");
  return (performance.now() - begin) / 1000;
}

async function start(folder: string): Promise<Omit<Start, "emptyScript">> {
  const [api, webUi] = await freePorts();
  const file = join(folder, "model-compose.yml");
  await writeFile(file, composeText(1, { api, webUi }));
  const program = workerUrl(import.meta.url, { source: "../../src/cli/entry.ts", bundled: "cli.js" });
  const begin = performance.now();
  const since = (): number => (performance.now() - begin) / 1000;
  const child = spawn(process.execPath, [fileURLToPath(program), "up", "-f", file], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, MODEL_COMPOSE_STATE_DIR: join(folder, "state"), MODEL_COMPOSE_API_KEY: undefined },
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const exit = once(child, "exit");
  const until = async (isSo: () => Promise<boolean>): Promise<number> => {
    while (!(await isSo())) {
      if (child.exitCode !== null) {
        throw new Error(`up ended with ${child.exitCode}: ${said}`);
      }
      if (since() > PATIENCE_MILLISECONDS / 1000) {
        throw new Error(`up did not listen in a minute: ${said}`);
      }
      await sleep(POLL_MILLISECONDS);
    }
    return since();
  };
  try {
    const apiListening = await until(() => connects(api));
    const listening = Math.max(apiListening, await until(() => connects(webUi)));
    const url = `http://127.0.0.1:${api}/api/health`;
    await (await fetch(url)).body?.cancel();
    const health = since();
    const ready = await until(async () => {
      const response = await fetch(url);
      await response.body?.cancel();
      return response.status === 200;
    });
    return { listening, health, ready };
  } finally {
    child.kill();
    await exit;
  }
}

/** Two ports that nobody uses now. */
async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()] as const;
  const open = servers.map(async (server) => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  });
  const [first = 0, second = 0] = await Promise.all(open);
  for (const server of servers) {
    server.close();
  }
  return [first, second];
}

async function connects(port: number): Promise<boolean> {
  const socket = createConnection(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
