/**
 * Stages: what a GPU does in one dispatch for few rows (attention in two). A stage is one op of a Program, or several
 * that fuse.ts has found to be one computation.
 */
import type {
  Activation,
  AttentionOp,
  EmbedOp,
  ExpertsOp,
  GateClamp,
  LinearOp,
  Name,
  NormOp,
  Op,
  PositionsOp,
  RouteOp,
} from "../../program.ts";

/** Linear ops that read the same input, their weights stacked by rows. */
interface Projection {
  /** A norm that is applied to the input on the way; `input` is what it reads. */
  norm?: NormOp;
  input: Name;
  weights: readonly Name[];
  biases: readonly (Name | undefined)[];
  /** From which of the weights on they lie in a second stack, in another format. Absent: all lie in one. */
  secondStack?: number;
  output: Name;
}

/** A stage; one that is a single op has the name of its role. */
export type Stage =
  | { kind: "embed"; embed: EmbedOp; positions?: PositionsOp; output: Name; trace?: string }
  | { kind: "positions"; positions: PositionsOp; output: Name; trace?: string }
  /** A norm; with a target, what it gives is added to that instead of being its output. */
  | { kind: "norm"; norm: NormOp; target?: Name; trace?: string }
  | ({ kind: "linear"; accumulate: boolean; activation?: Activation; trace?: string } & Projection)
  /** A gated linear unit: activation(gate · x) ⊙ (up · x) (Shazeer 2020). */
  | ({ kind: "glu"; activation: Activation; trace?: string } & Projection)
  /**
   * Query, key and value of one input: the query to `output`, the others to the cache of `layer`. Query and key are rotated by
   * a table, or not.
   */
  | ({ kind: "qkv"; layer: number; table?: number } & Projection)
  | { kind: "attention"; attention: AttentionOp; trace?: string }
  | ({ kind: "logits"; softCap?: number } & Omit<Projection, "output">)
  | { kind: "route"; route: RouteOp }
  | { kind: "experts"; experts: ExpertsOp }
  | { kind: "rope"; buffer: Name; heads: number; headDim: number; table: number; trace?: string }
  | { kind: "append"; key: Name; value: Name; layer: number }
  | {
      kind: "gate";
      activation: Activation;
      clamp?: GateClamp;
      gate: Name;
      up: Name;
      output: Name;
      trace?: string;
    }
  | { kind: "activate"; activation: Activation; input: Name; output: Name; trace?: string }
  | { kind: "add"; input: Name; target: Name; trace?: string };

/** A stage that multiplies by weights. */
export type ProductStage = Extract<Stage, { weights: readonly Name[] }>;

/** The weights of a stage that lie in one buffer each, one below the other. */
export function stacksOf({
  weights,
  secondStack,
}: Pick<Projection, "weights" | "secondStack">): (readonly Name[])[] {
  return secondStack === undefined ? [weights] : [weights.slice(0, secondStack), weights.slice(secondStack)];
}

/** The stage of an op by itself. */
export function singleStage(op: Op): Stage {
  const { trace } = op;
  switch (op.role) {
    case "embed":
      return { kind: "embed", embed: op, output: op.output, trace };
    case "positions":
      return { kind: "positions", positions: op, output: op.target, trace };
    case "norm":
      return { kind: "norm", norm: op, trace };
    case "linear":
      return { kind: "linear", accumulate: op.accumulate, ...stacked([op]), output: op.output, trace };
    case "route":
      return { kind: "route", route: op };
    case "experts":
      return { kind: "experts", experts: op };
    case "rope":
      return {
        kind: "rope",
        buffer: op.buffer,
        heads: op.heads,
        headDim: op.headDim,
        table: op.table ?? 0,
        trace,
      };
    case "append":
      return { kind: "append", key: op.key, value: op.value, layer: op.layer };
    case "attention":
      return { kind: "attention", attention: op, trace };
    case "gate": {
      const { activation, clamp, gate, up, output } = op;
      return { kind: "gate", activation, clamp, gate, up, output, trace };
    }
    case "activate":
      return { kind: "activate", activation: op.activation, input: op.input, output: op.output, trace };
    case "add":
      return { kind: "add", input: op.input, target: op.target, trace };
    case "logits":
      return {
        kind: "logits",
        input: op.input,
        weights: [op.weight],
        biases: [op.bias],
        softCap: op.softCap,
      };
  }
}

/** Input and weights of linear ops that read one input, as one product. */
export function stacked(ops: readonly LinearOp[]): Pick<Projection, "input" | "weights" | "biases"> {
  return { input: ops[0].input, weights: ops.map((op) => op.weight), biases: ops.map((op) => op.bias) };
}
