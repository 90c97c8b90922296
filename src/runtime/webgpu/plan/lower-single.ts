/** Lowers stages that are one op without weights to multiply by: the same in every form of a pass. */
import { activateKernel } from "../../../kernels/activate/activate.gpu.ts";
import { addKernel } from "../../../kernels/add/add.gpu.ts";
import { appendKernel, cacheNumberBytes } from "../../../kernels/append/append.gpu.ts";
import { elementwiseWorkgroups } from "../../../kernels/common/elementwise.gpu.ts";
import {
  embedKernel,
  embedParams,
  positionsKernel,
  positionsParams,
} from "../../../kernels/embed/embed.gpu.ts";
import { gateKernel, gateWorkgroups, type GateOperands } from "../../../kernels/gate/gate.gpu.ts";
import { normKernel, normParams } from "../../../kernels/norm/norm.gpu.ts";
import { ropeKernel, ropePairs } from "../../../kernels/rope/rope.gpu.ts";
import type { Name, NormOp } from "../../program.ts";
import { uniformHeads } from "../../state.ts";
import type { Dispatch } from "./dispatch.ts";
import { columnsOf, ropeBuffers, rotaryOf, traced, weightOf, type Lowering } from "./lowering.ts";
import type { ProductStage, Stage } from "./stage.ts";

type SingleStage = Exclude<Stage, ProductStage | { kind: "attention" | "route" | "experts" }>;
type StageOf<K extends Stage["kind"]> = Extract<Stage, { kind: K }>;

export function lowerSingle(stage: SingleStage, lowering: Lowering): Dispatch[] {
  switch (stage.kind) {
    case "embed":
      return lowerEmbed(stage, lowering);
    case "positions":
      return lowerPositions(stage, lowering);
    case "norm":
      return lowerNormStage(stage, lowering);
    case "rope":
      return lowerRope(stage, lowering);
    case "append":
      return [lowerAppend(stage, lowering)];
    case "activate":
      return lowerActivate(stage, lowering);
    case "gate":
      return lowerGate(stage, lowering);
    case "add":
      return lowerAdd(stage, lowering);
  }
}

function lowerNormStage({ norm, target, trace }: StageOf<"norm">, lowering: Lowering): Dispatch[] {
  return traced([lowerNorm(norm, lowering, target)], { trace, output: target ?? norm.output }, lowering);
}

/** @param target the buffer that the result is added to; absent: it is the norm's output */
export function lowerNorm(norm: NormOp, { program, layout, variants }: Lowering, target?: Name): Dispatch {
  const { heads = 1 } = norm;
  const columns = columnsOf(norm.input, program);
  const shape = {
    kind: norm.kind,
    columns: columns / heads,
    heads,
    bias: norm.bias !== undefined,
    add: target !== undefined,
  };
  return {
    spec: normKernel(shape, variants.norm),
    buffers: [norm.input, "vectors", target ?? norm.output],
    params: normParams({
      gain: layout.vectorOffset([norm.weight]),
      bias: layout.vectorOffset([norm.bias]),
      epsilon: norm.epsilon,
    }),
    workgroups: ({ rows }) => [rows, heads, 1],
    bytes: ({ rows }) => rows * columns * (target === undefined ? 8 : 12),
  };
}

/** Lowers an embedding to a dispatch for each shard of the table. */
function lowerEmbed(stage: StageOf<"embed">, lowering: Lowering): Dispatch[] {
  const { layout, maxRows } = lowering;
  const { embed, positions } = stage;
  const weight = weightOf({ weights: [embed.table] }, layout);
  const learned = positions && weightOf({ weights: [positions.table] }, layout).shards[0].buffer;
  const spec = embedKernel(weight, maxRows, positions !== undefined);
  const dispatches = weight.shards.map(({ buffer, first, count }): Dispatch => ({
    spec,
    buffers: ["rows", buffer, stage.output, ...(learned === undefined ? [] : [learned])],
    params: embedParams({ first, count, scale: embed.scale ?? 1, offset: positions?.offset ?? 0 }),
    workgroups: ({ rows }) => [rows, 1, 1],
    bytes: ({ rows }) => rows * weight.stride,
  }));
  return traced(dispatches, stage, lowering);
}

