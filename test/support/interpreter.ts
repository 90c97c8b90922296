/**
 * Interprets any Program op by op in plain f64, or with every intermediate result rounded to f32: the first is what
 * devices are compared with, the distance of the second from it says how far f32 may be.
 */
import type { StateSnapshot } from "../../src/runtime/backend.ts";
import { nearestBf16 } from "../../src/kernels/attention/score-bias.ts";
import {
  ENCODE,
  FORWARD,
  lineColumns,
  type Activation,
  type Op,
  type Program,
  type ScoreBias,
} from "../../src/runtime/program.ts";
import { isSourceLayer } from "../../src/runtime/state.ts";
import { erf } from "./erf.ts";
import { normedRow } from "./interpreted-norm.ts";
import { InterpretedSequences, type Cell } from "./interpreted-sequences.ts";

/**
 * A causal convolution of each channel by itself (LFM2's short convolution, which no device has yet): output[r][c] =
 * Σ_t weight[c][t] · input at position - (taps - 1 - t), zeros before position 0. `layer` is recurrent and keeps the last
 * taps - 1 inputs, [taps - 1][channels].
 */
export interface ConvolveOp {
  role: "convolve";
  input: string;
  /** Name of the weight [channels, taps]. */
  weight: string;
  layer: number;
  output: string;
  trace?: string;
}

/** A Program that may have ops which no device has. */
export type InterpretedProgram = Omit<Program, "entries"> & {
  entries: ReadonlyMap<string, readonly { ops: readonly (Op | ConvolveOp)[] }[]>;
};

/** Rows of numbers. */
type Rows = Float64Array[];

/** What a product with a matrix of this name multiplies instead of its input's row. */
export type PrepareInput = (row: Float64Array, matrix: string) => Float64Array;

export interface ProgramInput {
  /** Name of the entry. Default: FORWARD. */
  entry?: string;
  tokens: readonly number[];
  slots: readonly number[];
  positions: readonly number[];
  sourceLength?: number;
}

export interface ProgramOutput {
  /** Logits, [R][vocabulary]. */
  logits: Rows;
  /** Activations of every op with a trace, [R][columns], by the trace's name. */
  activations: Map<string, Rows>;
}

/** Where a device computes otherwise on purpose. */
export interface Deviations {
  /** What a product makes of its inputs. */
  readonly prepare?: PrepareInput;
  /** What becomes of a number of a key or a value in the cache. */
  readonly held?: (value: number) => number;
}

export class Interpreter {
  readonly #program: InterpretedProgram;
  /** Weights by name, row-major. */
  readonly #weights: ReadonlyMap<string, ArrayLike<number>>;
  readonly #round: (value: number) => number;
  readonly #prepare: PrepareInput;
  /** What becomes of a number of a key or a value in the cache. */
  readonly #held: (value: number) => number;
  readonly #sequences: InterpretedSequences;
  /** Keys and values of an encoder's input, by layer; all slots share them. */
  readonly #sources = new Map<number, Cell[]>();

  constructor(
    program: InterpretedProgram,
    weights: ReadonlyMap<string, ArrayLike<number>>,
    precision: "f64" | "f32" = "f64",
    { prepare = (row) => row, held = (value) => value }: Deviations = {},
  ) {
    this.#held = held;
    this.#program = program;
    this.#sequences = new InterpretedSequences(program);
    this.#weights = weights;
    this.#prepare = prepare;
    this.#round = precision === "f32" ? Math.fround : (value) => value;
  }

  run(input: ProgramInput): ProgramOutput {
    const buffers = new Map<string, Rows>();
    const output: ProgramOutput = { logits: [], activations: new Map() };
    const spans = this.#spansOf(input);
    for (const [slot, { first }] of spans) {
      this.#sequences.begin(slot, first);
    }
    for (const { ops } of this.#program.entries.get(input.entry ?? FORWARD) ?? []) {
      for (const op of ops) {
        const written = this.#apply(op, input, buffers, output);
        if (op.trace !== undefined && written !== undefined) {
          output.activations.set(
            op.trace,
            written.map((row) => row.slice()),
          );
        }
      }
    }
    for (const [slot, { end }] of spans) {
      this.#sequences.setLength(slot, end);
    }
    return output;
  }

  fork(from: number, to: number, length: number): void {
    this.#sequences.fork(from, to, length);
  }

  truncate(slot: number, length: number): void {
    this.#sequences.truncate(slot, length);
  }

  snapshot(slot: number): StateSnapshot {
    return this.#sequences.snapshot(slot);
  }

