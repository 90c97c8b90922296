/**
 * The rules that a Program must keep to, the same for every device, which relies on them:
 * - it has the entry "forward", and "encode" exactly when its architecture is "seq2seq";
 * - buffers, weights and layers of the cache that ops name are declared, and their sizes fit together;
 * - an op reads what an earlier op of the same entry wrote: nothing stays in a buffer from pass to pass;
 * - "forward" ends with the logits, which are nowhere else; "encode" has none;
 * - a layer of the cache is appended to before attention reads it: in the same entry or, a source layer, in "encode", which
 *   appends to source layers only. "forward" appends to the others. Attention over "past" reads those, over "source" the
 *   source layers;
 * - a norm, a linear layer and attention read whole rows while they write: their output is none of what they read (an
 *   accumulating product reads its output by columns). A gate writes to its gate, which is not `up`; nothing is added to
 *   itself; an activation may be in place;
 * - what is elementwise is over buffers of as many lines; experts give a line for each that was chosen, or sum those up, and
 *   other ops know no lines;
 * - a trace names what its op wrote, once in an entry.
 */
import { ModelComposeError } from "../base/errors.ts";
import {
  ENCODE,
  FORWARD,
  lineColumns,
  opAccess,
  type AppendOp,
  type AttentionOp,
  type ExpertsOp,
  type GateOp,
  type Name,
  type NormOp,
  type Op,
  type Program,
  type RopeOp,
  type RouteOp,
} from "./program.ts";
import type { KvState, SourceState } from "./state.ts";

/**
 * Checks that a Program keeps to the rules above.
 *
 * @throws ModelComposeError "invalid-argument" that names the op, what it must keep to and what was found
 */
export function checkProgram(program: Program): void {
  checkHead(program);
  /** Layers of the cache that hold something, by entry. */
  const appended = new Map<string, Set<number>>();
  for (const entry of [...program.entries.keys()].sort()) {
    appended.set(entry, new EntryCheck(program, entry, appended.get(ENCODE)).run());
  }
}

function checkHead({ family, architecture, entries, buffers, lines, state }: Program): void {
  const fail = (problem: string): never => {
    throw refused(`Program ${family}`, problem);
  };
  const expected = architecture === "seq2seq" ? [ENCODE, FORWARD] : [FORWARD];
  const found = [...entries.keys()].sort();
  if (found.join() !== expected.join()) {
    fail(`it is ${architecture} and has the entries ${list(found)}; expected ${list(expected)}`);
  }
  for (const [name, columns] of buffers) {
    if (!isCount(columns)) {
      fail(`the buffer "${name}" has ${columns} columns; expected a positive integer`);
    }
  }
  for (const [name, count] of lines) {
    const columns = buffers.get(name) ?? 0;
    if (!isCount(count) || !isCount(columns / count)) {
      fail(`the buffer "${name}" of ${columns} columns has ${count} lines; expected a divisor of them`);
    }
  }
  for (const [layer, { kind, ...sizes }] of state.entries()) {
    for (const [what, size] of Object.entries(sizes)) {
      if (size !== undefined && !isCount(size)) {
        fail(`layer ${layer} (${kind}) has ${what} ${String(size)}; expected a positive integer`);
      }
    }
  }
}

class EntryCheck {
  readonly #program: Program;
  readonly #entry: string;
  /** Layers that "encode" has appended to. */
  readonly #encoded: ReadonlySet<number>;
  readonly #appended = new Set<number>();
  readonly #written = new Set<Name>();
  readonly #traces = new Set<string>();
  readonly #routed = new Map<Name, { experts: number; count: number }>();
  /** What is being checked, for errors. */
  #where = "";

  constructor(program: Program, entry: string, encoded: ReadonlySet<number> = new Set()) {
    this.#program = program;
    this.#entry = entry;
    this.#encoded = encoded;
  }

  /**
   * Checks the ops of the entry, in order.
   *
   * @returns the layers of the cache that the entry appends to
   */
  run(): Set<number> {
    const groups = this.#program.entries.get(this.#entry) ?? [];
    const ops = groups.flatMap(({ name, ops: some }) =>
      some.map((op, i) => ({ op, name: `${name}, op ${i}` })),
    );
    ops.forEach(({ op, name }, i) => {
      this.#where = `Program ${this.#program.family}, entry ${this.#entry}, ${name} (${op.role})`;
      this.#checkOrder(op, i === ops.length - 1);
      this.#checkSizes(op);
      this.#checkLines(op);
      this.#noteRoutes(op);
      this.#checkAliases(op);
      this.#checkTrace(op);
      for (const name of opAccess(op).writes) {
        this.#written.add(name);
      }
    });
    this.#where = `Program ${this.#program.family}, entry ${this.#entry}`;
    if (this.#entry === FORWARD && ops.at(-1)?.op.role !== "logits") {
      this.#fail(`its last op is ${ops.at(-1)?.op.role ?? "missing"}; expected logits`);
    }
    return this.#appended;
  }

