/** Reads when a component's model is in memory: `preload` and `on_demand`. */
import type { OnDemand } from "./definition.ts";
import type { MappingReader } from "./mapping-reader.ts";

/** How long a model stays that nobody uses. */
const IDLE_TIMEOUT = 300_000;

/** When a model is loaded, and whether it goes again. */
export interface Presence {
  readonly preload: boolean;
  readonly onDemand?: OnDemand;
}

/** A model on demand is loaded at its first call, unless the file says that a server loads it when it starts. */
export function readPresence(reader: MappingReader): Presence {
  const onDemand = readOnDemand(reader);
  const preload = reader.flag("preload") ?? onDemand === undefined;
  return { preload, ...(onDemand && { onDemand }) };
}

function readOnDemand(reader: MappingReader): OnDemand | undefined {
  const isMapping = reader.take("on_demand")?.value.kind === "mapping";
  if (!isMapping) {
    return reader.flag("on_demand") === true ? { idleTimeout: IDLE_TIMEOUT, priority: 0 } : undefined;
  }
  const mapping = reader.mapping("on_demand", `${reader.where} on_demand`);
  if (mapping === undefined) {
    return undefined;
  }
  const idleTimeout = mapping.duration("idle_timeout") ?? IDLE_TIMEOUT;
  const priority = mapping.integer("priority", -1_000_000, 1_000_000) ?? 0;
  mapping.finish();
  return { idleTimeout, priority };
}
