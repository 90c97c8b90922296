/** A server as a process, and clients that send it requests of the largest size. */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { call, until } from "./http.ts";
import { temporaryDirectory } from "./model-files.ts";

const root = path.resolve(import.meta.dirname, "../..");
const AT_ONCE = 16;
/** Of the requests, and so of what would have to be kept: 2 GB as text, and several times as much as objects. */
const BODY_BYTES = 990_000;

const yaml = `controller: { max_concurrent_count: 0 }
workflows:
  - id: waits
    default: true
    jobs:
      - { id: pause, type: delay, duration: 1h, output: "\${input}" }
  - id: refuses
    jobs:
      - { id: pause, type: delay, duration: 1ms, output: { all: "\${input}", count: "\${input.count as integer}" } }
`;

/** The process's largest and present resident set, in bytes, where the system tells. */
function residentBytes(pid: number): number {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1]) * 1024;
}

/** What came of a flood. */
export interface Flood {
  /** Number of answers by their status. */
  readonly statuses: ReadonlyMap<number, number>;
  /** The largest resident set of the server, in bytes. */
  readonly peakBytes: number;
  /** The status of `/health` afterwards, and the length of the list of tasks. */
  readonly health: number;
  readonly listLength: number;
}

/** Starts a server, sends it so many requests of 990 kB to workflows whose runs go on, or fail at once, and ends it. */
export async function flood(requests: number): Promise<Flood> {
  const folder = temporaryDirectory();
  writeFileSync(path.join(folder, "model-compose.yml"), yaml);
  const child = spawn(process.execPath, [path.join(root, "dist", "cli.js"), "up", "--no-ui", "--port", "0"], {
    cwd: folder,
    env: { ...process.env, NO_COLOR: "1", MODEL_COMPOSE_STATE_DIR: folder },
    stdio: ["ignore", "ignore", "pipe"],
  });
  try {
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    await until("the server listens", () => /API +http/.test(stderr));
    const url = /API +(http\S+)/.exec(stderr)?.[1] ?? "";

    // Many small objects take ten times their text.
    const items = "[[],{}],".repeat(Math.floor(BODY_BYTES / 2 / 8));
    const text = "x".repeat(BODY_BYTES / 2 - 200);
    const input = `{"text":"${text}","count":"many","items":[${items}0]}`;
    const bodies = ["waits", "refuses"].map(
      (id) => `{"workflow_id":"${id}","wait_for_completion":false,"input":${input}}`,
    );
    const statuses = new Map<number, number>();
    let next = 0;
    const client = async (): Promise<void> => {
      while (next < requests) {
        const { status } = await call("POST", `${url}/workflows/runs`, { body: bodies[next++ % 2] });
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, client));
    const peakBytes = residentBytes(child.pid ?? 0);
    const { status } = await call("GET", `${url}/health`);
    const list = await call("GET", `${url}/tasks?limit=1000`);
    return { statuses, peakBytes, health: status, listLength: list.text.length };
  } finally {
    child.kill("SIGKILL");
  }
}