  restore(snapshot: StateSnapshot, slot: number): void {
    this.#sequences.restore(snapshot, slot);
  }

  /** The positions that a pass gives each slot; none for an encoder's input, which belongs to no slot. */
  #spansOf({ entry, slots, positions }: ProgramInput): Map<number, { first: number; end: number }> {
    const spans = new Map<number, { first: number; end: number }>();
    for (const [r, slot] of entry === ENCODE ? [] : slots.entries()) {
      const { first, end } = spans.get(slot) ?? { first: Infinity, end: 0 };
      spans.set(slot, { first: Math.min(first, positions[r]), end: Math.max(end, positions[r] + 1) });
    }
    return spans;
  }

  /** Runs an op. @returns the rows that it wrote */
  #apply(
    op: Op | ConvolveOp,
    { tokens, slots, positions, sourceLength = 0 }: ProgramInput,
    buffers: Map<string, Rows>,
    output: ProgramOutput,
  ): Rows | undefined {
    const round = this.#round;
    const rows = (name: string): Rows => {
      const found = buffers.get(name);
      if (found === undefined) {
        throw new Error(`${op.role} reads "${name}", which nothing has written.`);
      }
      return found;
    };
    const write = (name: string, values: Rows): Rows => {
      buffers.set(name, values);
      return values;
    };
    switch (op.role) {
      case "embed": {
        const { scale = 1 } = op;
        return write(
          op.output,
          tokens.map((token) => this.#tableRow(op.table, token).map((value) => round(value * scale))),
        );
      }
      case "positions":
        return write(
          op.target,
          rows(op.target).map((row, r) => {
            const learned = this.#tableRow(op.table, positions[r] + op.offset);
            return row.map((value, i) => round(value + learned[i]));
          }),
        );
      case "norm": {
        const gain = this.#weight(op.weight);
        const bias = op.bias === undefined ? undefined : this.#weight(op.bias);
        return write(
          op.output,
          rows(op.input).map((row) => normedRow(op, row, { gain, bias, round })),
        );
      }
      case "linear": {
        const products = this.#linear(rows(op.input), op.weight, op.bias);
        if (!op.accumulate) {
          return write(op.output, products);
        }
        const before = rows(op.output);
        return write(
          op.output,
          products.map((row, r) => row.map((value, i) => round(before[r][i] + value))),
        );
      }
      case "route": {
        const chosen = lineColumns(this.#program, op.output) / 2;
        return write(
          op.output,
          rows(op.input).map((row) => this.#routed(row, chosen, op.normalize)),
        );
      }
      case "experts": {
        const routes = rows(op.routes);
        const before = op.accumulate ? rows(op.output) : undefined;
        return write(
          op.output,
          rows(op.input).map((row, r) => this.#ofExperts(op, row, routes[r], before?.[r])),
        );
      }
      case "rope":
        return write(
          op.buffer,
          rows(op.buffer).map((row, r) => this.#rotated(row, positions[r], op)),
        );
      case "append": {
        const [key, value] = [rows(op.key), rows(op.value)];
        for (const [r, position] of positions.entries()) {
          this.#cells(op.layer, slots[r])[position] = {
            key: key[r].map(this.#held),
            value: value[r].map(this.#held),
          };
        }
        return undefined;
      }
      case "attention":
        return write(
          op.output,
          rows(op.query).map((row, r) => {
            const isSource = op.over === "source";
            const end = isSource ? sourceLength : positions[r] + 1;
            const start = Math.max(0, end - (op.window ?? end));
            return this.#attend(row, op, {
              slot: isSource ? 0 : slots[r],
              start,
              end,
              position: positions[r],
            });
          }),
        );
      case "gate": {
        const up = rows(op.up);
        return write(
          op.output,
          rows(op.gate).map((row, r) =>
            row.map((z, i) => {
              if (op.clamp === undefined) {
                return round(round(activate(op.activation, z)) * up[r][i]);
              }
              const { alpha, limit } = op.clamp;
              const g = Math.min(z, limit);
              const u = Math.min(Math.max(up[r][i], -limit), limit);
              return round(round(g / (1 + Math.exp(-round(alpha * g)))) * round(u + 1));
            }),
          ),
        );
      }
      case "activate":
        return write(
          op.output,
          rows(op.input).map((row) => row.map((value) => round(activate(op.activation, value)))),
        );
      case "add": {
        const input = rows(op.input);
        return write(
          op.target,
          rows(op.target).map((row, r) => row.map((value, i) => round(value + input[r][i]))),
        );
      }
      case "convolve":
        return write(
          op.output,
          rows(op.input).map((row, r) => this.#convolved(row, op, slots[r])),
        );
      case "logits":
        output.logits = this.#linear(rows(op.input), op.weight, op.bias).map((row) =>
          row.map((value) => this.#capped(value, op.softCap)),
        );
        return undefined;
    }
  }

  #cells(layer: number, slot: number): Cell[] {
    if (!isSourceLayer(this.#program, layer)) {
      return this.#sequences.cellsOf(slot, layer);
    }
    const cells = this.#sources.get(layer) ?? [];
    this.#sources.set(layer, cells);
    return cells;
  }

  /** The convolution of a row. Rows of a slot come in the order of their positions. */
  #convolved(row: Float64Array, { weight, layer }: ConvolveOp, slot: number): Float64Array {
    const round = this.#round;
    const channels = row.length;
    const taps = this.#columns(weight);
    const inputs = [...this.#sequences.stateOf(slot, layer), ...row];
    this.#sequences.setState(slot, layer, Float64Array.from(inputs.slice(channels)));
    return row.map((_, c) =>
      this.#sum(
        Array.from({ length: taps }, (_, t) =>
          round(this.#weight(weight)[c * taps + t] * inputs[t * channels + c]),
        ),
      ),
    );
  }

  #weight(name: string): ArrayLike<number> {
    const weight = this.#weights.get(name);
    if (weight === undefined) {
      throw new Error(`There is no weight "${name}".`);
    }
    return weight;
  }

  #tableRow(name: string, row: number): Float64Array {
    const columns = this.#columns(name);
    return Float64Array.from({ length: columns }, (_, i) => this.#weight(name)[row * columns + i]);
  }

  #columns(matrix: string): number {
    return this.#program.matrices.get(matrix)?.columns ?? 0;
  }

  #sum(values: Iterable<number>): number {
    let total = 0;
    for (const value of values) {
      total = this.#round(total + value);
    }
    return total;
  }

  #linear(input: Rows, weightName: string, biasName: string | undefined): Rows {
    const round = this.#round;
    const weight = this.#weight(weightName);
    const bias = biasName === undefined ? undefined : this.#weight(biasName);
    const columns = this.#columns(weightName);
    // The loops are plain because nearly all the time is spent here.
    return input.map((given) => {
      const row = this.#prepare(given, weightName);
      const products = new Float64Array(weight.length / columns);
      for (let n = 0; n < products.length; n++) {
        let sum = 0;
        for (let k = 0; k < columns; k++) {
          sum = round(sum + round(row[k] * weight[n * columns + k]));
        }
        products[n] = bias === undefined ? sum : round(sum + bias[n]);
      }
      return products;
    });
  }

  /** Numbers of the experts that a row chooses, ascending, and their weights. */
  #routed(logits: Float64Array, chosen: number, normalize: boolean): Float64Array {
    const round = this.#round;
    const experts = [...logits.keys()]
      .sort((a, b) => logits[b] - logits[a] || a - b)
      .slice(0, chosen)
      .sort((a, b) => a - b);
    const largest = Math.max(...logits);
    const weights = Array.from(logits, (logit) => round(Math.exp(round(logit - largest))));
    const total = this.#sum(normalize ? experts.map((e) => weights[e]) : weights);
    return Float64Array.from([...experts, ...experts.map((e) => round(weights[e] / total))]);
  }

  #ofExperts(
    { kind, weights, biases }: Extract<Op, { role: "experts" }>,
    row: Float64Array,
    routes: Float64Array,
    before: Float64Array | undefined,
  ): Float64Array {
    const round = this.#round;
    const chosen = routes.length / 2;
    if (kind === "each") {
      const products = Array.from(
        { length: chosen },
        (_, i) => this.#linear([row], weights[routes[i]], biases?.[routes[i]])[0],
      );
      return Float64Array.from(products.flatMap((product) => [...product]));
    }
    const columns = row.length / chosen;
    let sum = before;
    for (let i = 0; i < chosen; i++) {
      const line = row
        .subarray(i * columns, (i + 1) * columns)
        .map((value) => round(value * routes[chosen + i]));
      const [product] = this.#linear([line], weights[routes[i]], undefined);
      const bias = biases === undefined ? undefined : this.#weight(biases[routes[i]]);
      sum = product.map((value, n) => {
        const added = bias === undefined ? value : round(value + round(bias[n] * routes[chosen + i]));
        return round(added + (sum?.[n] ?? 0));
      });
    }
    return sum ?? new Float64Array();
  }

  #rotated(
    row: Float64Array,
    position: number,
    { headDim, table = 0 }: Extract<Op, { role: "rope" }>,
  ): Float64Array {
    const round = this.#round;
    const rope = this.#program.ropes.at(table);
    if (rope === undefined) {
      throw new Error(`The program has no rotation table ${table}.`);
    }
    const out = row.slice();
    const half = rope.inverseFrequencies.length;
    for (let from = 0; from < row.length; from += headDim) {
      for (let i = 0; i < half; i++) {
        // The rounding is part of the contract, not of a device: the reference implementation, transformers, computes
        // the angle in f32.
        const angle = Math.fround(position * rope.inverseFrequencies[i]);
        const [c, s] = [round(Math.cos(angle) * rope.scaling), round(Math.sin(angle) * rope.scaling)];
        const [u, v] = [row[from + i], row[from + half + i]];
        out[from + i] = round(round(u * c) - round(v * s));
        out[from + half + i] = round(round(v * c) + round(u * s));
      }
    }
    return out;
  }

  #capped(value: number, softCap: number | undefined): number {
    const round = this.#round;
    return softCap === undefined ? value : round(round(Math.tanh(round(value / softCap))) * softCap);
  }

  /** What a key at a position adds to the score of a head of a row at `position`. */
  #bias(bias: ScoreBias | undefined, head: number, key: number, position: number): number {
    const round = this.#round;
    switch (bias?.kind) {
      case undefined:
        return 0;
      case "linear":
        return round(Math.fround(bias.slopes[head]) * (key - position));
      case "rounded": {
        // The rounding to bf16 is part of the contract: transformers has it for models of any type.
        const [of, own] = [key, position].map((p) =>
          nearestBf16(nearestBf16(bias.slopes[head]) * nearestBf16(p)),
        );
        return round(round(of - own) * bias.scale);
      }
      case "table": {
        const { table, reach } = bias;
        const distance = Math.min(Math.max(key - position, -reach), reach);
        return this.#weight(table)[head * (2 * reach + 1) + distance + reach];
      }
    }
  }

  #attend(
    query: Float64Array,
    { layer, heads, scale, softCap, bias, sinks }: Extract<Op, { role: "attention" }>,
    { slot, start, end, position }: { slot: number; start: number; end: number; position: number },
  ): Float64Array {
    const round = this.#round;
    const state = this.#program.state[layer];
    if (state === undefined || state.kind === "recurrent") {
      throw new Error(`Layer ${layer} has no keys and values.`);
    }
    const { kvHeads, keyDim: headDim } = state;
    if ((slot !== 0 || start !== 0) && state.kind === "source") {
      throw new Error("A source is whole, in slot 0.");
    }
    const known = this.#cells(layer, slot);
    const cells = Array.from({ length: end - start }, (_, i) => {
      const cell = known.at(start + i);
      if (cell === undefined) {
        throw new Error(`Slot ${slot} has nothing at position ${start + i}.`);
      }
      return cell;
    });
    const out = new Float64Array(query.length);
    for (let h = 0; h < heads; h++) {
      const [from, kv] = [h * headDim, Math.floor(h / (heads / kvHeads)) * headDim];
      const scores = new Float64Array(cells.length);
      for (const [i, { key }] of cells.entries()) {
        let product = 0;
        for (let d = 0; d < headDim; d++) {
          product = round(product + round(query[from + d] * key[kv + d]));
        }
        const score = this.#capped(round(product * scale), softCap);
        scores[i] = round(score + this.#bias(bias, h, start + i, position));
      }
      const sink = sinks === undefined ? [] : [this.#weight(sinks)[h]];
      const highest = Math.max(...scores, ...sink);
      const weights = [...scores, ...sink].map((score) => round(Math.exp(round(score - highest))));
      const total = this.#sum(weights);
      for (let d = 0; d < headDim; d++) {
        let sum = 0;
        for (let p = 0; p < cells.length; p++) {
          sum = round(sum + round(weights[p] * cells[p].value[kv + d]));
        }
        out[from + d] = round(sum / total);
      }
    }
    return out;
  }
}

function activate(activation: Activation, x: number): number {
  switch (activation) {
    case "silu":
      return x / (1 + Math.exp(-x));
    case "relu":
      return Math.max(x, 0);
    case "gelu":
      return (x / 2) * (1 + erf(x / Math.SQRT2));
    case "gelu_tanh":
      return (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
  }
}
