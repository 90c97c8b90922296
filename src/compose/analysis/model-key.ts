import type { ModelComponent } from "../definition/definition.ts";
import { beamBound } from "./beam-bound.ts";
import { fileNeeds } from "./context-needs.ts";

/** Components with the same key share one loaded model. */
export function modelKey(component: ModelComponent): string {
  const { model, device, precision, quantization, activations = null, kvPrecision = null } = component;
  const { contextLength = null, passTimeout = null } = component;
  const hub = { ...model.hub, token: undefined };
  const kind = [component.architecture ?? null, component.family ?? null];
  const bounds = [fileNeeds(component), beamBound(component) ?? null];
  return JSON.stringify([
    model.source,
    hub,
    device,
    precision,
    quantization,
    activations,
    kvPrecision,
    ...kind,
    contextLength,
    passTimeout,
    ...bounds,
  ]);
}
