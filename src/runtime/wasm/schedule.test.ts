/**
 * Schedules of random and of known programs in a model of the workers (test/support/schedule-model.ts): nothing is missing
 * in them, and the model finds whatever is left out, so that nothing is in them for nothing.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openGolden } from "../../../test/support/golden.ts";
import { randomProgram, type RandomProgram } from "../../../test/support/random-programs.ts";
import { findFault, type ScheduleCase } from "../../../test/support/schedule-model.ts";
import { FORWARD, type Op, type Program } from "../program.ts";
import type { Chain, Form, Instruction } from "./instruction.ts";
import { schedule } from "./schedule.ts";

interface Setting extends RandomProgram {
  form: Form;
  threads: number;
  /** Every other matrix scales its input. */
  isMixed: boolean;
}

const FORMS = ["row", "few", "many"] as const;

const settings = (threads: { min: number; max: number }): fc.Arbitrary<Setting> =>
  fc
    .tuple(
      fc.integer({ min: 1, max: 3 }).chain((memories) => randomProgram(memories)),
      fc.constantFrom(...FORMS, "row" as const), // the most tangled
      fc.integer(threads),
      fc.boolean(),
    )
    .map(([program, form, count, isMixed]) => ({ ...program, form, threads: count, isMixed }));

/** A case for the model, and its schedule. */
function scheduled({ program, banks, form, threads, isMixed }: Setting): [ScheduleCase, Instruction[]] {
  const scaled = new Set([...program.matrices.keys()].filter((_, i) => isMixed && i % 2 === 0));
  const groups = program.entries.get(FORWARD)!;
  const given = { groups, form, threads, banks, isScaled: (matrix: string) => scaled.has(matrix) };
  const { buffers, vocabSize } = program;
  return [given, schedule(groups, form, { ...given, buffers, vocabSize })];
}

const replaced = <T>(list: readonly T[], index: number, by: readonly T[]): T[] => [
  ...list.slice(0, index),
  ...by,
  ...list.slice(index + 1),
];

/** The instruction with less in it, in every way in which there can be less, and what was left out. */
function lessened(instruction: Instruction): [string, Instruction[]][] {
  const { kind } = instruction;
  switch (kind) {
    case "barrier":
    case "exchange partials":
      return [[kind, []]];
    case "exchange":
    case "copy":
    case "scatter":
      return instruction.targets.map((target, i) => {
        const targets = replaced(instruction.targets, i, []);
        return [`bank ${target} of ${kind}`, [{ ...instruction, targets }]];
      });
    case "share": {
      const { chains, ready } = instruction;
      const pushes = chains.flatMap((chain, c) =>
        chain.pushes.map((push, p): [string, Instruction[]] => {
          const less: Chain = { ...chain, pushes: replaced(chain.pushes, p, []) };
          return [`push of ${push.buffer}`, [{ ...instruction, chains: replaced(chains, c, [less]) }]];
        }),
      );
      const unready = ready.map(({ buffer }, i): [string, Instruction[]] => [
        `ready ${buffer}`,
        [{ ...instruction, ready: replaced(ready, i, []) }],
      ]);
      return [...pushes, ...unready];
    }
    case "rotations":
    case "group":
    case "rows":
    case "columns":
    case "attend blocks":
    case "combine":
    case "attend tiles":
    case "logits":
    case "trace":
      return [];
  }
}

const textOf = (instructions: readonly Instruction[]): string =>
  instructions.map((instruction) => JSON.stringify(instruction)).join("\n");

