import path from "node:path";
import { runningServers, type RunningServer } from "../../registry/running-servers.ts";
import { formatBytes } from "../../base/bytes.ts";
import { alignColumns } from "../../base/text-table.ts";
import type { CommandContext } from "./run.ts";

export interface PsFlags {
  readonly json?: boolean;
}

/** `model-compose ps`: lists the servers of this user. */
export async function ps(flags: PsFlags, { terminal }: CommandContext): Promise<void> {
  const servers = await runningServers();
  if (flags.json === true) {
    await terminal.write(`${JSON.stringify(servers.map(entry), null, 2)}\n`);
  } else if (servers.length === 0) {
    terminal.note("No server runs.");
  } else {
    const head = ["PROJECT", "PID", "STATUS", "RUNS", "MEMORY", "UP", "API", "WEB UI"];
    await terminal.write(`${alignColumns([head, ...servers.map(row)]).join("\n")}\n`);
  }
}

function entry({ registration, info }: RunningServer): object {
  const { name, pid, startedAt, files, url, webUiUrl, log } = registration;
  const { status, progress, running, waiting, memory } = info;
  return {
    name,
    pid,
    status,
    progress,
    running,
    waiting,
    memory,
    started_at: startedAt,
    files,
    url,
    web_ui_url: webUiUrl,
    log,
  };
}

function row({ registration, info }: RunningServer): string[] {
  const { name, files, pid, startedAt, url, webUiUrl } = registration;
  const runs = info.waiting === 0 ? `${info.running}` : `${info.running} (+${info.waiting} waiting)`;
  const project =
    name ?? files.map((file) => path.join(path.basename(path.dirname(file)), path.basename(file)));
  return [
    [project].flat().join(", "),
    `${pid}`,
    info.status === "ok" ? "ready" : info.status.replace("_", " "),
    runs,
    memoryText(info.memory),
    duration((Date.now() - Date.parse(startedAt)) / 1000),
    url,
    webUiUrl ?? "",
  ];
}

/** What models hold, and of how much: `3.10 GB of 8.00 GB`. */
function memoryText(memory: RunningServer["info"]["memory"]): string {
  if (memory === undefined) {
    return "";
  }
  const { held_bytes: held, budget_bytes: budget } = memory;
  return budget === undefined ? formatBytes(held) : `${formatBytes(held)} of ${formatBytes(budget)}`;
}

/** A duration as text: `3d 4h`, `12m`, `5s`; `0s` where the clock has been set back. */
function duration(elapsed: number): string {
  const seconds = Math.max(0, Math.floor(elapsed));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (minutes === 0) {
    return `${seconds}s`;
  }
  if (hours === 0) {
    return `${minutes}m`;
  }
  return hours < 24 ? `${hours}h ${minutes % 60}m` : `${Math.floor(hours / 24)}d ${hours % 24}h`;
}
