/**
 * Decides what the workers do in a pass, in which order and where they must wait for each other: an entry of a Program
 * becomes a list of instructions (instruction.ts). Pure: nothing here knows addresses, kernels or timing.
 *
 * Linear layers and what is elementwise leave a worker with its own columns of their output; norms, rotations and attention
 * read whole rows. So before an op reads whole rows of a buffer of which each worker has its own columns, the workers
 * exchange them, together with those of every other such buffer that someone will read. A barrier comes where an
 * instruction touches what a peer may still be working on (epoch.ts), and nowhere else: for a transformer five times a
 * layer. In the form "row" column-parallel ops become the chains of a shared stage, carried out before the next barrier.
 */
import { opAccess, type LogitsOp, type Name, type Op, type OpGroup } from "../program.ts";
import { bufferIn, cacheOf, Epoch, partialsIn, scaledIn, type Access } from "./epoch.ts";
import type { Chain, ColumnOp, Form, Instruction, Place, Transfer } from "./instruction.ts";
import { arrivals, columnAccesses, taskAccesses, touchSame, wholeReads } from "./op-accesses.ts";

export interface ScheduleOptions {
  threads: number;
  /** Bank of each group of the entry. */
  banks: readonly number[];
  /** Columns of every buffer: of a line, where a row has several. */
  buffers: ReadonlyMap<Name, number>;
  vocabSize: number;
  /** Whether a product with this matrix scales its input first, into scratch of the bank. */
  isScaled: (matrix: Name) => boolean;
}

/**
 * The instructions of one form of an entry. Before its first and after its last instruction (in the forms "few" and "many":
 * after the logits of the rows that the caller asks for) all workers meet: that is the caller's part.
 */
export function schedule(groups: readonly OpGroup[], form: Form, options: ScheduleOptions): Instruction[] {
  return new Scheduler(groups, form, options).run();
}

interface PlacedOp {
  op: Op;
  bank: number;
  /** Whether it is the first op of its group. */
  isFirst: boolean;
}

/** Where the latest value of a buffer is. */
interface Location {
  /** The bank in which each worker made its own columns, if it was made so. */
  own?: number;
  /** The banks in which every worker has all of it. */
  whole: ReadonlySet<number>;
}

/** Chains of the epoch, with every place that their ops touch by columns. */
interface OpenChain {
  bank: number;
  columns: number;
  ops: (ColumnOp | LogitsOp)[];
  pushes: Transfer[];
  accesses: Access[];
}

class Scheduler {
  readonly #ops: readonly PlacedOp[];
  readonly #form: Form;
  readonly #options: ScheduleOptions;
  /** Whether column-parallel ops are shared out as tasks. */
  readonly #isShared: boolean;
  readonly #instructions: Instruction[] = [];
  readonly #locations = new Map<Name, Location>();
  #epoch = new Epoch();
  #chains: OpenChain[] = [];

