import type { ControllerDefinition } from "./definition.ts";
import { defaultLimits, limitNames, type Limits } from "./limits.ts";
import { isText, type MappingReader } from "./mapping-reader.ts";
import type { ProblemList } from "./problems.ts";

const defaults: ControllerDefinition = {
  host: "127.0.0.1",
  port: 8080,
  basePath: "/api",
  origins: "*",
  maxConcurrentCount: 1,
  maxQueueCount: 1024,
  shutdownTimeout: 30_000,
  limits: defaultLimits,
  webui: { host: "127.0.0.1", port: 8081 },
};

/** The adapter's keys, which the older dialect writes directly into `controller`. */
const adapterKeys = ["host", "port", "base_path", "origins", "websocket"];
const httpServer = ["http-server"] as const;

/** Reads `controller:` in either dialect; absent, it serves HTTP on 127.0.0.1:8080 and the UI on 8081. */
export function readController(
  reader: MappingReader | undefined,
  problems: ProblemList,
): ControllerDefinition {
  if (reader === undefined) return defaults;
  const name = reader.freeText("name");
  const maxConcurrentCount = reader.integer("max_concurrent_count", 0) ?? defaults.maxConcurrentCount;
  const maxQueueCount = reader.integer("max_queue_count", 0) ?? defaults.maxQueueCount;
  readRuntime(reader);
  const shutdownTimeout = reader.duration("shutdown_timeout") ?? defaults.shutdownTimeout;
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
  const served = readAdapter(adapter ?? reader);
  if (adapter !== undefined && adapter !== reader) adapter.finish();
  for (const key of inline) reader.withoutEffect(key);

  const webui = reader.mapping("webui", "controller webui");
  const definition: ControllerDefinition = {
    name,
    ...served,
    maxConcurrentCount,
    maxQueueCount,
    shutdownTimeout,
    limits,
    webui: readWebui(webui),
  };
  if (definition.webui?.port === definition.port) {
    problems.invalid(
      `the API and the web UI have the same port ${definition.port}.`,
      (webui ?? reader).firstLine(),
      "Give one of them another port.",
    );
  }
  reader.finish();
  return definition;
}

function readAdapter(
  reader: MappingReader,
): Pick<ControllerDefinition, "host" | "port" | "basePath" | "origins"> {
  reader.choice("type", httpServer, ["mcp-server", "queue-subscriber"]);
  reader.refuse("websocket");
  const isPath = (value: unknown): value is string => isText(value) && /^(\/[^\s?#]*)?$/.test(value);
  return {
    host: reader.text("host") ?? defaults.host,
    port: reader.integer("port", 1, 65_535) ?? defaults.port,
    basePath: reader.literal("base_path", 'a path that begins with "/"', isPath) ?? defaults.basePath,
    origins: reader.text("origins") ?? defaults.origins,
  };
}

/** `limits: { repeat_count: 10 }`: ceilings that are not the defaults. */
function readLimits(reader: MappingReader | undefined): Limits {
  if (reader === undefined) return defaultLimits;
  const given = limitNames.flatMap((name) => {
    const value = reader.integer(name, 1);
    return value === undefined ? [] : [[name, value] as const];
  });
  reader.finish();
  return { ...defaultLimits, ...Object.fromEntries(given) };
}

function readWebui(reader: MappingReader | undefined): ControllerDefinition["webui"] {
  if (reader === undefined) return defaults.webui;
  reader.choice("driver", ["gradio"], ["static", "dynamic"]);
  reader.refuse("static_dir", "server_dir", "command");
  const webui = {
    host: reader.text("host") ?? "127.0.0.1",
    port: reader.integer("port", 1, 65_535) ?? 8081,
  };
  reader.finish();
  return webui;
}

/** `runtime: native`, or a mapping with that type; anything else needs a container or another process. */
export function readRuntime(reader: MappingReader): void {
  const refused = ["docker", "embedded", "process", "virtualenv"];
  const entry = reader.take("runtime");
  if (entry === undefined) return;
  if (entry.value.kind !== "mapping") {
    reader.choiceOf("runtime", entry.value, ["native"], refused);
    return;
  }
  const runtime = reader.mappingOf("runtime", entry.value, `${reader.where} runtime`);
  runtime?.choice("type", ["native"], refused);
  runtime?.finish();
}
