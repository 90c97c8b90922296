import { expect, test } from "vitest";
import { shapesOf } from "../../../../test/support/shapes.ts";
import { FORWARD, ProgramBuilder, type Op, type Program } from "../../program.ts";
import { kvLayers } from "../../state.ts";
import type { GpuDescription } from "./gpu.ts";
import { planGpu } from "./plan.ts";

/** WebGPU's defaults: what every adapter has. */
const GPU: GpuDescription = {
  limits: {
    maxBufferSize: 256 * 2 ** 20,
    maxStorageBufferBindingSize: 128 * 2 ** 20,
    maxComputeWorkgroupStorageSize: 16_384,
    maxComputeInvocationsPerWorkgroup: 256,
    maxStorageBuffersPerShaderStage: 8,
    maxComputeWorkgroupsPerDimension: 65_535,
  },
  features: {
    subgroups: false,
    subgroupMinSize: 0,
    subgroupMaxSize: 0,
    shaderF16: false,
    timestamps: false,
    subgroupMatrix: [],
  },
  summary: { name: "Least", isSoftware: false },
};

/** A gate whose up is read again, so that it is a stage of its own. */
function programOf(output: string): Program {
  const builder = new ProgramBuilder();
  for (const name of ["x", "gate", "up", "product"]) {
    builder.buffer(name, 8);
    builder.matrix(name, 8, 8);
  }
  builder.group("all");
  const linear = (weight: string, input: string, target: string): Op => ({
    role: "linear",
    input,
    weight,
    output: target,
    accumulate: false,
  });
  builder.op(linear("gate", "x", "gate"));
  builder.op(linear("up", "x", "up"));
  builder.op(linear("product", "up", "x"));
  builder.op({ role: "gate", activation: "silu", gate: "gate", up: "up", output });
  return builder.build({
    family: "test",
    vocabSize: 8,
    maxPositions: 8,
    state: kvLayers(1, { kvHeads: 1, headDim: 4 }),
  });
}

test.each([
  ["gate", "over gate", ["gate", "up"], ["write", "read"]],
  ["up", "over up", ["up", "gate"], ["write", "read"]],
  ["product", "apart", ["gate", "up", "product"], ["read", "read", "write"]],
])("a gate that writes to %s binds no buffer twice: %s", (output, operands, buffers, bindings) => {
  const program = programOf(output);
  const options = { contextLength: 8, slots: 1, maxRows: 32, prefill: "exact" } as const;
  const forms = planGpu(program, shapesOf(program), GPU, options).entries.get(FORWARD);
  for (const form of ["one", "few", "block"] as const) {
    const gates = forms?.[form].body.filter(({ spec }) => spec.name === "gate") ?? [];
    expect(gates, form).toHaveLength(1);
    expect(gates[0]).toMatchObject({ buffers, spec: { constants: { OPERANDS: operands }, bindings } });
  }
});
