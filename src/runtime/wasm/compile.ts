/**
 * Compiles an entry of a Program, once, into the steps that one worker replays for every pass.
 *
 * Linear layers write the columns a worker owns ("own"); norms, rotary embedding and attention produce whole rows on
 * every worker ("whole"). Where an op reads whole rows of a buffer that is "own", an exchange and a barrier go before
 * it, together with every other buffer that will be needed whole: for a transformer that makes five barriers a layer.
 */
import { ACTIVATION_CODE } from "../../kernels/wasm-module.ts";
import {
  opAccess,
  type EmbedOp,
  type Name,
  type Op,
  type OpGroup,
  type PositionsOp,
  type Program,
  type RopeTable,
} from "../program.ts";
import { uniformHeads } from "../state.ts";
import { appendStep, attentionSteps } from "./attention-steps.ts";
import { barrierStep, copyWithin, pushColumns } from "./exchange.ts";
import { linearStep, logitsKernel, type LogitsKernel } from "./linear-steps.ts";
import { FORMATS, PANEL } from "../../kernels/format.ts";
import { columnRange, panelRange, roundUp } from "./plan.ts";
import { addLinear, joinChains, logitsChain } from "./chains.ts";
import { sharedStep, type Chain } from "./shared-work.ts";
import { kernelStep, meet, otherStep, type Step, type Worker } from "./pass.ts";

export interface CompiledEntry {
  /** For any number of rows; the logits of chosen rows follow. */
  steps: readonly Step[];
  /** For one row, its logits included; untraced. */
  single: readonly Step[];
  /** Absent where the entry makes none. */
  logits?: LogitsKernel;
}

/** An entry that ends in logits. */
export type ForwardEntry = CompiledEntry & { logits: LogitsKernel };

interface PlacedOp {
  op: Op;
  bank: number;
  /** The first op of its group. */
  isFirst: boolean;
}

/** Which buffers an op needs whole (all columns), as opposed to its own columns only. */
function wholeReads(op: Op): Name[] {
  switch (op.role) {
    case "norm":
    case "logits":
      return [op.input];
    case "linear":
      return [op.input];
    case "positions":
      return [op.target];
    case "rope":
      return [op.buffer];
    case "append":
      return [op.key, op.value];
    case "attention":
      return [op.query];
    case "embed":
    case "gate":
    case "activate":
    case "add":
      return [];
  }
}

export function compileEntry(worker: Worker, program: Program, entry: string): CompiledEntry {
  const groups = program.entries.get(entry);
  if (groups === undefined) {
    throw new Error(`Program ${program.family} has no entry "${entry}".`);
  }
  const ops = groups.flatMap((group: OpGroup, i) =>
    group.ops.map((op, j): PlacedOp => ({ op, bank: worker.plan.groupBanks[entry][i], isFirst: j === 0 })),
  );
  const steps: Step[] = [];
  const single: Step[] = [];
  const both = (...added: Step[]): void => {
    steps.push(...added);
    single.push(...added);
  };
  if (program.rope !== undefined) {
    both(ropeTableStep(worker, program.rope));
  }
  /** Buffers of which each worker has its own columns only, and the bank where they are. */
  const own = new Map<Name, number>();
  /** Buffers read whole since the last barrier: a peer that is behind may still be reading them. */
  let reading = new Set<Name>();
  /** Several workers, one row: what was computed whole, and what is to be shared out, since the last barrier. */
  let whole: { buffer: Name; bank: number }[] = [];
  let chains: Chain[] = [];
  const isShared = worker.threads > 1;

  const shareOut = (): void => {
    if (chains.length > 0) {
      single.push(sharedStep(worker, chains, whole));
    }
    chains = [];
  };
  const meetAll = (): void => {
    shareOut();
    if (isShared) {
      both(barrierStep(worker));
    }
    reading = new Set();
    whole = [];
  };
  const exchange = (index: number): void => {
    const needed = [...own].filter(([name]) => readersOf(ops, index, name).size > 0);
    if (needed.some(([name]) => reading.has(name))) {
      meetAll();
    }
    for (const [name, bank] of needed) {
      const columns = program.buffers.get(name) ?? 0;
      const targets = readersOf(ops, index, name);
      const push = pushColumns(worker, name, columns, bank, targets);
      const chain = chains.find(({ outputs }) => outputs.includes(name));
      if (push !== undefined) {
        steps.push(push);
        if (chain === undefined) {
          single.push(push);
        }
      }
      chain?.pushes.push({ buffer: name, targets }); // whoever runs a task pushes its columns
      own.delete(name);
    }
    meetAll();
  };

  ops.forEach(({ op, bank, isFirst }, index) => {
    if (isFirst) {
      both(groupStep(worker, index / ops.length));
    }
    if (wholeReads(op).some((name) => own.has(name))) {
      exchange(index);
    }
    if (op.role === "logits") {
      if (isShared) {
        chains.push(logitsChain(worker, op, bank));
      } else {
        single.push(logitsRowStep(logitsKernel(worker, op, bank)));
      }
      shareOut();
      if (isShared) {
        single.push(barrierStep(worker));
      }
      return;
    }
    // The owner of a position writes into its peers' rows: they must have computed them.
    if (op.role === "positions" && whole.some(({ buffer }) => buffer === op.target)) {
      meetAll();
    }
    for (const name of wholeReads(op)) {
      reading.add(name);
    }
    const compiled = compileOp(worker, program, op, bank, ops, index);
    steps.push(...compiled);
    if (!isShared) {
      single.push(...compiled);
    } else if (op.role === "linear") {
      chains = addLinear(worker, chains, op, bank);
    } else if (op.role === "gate" || op.role === "activate" || op.role === "add") {
      chains = joinChains(worker, chains, op, bank);
    } else {
      single.push(...compiled);
    }
    if (op.role === "embed" || op.role === "positions") {
      meetAll();
    } else if (op.role === "linear" || op.role === "gate" || op.role === "activate") {
      own.set(op.output, bank);
    } else if (op.role === "add") {
      own.set(op.target, bank);
    } else if (op.role === "attention" || op.role === "norm") {
      const banks = new Set([bank, ...readersOf(ops, index + 1, op.output)]);
      if (banks.size > 1) {
        both(copyWithin(worker, op.output, bank, banks));
      }
      if (op.role === "attention") {
        reading = new Set(); // it met inside
        whole = [];
      }
      for (const each of banks) {
        whole.push({ buffer: op.output, bank: each });
      }
    }
    if (op.trace !== undefined) {
      const [name] = opAccess(op).writes;
      const label = op.trace;
      const isWhole = !own.has(name);
      steps.push(otherStep((context) => context.trace?.(label, name, isWhole, bank)));
    }
  });
  const last = ops.at(-1);
  if (last?.op.role === "logits") {
    return { steps, single, logits: logitsKernel(worker, last.op, last.bank) };
  }
  shareOut();
  return { steps, single };
}

