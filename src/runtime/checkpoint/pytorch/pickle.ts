/**
 * Python's pickle format, read without running anything: a pickle is a program for a small stack machine, and the two
 * instructions by which it names and calls Python objects are left to a builder, which knows the few there are.
 * Instructions: https://github.com/python/cpython/blob/main/Lib/pickletools.py (protocols 2 to 5; torch.save writes 2).
 *
 * No recursion, every length checked against the bytes that are there, and the number of instructions, the depth of the
 * stack and the length of integers are bounded.
 */
import { ModelComposeError } from "../../../base/errors.ts";
import { PickleBytes, type PickleSource } from "./pickle-bytes.ts";
import { PyDict, PyFloat, PyList, PyTuple } from "./pickle-values.ts";

const MAX_INSTRUCTIONS = 2_000_000;
/** The most values on the stack; picklers flush lists and dicts in batches of 1000. */
const MAX_STACK = 100_000;

/** What the instructions that name and call Python objects mean. */
export interface PickleBuilder {
  /** GLOBAL and STACK_GLOBAL: the object of that name. Throws for what may not be had. */
  global(module: string, name: string): unknown;
  /** REDUCE: a call of what `global` gave (or of anything else the pickle put there). */
  reduce(callable: unknown, args: PyTuple): unknown;
  /** BUILD: sets an object's attributes. */
  build(object: unknown, state: unknown): void;
  /** BINPERSID: something outside the pickle. */
  persistent(id: unknown): unknown;
}

/**
 * The value of a pickle, and the index of the byte after it. Throws "invalid-checkpoint" for a malformed pickle,
 * PickleEndsEarly, "unsupported" for instructions that no checkpoint needs, and what the builder throws.
 */
export function readPickle(source: PickleSource, builder: PickleBuilder): { value: unknown; end: number } {
  return new PickleMachine(source, builder).run();
}

/** Instructions that are known and refused: they make or call objects in other ways, or are older than binary pickles. */
const REFUSED: Readonly<Record<number, string>> = {
  0x46: "FLOAT",
  0x49: "INT",
  0x4c: "LONG",
  0x50: "PERSID",
  0x53: "STRING",
  0x56: "UNICODE",
  0x67: "GET",
  0x6f: "OBJ",
  0x70: "PUT",
  0x81: "NEWOBJ",
  0x82: "EXT1",
  0x83: "EXT2",
  0x84: "EXT4",
  0x8f: "EMPTY_SET",
  0x90: "ADDITEMS",
  0x91: "FROZENSET",
  0x92: "NEWOBJ_EX",
  0x96: "BYTEARRAY8",
  0x97: "NEXT_BUFFER",
  0x98: "READONLY_BUFFER",
};

const EMPTY_TUPLE = new PyTuple([]);

