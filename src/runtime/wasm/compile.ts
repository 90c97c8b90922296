/**
 * Compiles an entry of a Program, once, into the steps that one worker replays for every pass: the instructions of a
 * schedule, bound to the worker's memory and kernels.
 */
import { lineColumns, type Name, type Program } from "../program.ts";
import { uniformHeads } from "../state.ts";
import { attendBlocksStep, attendTilesSteps, combineStep, exchangePartialsStep } from "./attention-steps.ts";
import { columnsStep } from "./column-steps.ts";
import { barrierStep, copyWithin, pushColumns } from "./exchange.ts";
import type { Form, Instruction, Place } from "./instruction.ts";
import { logitsKernel, preparationOf, type LogitsKernel, type Preparation } from "./linear-steps.ts";
import { kernelStep, meet, NO_COMMAND, otherStep, type PassContext, type Step, type Worker } from "./pass.ts";
import { KV_BLOCK, SPLIT_KV_ROWS, type MemoryPlan } from "./plan.ts";
import { rotationsStep, rowsStep } from "./row-steps.ts";
import { scatterStep } from "./scatter-steps.ts";
import { schedule } from "./schedule.ts";
import { sharedStep } from "./shared-work.ts";

/** The steps of an entry, one list for each form of a pass. */
export interface CompiledEntry {
  /** Steps for few rows, whose attention is split by blocks, and for many; the logits of chosen rows follow them. */
  few: readonly Step[];
  many: readonly Step[];
  /** How logits are made; absent in an entry that makes none. */
  head?: Head;
}

/** What an entry that makes logits has besides. */
export interface Head {
  /** Steps for one row, its logits included; untraced. */
  row: readonly Step[];
  logits: LogitsKernel;
}

/** An entry that ends in logits. */
export type ForwardEntry = CompiledEntry & { head: Head };

/**
 * Compiles an entry of a Program for one worker.
 *
 * @throws Error when the Program has no such entry
 */
export function compileEntry(worker: Worker, program: Program, entry: string): CompiledEntry {
  const groups = program.entries.get(entry);
  if (groups === undefined) {
    throw new Error(`Program ${program.family} has no entry "${entry}".`);
  }
  const { plan, threads } = worker;
  const options = {
    threads,
    banks: plan.groupBanks[entry],
    buffers: new Map([...program.buffers.keys()].map((name) => [name, lineColumns(program, name)])),
    vocabSize: program.vocabSize,
    isScaled: (matrix: Name) => preparationOf(worker, matrix) !== "f32",
  };
  const stepsIn = (form: Form): Step[] => {
    /** The input that the linear layer before has packed, and may leave to this one. */
    let packed: (Place & { preparation: Preparation }) | undefined;
    return schedule(groups, form, options).flatMap((instruction) => {
      const linear =
        instruction.kind === "columns" && instruction.op.role === "linear" ? instruction.op : undefined;
      const { bank } = instruction as { bank?: number };
      const preparation = linear === undefined ? undefined : preparationOf(worker, linear.weight);
      const isPacked =
        packed !== undefined &&
        packed.buffer === linear?.input &&
        packed.bank === bank &&
        packed.preparation === preparation;
      packed =
        linear === undefined || bank === undefined || preparation === undefined
          ? undefined
          : { buffer: linear.input, bank, preparation };
      return bind(worker, program, form, instruction, isPacked);
    });
  };
  const compiled: CompiledEntry = { few: stepsIn("few"), many: stepsIn("many") };
  const last = groups.at(-1)?.ops.at(-1);
  if (last?.role === "logits") {
    const logits = logitsKernel(worker, last, options.banks[groups.length - 1]);
    compiled.head = { row: stepsIn("row"), logits };
  }
  return compiled;
}

/**
 * The steps of a pass, without logits. Few rows, rows that are all of different sequences, and those of a decode's step, each walk
 * over their own blocks, as long as there is room for the partial states of all of them.
 */
export function stepsFor(
  { few, many }: CompiledEntry,
  { command, rows, slots, positions, sourceLength }: PassContext,
  { partialBlocks }: MemoryPlan,
): readonly Step[] {
  if (rows <= SPLIT_KV_ROWS) {
    return few;
  }
  let blocks = 0;
  for (let r = 0; r < rows; r++) {
    blocks += Math.ceil(Math.max(positions[r] + 1, sourceLength) / KV_BLOCK);
  }
  const areFew = command === NO_COMMAND || new Set(slots).size === rows;
  return blocks <= partialBlocks && areFew ? few : many;
}

function bind(
  worker: Worker,
  program: Program,
  form: Form,
  instruction: Instruction,
  isPacked: boolean,
): Step[] {
  switch (instruction.kind) {
    case "rotations":
      return program.ropes.map((rope, index) => rotationsStep(worker, rope, index));
    case "group":
      return [groupStep(worker, instruction.fraction)];
    case "scatter":
      return [scatterStep(worker, instruction.op, instruction.bank, instruction.targets)];
    case "rows":
      return [rowsStep(worker, program, instruction.op, instruction.bank)];
    case "columns":
      return [columnsStep(worker, program, instruction.op, { bank: instruction.bank, isPacked })];
    case "share":
      return [sharedStep(worker, program, instruction.chains, instruction.ready)];
    case "exchange": {
      const push = pushColumns(worker, program, instruction);
      return push === undefined ? [] : [push];
    }
    case "copy":
      return [copyWithin(worker, instruction)];
    case "attend blocks":
      return [attendBlocksStep(worker, instruction.op, uniformHeads(program), instruction.bank)];
    case "exchange partials":
      return [exchangePartialsStep(worker, instruction.op, instruction.bank)];
    case "combine":
      return [combineStep(worker, instruction.op, uniformHeads(program), instruction.bank)];
    case "attend tiles":
      return attendTilesSteps(worker, instruction.op, uniformHeads(program), instruction.bank);
    case "logits": {
      // In the other forms the caller chooses the rows whose logits it wants.
      const logits = logitsKernel(worker, instruction.op, instruction.bank);
      return form === "row" ? [kernelStep((context) => void logits.compute(FIRST_ROW, context))] : [];
    }
    case "trace": {
      const { label, buffer, isWhole, bank } = instruction;
      return [otherStep((context) => context.trace?.(label, buffer, isWhole, bank))];
    }
    case "barrier":
      return [barrierStep(worker)];
  }
}

const FIRST_ROW = [0];

/**
 * The step between groups: a long pass tells how far it is. Many workers look at the cancel flag at every barrier; one
 * alone does so here.
 */
function groupStep(worker: Worker, fraction: number): Step {
  const { control, index, threads } = worker;
  return otherStep((context) => {
    if (index === 0 && context.rows > 1 && context.command !== NO_COMMAND) {
      control.progress = fraction;
    }
    if (threads === 1) {
      meet(worker, context);
    }
  });
}