/** Lowers learned positions to a dispatch for each shard of the table. */
function lowerPositions(stage: StageOf<"positions">, lowering: Lowering): Dispatch[] {
  const { table, offset } = stage.positions;
  const weight = weightOf({ weights: [table] }, lowering.layout);
  const dispatches = weight.shards.map(({ buffer, first, count }): Dispatch => ({
    spec: positionsKernel(weight, lowering.maxRows),
    buffers: ["rows", buffer, stage.output],
    params: positionsParams({ first, count, offset }),
    workgroups: ({ rows }) => [rows, 1, 1],
    bytes: ({ rows }) => rows * weight.stride,
  }));
  return traced(dispatches, stage, lowering);
}

function lowerRope(stage: StageOf<"rope">, lowering: Lowering): Dispatch[] {
  const { heads, headDim, buffer, table } = stage;
  const shape = { heads, headDim, rotary: rotaryOf(lowering.program, table) };
  const pairs = ropePairs(shape);
  const dispatch: Dispatch = {
    spec: ropeKernel(shape, lowering.maxRows),
    buffers: [buffer, ...ropeBuffers(stage), "rows"],
    workgroups: ({ rows }) => elementwiseWorkgroups(pairs, rows),
    bytes: ({ rows }) => rows * pairs * 16,
  };
  return traced([dispatch], { ...stage, output: buffer }, lowering);
}

function lowerAppend(
  { key, value, layer }: StageOf<"append">,
  { program, contextLength, cache, maxRows }: Lowering,
): Dispatch {
  const { kvHeads, headDim } = uniformHeads(program);
  const columns = kvHeads * headDim;
  return {
    spec: appendKernel(columns, contextLength, maxRows, cache),
    buffers: [key, value, `keys ${layer}`, `values ${layer}`, "rows"],
    workgroups: ({ rows }) => elementwiseWorkgroups(columns, rows),
    bytes: ({ rows }) => 2 * rows * columns * (4 + cacheNumberBytes(cache)),
  };
}

function lowerActivate(stage: StageOf<"activate">, lowering: Lowering): Dispatch[] {
  const { activation, input, output } = stage;
  const columns = columnsOf(output, lowering.program);
  const isInPlace = input === output;
  const dispatch: Dispatch = {
    spec: activateKernel(columns, activation, isInPlace),
    buffers: isInPlace ? [output] : [input, output],
    workgroups: ({ rows }) => elementwiseWorkgroups(columns, rows),
    bytes: ({ rows }) => rows * columns * 8,
  };
  return traced([dispatch], stage, lowering);
}

function lowerGate(stage: StageOf<"gate">, lowering: Lowering): Dispatch[] {
  const columns = columnsOf(stage.output, lowering.program);
  const { operands, buffers } = gateBuffers(stage);
  const dispatch: Dispatch = {
    spec: gateKernel(columns, stage.activation, operands, stage.clamp),
    buffers,
    workgroups: ({ rows }) => gateWorkgroups(columns, rows),
    bytes: ({ rows }) => rows * columns * 12,
  };
  return traced([dispatch], stage, lowering);
}

function gateBuffers({ gate, up, output }: StageOf<"gate">): {
  operands: GateOperands;
  buffers: readonly Name[];
} {
  if (output === gate) {
    return { operands: "over gate", buffers: [output, up] };
  }
  return output === up
    ? { operands: "over up", buffers: [output, gate] }
    : { operands: "apart", buffers: [gate, up, output] };
}

function lowerAdd(stage: StageOf<"add">, lowering: Lowering): Dispatch[] {
  const { input, target } = stage;
  const columns = columnsOf(target, lowering.program);
  const dispatch: Dispatch = {
    spec: addKernel(columns),
    buffers: [input, target],
    workgroups: ({ rows }) => elementwiseWorkgroups(columns, rows),
    bytes: ({ rows }) => rows * columns * 12,
  };
  return traced([dispatch], { ...stage, output: target }, lowering);
}
