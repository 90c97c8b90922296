import path from "node:path";
import { parseBytes } from "../../base/bytes.ts";
import { DEFAULT_CONCURRENCY } from "../../runtime/more-slots.ts";
import type { ControllerDefinition } from "./definition.ts";
import { defaultLimits, limitNames, type Limits } from "./limits.ts";
import { isText, type MappingReader } from "./mapping-reader.ts";
import type { ProblemList } from "../source/problems.ts";

const defaults: ControllerDefinition = {
  host: "127.0.0.1",
  port: 8080,
  basePath: "/api",
  origins: [],
  maxBodyBytes: 1_000_000,
  maxKeptBytes: 128_000_000,
  whileLoading: "wait",
  maxConcurrentCount: DEFAULT_CONCURRENCY,
  maxQueueCount: 1024,
  shutdownTimeout: 30_000,
  limits: defaultLimits,
  webui: { host: "127.0.0.1", port: 8081 },
};

/** The adapter's keys, which the older dialect writes directly into `controller`. */
const adapterKeys = [
  "host",
  "port",
  "base_path",
  "origins",
  "max_body_size",
  "api_key",
  "api_key_file",
  "websocket",
];
const httpServer = ["http-server"] as const;

/** Reads `controller:` in either dialect; absent, it serves HTTP on 127.0.0.1:8080 and the UI on 8081. */
export function readController(
  reader: MappingReader | undefined,
  problems: ProblemList,
): ControllerDefinition {
  if (reader === undefined) {
    return defaults;
  }
  const name = reader.freeText("name");
  const maxConcurrentCount = reader.integer("max_concurrent_count", 0) ?? defaults.maxConcurrentCount;
  const maxQueueCount = reader.integer("max_queue_count", 0) ?? defaults.maxQueueCount;
  const maxKeptBytes = readSize(reader, "max_kept_size") ?? defaults.maxKeptBytes;
  const memoryBudget = readSize(reader, "memory_budget");
  readRuntime(reader);
  const shutdownTimeout = reader.duration("shutdown_timeout") ?? defaults.shutdownTimeout;
  const whileLoading = reader.choice("while_loading", ["wait", "refuse"]) ?? defaults.whileLoading;
  const limits = readLimits(reader.mapping("limits", "controller limits"));
  reader.withoutEffect("threaded", "shutdown_pending_period");
  reader.refuse("queue");

  const adapters = reader.oneOrMany("adapter", "adapters");
  const inline = ["type", ...adapterKeys].filter((key) => reader.has(key));
  if (adapters.length > 0 && inline.length > 0) {
    const entry = inline[0] === undefined ? undefined : reader.take(inline[0]);
    problems.invalid(
      `${reader.where} has "${inline.join('", "')}" beside its adapter.`,
      entry?.key ?? reader.firstLine(),
      "Move it into the adapter, or remove the adapter.",
    );
  }
  const [only, second] = adapters;
  if (second !== undefined) {
    problems.unsupported(`${reader.where} has more than one adapter.`, second.node.location, "Keep one.");
  }
  const adapter = only === undefined ? reader : reader.mappingOf(only.key, only.node, "controller adapter");
  const served = readAdapter(adapter ?? reader, problems);
  if (adapter !== undefined && adapter !== reader) {
    adapter.finish();
  }
  for (const key of inline) {
    reader.withoutEffect(key);
  }

  const webui = reader.mapping("webui", "controller webui");
  const definition: ControllerDefinition = {
    name,
    ...served,
    maxConcurrentCount,
    maxQueueCount,
    maxKeptBytes,
    ...(memoryBudget !== undefined && { memoryBudget }),
    shutdownTimeout,
    whileLoading,
    limits,
    webui: readWebui(webui),
  };
  if (definition.webui?.port === definition.port) {
    const port = webui?.take("port") ?? (adapter ?? reader).take("port");
    problems.invalid(
      `the API and the web UI have the same port ${definition.port}.`,
      port?.value.location ?? reader.firstLine(),
      "Give one of them another port.",
    );
  }
  reader.finish();
  return definition;
}

type Served = Pick<
  ControllerDefinition,
  "host" | "port" | "basePath" | "origins" | "maxBodyBytes" | "apiKey" | "apiKeyFile"
>;

