/**
 * A model of the workers of a CPU device that carry out a schedule (src/runtime/wasm/instruction.ts), for tests. It knows
 * what every instruction reads and writes, whose memory that is, and nothing of how the schedule was made.
 *
 * A buffer has a new version whenever an op writes it. The model keeps, for every cell (worker, bank, buffer, row, some
 * columns), the version that it holds, and for the cells touched since the last barrier who touched them. It finds
 * - a read that sees another version than the one that the op would read if the ops ran one after another;
 * - two accesses of a cell between two barriers by workers of which neither waits for the other, one of them a write,
 *   unless both write the same version, or the reader had that version there before.
 * Where there is neither, every interleaving of the workers gives what the ops give one after another.
 */
import { opAccess, type LogitsOp, type Name, type Op, type OpGroup } from "../../src/runtime/program.ts";
import type {
  Chain,
  ColumnOp,
  Form,
  Instruction,
  Place,
  Transfer,
} from "../../src/runtime/wasm/instruction.ts";
import { Fault, ModelMemory, type Actor } from "./schedule-memory.ts";

export interface ScheduleCase {
  groups: readonly OpGroup[];
  form: Form;
  threads: number;
  /** Bank of each group. */
  banks: readonly number[];
  isScaled: (matrix: Name) => boolean;
}

/** The fault of a schedule in the first of these passes that has one; undefined: there is none. */
export function findFault(given: ScheduleCase, instructions: readonly Instruction[]): string | undefined {
  // Clashes depend on who runs a task, its owner or any other worker, and on who owns the rows of tables.
  for (let variant = 0; variant < (given.threads === 1 ? 1 : VARIANTS); variant++) {
    const fault = new ScheduleModel(given, variant).run(instructions);
    if (fault !== undefined) {
      return `${fault} (variant ${variant})`;
    }
  }
  return undefined;
}

/** Number of ways to share out tasks and rows that are tried; at least the number of threads. */
const VARIANTS = 4;
const PASSES = 2;
const ROWS: Readonly<Record<Form, number>> = { row: 1, few: 2, many: 3 };
/** Number of tasks of a chain in one worker's memory, each on columns of its own. */
const TASKS = 2;

/** The versions that an op reads and writes. */
interface Versions {
  reads: Map<Name, string>;
  writes: Map<Name, string>;
}

class ScheduleModel {
  readonly #case: ScheduleCase;
  readonly #variant: number;
  readonly #rows: number;
  readonly #memory = new ModelMemory();
  #hasShared = false;
  #workers: Actor[] = [];
  #versions = new Map<Op, Versions>();
  readonly #latest = new Map<Name, string>();
  readonly #done = new Map<Op, number>();

  constructor(given: ScheduleCase, variant: number) {
    this.#case = given;
    this.#variant = variant;
    this.#rows = ROWS[given.form];
    this.#meet();
  }

  run(instructions: readonly Instruction[]): string | undefined {
    try {
      for (let pass = 0; pass < PASSES; pass++) {
        this.#interpret(pass);
        for (const instruction of instructions) {
          this.#execute(instruction, pass);
        }
        this.#end();
        this.#meet();
      }
      return undefined;
    } catch (error) {
      if (error instanceof Fault) {
        return error.message;
      }
      throw error;
    }
  }

