/** A mixture of experts in the place of an MLP: gated MLPs, of which each token has some (Shazeer et al. 2017). */
import type { Activation, Name } from "../../../runtime/program.ts";
import type { ExpertsConfig } from "../../config/experts.ts";
import type { ExpertModules } from "../../expert-tensors.ts";
import type { ModuleBuilder } from "./module-builder.ts";

/** The buffers of mixtures, the same ones for all layers. */
interface MixtureBuffers {
  logits: Name;
  routes: Name;
  gate: Name;
  up: Name;
}

export function mixtureBuffers(
  p: ModuleBuilder,
  { count, chosen, intermediateSize }: ExpertsConfig,
): MixtureBuffers {
  return {
    logits: p.buffer("experts.logits", count),
    routes: p.buffer("experts.routes", 2 * chosen),
    gate: p.lines("experts.gate", chosen, intermediateSize),
    up: p.lines("experts.up", chosen, intermediateSize),
  };
}

/**
 * Adds output = Σ over a row's experts of weight · down(activation(gate(input)) ⊙ up(input)), the product clamped where the
 * configuration says so (`GateOp`).
 *
 * @param layer the layer's name, before those of `modules`
 * @param buffers.trace the name under which a trace reports the routes
 */
export function addMixture(
  p: ModuleBuilder,
  layer: string,
  config: ExpertsConfig & { modules: ExpertModules; activation: Activation },
  {
    logits,
    routes,
    gate,
    up,
    input,
    output,
    trace,
  }: MixtureBuffers & {
    input: Name;
    output: Name;
    trace: string;
  },
): void {
  const { modules, count, normalize, activation, clamp, hasBias: bias = false } = config;
  p.linear(input, `${layer}.${modules.router}`, logits, { bias });
  p.op({ role: "route", input: logits, normalize, output: routes, trace });
  const modulesOf = (part: string): string[] =>
    Array.from({ length: count }, (_, e) => `${layer}.${modules.experts}.${e}.${part}`);
  p.experts("each", input, routes, modulesOf(modules.gate), gate, { bias });
  p.experts("each", input, routes, modulesOf(modules.up), up, { bias });
  p.op({ role: "gate", activation, clamp, gate, up, output: gate });
  p.experts("sum", gate, routes, modulesOf(modules.down), output, { bias });
}
