/** How the model of a component is loaded: what the file says of it, and a command line over that. */
import type { ContextSizing, SizedLoadOptions } from "../models/context-sizing.ts";
import type { LoadOptions } from "../models/load-options.ts";
import { beamBound } from "./analysis/beam-bound.ts";
import {
  certainContext,
  countContext,
  isCountable,
  leastContext,
  type ContextNeed,
} from "./analysis/context-needs.ts";
import type { ModelComponent } from "./definition/definition.ts";

/** What a command line says over the file. */
export type ModelOverrides = Pick<
  LoadOptions,
  "device" | "threads" | "kernelBuild" | "gpuMemory" | "prefill"
>;

/** What a component and a command line say of how a model is held. */
export type HeldOptions = ModelOverrides &
  Pick<LoadOptions, "precision" | "quantization" | "activations" | "kvPrecision">;

/** The options with which the model of a component is loaded, whoever waits for it. */
export function loadOptionsOf(
  component: ModelComponent,
  needs: readonly ContextNeed[],
  overrides: ModelOverrides,
): SizedLoadOptions {
  return {
    ...component.model.hub,
    ...heldOptionsOf(component, overrides),
    architecture: component.architecture,
    family: component.family,
    chat: needsChatTemplate(component),
    maxBeams: beamBound(component),
    ...(component.maxConcurrentCount > 0 && { maxConcurrency: component.maxConcurrentCount }),
    ...(component.passTimeout !== undefined && { passTimeout: Math.ceil(component.passTimeout / 1000) }),
    ...contextOptions(component, needs),
  };
}

/** How the model of a component is held. */
export function heldOptionsOf(
  { device, precision, quantization, activations, kvPrecision }: ModelComponent,
  overrides: ModelOverrides,
): HeldOptions {
  return {
    ...overrides,
    device: overrides.device ?? device,
    precision,
    quantization,
    activations,
    kvPrecision,
  };
}

/**
 * How long the context is for what calls need: as long as is sure to suffice, and where that can be counted, no longer.
 */
function contextOptions(
  { contextLength = Infinity }: ModelComponent,
  needs: readonly ContextNeed[],
): Pick<SizedLoadOptions, "contextLength" | "sizing"> {
  const most = Math.min(contextLength, certainContext(needs));
  const atMost = most === Infinity ? "max" : most;
  if (!isCountable(needs)) {
    return { contextLength: atMost };
  }
  const least = Math.min(most, leastContext(needs));
  const count: ContextSizing["count"] = async (prompts) => Math.min(most, await countContext(needs, prompts));
  return { contextLength: atMost, sizing: { least, count } };
}

/** Whether an action takes the model's own chat template. */
export function needsChatTemplate({ actions }: ModelComponent): boolean {
  return actions.some((action) => action.kind === "chat" && action.chatTemplate === undefined);
}