/** The logits of row 0 by one worker alone. */
function logitsRowStep(logits: LogitsKernel): Step {
  return kernelStep((context) => {
    logits.compute(FIRST_ROW, context);
  });
}

const FIRST_ROW = [0];

/**
 * Between groups: a long pass tells how far it is. Many workers look at the cancel flag at every barrier; one alone
 * does so here.
 */
function groupStep(worker: Worker, fraction: number): Step {
  const { control, index, threads } = worker;
  return otherStep((context) => {
    if (index === 0 && context.rows > 1) {
      control.progress = fraction;
    }
    if (threads === 1) {
      meet(worker, context);
    }
  });
}

/** Banks in which `name` is read (in any way) from op `index` on, until something overwrites it whole. */
function readersOf(ops: readonly PlacedOp[], index: number, name: Name): Set<number> {
  const banks = new Set<number>();
  for (let i = index; i < ops.length; i++) {
    const { op, bank } = ops[i];
    const { reads, writes } = opAccess(op);
    if (reads.includes(name)) {
      banks.add(bank);
    } else if (writes.includes(name)) {
      break;
    }
  }
  return banks;
}

function compileOp(
  worker: Worker,
  program: Program,
  op: Exclude<Op, { role: "logits" }>,
  bank: number,
  ops: readonly PlacedOp[],
  index: number,
): Step[] {
  const { plan } = worker;
  const { kernels } = worker.banks[bank];
  const { buffers, scratch } = plan.banks[bank];
  const columnsOf = (name: Name): number => program.buffers.get(name) ?? 0;
  /** Address of this worker's columns, and their number padded to whole panels. */
  const ownPart = (name: Name): { address: number; width: number } => {
    const { start, end } = columnRange(columnsOf(name), worker.index, worker.threads);
    return { address: buffers[name] + start * 4, width: roundUp(end - start, PANEL) };
  };
  switch (op.role) {
    case "embed":
      return [embedStep(worker, op, op.output, bank, readersOf(ops, index + 1, op.output))];
    case "positions":
      return [embedStep(worker, op, op.target, bank, readersOf(ops, index + 1, op.target))];
    case "norm": {
      const [x, y] = [buffers[op.input], buffers[op.output]];
      const weight = plan.vectors[op.weight].offset;
      const columns = columnsOf(op.input);
      const stride = plan.strides[op.input];
      if (op.kind === "rms") {
        return [
          kernelStep(({ rows }) => {
            kernels.rms_norm(x, weight, y, rows, columns, stride, op.epsilon);
          }),
        ];
      }
      if (op.bias === undefined) {
        throw new Error(`The layer norm by ${op.weight} has no bias.`);
      }
      const bias = plan.vectors[op.bias].offset;
      return [
        kernelStep(({ rows }) => {
          kernels.layer_norm(x, weight, bias, y, rows, columns, stride, op.epsilon);
        }),
      ];
    }
    case "linear":
      return [linearStep(worker, op, bank)];
    case "rope": {
      const x = buffers[op.buffer];
      const stride = plan.strides[op.buffer];
      const rotary = 2 * (program.rope?.inverseFrequencies.length ?? 0);
      return [
        kernelStep(({ rows }) => {
          kernels.rope(x, stride, scratch.rope, rows, op.heads, op.headDim, rotary);
        }),
      ];
    }
    case "append":
      return [appendStep(worker, op, uniformHeads(program), bank)];
    case "attention":
      return attentionSteps(worker, op, uniformHeads(program), bank);
    case "gate": {
      const [gate, up, y] = [op.gate, op.up, op.output].map((name) => ownPart(name).address);
      const { width } = ownPart(op.output);
      const stride = plan.strides[op.output];
      return [
        kernelStep(({ rows }) => {
          kernels.silu_gate(gate, up, y, rows, width, stride);
        }),
      ];
    }
    case "activate": {
      const { address: x } = ownPart(op.input);
      const { address: y, width } = ownPart(op.output);
      const stride = plan.strides[op.output];
      const code = ACTIVATION_CODE[op.activation];
      return [
        kernelStep(({ rows }) => {
          kernels.activate(x, y, rows, width, stride, code);
        }),
      ];
    }
    case "add": {
      const { address: x } = ownPart(op.input);
      const { address: y, width } = ownPart(op.target);
      const stride = plan.strides[op.target];
      return [
        kernelStep(({ rows }) => {
          kernels.add(x, y, rows, width, stride);
        }),
      ];
    }
  }
}

