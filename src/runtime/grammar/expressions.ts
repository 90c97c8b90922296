/**
 * Expressions over bytes and their derivatives (Brzozowski 1964): the derivative of an expression by a byte is the expression
 * of what may follow that byte. Equal expressions are one object, so an expression is a state of an automaton that is made as
 * it is walked. References to named expressions may be recursive, which makes it a pushdown automaton: what stands behind a
 * reference in a concatenation is its stack.
 */
import { ModelComposeError } from "../../base/errors.ts";
import { byteClasses, byteSet, hasByte, type ByteSet } from "./byte-set.ts";

/** An expression; of equal ones there is one object. */
export interface Expression {
  readonly id: number;
  readonly form: Form;
  /** Whether the empty text is one of its texts. */
  readonly nullable: boolean;
  /** Derivatives by classes of bytes, made when they are asked for; undefined where the classes have changed since. */
  next: (Expression | undefined)[];
  /** The classes that `next` goes by. */
  epoch: number;
  /** Whether it has any text; undefined: nobody has looked. */
  live: boolean | undefined;
}

export type Form =
  | { readonly kind: "nothing" }
  | { readonly kind: "empty" }
  | { readonly kind: "bytes"; readonly set: ByteSet }
  | { readonly kind: "sequence"; readonly first: Expression; readonly rest: Expression }
  | { readonly kind: "either"; readonly options: readonly Expression[] }
  | { readonly kind: "both"; readonly parts: readonly Expression[] }
  | { readonly kind: "not"; readonly of: Expression }
  | { readonly kind: "repeat"; readonly of: Expression; readonly least: number; readonly most: number }
  | { readonly kind: "multiple"; readonly divisor: number; readonly remainder: number }
  | { readonly kind: "reference"; readonly index: number };

/** The most expressions that there may be while a grammar is compiled: some seconds, some hundred megabytes. */
const MOST_EXPRESSIONS = 1_000_000;
/** The most steps that compiling a grammar takes, and again each mask: about a second. */
export const MOST_STEPS = 2_000_000;

/** A text of a grammar whose automaton became too large. */
export const tooComplex = (): ModelComposeError =>
  new ModelComposeError("unsupported", "The grammar of the text is too large to be enforced.", {
    remedy: "Make it smaller: fewer alternatives, patterns or bounds.",
  });

const DIGITS = Array.from({ length: 10 }, (_, i) => byteSet([[0x30 + i, 0x30 + i]]));

/** Makes expressions and knows all that were made. */
export class Expressions {
  /** No text at all. */
  readonly nothing: Expression;
  /** The empty text alone. */
  readonly empty: Expression;
  /** Every text. */
  readonly anything: Expression;
  /** How many steps may still be made: what bounds the time of compiling, and of a mask. */
  steps = MOST_STEPS;
  readonly #byKey = new Map<string, Expression>();
  readonly #sets = new Map<string, ByteSet>();
  readonly #bodies: (Expression | (() => Expression))[] = [];
  readonly #referencesBeingMade = new Set<number>();
  #classes: { classOf: Uint8Array; byteOf: number[] } | undefined;
  #epoch = 0;

  constructor() {
    this.nothing = this.#make("∅", { kind: "nothing" }, false);
    this.empty = this.#make("ε", { kind: "empty" }, true);
    this.anything = this.#make("¬∅", { kind: "not", of: this.nothing }, true);
    this.nothing.live = false;
    this.empty.live = true;
    this.anything.live = true;
  }

  /** How many expressions there are. */
  get size(): number {
    return this.#byKey.size;
  }

  bytes(set: ByteSet): Expression {
    const key = set.join();
    if (set.every((word) => word === 0)) {
      return this.nothing;
    }
    this.#know(key, set);
    return this.#make(`b${key}`, { kind: "bytes", set }, false);
  }

  byte(byte: number): Expression {
    return this.bytes(byteSet([[byte, byte]]));
  }

  /** A text of these bytes. */
  literal(bytes: Uint8Array, rest: Expression = this.empty): Expression {
    return bytes.reduceRight((behind, byte) => this.sequence(this.byte(byte), behind), rest);
  }

