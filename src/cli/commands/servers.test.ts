/** The commands around servers that run: each server here is a control server of this process. */
import { appendFileSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { loadText } from "../../../test/support/compose.ts";
import { until } from "../../../test/support/http.ts";
import { temporaryDirectory } from "../../../test/support/model-files.ts";
import { PacedModels } from "../../../test/support/paced-models.ts";
import { ModelHost } from "../../compose/model-host.ts";
import { startControl, type Control } from "../../registry/control-server.ts";
import { logFile } from "../../registry/launch.ts";
import { register, type Registration } from "../../registry/registration.ts";
import * as servers from "../../registry/running-servers.ts";
import { WorkflowService } from "../../server/service.ts";
import { failureText, statisticsLine } from "../report.ts";
import { snakeCase } from "../snake-case.ts";
import { Terminal } from "../terminal.ts";
import { down } from "./down.ts";
import { logs } from "./logs.ts";
import { ps } from "./ps.ts";
import type { CommandContext } from "./run.ts";
import { stop } from "./stop.ts";

const YAML = `controller: { max_concurrent_count: 1 }
component: { type: model, task: text-generation, model: a/b, prompt: "\${input.prompt}" }
`;

let file = "";
const controls: Control[] = [];
beforeEach(() => {
  vi.stubEnv("MODEL_COMPOSE_STATE_DIR", temporaryDirectory());
  file = join(temporaryDirectory(), "model-compose.yml");
  writeFileSync(file, YAML);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  controls.splice(0).forEach((control) => control.unref());
});

interface Screen extends CommandContext {
  readonly out: string[];
  readonly notes: string[];
  readonly ending: AbortController;
}

function screen(): Screen {
  const terminal = new Terminal();
  // Each listens to the streams of the process, which has one as a rule.
  process.stdout.removeAllListeners("error");
  process.stderr.removeAllListeners("error");
  const out: string[] = [];
  const notes: string[] = [];
  vi.spyOn(terminal, "write").mockImplementation((text) => {
    out.push(text);
    return Promise.resolve();
  });
  vi.spyOn(terminal, "note").mockImplementation((line) => void notes.push(line));
  const ending = new AbortController();
  return { terminal, signal: ending.signal, loadModel: new PacedModels().load, out, notes, ending };
}

/** Starts a server, with `runs` runs of which one is at work. */
async function start(more: Partial<Registration> = {}, runs = 0): Promise<WorkflowService> {
  const models = new PacedModels();
  models.words = 100_000;
  const service = new WorkflowService(loadText(YAML), new ModelHost(models.load));
  const control = await startControl(service, () => undefined);
  controls.push(control);
  await service.load(new AbortController().signal);
  for (let i = 0; i < runs; i++) {
    service.start({ workflow: "__default__", input: { prompt: "x" } });
  }
  await until("the first is at work", () => runs === 0 || models.written > 0);
  await register({
    id: control.id,
    version: "1",
    pid: 4242,
    startedAt: new Date(Date.now() - 5000).toISOString(),
    files: [file],
    definitionHash: "",
    overrides: "{}",
    url: "http://127.0.0.1:8080/api",
    shutdownMilliseconds: 29_500,
    controlPort: control.port,
    token: control.token,
    ...more,
  });
  return service;
}

describe("ps", () => {
  const ago = (seconds: number): string => new Date(Date.now() - seconds * 1000).toISOString();

  test("says that none runs", async () => {
    const shown = screen();
    await ps({}, shown);
    expect([shown.out, shown.notes]).toEqual([[], ["No server runs."]]);
    await ps({ json: true }, shown);
    expect(shown.out).toEqual(["[]\n"]);
  });

  test("lists each with its project, state, runs and age", async () => {
    await start({ startedAt: ago(3 * 86_400 + 4 * 3600 + 60), name: "stories" }, 3);
    await start({ startedAt: ago(2 * 3600 + 5 * 60 + 1), files: ["/p/one/a.yml", "/p/two/b.yml"] });
    await start({ startedAt: ago(12 * 60 + 1), webUiUrl: "http://127.0.0.1:8081" });
    await start({ startedAt: ago(59) });
    await start({ startedAt: ago(-60) });
    const shown = screen();
    await ps({}, shown);
    const [head, ...rows] = shown.out.join("").trimEnd().split("\n");
    expect(head?.split(/\s{2,}/)).toEqual([
      "PROJECT",
      "PID",
      "STATUS",
      "RUNS",
      "MEMORY",
      "UP",
      "API",
      "WEB UI",
    ]);
    const cells = rows.map((row) => row.trimEnd().split(/\s{2,}/));
    expect(cells[0]).toEqual([
      "stories",
      "4242",
      "ready",
      "1 (+2 waiting)",
      "0 bytes",
      "3d 4h",
      "http://127.0.0.1:8080/api",
    ]);
    expect(cells[1]?.[0]).toBe("one/a.yml, two/b.yml");
    expect(cells.map((cell) => cell[5])).toEqual([
      "3d 4h",
      "2h 5m",
      "12m",
      expect.stringMatching(/^59s|1m$/),
      "0s",
    ]);
    expect(cells[2]?.[7]).toBe("http://127.0.0.1:8081");
    expect(cells[1]?.[3]).toBe("0");
  });

  test("--json has the same under the API's names", async () => {
    await start({ name: "stories", webUiUrl: "http://127.0.0.1:8081" }, 1);
    const shown = screen();
    await ps({ json: true }, shown);
    expect(JSON.parse(shown.out.join(""))).toMatchObject([
      {
        name: "stories",
        pid: 4242,
        running: 1,
        waiting: 0,
        files: [file],
        url: "http://127.0.0.1:8080/api",
        web_ui_url: "http://127.0.0.1:8081",
        started_at: expect.any(String) as string,
      },
    ]);
  });
});

describe("stop", () => {
  const flags = (): { file: string[] } => ({ file: [file] });

  test("says that no server of the project runs", async () => {
    await start({ files: ["/elsewhere/model-compose.yml"] });
    const shown = screen();
    await stop(flags(), shown);
    expect(shown.notes).toEqual(["No server of this project runs."]);
  });

  test.each<[number, unknown[], boolean, number]>([
    [0, [], false, 69_500],
    [1, [expect.stringContaining("ends when its run has, in 30 s at the latest")], false, 69_500],
    [3, [expect.stringContaining("ends when its 3 runs have, in 30 s at the latest")], false, 69_500],
    [3, [], true, 40_000],
  ])("with %d runs says what is waited for: %j (now: %s)", async (runs, notes, now, timeoutMilliseconds) => {
    await start({}, runs);
    const shown = screen();
    const stopServer = vi.spyOn(servers, "stopServer").mockResolvedValue(false);
    await stop({ ...flags(), now }, shown);
    expect(stopServer.mock.calls.map(([, options]) => options)).toEqual([
      { signal: shown.signal, now, timeoutMilliseconds },
    ]);
    expect(shown.notes).toEqual([...notes, "The server at http://127.0.0.1:8080/api has ended."]);
  });
});

describe("the log of a project", () => {
  const flags = (): { file: string[] } => ({ file: [file] });
  const shown = async (more: { tail?: number } = {}): Promise<string> => {
    const on = screen();
    await logs({ ...flags(), ...more }, on);
    return on.out.join("");
  };

  test("that is not there", async () => {
    await expect(logs(flags(), screen())).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining("There is no log of this project.") as string,
    });
  });

  test("is shown whole, or its last lines", async () => {
    const lines = Array.from({ length: 20_000 }, (_, i) => `line ${i} ä\n`);
    writeFileSync(await logFile([file]), lines.join(""));
    expect(await shown()).toBe(lines.join(""));
    for (const tail of [1, 2, 8000, 19_999, 20_000, 30_000]) {
      expect(await shown({ tail }), String(tail)).toBe(lines.slice(-tail).join(""));
    }
    writeFileSync(await logFile([file]), "one\ntwo");
    expect(await shown({ tail: 1 })).toBe("two");
    expect(await shown({ tail: 2 })).toBe("one\ntwo");
  });

  test("is followed, also by a new server's, until the one who follows has enough", async () => {
    const log = await logFile([file]);
    writeFileSync(log, "first\n");
    const on = screen();
    const followed = logs({ ...flags(), follow: true }, on);
    const ended = expect(followed).rejects.toMatchObject({ code: "aborted" });
    await until("it is shown", () => on.out.join("") === "first\n");
    appendFileSync(log, "second\n");
    await until("more is shown", () => on.out.join("") === "first\nsecond\n");
    writeFileSync(log, "anew\n");
    await until("the new one is shown", () => on.out.join("") === "first\nsecond\nanew\n");
    on.ending.abort();
    await ended;
  });

  test("goes with down, whether a server runs or not", async () => {
    const log = await logFile([file]);
    writeFileSync(log, "x");
    const on = screen();
    await down(flags(), on);
    expect(on.notes).toEqual(["No server of this project runs."]);
    expect(existsSync(log)).toBe(false);
    await down(flags(), on);
  });
});