/**
 * The worker that owns a token's (or a position's) row of the table writes it, or the sum with what is there, into every
 * memory that reads it.
 */
function embedStep(
  worker: Worker,
  op: EmbedOp | PositionsOp,
  output: Name,
  bank: number,
  targets: ReadonlySet<number>,
): Step {
  const { plan, index, threads } = worker;
  const { rows: tableRows, columns, offset, format } = plan.matrices[op.table];
  const panels = panelRange(tableRows, index, threads);
  const stride = plan.strides[output];
  const { kernels, f32 } = worker.banks[bank];
  const { buffers, scratch } = plan.banks[bank];
  const code = FORMATS[format].code;
  const looked = f32.subarray(scratch.scaled / 4, scratch.scaled / 4 + columns);
  const others = worker.all.flatMap((banks, peer) =>
    [...targets]
      .filter((to) => peer !== index || to !== bank)
      .map((to) => ({ f32: banks[to], from: plan.banks[to].buffers[output] / 4 })),
  );
  return kernelStep(({ rows, tokens, positions }) => {
    for (let r = 0; r < rows; r++) {
      const entry = op.role === "embed" ? tokens[r] : positions[r] + op.offset;
      const panel = Math.floor(entry / PANEL);
      if (panel < panels.start || panel >= panels.end) {
        continue;
      }
      const first = (buffers[output] + r * stride) / 4;
      const row = f32.subarray(first, first + columns);
      kernels.embed(
        offset,
        panels.end - panels.start,
        entry - panels.start * PANEL,
        columns,
        scratch.scaled,
        code,
      );
      if (op.role === "positions") {
        for (let c = 0; c < columns; c++) {
          row[c] += looked[c];
        }
      } else if (op.scale === undefined) {
        row.set(looked);
      } else {
        for (let c = 0; c < columns; c++) {
          row[c] = looked[c] * op.scale;
        }
      }
      for (const other of others) {
        other.f32.set(row, other.from + (r * stride) / 4);
      }
    }
  });
}

/** cos and sin of every row's position, computed once a pass for all layers. */
function ropeTableStep(worker: Worker, rope: RopeTable): Step {
  const half = rope.inverseFrequencies.length;
  const { inverseFrequencies, scaling } = rope;
  const tables = worker.banks.map(({ f32 }, bank) => ({
    f32,
    from: worker.plan.banks[bank].scratch.rope / 4,
  }));
  return otherStep(({ rows, positions }) => {
    const [first, ...rest] = tables;
    let word = first.from;
    for (let r = 0; r < rows; r++) {
      for (let i = 0; i < half; i++) {
        // The angle is rounded to f32 as the reference computes it; at far positions that is what it was trained with.
        const angle = Math.fround(positions[r] * inverseFrequencies[i]);
        first.f32[word + i] = Math.cos(angle) * scaling;
        first.f32[word + half + i] = Math.sin(angle) * scaling;
      }
      word += 2 * half;
    }
    const table = first.f32.subarray(first.from, word);
    for (const { f32, from } of rest) {
      f32.set(table, from);
    }
  });
}