  /** Decimal digits whose number, behind digits of a number with this remainder, is a multiple of the divisor. */
  multiple(divisor: number, remainder = 0): Expression {
    for (const digit of DIGITS) {
      this.#know(digit.join(), digit);
    }
    const made = this.#make(
      `m${divisor},${remainder}`,
      { kind: "multiple", divisor, remainder },
      remainder === 0,
    );
    // As many digits as the divisor has can be put behind any number so that a multiple comes of it.
    made.live = true;
    return made;
  }

  sequence(first: Expression, rest: Expression): Expression {
    if (first === this.nothing || rest === this.nothing) {
      return this.nothing;
    }
    if (first === this.empty) {
      return rest;
    }
    if (rest === this.empty) {
      return first;
    }
    const { form } = first;
    if (form.kind === "sequence") {
      return this.sequence(form.first, this.sequence(form.rest, rest));
    }
    return this.#make(
      `.${first.id},${rest.id}`,
      { kind: "sequence", first, rest },
      first.nullable && rest.nullable,
    );
  }

  all(...parts: readonly Expression[]): Expression {
    return parts.reduceRight((rest, part) => this.sequence(part, rest), this.empty);
  }

  either(given: readonly Expression[]): Expression {
    const distinct = new Set<Expression>();
    for (const option of given) {
      if (option === this.anything) {
        return option;
      }
      for (const flat of option.form.kind === "either" ? option.form.options : [option]) {
        if (flat !== this.nothing) {
          distinct.add(flat);
        }
      }
    }
    const options = [...distinct].sort((a, b) => a.id - b.id);
    if (options.length <= 1) {
      return options[0] ?? this.nothing;
    }
    const key = `|${options.map(({ id }) => id).join()}`;
    return this.#make(
      key,
      { kind: "either", options },
      options.some(({ nullable }) => nullable),
    );
  }

  optional(of: Expression): Expression {
    return this.either([this.empty, of]);
  }

  both(given: readonly Expression[]): Expression {
    const distinct = new Set<Expression>();
    for (const part of given) {
      for (const flat of part.form.kind === "both" ? part.form.parts : [part]) {
        if (flat === this.nothing) {
          return this.nothing;
        }
        if (flat !== this.anything) {
          distinct.add(flat);
        }
      }
    }
    const parts = [...distinct].sort((a, b) => a.id - b.id);
    if (parts.length <= 1) {
      return parts[0] ?? this.anything;
    }
    if (distinct.has(this.empty)) {
      return parts.every(({ nullable }) => nullable) ? this.empty : this.nothing;
    }
    const key = `&${parts.map(({ id }) => id).join()}`;
    return this.#make(
      key,
      { kind: "both", parts },
      parts.every(({ nullable }) => nullable),
    );
  }

  /** All texts but those of an expression without references. */
  not(of: Expression): Expression {
    return of.form.kind === "not" ? of.form.of : this.#make(`¬${of.id}`, { kind: "not", of }, !of.nullable);
  }

  /** @param most Infinity: without bound */
  repeat(of: Expression, least: number, most: number): Expression {
    if (most < least) {
      return this.nothing;
    }
    if (most === 0 || of === this.empty) {
      return this.empty;
    }
    if (of === this.nothing) {
      return least === 0 ? this.empty : this.nothing;
    }
    if (least === 1 && most === 1) {
      return of;
    }
    // An empty text counts as one, so that any number of them may stand for those that must be there.
    const from = of.nullable ? 0 : least;
    return this.#make(`*${of.id},${from},${most}`, { kind: "repeat", of, least: from, most }, from === 0);
  }

  /**
   * A name for an expression that is made later, perhaps of itself. None of its texts may be empty.
   *
   * @param make makes it, when it is asked for
   */
  reference(make: () => Expression): Expression {
    const index = this.#bodies.push(make) - 1;
    return this.#make(`r${index}`, { kind: "reference", index }, false);
  }

  /** Makes the expression that a reference refers to. */
  write({ form }: Expression): void {
    if (form.kind === "reference") {
      this.#body(form.index);
    }
  }

  /** What may follow a byte; `nothing` where no text of the expression begins with it. */
  derivative(of: Expression, byte: number): Expression {
    this.#classes ??= byteClasses(this.#sets.values());
    const number = this.#classes.classOf[byte] ?? 0;
    if (of.epoch !== this.#epoch) {
      of.next = [];
      of.epoch = this.#epoch;
    }
    return (of.next[number] ??= this.#derive(of, byte));
  }

  /** What may follow a byte when at least one whole text does; `nothing` otherwise. */
  step(from: Expression, byte: number): Expression {
    const to = this.derivative(from, byte);
    return (to.live ?? this.isLive(to)) ? to : this.nothing;
  }

  /** Whether no text of an expression has a byte. */
  isEnd(of: Expression): boolean {
    return of === this.empty || this.#bytesToTry().every((byte) => this.step(of, byte) === this.nothing);
  }

  /** Whether an expression has a text that is this. */
  matches(expression: Expression, bytes: Uint8Array): boolean {
    let at = expression;
    for (const byte of bytes) {
      at = this.derivative(at, byte);
    }
    return at.nullable;
  }

  /** Whether an expression has any text. */
  isLive(expression: Expression): boolean {
    // What is found to be live stays so. What was not may have depended on a reference that was being looked at: it is
    // looked at again until nothing new is found.
    for (;;) {
      const round: Round = { dead: new Set(), open: new Set(), found: 0 };
      if (this.#look(expression, round)) {
        return true;
      }
      if (round.found === 0) {
        for (const dead of round.dead) {
          dead.live = false;
        }
        return false;
      }
    }
  }

  #look(expression: Expression, round: Round): boolean {
    if (expression.live !== undefined) {
      return expression.live;
    }
    if (round.dead.has(expression) || round.open.has(expression)) {
      return false;
    }
    this.#spend();
    round.open.add(expression);
    const isLive = expression.nullable || this.#hasText(expression, round);
    round.open.delete(expression);
    if (isLive) {
      expression.live = true;
      round.found++;
    } else {
      round.dead.add(expression);
    }
    return isLive;
  }

  #hasText(expression: Expression, round: Round): boolean {
    const look = (of: Expression): boolean => this.#look(of, round);
    const { form } = expression;
    switch (form.kind) {
      case "nothing":
        return false;
      case "empty":
      case "bytes":
      case "multiple":
        return true;
      case "sequence": {
        // Literals are long chains, which a recursion would be too deep for.
        let { rest } = form;
        let isLive = look(form.first);
        while (isLive && rest.live === undefined && rest.form.kind === "sequence") {
          isLive = look(rest.form.first);
          ({ rest } = rest.form);
        }
        return isLive && look(rest);
      }
      case "either":
        return form.options.some(look);
      case "repeat":
        return form.least === 0 || look(form.of);
      case "reference":
        return look(this.#body(form.index));
      case "both":
      case "not":
        return this.#search(expression);
    }
  }

  /** Looks for a text of an expression without references, byte by byte. */
  #search(start: Expression): boolean {
    const seen = new Set([start]);
    const path: { at: Expression; byte: number }[] = [{ at: start, byte: 0 }];
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      if (top.at.nullable || top.at.live === true) {
        for (const { at } of path) {
          at.live = true;
        }
        return true;
      }
      const byte = this.#bytesToTry()[top.byte++];
      if (byte === undefined) {
        path.pop();
        continue;
      }
      const to = this.derivative(top.at, byte);
      if (to.live !== false && !seen.has(to)) {
        seen.add(to);
        path.push({ at: to, byte: 0 });
      }
    }
    for (const dead of seen) {
      dead.live = false;
    }
    return false;
  }

  #bytesToTry(): readonly number[] {
    this.#classes ??= byteClasses(this.#sets.values());
    return this.#classes.byteOf;
  }

  #spend(): void {
    if (this.steps-- <= 0) {
      throw tooComplex();
    }
  }

  #derive({ form }: Expression, byte: number): Expression {
    this.#spend();
    const by = (of: Expression): Expression => this.derivative(of, byte);
    switch (form.kind) {
      case "nothing":
      case "empty":
        return this.nothing;
      case "bytes":
        return hasByte(form.set, byte) ? this.empty : this.nothing;
      case "sequence": {
        const { first, rest } = form;
        const within = this.sequence(by(first), rest);
        return first.nullable ? this.either([within, by(rest)]) : within;
      }
      case "either":
        return this.either(form.options.map(by));
      case "both":
        return this.both(form.parts.map(by));
      case "not":
        return this.not(by(form.of));
      case "repeat": {
        const { of, least, most } = form;
        return this.sequence(by(of), this.repeat(of, Math.max(0, least - 1), most - 1));
      }
      case "multiple": {
        const digit = byte - 0x30;
        return digit >= 0 && digit <= 9
          ? this.multiple(form.divisor, (10 * form.remainder + digit) % form.divisor)
          : this.nothing;
      }
      case "reference":
        return by(this.#body(form.index));
    }
  }

  #body(index: number): Expression {
    const body = this.#bodies[index];
    if (typeof body !== "function") {
      return body ?? this.nothing;
    }
    if (this.#referencesBeingMade.has(index)) {
      throw new Error("an expression was asked for its texts while it was being made");
    }
    this.#referencesBeingMade.add(index);
    const made = body();
    this.#referencesBeingMade.delete(index);
    if (made.nullable) {
      throw new Error("a reference to an expression with an empty text");
    }
    this.#bodies[index] = made;
    return made;
  }

  /** A new set tells bytes apart that were one before. */
  #know(key: string, set: ByteSet): void {
    if (!this.#sets.has(key)) {
      this.#sets.set(key, set);
      this.#classes = undefined;
      this.#epoch++;
    }
  }

  #make(key: string, form: Form, nullable: boolean): Expression {
    this.#spend();
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      return known;
    }
    if (this.#byKey.size >= MOST_EXPRESSIONS) {
      throw tooComplex();
    }
    const made: Expression = {
      id: this.#byKey.size,
      form,
      nullable,
      next: [],
      epoch: this.#epoch,
      live: undefined,
    };
    this.#byKey.set(key, made);
    return made;
  }
}

interface Round {
  readonly dead: Set<Expression>;
  readonly open: Set<Expression>;
  found: number;
}
