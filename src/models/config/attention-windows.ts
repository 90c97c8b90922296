/** Which layers attend to the last positions only, as config.json says it for families with layers of both kinds. */
import { z } from "zod";
import { describeJson } from "../../base/json.ts";
import { invalidConfig, positions, unsupportedConfig, type ConfigFile } from "./schema.ts";

/** The keys; `sliding_window` null is none. */
export const windowKeys = { sliding_window: positions.nullish(), layer_types: z.array(z.string()).nullish() };

/** What a file says of its layers. */
export interface LayerKinds {
  layers: number;
  /** Kinds that the file gives, one a layer. */
  types: readonly string[] | null | undefined;
  /** How many positions a sliding layer attends to; none: no layer may be one. */
  window: number | null | undefined;
  /** Whether a layer slides where the file gives no kinds. */
  slides: (layer: number) => boolean;
}

/**
 * How many of the last positions each layer attends to; undefined: all.
 *
 * @throws ModelComposeError "invalid-config" for kinds that are not one a layer, or that need a window which the file does
 *   not have; "unsupported" for another kind
 */
export function readWindows(
  file: ConfigFile,
  { layers, types, window, slides }: LayerKinds,
): (number | undefined)[] {
  if (types && types.length !== layers) {
    throw invalidConfig(
      file,
      `"layer_types" has ${types.length} entries; expected "num_hidden_layers", ${layers}.`,
    );
  }
  return Array.from({ length: layers }, (_, layer) => {
    const type = types?.[layer];
    if (type !== undefined && type !== "full_attention" && type !== "sliding_attention") {
      throw unsupportedConfig(
        file,
        `"layer_types" has ${describeJson(type)} for layer ${layer}; supported are "full_attention" and ` +
          `"sliding_attention".`,
        "Use a model with these kinds of attention.",
      );
    }
    if (type === undefined ? !slides(layer) : type === "full_attention") {
      return undefined;
    }
    if (window === null || window === undefined) {
      throw invalidConfig(file, `layer ${layer} has sliding attention, but there is no "sliding_window".`);
    }
    return window;
  });
}

/** Keys of Qwen's configurations, whose layers slide from `max_window_layers` on where `use_sliding_window` is set. */
export const qwenWindowKeys = {
  ...windowKeys,
  use_sliding_window: z.boolean().default(false),
  max_window_layers: z.int().min(0).default(28),
};

/** The windows of a Qwen model's layers; errors are those of `readWindows`. */
export function readQwenWindows(
  file: ConfigFile,
  layers: number,
  values: z.output<z.ZodObject<typeof qwenWindowKeys>>,
): (number | undefined)[] {
  const window = values.use_sliding_window ? values.sliding_window : undefined;
  return readWindows(file, {
    layers,
    types: values.layer_types,
    window,
    slides: (layer) => typeof window === "number" && layer >= values.max_window_layers,
  });
}
