/** Which places column-parallel ops and transfers touch, and how. */
import { opAccess, type LogitsOp, type Name, type Op } from "../program.ts";
import { bufferIn, logitsIn, scaledIn, type Access } from "./epoch.ts";
import type { ColumnOp, Transfer } from "./instruction.ts";

/** The buffers of which an op reads whole rows; of what else it reads, a worker needs its own columns. */
export function wholeReads(op: Op): readonly Name[] {
  switch (op.role) {
    case "embed":
    case "gate":
    case "activate":
    case "add":
      return [];
    case "positions":
    case "norm":
    case "rope":
    case "append":
    case "attention":
    case "logits":
    case "route":
      return opAccess(op).reads;
    case "linear":
      return [op.input];
    case "experts":
      return [op.input, op.routes];
  }
}

/** Where a transfer arrives. */
export function arrivals({ buffer, bank, targets }: Transfer): Access[] {
  return targets.map((to) => ({
    place: bufferIn(buffer, to),
    mode: to === bank ? "push to peers" : "push to all",
  }));
}

/** What a worker touches that computes its own columns of an op. */
export function columnAccesses(op: ColumnOp, bank: number): Access[] {
  const whole = wholeReads(op);
  const { reads, writes } = opAccess(op);
  return [
    ...reads.map((name): Access => ({
      place: bufferIn(name, bank),
      mode: whole.includes(name) ? "read rows" : "read columns",
    })),
    ...writes.map((name): Access => ({ place: bufferIn(name, bank), mode: "write columns" })),
  ];
}

/** What the tasks of an op touch. */
export function taskAccesses(
  op: ColumnOp | LogitsOp,
  bank: number,
  isScaled: (matrix: Name) => boolean,
): Access[] {
  const whole = wholeReads(op);
  const { reads, writes } = opAccess(op);
  const accesses = reads.map((name): Access => ({
    place: bufferIn(name, bank),
    mode: whole.includes(name) ? "task reads rows" : "task reads columns",
  }));
  const outputs = op.role === "logits" ? [logitsIn(bank)] : writes.map((name) => bufferIn(name, bank));
  accesses.push(...outputs.map((place): Access => ({ place, mode: "task writes columns" })));
  if ((op.role === "linear" || op.role === "logits") && isScaled(op.weight)) {
    accesses.push({ place: scaledIn(bank), mode: "task fills", source: bufferIn(op.input, bank) });
  }
  if (op.role === "experts" && op.kind === "each" && isScaled(op.weights[0])) {
    accesses.push({ place: scaledIn(bank), mode: "task fills", source: bufferIn(op.input, bank) });
  }
  if (op.role === "experts" && op.kind === "sum") {
    const source = `${bufferIn(op.input, bank)} weighted by ${op.routes}`;
    accesses.push({ place: scaledIn(bank), mode: "task fills", source });
  }
  return accesses;
}

/** Whether tasks of both touch the same columns, and some write them: then their order matters. */
export function touchSame(some: readonly Access[], others: readonly Access[]): boolean {
  const isColumns = ({ mode }: Access): boolean =>
    mode === "task reads columns" || mode === "task writes columns";
  return some.some((one) =>
    others.some(
      (other) =>
        one.place === other.place &&
        isColumns(one) &&
        isColumns(other) &&
        (one.mode === "task writes columns" || other.mode === "task writes columns"),
    ),
  );
}
