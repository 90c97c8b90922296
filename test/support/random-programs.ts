/** Arbitrary forward passes for fast-check: as tangled as the rules of a Program allow, over few buffers. */
import fc from "fast-check";
import { ProgramBuilder, type Name, type Op, type Program } from "../../src/runtime/program.ts";
import { kvLayers } from "../../src/runtime/state.ts";

export interface RandomProgram {
  program: Program;
  /** Banks of the groups of the entry "forward". */
  banks: number[];
}

const HEADS = 4;
const HEAD_DIM = 8;
const COLUMNS = HEADS * HEAD_DIM;
const VOCABULARY = 48;
const POSITIONS = 40;
const BUFFERS = ["a", "b", "c", "d", "e"];
const [EXPERTS, CHOSEN] = [3, 2];
/** The buffers of a mixture of experts: logits, routes and two with a line for each chosen expert. */
const [SCORES, ROUTES] = ["scores", "routes"];
const LINED = ["lines 1", "lines 2"];

/** Roles of the ops that may come next; those that make the most tangled schedules come more often. */
const ROLES = [
  "embed",
  "positions",
  "norm",
  "norm",
  "linear",
  "linear",
  "accumulate",
  "rope",
  "append",
  "attention",
  "attention",
  "gate",
  "gate",
  "add",
  "add",
  "mixture",
  "mixture",
  "mixture",
  "mixture",
] as const;

/** One op as small numbers, which are taken as what is possible where it stands: shrinking gives simpler programs. */
interface Choice {
  /** Index of the role in ROLES. */
  role: number;
  input: number;
  output: number;
  other: number;
  isTraced: boolean;
  /** Bank of the group that begins with this op, if one does. */
  group?: number;
}

const choice: fc.Arbitrary<Choice> = fc.record(
  {
    role: fc.nat({ max: ROLES.length - 1 }),
    input: fc.nat({ max: 4 }),
    output: fc.nat({ max: 4 }),
    other: fc.nat({ max: 4 }),
    isTraced: fc.boolean(),
    group: fc.nat({ max: 2 }),
  },
  { requiredKeys: ["role", "input", "output", "other", "isTraced"] },
);

/** An arbitrary forward pass. @param memories the most banks that groups lie in */
export function randomProgram(memories: number, maxOps = 24): fc.Arbitrary<RandomProgram> {
  return fc
    .tuple(fc.array(choice, { minLength: 1, maxLength: maxOps }), fc.boolean())
    .map(([choices, hasMixture]) => write(choices, memories, hasMixture));
}

/** @param hasMixture whether it begins with experts' products, so that others may follow */
function write(choices: readonly Choice[], memories: number, hasMixture: boolean): RandomProgram {
  const p = new ProgramBuilder();
  for (const buffer of BUFFERS) {
    p.buffer(buffer, COLUMNS);
  }
  p.buffer(SCORES, EXPERTS);
  p.buffer(ROUTES, 2 * CHOSEN);
  for (const buffer of LINED) {
    p.lines(buffer, CHOSEN, COLUMNS);
  }
  p.matrix("table", VOCABULARY, COLUMNS);
  p.matrix("places", POSITIONS, COLUMNS);
  p.matrix("head", VOCABULARY, COLUMNS);
  const banks: number[] = [0];
  p.group("group 0");
  p.op({ role: "embed", table: "table", output: "a" });
  /** Names of the buffers that hold something. */
  const written = new Set<Name>(["a"]);
  /** Those of a mixture of experts among them. */
  const mixed = new Set<Name>();
  if (hasMixture) {
    for (const index of [-1, -2, -3]) {
      const op = mixtureOp(p, { input: 0, other: 0, output: 0 }, index, { written, mixed });
      if (op !== undefined) {
        p.op(op);
      }
    }
  }
  const appended = new Set<number>();
  choices.forEach((made, index) => {
    if (made.group !== undefined) {
      banks.push(made.group % memories);
      p.group(`group ${index + 1}`);
    }
    // A layer of the cache lies in one bank, so that each bank has one.
    const op = opOf(p, made, index, { written, mixed, appended }, banks[banks.length - 1]);
    if (op !== undefined) {
      p.op(made.isTraced && op.role !== "append" ? { ...op, trace: `trace ${index}` } : op);
    }
  });
  p.op({ role: "logits", input: [...written][written.size - 1], weight: "head" });
  const program = p.build({
    family: "random",
    vocabSize: VOCABULARY,
    maxPositions: POSITIONS,
    rope: { inverseFrequencies: Float32Array.of(1, 0.1, 0.01), scaling: 1 },
    state: kvLayers(3, { kvHeads: HEADS, headDim: HEAD_DIM }),
  });
  return { program, banks };
}

