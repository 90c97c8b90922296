/** Options of loadModel: what a caller may ask of the runtime, of the hub, and of the model itself. */
import { inspect } from "node:util";
import { ModelComposeError } from "../base/errors.ts";
import { nearestName } from "../base/nearest-name.ts";
import type { Architecture } from "../runtime/generation/types.ts";
import {
  resolveRuntimeOptions,
  RUNTIME_OPTION_NAMES,
  type ResolvedLoad,
  type RuntimeOptions,
} from "../runtime/load-options.ts";
import { checkHubOptions, HUB_OPTION_NAMES, type HubOptions } from "./hub/options.ts";

/** What loading reports. `done` and `total` are bytes for "download" and "weights", fractions of 1 otherwise. */
export interface LoadProgress {
  /** What is being done; "memory" is a wait for other models of a compose file, whose memory is needed. */
  stage: "config" | "download" | "memory" | "tokenizer" | "weights" | "compile" | "ready";
  /** How much of it is done. */
  done: number;
  /** How much there is. */
  total: number;
}

/** How loading is followed and ended. */
export interface LoadReports {
  /** Called while the model is loaded, a few times a second. */
  onProgress?: (progress: LoadProgress) => void;
  /** Called with lines that a person should see: device chosen, context length, memory. Default: nobody is told. */
  onNotice?: (line: string) => void;
  /** Called with what helps to find out why: what drivers wrote while no GPU was found. Default: nobody is told. */
  onDetail?: (line: string) => void;
  /** Ends loading; the call rejects with an AbortError. */
  signal?: AbortSignal;
}

/** What the model is loaded for; one that will not do is refused before its weights are read. */
export interface ModelRequirements {
  /** The architecture that the model must have. Default: any. */
  architecture?: Architecture;
  /** The family that the model must be of, by the name that config.json has as model_type, such as "bart". Default: any. */
  family?: string;
  /** Whether the model will answer conversations, and so must have a chat template. Default false. */
  chat?: boolean;
}

/** The options of loadModel. */
export interface LoadOptions extends RuntimeOptions, ModelRequirements, HubOptions, LoadReports {}

/** The checked options that loading goes by; those of the hub and the reports are used as they were given. */
export interface ResolvedLoadOptions extends ResolvedLoad {
  architecture: Architecture | undefined;
  family: string | undefined;
  chat: boolean;
}

const REQUIREMENT_NAMES: Readonly<Record<keyof ModelRequirements, true>> = {
  architecture: true,
  family: true,
  chat: true,
};
const REPORT_NAMES: Readonly<Record<keyof LoadReports, true>> = {
  onProgress: true,
  onNotice: true,
  onDetail: true,
  signal: true,
};

const OPTION_NAMES: readonly string[] = [
  ...RUNTIME_OPTION_NAMES,
  ...Object.keys(REQUIREMENT_NAMES),
  ...HUB_OPTION_NAMES,
  ...Object.keys(REPORT_NAMES),
];

/**
 * Checks the options of loadModel.
 *
 * @throws ModelComposeError "invalid-argument" for an option that there is not, or a value; "unsupported" for a precision
 *   that weights cannot be held in
 */
export function resolveLoadOptions(options: LoadOptions): ResolvedLoadOptions {
  for (const name of Object.keys(options)) {
    if (OPTION_NAMES.includes(name)) {
      continue;
    }
    const nearest = nearestName(name, OPTION_NAMES);
    throw new ModelComposeError("invalid-argument", `There is no load option "${name}".`, {
      remedy:
        nearest === undefined ? `The options are ${OPTION_NAMES.join(", ")}.` : `Did you mean "${nearest}"?`,
    });
  }
  checkHubOptions(options);
  return {
    ...resolveRuntimeOptions(options),
    architecture: resolveArchitecture(options.architecture),
    family: options.family,
    chat: options.chat === true,
  };
}

function resolveArchitecture(architecture: unknown): Architecture | undefined {
  if (architecture === undefined || architecture === "causal" || architecture === "seq2seq") {
    return architecture;
  }
  throw new ModelComposeError(
    "invalid-argument",
    `The architecture ${inspect(architecture)} is unknown; expected "causal" or "seq2seq".`,
    { remedy: "Leave it out: the model's configuration tells.", parameter: "architecture" },
  );
}
