/**
 * Any Program op by op in plain f64, or with every intermediate result rounded to f32: the first is what devices are
 * compared with, the distance of the second from it says how far f32 may be.
 */
import type { Op, Program } from "../../src/runtime/program.ts";

/** Rows of numbers. */
type Rows = Float64Array[];

export interface ProgramInput {
  tokens: readonly number[];
  slots: readonly number[];
  positions: readonly number[];
}

export interface ProgramOutput {
  /** [R][vocabulary] */
  logits: Rows;
  /** [R][columns] of every op with a trace. */
  activations: Map<string, Rows>;
}

export class Interpreter {
  readonly #program: Program;
  /** Row-major, by name. */
  readonly #weights: ReadonlyMap<string, ArrayLike<number>>;
  readonly #round: (value: number) => number;
  /** Key and value by layer, slot and position. */
  readonly #cache = new Map<string, { key: Float64Array; value: Float64Array }>();

  constructor(
    program: Program,
    weights: ReadonlyMap<string, ArrayLike<number>>,
    precision: "f64" | "f32" = "f64",
  ) {
    this.#program = program;
    this.#weights = weights;
    this.#round = precision === "f32" ? Math.fround : (value) => value;
  }

  run(input: ProgramInput): ProgramOutput {
    const buffers = new Map<string, Rows>();
    const output: ProgramOutput = { logits: [], activations: new Map() };
    for (const { ops } of this.#program.entries.get("forward") ?? []) {
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
    return output;
  }

  /** The rows that the op wrote. */
  #apply(
    op: Op,
    { tokens, slots, positions }: ProgramInput,
    buffers: Map<string, Rows>,
    output: ProgramOutput,
  ): Rows | undefined {
    const round = this.#round;
    const rows = (name: string): Rows => {
      const found = buffers.get(name);
      if (found === undefined) throw new Error(`${op.role} reads "${name}", which nothing has written.`);
      return found;
    };
    const write = (name: string, values: Rows): Rows => {
      buffers.set(name, values);
      return values;
    };
    switch (op.role) {
      case "embed": {
        const columns = this.#columns(op.table);
        const table = Float64Array.from(this.#weight(op.table));
        return write(
          op.output,
          tokens.map((token) => table.slice(token * columns, (token + 1) * columns)),
        );
      }
      case "norm": {
        const gain = this.#weight(op.weight);
        return write(
          op.output,
          rows(op.input).map((row) => {
            const mean = round(this.#sum(row.map((value) => round(value * value))) / row.length);
            const scale = round(1 / Math.sqrt(mean + op.epsilon));
            return row.map((value, i) => round(round(value * scale) * gain[i]));
          }),
        );
      }
      case "linear": {
        const products = this.#linear(rows(op.input), op.weight, op.bias);
        if (!op.accumulate) return write(op.output, products);
        const before = rows(op.output);
        return write(
          op.output,
          products.map((row, r) => row.map((value, i) => round(before[r][i] + value))),
        );
      }
      case "rope":
        return write(
          op.buffer,
          rows(op.buffer).map((row, r) => this.#rotated(row, positions[r], op.headDim)),
        );
      case "append": {
        const [key, value] = [rows(op.key), rows(op.value)];
        for (const [r, position] of positions.entries()) {
          const cell = { key: key[r].slice(), value: value[r].slice() };
          this.#cache.set(`${op.layer} ${slots[r]} ${position}`, cell);
        }
        return undefined;
      }
      case "attention":
        return write(
          op.output,
          rows(op.query).map((row, r) => this.#attend(row, op, slots[r], positions[r])),
        );
      case "gate": {
        const up = rows(op.up);
        return write(
          op.output,
          rows(op.gate).map((row, r) => row.map((z, i) => round(round(z / (1 + Math.exp(-z))) * up[r][i]))),
        );
      }
      case "add": {
        const input = rows(op.input);
        return write(
          op.target,
          rows(op.target).map((row, r) => row.map((value, i) => round(value + input[r][i]))),
        );
      }
      case "logits":
        output.logits = this.#linear(rows(op.input), op.weight, op.bias);
        return undefined;
    }
  }

  #weight(name: string): ArrayLike<number> {
    const weight = this.#weights.get(name);
    if (weight === undefined) throw new Error(`There is no weight "${name}".`);
    return weight;
  }

  #columns(matrix: string): number {
    return this.#program.matrices.get(matrix)?.columns ?? 0;
  }

  #sum(values: Iterable<number>): number {
    let total = 0;
    for (const value of values) total = this.#round(total + value);
    return total;
  }

  #linear(input: Rows, weightName: string, biasName: string | undefined): Rows {
    const round = this.#round;
    const weight = this.#weight(weightName);
    const bias = biasName === undefined ? undefined : this.#weight(biasName);
    const columns = this.#columns(weightName);
    return input.map((row) =>
      Float64Array.from({ length: weight.length / columns }, (_, n) => {
        const sum = this.#sum(row.map((value, k) => round(value * weight[n * columns + k])));
        return bias === undefined ? sum : round(sum + bias[n]);
      }),
    );
  }

  #rotated(row: Float64Array, position: number, headDim: number): Float64Array {
    const round = this.#round;
    const { rope } = this.#program;
    if (rope === undefined) throw new Error("The program has no rotation table.");
    const out = row.slice();
    const half = headDim / 2;
    for (let from = 0; from < row.length; from += headDim) {
      for (let i = 0; i < half; i++) {
        // Part of the contract, not of a device's rounding: the reference computes the angle in f32.
        const angle = Math.fround(position * rope.inverseFrequencies[i]);
        const [c, s] = [round(Math.cos(angle) * rope.scaling), round(Math.sin(angle) * rope.scaling)];
        const [u, v] = [row[from + i], row[from + half + i]];
        out[from + i] = round(round(u * c) - round(v * s));
        out[from + half + i] = round(round(v * c) + round(u * s));
      }
    }
    return out;
  }

  #attend(
    query: Float64Array,
    { layer, heads, scale }: Extract<Op, { role: "attention" }>,
    slot: number,
    position: number,
  ): Float64Array {
    const round = this.#round;
    const { kvHeads, headDim } = this.#program.kv;
    const cells = Array.from({ length: position + 1 }, (_, p) => {
      const cell = this.#cache.get(`${layer} ${slot} ${p}`);
      if (cell === undefined) throw new Error(`Slot ${slot} has nothing at position ${p}.`);
      return cell;
    });
    const out = new Float64Array(query.length);
    for (let h = 0; h < heads; h++) {
      const [from, kv] = [h * headDim, Math.floor(h / (heads / kvHeads)) * headDim];
      const head = query.subarray(from, from + headDim);
      const scores = cells.map(({ key }) =>
        round(this.#sum(head.map((value, d) => round(value * key[kv + d]))) * scale),
      );
      const highest = Math.max(...scores);
      const weights = scores.map((score) => round(Math.exp(round(score - highest))));
      const total = this.#sum(weights);
      for (let d = 0; d < headDim; d++) {
        const sum = this.#sum(cells.map(({ value }, p) => round(weights[p] * value[kv + d])));
        out[from + d] = round(sum / total);
      }
    }
    return out;
  }
}