function opOf(
  p: ProgramBuilder,
  { role, input: i, output: o, other: j }: Choice,
  index: number,
  { written, mixed, appended }: { written: Set<Name>; mixed: Set<Name>; appended: Set<number> },
  layer: number,
): Op | undefined {
  const full = [...written];
  const [input, other] = [full[i % full.length], full[j % full.length]];
  const output = BUFFERS[o];
  const write = (op: Op): Op => {
    written.add(output);
    return op;
  };
  switch (ROLES[role]) {
    case "embed":
      return write({ role: "embed", table: "table", output });
    case "positions":
      return { role: "positions", table: "places", offset: 0, target: input };
    case "norm": {
      const weight = p.vector(`gain ${index}`, COLUMNS);
      const op = { role: "norm", kind: "rms", input, weight, epsilon: 1e-3, output } as const;
      return input === output ? undefined : write(op);
    }
    case "linear":
    case "accumulate": {
      const accumulate = ROLES[role] === "accumulate";
      if (input === output || (accumulate && !written.has(output))) {
        return undefined;
      }
      const weight = p.matrix(`weight ${index}`, COLUMNS, COLUMNS);
      return write({ role: "linear", input, weight, output, accumulate });
    }
    case "rope":
      return { role: "rope", buffer: input, heads: HEADS, headDim: HEAD_DIM };
    case "append":
    case "attention": {
      if (ROLES[role] === "append" || !appended.has(layer)) {
        appended.add(layer);
        return { role: "append", key: input, value: other, layer };
      }
      const op = { role: "attention", over: "past", query: input, layer, heads: HEADS, output } as const;
      return input === output ? undefined : write({ ...op, scale: 0.3 });
    }
    case "gate":
      return input === other
        ? write({ role: "activate", activation: "silu", input, output })
        : { role: "gate", activation: "silu", gate: input, up: other, output: input };
    case "mixture": {
      const op = mixtureOp(p, { input: i, other: j, output: o }, index, { written, mixed });
      return op?.role === "experts" && op.kind === "sum" ? write(op) : op;
    }
    case "add":
      return input === other ? undefined : { role: "add", input, target: other };
  }
}

/** An op of a mixture of experts: mostly the next one after those that there are. */
function mixtureOp(
  p: ProgramBuilder,
  { input: i, other: j, output: o }: Pick<Choice, "input" | "other" | "output">,
  index: number,
  { written, mixed }: { written: ReadonlySet<Name>; mixed: Set<Name> },
): Op | undefined {
  const full = [...written];
  const input = full[i % full.length];
  const lined = LINED[j % 2];
  const matrices = (): Name[] =>
    Array.from({ length: EXPERTS }, (_, e) => p.matrix(`weight ${index} of ${e}`, COLUMNS, COLUMNS));
  const score = (): Op => {
    mixed.add(SCORES);
    const weight = p.matrix(`router ${index}`, EXPERTS, COLUMNS);
    return { role: "linear", input, weight, output: SCORES, accumulate: false };
  };
  const route = (): Op => {
    mixed.add(ROUTES);
    return { role: "route", input: SCORES, normalize: i % 2 === 0, output: ROUTES };
  };
  const each = (): Op => {
    mixed.add(lined);
    const accumulate = false;
    return {
      role: "experts",
      kind: "each",
      input,
      routes: ROUTES,
      weights: matrices(),
      output: lined,
      accumulate,
    };
  };
  const sum = (): Op | undefined => {
    const output = BUFFERS[o];
    const accumulate = i % 2 === 0 && written.has(output);
    return mixed.has(lined)
      ? {
          role: "experts",
          kind: "sum",
          input: lined,
          routes: ROUTES,
          weights: matrices(),
          output,
          accumulate,
        }
      : undefined;
  };
  const gate = (): Op => {
    return { role: "gate", activation: "silu", gate: lined, up: LINED[1 - (j % 2)], output: lined };
  };
  const possible = [
    score,
    ...(mixed.has(SCORES) ? [route] : []),
    ...(mixed.has(ROUTES) ? [each] : []),
    ...(LINED.some((name) => mixed.has(name)) ? [sum, sum] : []),
    ...(LINED.every((name) => mixed.has(name)) ? [gate] : []),
  ];
  return possible.at(-1 - (o % Math.min(possible.length, 4)))?.();
}