describe("random programs", () => {
  test("every worker reads what it should, however fast its peers are", () => {
    fc.assert(
      fc.property(settings({ min: 1, max: 4 }), (setting) => {
        const [given, instructions] = scheduled(setting);
        expect(findFault(given, instructions)).toBeUndefined();
      }),
      { numRuns: 400 },
    );
  });

  test("nothing that moves values or waits can be left out", () => {
    const left = new Map<string, number>();
    for (const setting of fc.sample(settings({ min: 2, max: 3 }), { seed: 1, numRuns: 60 })) {
      const [given, instructions] = scheduled(setting);
      instructions.forEach((instruction, i) => {
        for (const [what, less] of lessened(instruction)) {
          const fault = findFault(given, replaced(instructions, i, less));
          expect(
            fault,
            `${setting.form}: ${what} of instruction ${i} of\n${textOf(instructions)}`,
          ).toBeDefined();
          left.set(instruction.kind, (left.get(instruction.kind) ?? 0) + 1);
        }
      });
    }
    expect([...left.keys()].sort()).toEqual([
      "barrier",
      "copy",
      "exchange",
      "exchange partials",
      "scatter",
      "share",
    ]);
  });

  test("one worker waits for nobody", () => {
    for (const setting of fc.sample(settings({ min: 1, max: 1 }), { seed: 2, numRuns: 30 })) {
      const kinds = scheduled(setting)[1].map(({ kind }) => kind);
      expect(kinds).not.toContain("barrier");
      expect(kinds).not.toContain("share");
    }
  });
});

const EMBED = { role: "embed", table: "table", output: "x" } as const;
const NORM = { role: "norm", kind: "rms", input: "x", weight: "gain", epsilon: 1, output: "n" } as const;
const LINEAR = { role: "linear", input: "n", weight: "weight", output: "y", accumulate: false } as const;
const LOGITS = { role: "logits", input: "n", weight: "head" } as const;

/** A program of groups of ops in these banks, of which only ops and buffers matter here. */
function scheduledOps(
  groups: readonly (readonly Op[])[],
  form: Form,
  { banks = groups.map(() => 0), scaled = [] as readonly string[] } = {},
): [ScheduleCase, Instruction[]] {
  const given = {
    groups: groups.map((ops, i) => ({ name: `group ${i}`, ops })),
    form,
    threads: 3,
    banks,
    isScaled: (matrix: string) => scaled.includes(matrix),
  };
  const buffers = new Map(["x", "n", "y", "z"].map((name) => [name, 64]));
  return [given, schedule(given.groups, form, { ...given, buffers, vocabSize: 100 })];
}

const without = (
  instructions: readonly Instruction[],
  kind: Instruction["kind"],
  which = 0,
): Instruction[] => {
  const places = instructions.flatMap((instruction, i) => (instruction.kind === kind ? [i] : []));
  return replaced(instructions, places[which], []);
};

/** The chains of each shared stage, as the roles of their ops. */
const stages = (instructions: readonly Instruction[]): string[][] =>
  instructions.flatMap((instruction) =>
    instruction.kind === "share"
      ? [instruction.chains.map(({ ops }) => ops.map(({ role }) => role).join(" "))]
      : [],
  );

