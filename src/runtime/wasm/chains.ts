/** The column-parallel ops of a Program as kernel calls on any worker's panels, for one row. */
import { ACTIVATION_CODE } from "../../kernels/wasm-module.ts";
import type { ActivateOp, AddOp, GateOp, LinearOp, LogitsOp, Name } from "../program.ts";
import type { Worker } from "./pass.ts";
import { PANEL, panelBytes } from "../../kernels/format.ts";
import { columnRange } from "./plan.ts";
import { rowProduct } from "./linear-steps.ts";
import type { Chain, ChainCall } from "./shared-work.ts";

function newChain(worker: Worker, weight: Name, outputs: Name[], call: ChainCall): Chain {
  const { rows, columns, format, bank } = worker.plan.matrices[weight];
  return { rows, bank, bytesPerPanel: panelBytes(format, columns), calls: [call], outputs, pushes: [] };
}

/** The chains with a linear layer: of its own, or after the one that accumulates into the same output. */
export function addLinear(worker: Worker, chains: Chain[], op: LinearOp, bank: number): Chain[] {
  const address = worker.plan.banks[bank].buffers[op.output];
  const x = worker.plan.banks[bank].buffers[op.input];
  const chain = newChain(worker, op.weight, [op.output], rowProduct(worker, op, x, address, op.accumulate));
  const before = chains.find(({ outputs }) => outputs.includes(op.output));
  if (before === undefined) {
    return [...chains, chain];
  }
  const joined = {
    ...before,
    bytesPerPanel: before.bytesPerPanel + chain.bytesPerPanel,
    calls: [...before.calls, ...chain.calls],
  };
  return chains.map((other) => (other === before ? joined : other));
}

/** The logits of row 0, into the owner's scratch. */
export function logitsChain(worker: Worker, op: LogitsOp, bank: number): Chain {
  const address = worker.plan.banks[bank].scratch.logits;
  const x = worker.plan.banks[bank].buffers[op.input];
  return newChain(worker, op.weight, [], rowProduct(worker, op, x, address, false));
}

type ElementwiseOp = GateOp | ActivateOp | AddOp;

/** Chains of the operands, which must be of this stage, become one with the op at its end. */
export function joinChains(worker: Worker, chains: Chain[], op: ElementwiseOp, bank: number): Chain[] {
  const operands = op.role === "gate" ? [op.gate, op.up] : [op.input];
  const joined = chains.filter((chain) => chain.outputs.some((name) => operands.includes(name)));
  if (joined.length === 0) {
    throw new Error(`The operands of ${op.role} were computed in another stage.`);
  }
  const { rows } = joined[0];
  const chain: Chain = {
    rows,
    bank,
    bytesPerPanel: joined.reduce((sum, { bytesPerPanel }) => sum + bytesPerPanel, 0),
    calls: [...joined.flatMap(({ calls }) => calls), elementwiseCall(worker, op, rows, bank)],
    outputs: [...joined.flatMap(({ outputs }) => outputs), op.role === "add" ? op.target : op.output],
    pushes: [],
  };
  return [...chains.filter((other) => !joined.includes(other)), chain];
}

function elementwiseCall(worker: Worker, op: ElementwiseOp, rows: number, bank: number): ChainCall {
  const { plan } = worker;
  const { buffers } = plan.banks[bank];
  const starts = Array.from(
    { length: plan.threads },
    (_, owner) => columnRange(rows, owner, plan.threads).start * 4,
  );
  if (op.role === "gate") {
    const [gate, up, y] = [buffers[op.gate], buffers[op.up], buffers[op.output]];
    return (kernels, owner, first, count) => {
      const from = starts[owner] + first * PANEL * 4;
      kernels.silu_gate(gate + from, up + from, y + from, 1, count * PANEL, 0);
    };
  }
  if (op.role === "activate") {
    const [x, y] = [buffers[op.input], buffers[op.output]];
    const code = ACTIVATION_CODE[op.activation];
    return (kernels, owner, first, count) => {
      const from = starts[owner] + first * PANEL * 4;
      kernels.activate(x + from, y + from, 1, count * PANEL, 0, code);
    };
  }
  const [x, y] = [buffers[op.input], buffers[op.target]];
  return (kernels, owner, first, count) => {
    const from = starts[owner] + first * PANEL * 4;
    kernels.add(x + from, y + from, 1, count * PANEL, 0);
  };
}