  constructor(groups: readonly OpGroup[], form: Form, options: ScheduleOptions) {
    this.#ops = groups.flatMap(({ ops }, i) =>
      ops.map((op, j): PlacedOp => ({ op, bank: options.banks[i], isFirst: j === 0 })),
    );
    this.#form = form;
    this.#options = options;
    this.#isShared = form === "row" && options.threads > 1;
  }

  run(): Instruction[] {
    if (this.#ops.some(({ op }) => op.role === "rope")) {
      this.#instructions.push({ kind: "rotations" });
    }
    this.#ops.forEach(({ op, bank, isFirst }, index) => {
      if (isFirst) {
        this.#instructions.push({ kind: "group", fraction: index / this.#ops.length });
      }
      this.#bring(op, bank, index);
      this.#compute(op, bank, index);
      if (this.#isTraced(op)) {
        this.#trace(op.trace, opAccess(op).writes[0], bank);
      }
    });
    this.#shareOut();
    if (this.#isShared) {
      this.#instructions.push({ kind: "barrier" });
    }
    return this.#instructions;
  }

  /** Makes sure that what the op reads is where it reads it. */
  #bring(op: Op, bank: number, index: number): void {
    const whole = wholeReads(op);
    const isMissing = opAccess(op).reads.some((name) => {
      const location = this.#locationOf(name);
      return !location.whole.has(bank) && (whole.includes(name) || location.own !== bank);
    });
    if (isMissing) {
      this.#exchange(index);
    }
  }

  /**
   * Exchanges every buffer of which workers have too little for op `index` or a later one: each of them once, to all banks
   * that want it.
   */
  #exchange(index: number): void {
    const transfers: Transfer[] = [];
    for (const [buffer, { own, whole }] of this.#locations) {
      const targets = this.#readers(index, buffer, own);
      if (own !== undefined && whole.size === 0 && targets.length > 0) {
        transfers.push({ buffer, bank: own, targets });
      }
    }
    if (this.#epoch.clashes(transfers.flatMap(arrivals))) {
      this.#barrier();
    }
    for (const transfer of transfers) {
      const { buffer, bank, targets } = transfer;
      const place = bufferIn(buffer, bank);
      // Whoever runs a task of the chain that writes the buffer pushes the task's columns.
      const chain = this.#chains.find(({ accesses }) =>
        accesses.some((access) => access.place === place && access.mode === "task writes columns"),
      );
      if (chain !== undefined) {
        chain.pushes.push(transfer);
        this.#epoch.add(arrivals(transfer));
      } else if (this.#options.threads > 1 || targets.some((to) => to !== bank)) {
        this.#add({ kind: "exchange", ...transfer }, [
          { place, mode: "read columns" },
          ...arrivals(transfer),
        ]);
      }
      this.#locate(buffer, { own: bank, whole: new Set(targets) });
    }
  }

  #compute(op: Op, bank: number, index: number): void {
    const read = (name: Name): Access => ({ place: bufferIn(name, bank), mode: "read rows" });
    switch (op.role) {
      case "embed":
      case "positions": {
        const output = op.role === "embed" ? op.output : op.target;
        const readers = this.#readers(index + 1, output);
        const targets = readers.length > 0 || !this.#isTraced(op) ? readers : [bank];
        this.#add({ kind: "scatter", op, bank, targets }, [
          { place: scaledIn(bank), mode: "write rows" },
          // Who owns a row makes it in its own memory.
          ...(targets.includes(bank)
            ? []
            : [{ place: bufferIn(output, bank), mode: "update rows" } as const]),
          ...targets.map((to): Access => ({ place: bufferIn(output, to), mode: "scatter" })),
        ]);
        this.#locate(output, { whole: new Set(targets) });
        return;
      }
      case "norm":
      case "route":
        this.#add({ kind: "rows", op, bank }, [
          read(op.input),
          { place: bufferIn(op.output, bank), mode: "write rows" },
        ]);
        this.#copyWithin(op.output, bank, index);
        return;
      case "rope":
        this.#add({ kind: "rows", op, bank }, [{ place: bufferIn(op.buffer, bank), mode: "update rows" }]);
        this.#copyWithin(op.buffer, bank, index);
        return;
      case "append":
        this.#add({ kind: "rows", op, bank }, [
          read(op.key),
          read(op.value),
          { place: cacheOf(op.layer), mode: "write columns" },
        ]);
        return;
      case "attention": {
        const cache = cacheOf(op.layer);
        const partials = partialsIn(bank);
        const output = bufferIn(op.output, bank);
        if (this.#form === "many") {
          this.#add({ kind: "attend tiles", op, bank }, [
            read(op.query),
            { place: cache, mode: "gather" },
            { place: output, mode: "scatter" },
          ]);
        } else {
          this.#add({ kind: "attend blocks", op, bank }, [
            read(op.query),
            { place: cache, mode: "read columns" },
            { place: partials, mode: "write columns" },
          ]);
          if (this.#options.threads > 1) {
            this.#add({ kind: "exchange partials", op, bank }, [{ place: partials, mode: "push to peers" }]);
          }
          this.#add({ kind: "combine", op, bank }, [
            { place: partials, mode: "read rows" },
            { place: output, mode: "write rows" },
          ]);
        }
        this.#copyWithin(op.output, bank, index);
        return;
      }
      case "linear":
      case "experts":
      case "gate":
      case "activate":
      case "add":
        this.#computeColumns(op, bank);
        this.#locate(opAccess(op).writes[0], { own: bank, whole: new Set() });
        return;
      case "logits":
        if (this.#isShared) {
          this.#share(op, this.#options.vocabSize, bank);
        } else {
          this.#add({ kind: "logits", op, bank }, [read(op.input)]);
        }
    }
  }

  #computeColumns(op: ColumnOp, bank: number): void {
    const [output] = opAccess(op).writes;
    if (this.#isShared) {
      this.#share(op, this.#columnsOf(output), bank);
      return;
    }
    this.#add({ kind: "columns", op, bank }, columnAccesses(op, bank));
  }

  /** Adds an op to the chains of this epoch: to those that touch the same columns, which become one, or as a new one. */
  #share(op: ColumnOp | LogitsOp, columns: number, bank: number): void {
    const accesses = taskAccesses(op, bank, this.#options.isScaled);
    if (this.#epoch.clashes(accesses)) {
      this.#barrier();
    }
    this.#epoch.add(accesses);
    const joined = this.#chains.filter((chain) => touchSame(chain.accesses, accesses));
    this.#chains = this.#chains.filter((chain) => !joined.includes(chain));
    this.#chains.push({
      bank,
      columns,
      ops: [...joined.flatMap(({ ops }) => ops), op],
      pushes: joined.flatMap(({ pushes }) => pushes),
      accesses: [...joined.flatMap((chain) => chain.accesses), ...accesses],
    });
  }

  /** Copies a buffer that every worker has whole in `bank` to the other banks in which it is read after op `index`. */
  #copyWithin(buffer: Name, bank: number, index: number): void {
    const targets = this.#readers(index + 1, buffer).filter((to) => to !== bank);
    if (targets.length > 0) {
      this.#add({ kind: "copy", buffer, bank, targets }, [
        { place: bufferIn(buffer, bank), mode: "read rows" },
        ...targets.map((to): Access => ({ place: bufferIn(buffer, to), mode: "write rows" })),
      ]);
    }
    this.#locate(buffer, { whole: new Set([bank, ...targets]) });
  }

  #isTraced(op: Op): op is Op & { trace: string } {
    return op.trace !== undefined && this.#form !== "row";
  }

  #trace(label: string, buffer: Name, bank: number): void {
    const { own, whole } = this.#locationOf(buffer);
    const isWhole = own === undefined;
    // What is scattered may be in other banks only.
    const from = isWhole && !whole.has(bank) ? Math.min(...whole) : bank;
    this.#add({ kind: "trace", label, buffer, bank: from, isWhole }, [
      { place: bufferIn(buffer, from), mode: isWhole ? "read rows" : "read columns" },
    ]);
  }

  #add(instruction: Instruction, accesses: readonly Access[]): void {
    if (this.#epoch.clashes(accesses)) {
      this.#barrier();
    }
    this.#epoch.add(accesses);
    this.#instructions.push(instruction);
  }

  #barrier(): void {
    this.#shareOut();
    if (this.#options.threads > 1) {
      this.#instructions.push({ kind: "barrier" });
    }
    this.#epoch = new Epoch();
  }

  #shareOut(): void {
    if (this.#chains.length === 0) {
      return;
    }
    const ready = new Map<string, Place>();
    for (const { bank, ops } of this.#chains) {
      for (const buffer of ops.flatMap((op) => opAccess(op).reads)) {
        const place = bufferIn(buffer, bank);
        if (this.#epoch.isReady(place)) {
          ready.set(place, { buffer, bank });
        }
      }
    }
    const chains = this.#chains.map(({ bank, columns, ops, pushes }): Chain => ({
      bank,
      columns,
      ops,
      pushes,
    }));
    this.#instructions.push({ kind: "share", chains, ready: [...ready.values()] });
    this.#chains = [];
  }

  #locate(buffer: Name, location: Location): void {
    this.#locations.delete(buffer); // so that the buffers are in the order of their last writes
    this.#locations.set(buffer, location);
  }

  #locationOf(buffer: Name): Location {
    const location = this.#locations.get(buffer);
    if (location === undefined) {
      throw new Error(`The buffer "${buffer}" is read before it is written.`);
    }
    return location;
  }

  #columnsOf(buffer: Name): number {
    const columns = this.#options.buffers.get(buffer);
    if (columns === undefined) {
      throw new Error(`The program declares no buffer "${buffer}".`);
    }
    return columns;
  }

  /**
   * Banks in which the value that `name` has before op `index` is read from there on.
   *
   * @param own bank in which every worker has its own columns: for who reads no more than those, that is enough
   */
  #readers(index: number, name: Name, own?: number): number[] {
    const banks = new Set<number>();
    for (let i = index; i < this.#ops.length; i++) {
      const { op, bank } = this.#ops[i];
      const { reads, writes } = opAccess(op);
      if (reads.includes(name) && (bank !== own || wholeReads(op).includes(name))) {
        banks.add(bank);
      }
      if (writes.includes(name)) {
        break;
      }
    }
    return [...banks];
  }
}