class PickleMachine {
  readonly #source: PickleSource;
  readonly #bytes: PickleBytes;
  readonly #builder: PickleBuilder;
  readonly #stack: unknown[] = [];
  /** Heights of the stack at which MARKs lie. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, unknown>();

  constructor(source: PickleSource, builder: PickleBuilder) {
    this.#source = source;
    this.#bytes = new PickleBytes(source);
    this.#builder = builder;
  }

  run(): { value: unknown; end: number } {
    for (let count = 0; count < MAX_INSTRUCTIONS; count++) {
      const instruction = this.#bytes.uint(1);
      if (instruction === 0x2e) {
        const value = this.#pop();
        if (this.#stack.length > 0 || this.#marks.length > 0) {
          throw this.#bytes.invalid("ends with more than one value");
        }
        return { value, end: this.#bytes.position };
      }
      this.#step(instruction);
    }
    throw this.#bytes.invalid(`has more than ${MAX_INSTRUCTIONS} instructions`);
  }

  #step(instruction: number): void {
    switch (instruction) {
      case 0x80: // PROTO
        return this.#protocol(this.#bytes.uint(1));
      case 0x95: // FRAME: its length is only a hint to read ahead
        return void this.#bytes.take(8);

      case 0x28: // MARK
        this.#marks.push(this.#stack.length);
        if (this.#marks.length > MAX_STACK) {
          throw this.#bytes.invalid(`has more than ${MAX_STACK} open marks`);
        }
        return;
      case 0x30: // POP: a mark, when that is on top
        if (this.#marks.at(-1) === this.#stack.length) {
          this.#marks.pop();
        } else {
          this.#pop();
        }
        return;
      case 0x31: // POP_MARK
        return void this.#popToMark();
      case 0x32: // DUP
        return this.#push(this.#top());

      case 0x4e: // NONE
        return this.#push(null);
      case 0x88: // NEWTRUE
        return this.#push(true);
      case 0x89: // NEWFALSE
        return this.#push(false);
      case 0x4a: // BININT
        return this.#push(this.#bytes.int32());
      case 0x4b: // BININT1
        return this.#push(this.#bytes.uint(1));
      case 0x4d: // BININT2
        return this.#push(this.#bytes.uint(2));
      case 0x8a: // LONG1
        return this.#push(this.#bytes.integer(this.#bytes.uint(1)));
      case 0x8b: // LONG4
        return this.#push(this.#bytes.integer(this.#bytes.uint(4)));
      case 0x47: // BINFLOAT
        return this.#push(new PyFloat(this.#bytes.float64()));

      case 0x58: // BINUNICODE
        return this.#push(this.#bytes.utf8(this.#bytes.uint(4)));
      case 0x8c: // SHORT_BINUNICODE
        return this.#push(this.#bytes.utf8(this.#bytes.uint(1)));
      case 0x8d: // BINUNICODE8
        return this.#push(this.#bytes.utf8(this.#bytes.uint(8)));
      case 0x55: // SHORT_BINSTRING: Python 2's str
        return this.#push(this.#bytes.utf8(this.#bytes.uint(1)));
      case 0x54: // BINSTRING
        return this.#push(this.#bytes.utf8(this.#bytes.uint(4)));
      case 0x43: // SHORT_BINBYTES
        return this.#push(this.#bytes.take(this.#bytes.uint(1)));
      case 0x42: // BINBYTES
        return this.#push(this.#bytes.take(this.#bytes.uint(4)));
      case 0x8e: // BINBYTES8
        return this.#push(this.#bytes.take(this.#bytes.uint(8)));

      case 0x29: // EMPTY_TUPLE
        return this.#push(EMPTY_TUPLE);
      case 0x85: // TUPLE1
        return this.#push(new PyTuple(this.#popMany(1)));
      case 0x86: // TUPLE2
        return this.#push(new PyTuple(this.#popMany(2)));
      case 0x87: // TUPLE3
        return this.#push(new PyTuple(this.#popMany(3)));
      case 0x74: // TUPLE
        return this.#push(new PyTuple(this.#popToMark()));
      case 0x5d: // EMPTY_LIST
        return this.#push(new PyList());
      case 0x6c: // LIST
        return this.#newList(this.#popToMark());
      case 0x61: // APPEND
        return this.#append([this.#pop()]);
      case 0x65: // APPENDS
        return this.#append(this.#popToMark());
      case 0x7d: // EMPTY_DICT
        return this.#push(new PyDict());
      case 0x64: // DICT
        return this.#newDict(this.#popToMark());
      case 0x73: // SETITEM
        return this.#setItems(this.#popMany(2));
      case 0x75: // SETITEMS
        return this.#setItems(this.#popToMark());

      case 0x71: // BINPUT
        return this.#remember(this.#bytes.uint(1));
      case 0x72: // LONG_BINPUT
        return this.#remember(this.#bytes.uint(4));
      case 0x94: // MEMOIZE
        return this.#remember(this.#memo.size);
      case 0x68: // BINGET
        return this.#recall(this.#bytes.uint(1));
      case 0x6a: // LONG_BINGET
        return this.#recall(this.#bytes.uint(4));

      case 0x63: // GLOBAL
        return this.#global(this.#bytes.line(), this.#bytes.line());
      case 0x69: // INST: refused by the object's name, or at least by its own
        this.#builder.global(this.#bytes.line(), this.#bytes.line());
        throw this.#refused("INST");
      case 0x93: // STACK_GLOBAL
        return this.#stackGlobal();
      case 0x52: // REDUCE
        return this.#reduce();
      case 0x62: // BUILD
        return this.#build();
      case 0x51: // BINPERSID
        return this.#push(this.#builder.persistent(this.#pop()));

      default:
        throw this.#unknown(instruction);
    }
  }

  #protocol(version: number): void {
    if (version >= 2 && version <= 5) {
      return;
    }
    throw new ModelComposeError(
      "unsupported",
      `The pickle in ${this.#source.name} has protocol ${version}; supported are 2 to 5.`,
      { remedy: "Save the checkpoint with torch.save's defaults, or use one in safetensors format." },
    );
  }

  #newList(items: readonly unknown[]): void {
    this.#push(new PyList());
    this.#append(items);
  }

  #append(items: readonly unknown[]): void {
    const list = this.#top();
    if (!(list instanceof PyList)) {
      throw this.#bytes.invalid("appends to what is not a list");
    }
    for (const item of items) {
      list.items.push(item);
    }
  }

  #newDict(items: readonly unknown[]): void {
    this.#push(new PyDict());
    this.#setItems(items);
  }

  #setItems(items: readonly unknown[]): void {
    const dict = this.#top();
    if (!(dict instanceof PyDict)) {
      throw this.#bytes.invalid("sets an item of what is not a dict");
    }
    if (items.length % 2 !== 0) {
      throw this.#bytes.invalid("sets a key without a value");
    }
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i];
      if (dict.add(key, items[i + 1])) {
        continue;
      }
      throw this.#bytes.invalid(
        `sets the key ${typeof key === "string" ? JSON.stringify(key.slice(0, 200)) : ""} twice`,
      );
    }
  }

  #remember(index: number): void {
    this.#memo.set(index, this.#top());
  }

  #recall(index: number): void {
    if (!this.#memo.has(index)) {
      throw this.#bytes.invalid(`refers to entry ${index} of its memo, which was never set`);
    }
    this.#push(this.#memo.get(index));
  }

  #global(module: string, name: string): void {
    this.#push(this.#builder.global(module, name));
  }

  #stackGlobal(): void {
    const [module, name] = this.#popMany(2);
    if (typeof module !== "string" || typeof name !== "string") {
      throw this.#bytes.invalid("names a Python object by what is not two strings");
    }
    this.#global(module, name);
  }

  #reduce(): void {
    const [callable, args] = this.#popMany(2);
    if (!(args instanceof PyTuple)) {
      throw this.#bytes.invalid("calls an object with arguments that are no tuple");
    }
    this.#push(this.#builder.reduce(callable, args));
  }

  #build(): void {
    const state = this.#pop();
    this.#builder.build(this.#top(), state);
  }

  #push(value: unknown): void {
    if (this.#stack.length >= MAX_STACK) {
      throw this.#bytes.invalid(`needs a stack of more than ${MAX_STACK} values`);
    }
    this.#stack.push(value);
  }

  /** The lowest height of the stack to which values may be taken: the last mark. */
  #floor(): number {
    return this.#marks.at(-1) ?? 0;
  }

  #top(): unknown {
    if (this.#stack.length <= this.#floor()) {
      throw this.#underflow();
    }
    return this.#stack.at(-1);
  }

  #pop(): unknown {
    if (this.#stack.length <= this.#floor()) {
      throw this.#underflow();
    }
    return this.#stack.pop();
  }

  #popMany(count: number): unknown[] {
    if (this.#stack.length - count < this.#floor()) {
      throw this.#underflow();
    }
    return this.#stack.splice(this.#stack.length - count, count);
  }

  #popToMark(): unknown[] {
    const mark = this.#marks.pop();
    if (mark === undefined) {
      throw this.#bytes.invalid("refers to a mark that was never set");
    }
    return this.#stack.splice(mark);
  }

  #underflow(): ModelComposeError {
    return this.#bytes.invalid("takes a value from an empty stack");
  }

  #unknown(instruction: number): ModelComposeError {
    const name = REFUSED[instruction];
    if (name !== undefined) {
      return this.#refused(name);
    }
    const code = instruction.toString(16).padStart(2, "0");
    return this.#bytes.invalid(`has the byte 0x${code}, which is no instruction`);
  }

  #refused(instruction: string): ModelComposeError {
    return new ModelComposeError(
      "unsupported",
      `The pickle in ${this.#source.name} has the instruction ${instruction} (before byte ${this.#bytes.position}), ` +
        `which is not read: it makes or calls objects that no checkpoint of tensors needs, or is of an old protocol.`,
      { remedy: "Use a checkpoint in safetensors format, or save the tensors alone with torch.save." },
    );
  }
}