  #checkOrder(op: Op, isLast: boolean): void {
    for (const name of opAccess(op).reads) {
      if (!this.#written.has(name)) {
        this.#columns(name);
        this.#fail(`it reads the buffer "${name}", which no earlier op of the entry wrote`);
      }
    }
    if (op.role === "logits" && !(isLast && this.#entry === FORWARD)) {
      this.#fail(`logits are the last op of the entry ${FORWARD}, and nowhere else`);
    }
    if (op.role === "append") {
      this.#checkAppend(op);
    } else if (op.role === "attention") {
      this.#checkCache(op);
    }
  }

  #checkAppend({ layer }: AppendOp): void {
    const isSource = this.#isSource(layer);
    if (isSource !== (this.#entry === ENCODE)) {
      const kind = isSource ? "a source layer" : "no source layer";
      this.#fail(
        `layer ${layer} is ${kind}; the entry ${ENCODE} appends to source layers and ${FORWARD} to others`,
      );
    }
    this.#appended.add(layer);
  }

  #checkCache({ layer, over, window }: AttentionOp): void {
    const isSource = this.#isSource(layer);
    if (isSource !== (over === "source")) {
      this.#fail(
        `it attends over "${over}" in layer ${layer}, which is ${isSource ? "a" : "no"} source layer`,
      );
    }
    if (!this.#appended.has(layer) && !(isSource && this.#encoded.has(layer))) {
      this.#fail(`it reads layer ${layer} of the cache before anything is appended to it`);
    }
    if (window !== undefined && !(over === "past" && isCount(window))) {
      this.#fail(`its window is ${window}, over "${over}"; expected a positive integer, over "past"`);
    }
  }

  #isSource(layer: number): boolean {
    return this.#cache(layer).kind === "source";
  }

  /** What a layer keeps of keys and values. */
  #cache(layer: number): KvState | SourceState {
    const { state } = this.#program;
    const found = state.at(isIndex(layer) ? layer : state.length);
    if (found === undefined) {
      this.#fail(`there is no layer ${layer} of the cache; expected 0 to ${state.length - 1}`);
    }
    if (found.kind === "recurrent") {
      this.#fail(`layer ${layer} is recurrent; expected one that keeps keys and values`);
    }
    return found;
  }

  #checkSizes(op: Op): void {
    const { vocabSize } = this.#program;
    switch (op.role) {
      case "embed": {
        const rows = this.#matrix(op.table, this.#columns(op.output));
        if (rows < vocabSize) {
          this.#fail(`the table "${op.table}" has ${rows} rows; expected ${vocabSize}, one a token`);
        }
        return;
      }
      case "positions":
        this.#matrix(op.table, this.#columns(op.target));
        return;
      case "norm":
        this.#checkNorm(op);
        return;
      case "linear":
      case "logits": {
        const rows = this.#matrix(op.weight, this.#columns(op.input));
        const [what, expected] =
          op.role === "logits"
            ? ["the vocabulary", vocabSize]
            : [`its output "${op.output}"`, this.#columns(op.output)];
        if (rows !== expected) {
          this.#fail(`the weight "${op.weight}" has ${rows} rows; expected ${expected}, as ${what}`);
        }
        if (op.bias !== undefined) {
          this.#vector(op.bias, rows);
        }
        if (op.role === "logits") {
          this.#checkSoftCap(op.softCap);
        }
        return;
      }
      case "route":
        this.#checkRoute(op);
        return;
      case "experts":
        this.#checkExperts(op);
        return;
      case "rope":
        this.#checkRope(op);
        return;
      case "append": {
        const { kvHeads, keyDim, valueDim } = this.#cache(op.layer);
        this.#expectColumns(op.key, kvHeads * keyDim);
        this.#expectColumns(op.value, kvHeads * valueDim);
        return;
      }
      case "attention": {
        const { kvHeads, keyDim, valueDim } = this.#cache(op.layer);
        this.#expectColumns(op.query, op.heads * keyDim);
        this.#expectColumns(op.output, op.heads * valueDim);
        if (op.heads % kvHeads !== 0) {
          this.#fail(`it has ${op.heads} heads; expected a multiple of the ${kvHeads} heads of the cache`);
        }
        this.#checkSoftCap(op.softCap);
        this.#checkBias(op);
        if (op.sinks !== undefined) {
          this.#vector(op.sinks, op.heads);
        }
        return;
      }
      case "gate":
        this.#expectColumns(op.up, this.#columns(op.gate));
        this.#checkClamp(op);
        return;
      case "activate":
        this.#expectColumns(op.input, this.#columns(op.output));
        return;
      case "add":
        this.#expectColumns(op.input, this.#columns(op.target));
    }
  }

  #checkNorm({ kind, input, output, weight, bias, heads = 1 }: NormOp): void {
    const columns = this.#columns(input) / heads;
    this.#expectColumns(output, this.#columns(input));
    if (!isCount(heads) || !isCount(columns)) {
      this.#fail(`it norms ${heads} heads of ${this.#columns(input)} columns; expected a divisor of them`);
    }
    if (heads > 1 && kind !== "rms") {
      this.#fail(`it is a ${kind} norm of ${heads} heads; an RMS norm alone has heads`);
    }
    this.#vector(weight, columns);
    if (bias !== undefined && kind === "rms") {
      this.#fail(`its bias is "${bias}"; a layer norm alone may have one`);
    }
    if (bias !== undefined) {
      this.#vector(bias, columns);
    }
  }

  #checkRoute({ input, output }: RouteOp): void {
    const chosen = this.#columns(output) / 2;
    const experts = this.#columns(input);
    if (!isCount(chosen) || chosen > experts) {
      this.#fail(`it chooses ${chosen} of ${experts} experts into "${output}"; expected 1 to ${experts}`);
    }
  }

  #checkExperts({ kind, input, routes, weights, biases, output, accumulate }: ExpertsOp): void {
    const chosen = this.#routed.get(routes);
    if (chosen === undefined) {
      this.#fail(`"${routes}" is no output of a route`);
    }
    if (weights.length !== chosen.experts) {
      this.#fail(`it has ${weights.length} matrices; expected ${chosen.experts}, one for each expert`);
    }
    const [alone, lined] = kind === "each" ? [input, output] : [output, input];
    this.#expectLines(alone, 1);
    this.#expectLines(lined, chosen.count);
    if (kind === "each" && accumulate) {
      this.#fail("it gives each expert's product and accumulates; a sum alone may");
    }
    const rows = lineColumns(this.#program, output);
    for (const name of weights) {
      const found = this.#matrix(name, lineColumns(this.#program, input));
      if (found !== rows) {
        this.#fail(`the weight "${name}" has ${found} rows; expected ${rows}, as its output "${output}"`);
      }
    }
    if (biases !== undefined && biases.length !== weights.length) {
      this.#fail(`it has ${biases.length} biases; expected ${weights.length}, one for each expert`);
    }
    for (const name of biases ?? []) {
      this.#vector(name, rows);
    }
  }

  /** Experts and chosen ones of the routes that were written last into a buffer. */
  #noteRoutes(op: Op): void {
    for (const name of opAccess(op).writes) {
      this.#routed.delete(name);
    }
    if (op.role === "route") {
      this.#routed.set(op.output, {
        experts: this.#columns(op.input),
        count: this.#columns(op.output) / 2,
      });
    }
  }

  #expectLines(name: Name, expected: number): void {
    this.#columns(name);
    const lines = this.#program.lines.get(name) ?? 1;
    if (lines !== expected) {
      this.#fail(`the buffer "${name}" has ${lines} lines; expected ${expected}`);
    }
  }

  /** Lines are the business of few roles; all buffers of what is elementwise have as many. */
  #checkLines(op: Op): void {
    if (op.role === "experts") {
      return;
    }
    const { reads, writes } = opAccess(op);
    const names = [...reads, ...writes];
    const isElementwise = op.role === "gate" || op.role === "activate" || op.role === "add";
    const expected = isElementwise ? (this.#program.lines.get(names[0]) ?? 1) : 1;
    for (const name of names) {
      this.#expectLines(name, expected);
    }
  }

  #checkRope({ buffer, heads, headDim, table = 0 }: RopeOp): void {
    const { ropes } = this.#program;
    this.#expectColumns(buffer, heads * headDim);
    const rope = ropes.at(isIndex(table) ? table : ropes.length);
    if (rope === undefined) {
      this.#fail(`it names table ${table} of frequencies; the program has ${ropes.length}`);
    }
    const rotated = 2 * rope.inverseFrequencies.length;
    if (rotated > headDim) {
      this.#fail(
        `${rotated} channels of a head are rotated; expected no more than the ${headDim} that it has`,
      );
    }
  }

  #checkClamp({ activation, clamp }: GateOp): void {
    if (clamp === undefined) {
      return;
    }
    if (activation !== "silu") {
      this.#fail(`its clamp goes with the activation silu; found ${activation}`);
    }
    for (const [what, value] of [
      ["alpha", clamp.alpha],
      ["limit", clamp.limit],
    ] as const) {
      // Devices compute with them in f32.
      if (!(value >= 2 ** -20 && value <= 2 ** 20)) {
        this.#fail(`the ${what} of its clamp is ${value}; expected a number from 2^-20 to 2^20`);
      }
    }
  }

  #checkSoftCap(softCap: number | undefined): void {
    // Devices divide by it in f32.
    if (softCap !== undefined && !(softCap >= 2 ** -20 && softCap <= 2 ** 20)) {
      this.#fail(`its soft cap is ${softCap}; expected a number from 2^-20 to 2^20`);
    }
  }

  #checkBias({ bias, heads }: AttentionOp): void {
    if (bias === undefined) {
      return;
    }
    if (bias.kind === "table") {
      if (!isCount(bias.reach)) {
        this.#fail(`the table of its biases reaches ${bias.reach} positions; expected a positive integer`);
      }
      this.#vector(bias.table, heads * (2 * bias.reach + 1));
      return;
    }
    if (bias.slopes.length !== heads || !bias.slopes.every(Number.isFinite)) {
      this.#fail(`its biases have the slopes [${bias.slopes.join(", ")}]; expected ${heads} finite numbers`);
    }
  }

  #checkAliases(op: Op): void {
    switch (op.role) {
      case "norm":
      case "linear":
      case "route":
        this.#expectOther("its output", op.output, "its input", op.input);
        return;
      case "experts":
        this.#expectOther("its output", op.output, "its input", op.input);
        this.#expectOther("its output", op.output, "its routes", op.routes);
        return;
      case "attention":
        this.#expectOther("its output", op.output, "its query", op.query);
        return;
      case "add":
        this.#expectOther("its target", op.target, "its input", op.input);
        return;
      case "gate":
        this.#expectOther("its gate", op.gate, "up", op.up);
        if (op.output !== op.gate) {
          this.#fail(`it writes to "${op.output}"; expected its gate, "${op.gate}"`);
        }
        return;
      case "embed":
      case "positions":
      case "rope":
      case "append":
      case "activate":
      case "logits":
    }
  }

  #checkTrace(op: Op): void {
    if (op.trace === undefined) {
      return;
    }
    if (opAccess(op).writes.length === 0) {
      this.#fail(`it has the trace "${op.trace}", but writes to no buffer`);
    }
    if (this.#traces.has(op.trace)) {
      this.#fail(`an earlier op of the entry has its trace, "${op.trace}"`);
    }
    this.#traces.add(op.trace);
  }

  #expectOther(what: string, name: Name, than: string, other: Name): void {
    if (name === other) {
      this.#fail(`${what} and ${than} are both "${name}"; expected two buffers`);
    }
  }

  #expectColumns(name: Name, expected: number): void {
    const columns = this.#columns(name);
    if (columns !== expected) {
      this.#fail(`the buffer "${name}" has ${columns} columns; expected ${expected}`);
    }
  }

  #columns(name: Name): number {
    return this.#program.buffers.get(name) ?? this.#fail(`no buffer "${name}" is declared`);
  }

  /** Rows of a matrix that must have so many columns. */
  #matrix(name: Name, columns: number): number {
    const matrix = this.#program.matrices.get(name) ?? this.#fail(`no matrix "${name}" is declared`);
    if (matrix.columns !== columns) {
      this.#fail(`the matrix "${name}" has ${matrix.columns} columns; expected ${columns}`);
    }
    return matrix.rows;
  }

  #vector(name: Name, expected: number): void {
    const vector = this.#program.vectors.get(name) ?? this.#fail(`no vector "${name}" is declared`);
    if (vector.length !== expected) {
      this.#fail(`the vector "${name}" has the length ${vector.length}; expected ${expected}`);
    }
  }

  #fail(problem: string): never {
    throw refused(this.#where, problem);
  }
}

function refused(where: string, problem: string): ModelComposeError {
  return new ModelComposeError("invalid-argument", `${where}: ${problem}.`, {
    remedy: "Correct the function that builds the program.",
  });
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value > 0;
}

function isIndex(value: number): boolean {
  return Number.isInteger(value) && value >= 0;
}

function list(names: readonly string[]): string {
  return names.length === 0 ? "none" : names.join(" and ");
}
