import { execFile, type ExecFileException } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readAppFlags } from "../bench/app/flags.ts";
import { missedTargets, TARGETS, toAppJson, toAppTable, type AppResult } from "../bench/app/result.ts";

const SCRIPT = join(import.meta.dirname, "../bench/app/bench-app.ts");

function bench(...args: string[]): Promise<{ code: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [SCRIPT, ...args], (error: ExecFileException | null, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr });
    });
  });
}

const spread = (median: number) => ({ median, min: median / 2, max: median * 2 });

const result: AppResult = {
  machine: { cpuModel: "a CPU", cores: 2, platform: "linux x64", nodeVersion: "24.0.0", version: "0.1.0" },
  runs: 7,
  tokens: 5,
  threads: 1,
  starts: 3,
  http: { library: spread(8), http: spread(10), overhead: spread(TARGETS.http_overhead_ms) },
  queue: { queued: 1000, idleRssBytes: 100e6, queuedRssBytes: 300e6 + 1, heapBytes: 40e6 },
  health: { prompts: 10, milliseconds: { median: 2, min: 1, max: 50.1 } },
  pageBytes: 149_999,
  up: { emptyScript: spread(0.05), listening: spread(0.51), health: spread(0.6), ready: spread(0.9) },
};

test("a figure that is its target meets it; one beyond is named, for scripts and for people", () => {
  expect(missedTargets(result)).toEqual(["queue_memory_bytes", "health_ms", "listening_seconds"]);
  expect(toAppJson(result)).toMatchObject({
    http_overhead_ms: 3,
    http_overhead_ms_min: 1.5,
    queue_memory_bytes: 200e6 + 1,
    health_ms_max: 50.1,
    missed_targets: ["queue_memory_bytes", "health_ms", "listening_seconds"],
  });
  const table = toAppTable(result);
  expect(table).toMatch(/^HTTP overhead +3\.00 ms +1\.50 ms to 6\.00 ms +target 3\.00 ms: met$/m);
  expect(table).toMatch(/^1000 queued runs +\+ 200\.0 MB +target 200\.0 MB: MISSED; V8's heap \+ 40\.0 MB$/m);
  expect(table).toMatch(/^\/health meanwhile +2\.00 ms .* target 50\.00 ms: MISSED, of the longest$/m);
  expect(table).toMatch(/^web UI, gzipped +150\.0 KB +target 150\.0 KB: met$/m);
  expect(table).toMatch(/^up listens +0\.510 s .* target 0\.500 s: MISSED$/m);
});

describe("flags", () => {
  test("defaults are what the targets are about", () => {
    expect(readAppFlags([])).toEqual({
      runs: 300,
      tokens: 32,
      threads: 1,
      queued: 1000,
      starts: 5,
      json: false,
    });
    expect(readAppFlags(["--help"])).toBeUndefined();
  });

  test.each([
    ["--runs 0", '--runs must be an integer from 1 to 100000; found "0"'],
    ["--queued 1025", '--queued must be an integer from 1 to 1024; found "1025"'],
    ["--tokens 1e2", '--tokens must be an integer from 1 to 512; found "1e2"'],
    ["--run 3", "--run"],
  ])("%s is refused", (line, message) => {
    expect(() => readAppFlags(line.split(" "))).toThrow(
      expect.objectContaining({ code: "usage", message: expect.stringContaining(message) as string }),
    );
  });
});

describe("bench:app, as it is run", () => {
  test("one JSON object: the server gives the library's text, runs wait, up listens", async () => {
    const flags = ["--runs", "4", "--tokens", "6", "--queued", "130", "--starts", "1", "--json"];
    const { code, stdout, stderr } = await bench(...flags);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const figures = JSON.parse(stdout) as Record<string, number>;
    for (const name of ["library_ms", "http_ms", "empty_script_seconds", "listening_seconds"]) {
      expect(figures[`${name}_min`], name).toBeGreaterThan(0);
      expect(figures[`${name}_min`], name).toBeLessThanOrEqual(figures[name]);
      expect(figures[name], name).toBeLessThanOrEqual(figures[`${name}_max`]);
    }
    expect(figures).toMatchObject({
      runs: 4,
      tokens: 6,
      threads: 1,
      queued_runs: 130,
      starts: 1,
      targets: TARGETS,
    });
    expect(figures["first_health_seconds"]).toBeGreaterThanOrEqual(figures["listening_seconds"]);
    expect(figures["ready_seconds"]).toBeGreaterThanOrEqual(figures["first_health_seconds"]);
    // Each waiting run holds a prompt of 2,000 characters and a connection.
    expect(figures["queue_heap_bytes"]).toBeGreaterThan(130 * 2000);
    expect(figures["idle_rss_bytes"]).toBeGreaterThan(10e6);
    expect(figures["queue_memory_bytes"]).toBeLessThan(TARGETS.queue_memory_bytes);
    expect(figures["health_ms_min"]).toBeGreaterThan(0);
    expect(figures["health_ms_max"]).toBeGreaterThanOrEqual(figures["health_ms"]);
    expect(figures["page_bytes_gzipped"]).toBeGreaterThan(1000);
    expect(figures["page_bytes_gzipped"]).toBeLessThan(TARGETS.page_bytes_gzipped);
  });

  test("a wrong flag: one line, exit code 2, no stack", async () => {
    const { code, stdout, stderr } = await bench("--queue", "5");
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("--queue");
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  test("--help", async () => {
    expect(await bench("--help")).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("--queued N") as string,
    });
  });
});
