/** What the application's benchmark measured, beside what was aimed at; for people and for scripts. */
import { machineJson, machineText, type Machine } from "../harness/machine.ts";
import type { Summary } from "../harness/statistics.ts";
import { alignColumns } from "../../src/base/text-table.ts";
import type { Health } from "./health.ts";
import type { HttpOverhead } from "./http-overhead.ts";
import type { Listening } from "./listening.ts";
import type { QueueMemory } from "./queue-memory.ts";

/** All that the benchmark measured, and with which options. */
export interface AppResult {
  machine: Machine;
  runs: number;
  tokens: number;
  threads: number;
  starts: number;
  http: HttpOverhead;
  queue: QueueMemory;
  health: Health;
  /** Bytes of all files of the web UI's page as they are sent. */
  pageBytes: number;
  up: Listening;
}

/** What each figure may be at most, in its own unit. */
export const TARGETS = {
  http_overhead_ms: 3,
  queue_memory_bytes: 200e6,
  health_ms: 50,
  page_bytes_gzipped: 150e3,
  listening_seconds: 0.5,
} as const;

/** The figures that have a target, by its name. */
function aimed({ http, queue, health, pageBytes, up }: AppResult): Record<keyof typeof TARGETS, number> {
  return {
    http_overhead_ms: http.overhead.median,
    queue_memory_bytes: queue.queuedRssBytes - queue.idleRssBytes,
    // The longest: nobody is to wait.
    health_ms: health.milliseconds.max,
    page_bytes_gzipped: pageBytes,
    listening_seconds: up.listening.median,
  };
}

/** Names of the targets that were missed. */
export function missedTargets(result: AppResult): string[] {
  return Object.entries(aimed(result)).flatMap(([name, value]) =>
    value <= TARGETS[name as keyof typeof TARGETS] ? [] : [name],
  );
}

export function toAppJson(result: AppResult): Record<string, unknown> {
  const { machine, runs, tokens, threads, starts, http, queue, up } = result;
  return {
    ...machineJson(machine),
    runs,
    tokens,
    threads,
    ...spread("library_ms", http.library),
    ...spread("http_ms", http.http),
    ...spread("http_overhead_ms", http.overhead),
    queued_runs: queue.queued,
    idle_rss_bytes: queue.idleRssBytes,
    queued_rss_bytes: queue.queuedRssBytes,
    queue_heap_bytes: queue.heapBytes,
    queue_memory_bytes: aimed(result).queue_memory_bytes,
    long_prompts: result.health.prompts,
    ...spread("health_ms", result.health.milliseconds),
    page_bytes_gzipped: result.pageBytes,
    starts,
    ...spread("empty_script_seconds", up.emptyScript),
    ...spread("listening_seconds", up.listening),
    ...spread("first_health_seconds", up.health),
    ...spread("ready_seconds", up.ready),
    targets: TARGETS,
    missed_targets: missedTargets(result),
  };
}

function spread(name: string, { median, min, max }: Summary): Record<string, number> {
  return { [name]: median, [`${name}_min`]: min, [`${name}_max`]: max };
}

type Format = (value: number) => string;

const milliseconds: Format = (value) => `${value.toFixed(2)} ms`;
const seconds: Format = (value) => `${value.toFixed(3)} s`;
const megabytes: Format = (value) => `${(value / 1e6).toFixed(1)} MB`;
const kilobytes: Format = (value) => `${(value / 1e3).toFixed(1)} KB`;

/** The result as a table. Columns: what, median, min to max, and the target or what the figure is of. */
export function toAppTable(result: AppResult): string {
  const { machine, runs, tokens, threads, starts, http, queue, up } = result;
  const figures = aimed(result);
  const target = (name: keyof typeof TARGETS, format: Format): string =>
    `target ${format(TARGETS[name])}: ${figures[name] <= TARGETS[name] ? "met" : "MISSED"}`;
  const row = (name: string, summary: Summary, format: Format, note = ""): string[] => [
    name,
    format(summary.median),
    `${format(summary.min)} to ${format(summary.max)}`,
    note,
  ];
  const single = (name: string, text: string, note = ""): string[] => [name, text, "", note];
  const rows = [
    ["", "median", "min to max", ""],
    row(
      "library call",
      http.library,
      milliseconds,
      `${tokens} tokens, ${threads} ${threads === 1 ? "thread" : "threads"}, ${runs} times`,
    ),
    row("run over HTTP", http.http, milliseconds),
    row("HTTP overhead", http.overhead, milliseconds, target("http_overhead_ms", milliseconds)),
    single("idle server", megabytes(queue.idleRssBytes), "RSS"),
    single(
      `${queue.queued} queued runs`,
      `+ ${megabytes(figures.queue_memory_bytes)}`,
      `${target("queue_memory_bytes", megabytes)}; V8's heap + ${megabytes(queue.heapBytes)}`,
    ),
    row(
      "/health meanwhile",
      result.health.milliseconds,
      milliseconds,
      `${result.health.prompts} prompts of 900 kB; ${target("health_ms", milliseconds)}, of the longest`,
    ),
    single("web UI, gzipped", kilobytes(result.pageBytes), target("page_bytes_gzipped", kilobytes)),
    row("Node, empty script", up.emptyScript, seconds, `${starts} times`),
    row("up listens", up.listening, seconds, target("listening_seconds", seconds)),
    row("up answers /health", up.health, seconds),
    row("up is ready", up.ready, seconds),
  ];
  return [machineText(machine), "", ...alignColumns(rows)].join("\n");
}