test("what a run took, in a line", () => {
  const text = (completionTokens: number, decodeSeconds: number): never =>
    ({ usage: { completionTokens }, timings: { decodeSeconds } }) as never;
  expect(statisticsLine([text(11, 2)], "wasm")).toBe("11 tokens, 5.0 tokens/s, wasm");
  expect(statisticsLine([text(11, 2), text(3, 2)], "wasm")).toBe("14 tokens, 3.0 tokens/s, wasm");
  expect(statisticsLine([text(1, 2)], "wasm")).toBe("1 tokens, 0.0 tokens/s, wasm");
  expect(statisticsLine([text(5, 0)], "wasm")).toBe("5 tokens, 0.0 tokens/s, wasm");
});

test("a failure is told without its stack, and with all that is known where that is asked for", () => {
  const cause = new AggregateError([new Error("one"), new Error("two")], "both");
  const error = new Error("outer", { cause });
  expect(failureText(error, false)).toBe("outer (This is a fault in model-compose; --verbose shows where.)");
  const told = failureText(error, true);
  expect(told).toMatch(/^Error: outer\n\s+at /);
  expect(told).toMatch(/\nCaused by: AggregateError: both\n/);
  expect(told).toContain("One of them: one\nOne of them: two");
  const circle = new Error("circle");
  circle.cause = circle;
  expect(failureText(circle, true).match(/circle/g)).toHaveLength(8);
  expect(failureText(new Error("a", { cause: "b" }), true)).toMatch(/\nCaused by: b$/);
});

test("names in JSON are the API's", () => {
  expect(snakeCase([{ newText: 1, aBC: { innerKey: [null, { xY: "keptAsIs" }] } }])).toEqual([
    { new_text: 1, a_b_c: { inner_key: [null, { x_y: "keptAsIs" }] } },
  ]);
});