function readAdapter(reader: MappingReader, problems: ProblemList): Served {
  reader.choice("type", httpServer, ["mcp-server", "queue-subscriber"]);
  reader.refuse("websocket");
  const isPath = (value: unknown): value is string => isText(value) && /^(\/[^\s?#]*)?$/.test(value);
  return {
    host: reader.text("host") ?? defaults.host,
    port: reader.integer("port", 1, 65_535) ?? defaults.port,
    basePath: reader.literal("base_path", 'a path that begins with "/"', isPath) ?? defaults.basePath,
    origins: readOrigins(reader),
    maxBodyBytes: readSize(reader, "max_body_size") ?? defaults.maxBodyBytes,
    ...readApiKey(reader, problems),
  };
}

/** Reads the origins: one, several behind commas, or a list; `*` is any. */
function readOrigins(reader: MappingReader): readonly string[] {
  const isOrigin = (text: string): boolean => text === "*" || URL.parse(text)?.origin === text;
  const listOf = (value: unknown): unknown[] =>
    typeof value === "string"
      ? value.split(",").map((text) => text.trim())
      : Array.isArray(value)
        ? value
        : [];
  const isOrigins = (value: unknown): value is string | string[] => {
    const list = listOf(value);
    return list.length > 0 && list.every((text) => isText(text) && isOrigin(text));
  };
  const expected = 'origins such as https://example.com:8443, or "*"';
  return listOf(reader.literal("origins", expected, isOrigins)).filter(isText);
}

function readSize(reader: MappingReader, key: string): number | undefined {
  const isSize = (value: unknown): value is unknown => bytesOf(value) !== undefined;
  return bytesOf(reader.literal(key, "a number of bytes, or a text such as 500KB, 1MB or 8GB", isSize));
}

function readApiKey(reader: MappingReader, problems: ProblemList): Pick<Served, "apiKey" | "apiKeyFile"> {
  const isKey = (value: unknown): value is string => isText(value) && value.trim() !== "";
  const apiKey = reader.literal("api_key", "a text that is not empty", isKey);
  const entry = reader.take("api_key_file");
  const file = reader.literal("api_key_file", "the name of a file", isKey);
  if (entry === undefined || file === undefined) {
    return { apiKey };
  }
  if (apiKey !== undefined) {
    problems.invalid(
      `${reader.where} has both "api_key" and "api_key_file".`,
      entry.key,
      "Keep one of them.",
    );
  }
  return { apiKey, apiKeyFile: path.resolve(path.dirname(entry.key.file.path), file) };
}

/** Reads `limits: { repeat_count: 10 }`: the ceilings that it names, and the defaults of the others. */
function readLimits(reader: MappingReader | undefined): Limits {
  if (reader === undefined) {
    return defaultLimits;
  }
  const given = limitNames.flatMap((name) => {
    const value = reader.integer(name, 1);
    return value === undefined ? [] : [[name, value] as const];
  });
  reader.finish();
  return { ...defaultLimits, ...Object.fromEntries(given) };
}

function readWebui(reader: MappingReader | undefined): ControllerDefinition["webui"] {
  if (reader === undefined) {
    return defaults.webui;
  }
  reader.choice("driver", ["gradio"], ["static", "dynamic"]);
  reader.refuse("static_dir", "server_dir", "command");
  const webui = {
    host: reader.text("host") ?? "127.0.0.1",
    port: reader.integer("port", 1, 65_535) ?? 8081,
  };
  reader.finish();
  return webui;
}

/** Reads `runtime: native`, or a mapping with that type; anything else needs a container or another process. */
export function readRuntime(reader: MappingReader): void {
  const refused = ["docker", "embedded", "process", "virtualenv"];
  const entry = reader.take("runtime");
  if (entry === undefined) {
    return;
  }
  if (entry.value.kind !== "mapping") {
    reader.choiceOf("runtime", entry.value, ["native"], refused);
    return;
  }
  const runtime = reader.mappingOf("runtime", entry.value, `${reader.where} runtime`);
  runtime?.choice("type", ["native"], refused);
  runtime?.finish();
}

/** The bytes of a size that YAML reads as a number or as a text; undefined for a part of a byte, which is a mistake. */
function bytesOf(value: unknown): number | undefined {
  if (typeof value === "number") {
    return Number.isSafeInteger(value) && value >= 1 ? value : undefined;
  }
  return typeof value === "string" ? parseBytes(value) : undefined;
}