describe.each(FORMS)("faults that were there once, %s", (form) => {
  test("a norm is read in another memory than the one where it was written", () => {
    const [given, instructions] = scheduledOps([[EMBED, NORM], [LOGITS]], form, { banks: [0, 1] });
    expect(findFault(given, instructions)).toBeUndefined();
    expect(findFault(given, without(instructions, "copy"))).toMatch(/of n \(.*bank 1.*finds version nothing/);
  });

  test("positions are added to a norm's output that a slow peer has not computed yet", () => {
    const positions = { role: "positions", table: "places", offset: 0, target: "n" } as const;
    const [given, instructions] = scheduledOps([[EMBED, NORM, positions, LOGITS]], form);
    expect(findFault(given, instructions)).toBeUndefined();
    const kinds = instructions.map(({ kind }) => kind);
    expect(kinds.slice(0, 6)).toEqual(["group", "scatter", "barrier", "rows", "barrier", "scatter"]);
    expect(findFault(given, without(instructions, "barrier", 1))).toMatch(
      /rows by .* of n .*may come in any order/,
    );
  });

  test("columns are pushed to a peer that still reads what they overwrite", () => {
    const back = { ...LINEAR, input: "n", output: "x", accumulate: true } as const;
    const again = { ...NORM, output: "y" } as const;
    const [given, instructions] = scheduledOps([[EMBED, NORM, back, again, { ...LOGITS, input: "y" }]], form);
    expect(findFault(given, instructions)).toBeUndefined();
    expect(findFault(given, without(instructions, "barrier", 1))).toMatch(/of x .*may come in any order/);
  });
});

describe("one row", () => {
  test("products that scale different inputs are in different stages", () => {
    // CodeGen has such products after attention: they would fill the same scratch of a memory with different numbers.
    const other = { ...LINEAR, input: "x", weight: "other", output: "z" } as const;
    const ops = [EMBED, NORM, LINEAR, other, { ...LOGITS, input: "x" }];
    const together = scheduledOps([ops], "row", { scaled: ["weight"] });
    expect(stages(together[1])).toEqual([["linear", "linear", "logits"]]);
    const apart = scheduledOps([ops], "row", { scaled: ["weight", "other"] });
    expect(stages(apart[1])).toEqual([["linear"], ["linear", "logits"]]);
    expect(findFault(...apart)).toBeUndefined();
    expect(findFault(apart[0], together[1])).toMatch(/of \(scaled\) .*may come in any order/);
  });

  test("what a pending task reads is not overwritten", () => {
    const embeds = ["x", "n", "y"].map((output) => ({ ...EMBED, output }));
    const add = { role: "add", input: "n", target: "y" } as const;
    const [given, instructions] = scheduledOps([[...embeds, add, NORM, LOGITS]], "row");
    expect(stages(instructions)).toEqual([["add"], ["logits"]]);
    expect(findFault(given, instructions)).toBeUndefined();
  });

  test("what is elementwise joins the chains of its operands, or is one of its own", () => {
    const up = { ...LINEAR, weight: "up", output: "z" } as const;
    const gate = { role: "gate", activation: "silu", gate: "y", up: "z", output: "y" } as const;
    const down = { ...LINEAR, input: "y", output: "x", accumulate: true } as const;
    const add = { role: "add", input: "z", target: "n" } as const;
    const [given, instructions] = scheduledOps([[EMBED, NORM, LINEAR, up, gate, down, add, LOGITS]], "row");
    expect(findFault(given, instructions)).toBeUndefined();
    expect(stages(instructions)).toEqual([["linear linear gate"], ["linear", "add"], ["logits"]]);
  });
});

describe("families", () => {
  const barriers = (program: Program, form: Form): number => {
    const groups = program.entries.get(FORWARD)!;
    const [, instructions] = scheduled({
      program,
      banks: groups.map(() => 0),
      form,
      threads: 2,
      isMixed: false,
    });
    return instructions.filter(({ kind }) => kind === "barrier").length;
  };

  test.each([
    ["smollm3-bf16", 5, 1],
    ["llama", 5, 1],
    // Its norms of queries and keys are of whole rows, as rotations are.
    ["qwen3", 5, 1],
    // Norms behind attention and MLP need whole rows once more.
    ["olmo2", 7, 1],
    // CodeGen's attention and MLP read the same norm.
    ["codegen", 4, 1],
    // Positions are added to the embeddings.
    ["gpt2", 5, 2],
    ["gpt_neo", 5, 2],
  ])("%s: %i barriers a layer, %i for the embeddings", async (name, each, embeddings) => {
    const { program } = await openGolden(name);
    const layers = program.state.length;
    expect(barriers(program, "row")).toBe(embeddings + each * layers + 1); // with that of the logits
    expect(barriers(program, "few")).toBe(embeddings + each * layers);
    expect(barriers(program, "many")).toBe(embeddings + (each + 1) * layers);
  });

  test.each(["smollm3-bf16", "qwen3", "olmo2", "codegen", "gpt_neo", "bart", "blenderbot"])(
    "%s, every entry, form and number of threads, a layer a bank",
    async (name) => {
      const { program } = await openGolden(name);
      for (const [, groups] of program.entries) {
        for (const form of FORMS) {
          for (const threads of [1, 2, 3]) {
            const banks = groups.map((_, i) => i % 3);
            const given = { groups, form, threads, banks, isScaled: () => true };
            const { buffers, vocabSize } = program;
            expect(
              findFault(given, schedule(groups, form, { ...given, buffers, vocabSize })),
            ).toBeUndefined();
          }
        }
      }
    },
  );
});
