/** Names of activation functions (transformers: activations.py) that are one of the runtime's. */
import type { Activation } from "../../runtime/program.ts";
import { nearestName } from "../../base/nearest-name.ts";
import { unsupportedConfig, type ConfigFile } from "./schema.ts";

/** The runtime's function by transformers' name. Several names are the same formula, computed another way. */
const ACTIVATIONS: ReadonlyMap<string, Activation> = new Map([
  ["silu", "silu"],
  ["swish", "silu"],
  ["relu", "relu"],
  ["gelu", "gelu"],
  ["gelu_python", "gelu"],
  ["gelu_new", "gelu_tanh"],
  ["gelu_fast", "gelu_tanh"],
  ["gelu_accurate", "gelu_tanh"],
  ["gelu_pytorch_tanh", "gelu_tanh"],
  ["gelu_python_tanh", "gelu_tanh"],
]);

/**
 * The runtime's activation function for the one that the file names under `key`.
 *
 * @throws ModelComposeError "unsupported" for any other function
 */
export function readActivation(file: ConfigFile, key: string, name: string): Activation {
  const activation = ACTIVATIONS.get(name);
  if (activation !== undefined) {
    return activation;
  }
  const names = [...ACTIVATIONS.keys()];
  const near = nearestName(name, names);
  throw unsupportedConfig(
    file,
    `"${key}" is "${name}"${near === undefined ? "" : ` (did you mean "${near}"?)`}; supported are ${names.join(", ")}.`,
    "Use a model with one of these activations.",
  );
}