  /** Finds what every op reads and writes when they run one after another. */
  #interpret(pass: number): void {
    this.#versions = new Map();
    this.#ops().forEach((op, i) => {
      const { reads, writes } = opAccess(op);
      const seen = [...reads, ...(op.role === "attention" ? [cache(op.layer)] : [])];
      const written = [...writes, ...(op.role === "append" ? [cache(op.layer)] : [])];
      const made = `${pass}.${i}`;
      this.#versions.set(op, {
        reads: new Map(seen.map((name) => [name, this.#latest.get(name) ?? "nothing"])),
        writes: new Map(written.map((name) => [name, made])),
      });
      for (const name of written) {
        this.#latest.set(name, made);
      }
    });
    this.#done.clear();
  }

  #ops(): Op[] {
    return this.#case.groups.flatMap(({ ops }) => ops);
  }

  #execute(instruction: Instruction, pass: number): void {
    switch (instruction.kind) {
      case "rotations":
      case "group":
        return;
      case "barrier":
        this.#meet();
        return;
      case "share":
        this.#share(instruction.chains, instruction.ready);
        return;
      case "scatter":
      case "rows":
      case "columns":
      case "combine":
      case "attend tiles":
        this.#done.set(instruction.op, (this.#done.get(instruction.op) ?? 0) + 1);
        break;
      case "exchange":
      case "copy":
      case "attend blocks":
      case "exchange partials":
      case "logits":
      case "trace":
    }
    this.#workers.forEach((actor, worker) => {
      this.#executeOn(worker, actor, instruction, pass);
    });
  }

  #executeOn(
    worker: number,
    actor: Actor,
    instruction: Exclude<Instruction, { kind: "rotations" | "group" | "barrier" | "share" }>,
    pass: number,
  ): void {
    const { kind, bank } = instruction;
    const read = (buffer: Name, row: number, column: number, version: string): void => {
      this.#memory.read({ worker, bank, buffer, row, column }, version, actor, kind);
    };
    const write = (buffer: Name, row: number, column: number, version: string): void => {
      this.#memory.write({ worker, bank, buffer, row, column }, version, actor, kind);
    };
    const all = (touch: typeof read, buffer: Name, version: string): void => {
      this.#eachRow((row) => {
        this.#eachColumn((column) => {
          touch(buffer, row, column, version);
        });
      });
    };
    switch (kind) {
      case "scatter": {
        const { op, targets } = instruction;
        const [output] = opAccess(op).writes;
        this.#eachRow((row) => {
          if (this.#ownerOfTableRow(row, op, pass) !== worker) {
            return;
          }
          write(SCALED, 0, 0, `row of ${this.#written(op, output)}`);
          this.#eachColumn((column) => {
            if (op.role === "positions") {
              read(output, row, column, this.#seen(op, output));
            }
            write(output, row, column, this.#written(op, output));
            this.#eachWorker((to) => {
              for (const target of targets) {
                const cell = { worker: to, bank: target, buffer: output, row, column };
                this.#memory.write(cell, this.#written(op, output), actor, kind);
              }
            });
          });
        });
        return;
      }
      case "rows": {
        const { op } = instruction;
        const { reads, writes } = opAccess(op);
        for (const name of reads) {
          all(read, name, this.#seen(op, name));
        }
        for (const name of writes) {
          all(write, name, this.#written(op, name));
        }
        if (op.role === "append") {
          this.#eachRow((row) => {
            if (this.#ownerOfBlock(row) === worker) {
              const cell = { worker, bank: CACHE_BANK, buffer: cache(op.layer), row, column: 0 };
              this.#memory.write(cell, this.#written(op, cache(op.layer)), actor, kind);
            }
          });
        }
        return;
      }
      case "columns": {
        const { op } = instruction;
        this.#eachRow((row) => {
          for (const column of this.#columnsOf(worker)) {
            this.#columnOp(op, { worker, bank }, row, column, actor, this.#case.form !== "many");
          }
        });
        return;
      }
      case "exchange":
        this.#eachRow((row) => {
          for (const column of this.#columnsOf(worker)) {
            this.#push(instruction, worker, row, column, actor);
          }
        });
        return;
      case "copy": {
        const { buffer, targets } = instruction;
        this.#eachRow((row) => {
          this.#eachColumn((column) => {
            const version = this.#memory.holds({ worker, bank, buffer, row, column });
            read(buffer, row, column, version);
            for (const target of targets) {
              this.#memory.write({ worker, bank: target, buffer, row, column }, version, actor, kind);
            }
          });
        });
        return;
      }
      case "attend blocks": {
        const { op } = instruction;
        all(read, op.query, this.#seen(op, op.query));
        this.#eachRow((row) => {
          this.#eachRow((position) => {
            if (this.#ownerOfBlock(position) === worker) {
              this.#readCache(worker, position, op, actor, kind);
            }
          });
          write(PARTIALS, row, worker, this.#written(op, op.output));
        });
        return;
      }
      case "exchange partials": {
        const { op } = instruction;
        this.#eachRow((row) => {
          read(PARTIALS, row, worker, this.#written(op, op.output));
          this.#eachWorker((peer) => {
            if (peer !== worker) {
              const cell = { worker: peer, bank, buffer: PARTIALS, row, column: worker };
              this.#memory.write(cell, this.#written(op, op.output), actor, kind);
            }
          });
        });
        return;
      }
      case "combine": {
        const { op } = instruction;
        this.#eachRow((row) => {
          this.#eachWorker((peer) => {
            read(PARTIALS, row, peer, this.#written(op, op.output));
          });
        });
        all(write, op.output, this.#written(op, op.output));
        return;
      }
      case "attend tiles": {
        const { op } = instruction;
        this.#eachRow((row) => {
          if (row % this.#case.threads !== worker) {
            return;
          }
          this.#eachRow((position) => {
            this.#readCache(this.#ownerOfBlock(position), position, op, actor, kind);
          });
          this.#eachColumn((column) => {
            read(op.query, row, column, this.#seen(op, op.query));
            this.#eachWorker((to) => {
              const cell = { worker: to, bank, buffer: op.output, row, column };
              this.#memory.write(cell, this.#written(op, op.output), actor, kind);
            });
          });
        });
        return;
      }
      case "logits": {
        const { op } = instruction;
        all(read, op.input, this.#seen(op, op.input));
        for (const column of this.#columnsOf(worker)) {
          write(LOGITS, 0, column, this.#logitsVersion(op));
        }
        if (worker === 0) {
          this.#done.set(op, (this.#done.get(op) ?? 0) + 1);
        }
        return;
      }
      case "trace": {
        const { label, buffer, isWhole } = instruction;
        const op = this.#ops().find(({ trace }) => trace === label);
        const version = op && this.#written(op, buffer);
        if (version === undefined) {
          throw new Fault(`no op has the trace ${label}`);
        }
        this.#eachRow((row) => {
          for (const column of isWhole ? (worker === 0 ? this.#allColumns() : []) : this.#columnsOf(worker)) {
            read(buffer, row, column, version);
          }
        });
      }
    }
  }

  #share(chains: readonly Chain[], ready: readonly Place[]): void {
    const { threads } = this.#case;
    if (this.#hasShared) {
      throw new Fault("two shared stages between two barriers");
    }
    this.#hasShared = true;
    for (const op of chains.flatMap(({ ops }) => ops)) {
      this.#done.set(op, (this.#done.get(op) ?? 0) + 1);
    }
    chains.forEach((chain, c) => {
      for (let owner = 0; owner < threads; owner++) {
        const runner = (owner + this.#variant) % threads;
        for (let task = 0; task < TASKS; task++) {
          const actor = { name: `task ${c}.${task} of worker ${owner}`, after: this.#workers[runner] };
          if (runner !== owner) {
            this.#makeReady(owner, runner, ready, actor);
          }
          const column = owner * TASKS + task;
          for (const op of chain.ops) {
            this.#columnOp(op, { worker: owner, bank: chain.bank }, 0, column, actor, true);
          }
          for (const transfer of chain.pushes) {
            this.#push(transfer, owner, 0, column, actor);
          }
        }
      }
    });
  }

  /** Writes what the runner of a task has computed whole into the memory of the task's owner. */
  #makeReady(owner: number, runner: number, ready: readonly Place[], actor: Actor): void {
    for (const { buffer, bank } of ready) {
      this.#eachColumn((column) => {
        const from = { worker: runner, bank, buffer, row: 0, column };
        const version = this.#memory.holds(from);
        this.#memory.read(from, version, actor, "ready");
        this.#memory.write({ ...from, worker: owner }, version, actor, "ready");
      });
    }
  }

  /** Touches some columns of one row of a column-parallel op in one memory. */
  #columnOp(
    op: ColumnOp | LogitsOp,
    { worker, bank }: { worker: number; bank: number },
    row: number,
    column: number,
    actor: Actor,
    mayScale: boolean,
  ): void {
    const isProduct = op.role === "linear" || op.role === "logits" || op.role === "experts";
    const isChosen = (buffer: Name): boolean => op.role === "experts" && buffer === op.routes;
    for (const buffer of opAccess(op).reads) {
      const isWhole = isProduct && (buffer === op.input || isChosen(buffer));
      const columns = isWhole ? this.#allColumns() : [column];
      for (const each of columns) {
        this.#memory.read(
          { worker, bank, buffer, row, column: each },
          this.#seen(op, buffer),
          actor,
          op.role,
        );
      }
    }
    const isWeighted = op.role === "experts" && op.kind === "sum";
    const weight = op.role === "experts" ? op.weights[0] : isProduct ? op.weight : "";
    if (isProduct && mayScale && (isWeighted || this.#case.isScaled(weight))) {
      const cell = { worker, bank, buffer: SCALED, row: 0, column: 0 };
      const weights = isWeighted ? ` ${this.#seen(op, op.routes)}` : "";
      const version = `${op.input} ${this.#seen(op, op.input)} ${row}${weights}`;
      this.#memory.write(cell, version, actor, op.role);
      this.#memory.read(cell, version, actor, op.role);
    }
    if (op.role === "logits") {
      this.#memory.write(
        { worker, bank, buffer: LOGITS, row, column },
        this.#logitsVersion(op),
        actor,
        op.role,
      );
      return;
    }
    for (const buffer of opAccess(op).writes) {
      this.#memory.write({ worker, bank, buffer, row, column }, this.#written(op, buffer), actor, op.role);
    }
  }

  #push({ buffer, bank, targets }: Transfer, owner: number, row: number, column: number, actor: Actor): void {
    const from = { worker: owner, bank, buffer, row, column };
    const version = this.#memory.holds(from);
    this.#memory.read(from, version, actor, "push");
    this.#eachWorker((to) => {
      for (const target of targets) {
        if (to !== owner || target !== bank) {
          this.#memory.write({ ...from, worker: to, bank: target }, version, actor, "push");
        }
      }
    });
  }

  /** Ends a pass: after the last instruction every worker looks at its own logits, to choose a token. */
  #end(): void {
    for (const op of this.#ops()) {
      if (this.#done.get(op) !== 1) {
        throw new Fault(`${op.role} was computed ${this.#done.get(op) ?? 0} times`);
      }
    }
    const { form, banks } = this.#case;
    const last = this.#ops().at(-1);
    if (form !== "row" || last?.role !== "logits") {
      return;
    }
    this.#workers.forEach((actor, worker) => {
      for (const column of this.#columnsOf(worker)) {
        const cell = { worker, bank: banks[banks.length - 1], buffer: LOGITS, row: 0, column };
        this.#memory.read(cell, this.#logitsVersion(last), actor, "choice");
      }
    });
  }

  #meet(): void {
    this.#memory.meet();
    this.#hasShared = false;
    this.#workers = Array.from({ length: this.#case.threads }, (_, i) => ({ name: `worker ${i}` }));
  }

  #readCache(
    owner: number,
    row: number,
    op: Extract<Op, { role: "attention" }>,
    actor: Actor,
    what: string,
  ): void {
    const buffer = cache(op.layer);
    this.#memory.read(
      { worker: owner, bank: CACHE_BANK, buffer, row, column: 0 },
      this.#seen(op, buffer),
      actor,
      what,
    );
  }

  #seen(op: Op, name: Name): string {
    return this.#versions.get(op)?.reads.get(name) ?? "nothing";
  }

  #written(op: Op, name: Name): string {
    return this.#versions.get(op)?.writes.get(name) ?? "nothing";
  }

  #logitsVersion(op: LogitsOp): string {
    return `logits of ${this.#seen(op, op.input)}`;
  }

  /** The worker that owns a row of a table: anyone, by the token or the position. */
  #ownerOfTableRow(row: number, op: Op, pass: number): number {
    const which = 97 * this.#ops().indexOf(op) + 31 * row + 7 * pass + this.#variant;
    return (Math.imul(which + 1, 0x9e3779b1) >>> 16) % this.#case.threads;
  }

  /** The worker that owns a row's block. Positions are dealt to the workers in blocks; a row has one. */
  #ownerOfBlock(row: number): number {
    return (row + 1) % this.#case.threads;
  }

  #columnsOf(worker: number): number[] {
    return Array.from({ length: TASKS }, (_, i) => worker * TASKS + i);
  }

  #allColumns(): number[] {
    return Array.from({ length: this.#case.threads * TASKS }, (_, i) => i);
  }

  #eachColumn(visit: (column: number) => void): void {
    this.#allColumns().forEach(visit);
  }

  #eachRow(visit: (row: number) => void): void {
    for (let row = 0; row < this.#rows; row++) {
      visit(row);
    }
  }

  #eachWorker(visit: (worker: number) => void): void {
    for (let worker = 0; worker < this.#case.threads; worker++) {
      visit(worker);
    }
  }
}

/** Names of cells that are no buffers of the program. */
const SCALED = "(scaled)";
const PARTIALS = "(partials)";
const LOGITS = "(logits)";
const CACHE_BANK = 0;
const cache = (layer: number): Name => `(cache ${layer})`;
