/** Follows a text token by token and says which tokens may come next. */
import { ModelComposeError } from "../../base/errors.ts";
import { compileConstraint, type Automaton, type Constraint } from "./grammar.ts";
import { MOST_STEPS, type Expression } from "./expressions.ts";
import type { TokenTree, Vocabulary } from "./vocabulary.ts";

/** An automaton with more expressions is made anew: those that a long text has passed are no use to anybody. */
const MOST_KEPT_EXPRESSIONS = 300_000;
/** Bytes of masks that are kept for an automaton. */
const MOST_MASK_BYTES = 32 * 2 ** 20;

/** Which tokens may come next: a bit a token. */
export type Mask = Uint32Array;

export const isAllowed = (mask: Mask, token: number): boolean =>
  (((mask[token >>> 5] ?? 0) >>> (token & 31)) & 1) === 1;

/** A compiled constraint for one vocabulary, shared by all texts that are held to it. */
export class Grammar {
  readonly vocabulary: Vocabulary;
  readonly #constraint: Constraint;
  #automaton: Automaton;
  #masks = new Map<Expression, Mask>();

  /** @throws ModelComposeError as `compileConstraint` */
  constructor(constraint: Constraint, vocabulary: Vocabulary) {
    this.vocabulary = vocabulary;
    this.#constraint = constraint;
    this.#automaton = compileConstraint(constraint);
  }

  /** The automaton as it is now; another object when it was made anew. */
  get automaton(): Automaton {
    if (this.#automaton.expressions.size > MOST_KEPT_EXPRESSIONS && this.#isGrown) {
      this.#automaton = compileConstraint(this.#constraint);
      this.#compiledSize = this.#automaton.expressions.size;
      this.#masks = new Map();
    }
    return this.#automaton;
  }

  #compiledSize: number | undefined;

  /** Whether what was made since compiling is most of it. */
  get #isGrown(): boolean {
    this.#compiledSize ??= 0;
    return this.#automaton.expressions.size > 2 * this.#compiledSize;
  }

  matcher(): GrammarMatcher {
    return new GrammarMatcher(this);
  }

  /** The tokens that may follow in a state of `automaton`. It is shared: not to be written. */
  maskOf(automaton: Automaton, state: Expression): Mask {
    if (automaton !== this.#automaton) {
      return this.#made(automaton, state);
    }
    let mask = this.#masks.get(state);
    if (mask === undefined) {
      mask = this.#made(automaton, state);
      if ((this.#masks.size + 1) * mask.byteLength > MOST_MASK_BYTES) {
        for (const oldest of [...this.#masks.keys()].slice(0, 1)) {
          this.#masks.delete(oldest);
        }
      }
      this.#masks.set(state, mask);
    }
    return mask;
  }

  #made(automaton: Automaton, state: Expression): Mask {
    const { vocabulary } = this;
    const mask = new Uint32Array(Math.ceil(vocabulary.size / 32));
    automaton.expressions.steps = MOST_STEPS;
    walk(vocabulary.plain, automaton, state, mask, true);
    walk(vocabulary.rest, automaton, state, mask, false);
    return mask;
  }
}

/**
 * How many characters may follow whatever they are, at least: a state within a string that nothing but its length rules. It is
 * found by the state's form alone; another form of as free a state counts as none.
 */
function freeCharacters(state: Expression, { expressions, stringCharacter }: Automaton): number {
  if (stringCharacter === undefined) {
    return 0;
  }
  const free = (of: Expression): number => {
    const { form } = of;
    if (form.kind === "repeat") {
      return form.of === stringCharacter ? form.most : 0;
    }
    if (form.kind === "sequence") {
      return free(form.first);
    }
    const options = form.kind === "either" ? form.options : [];
    // An option without a text is no option.
    return options.reduce((most, option) => {
      const count = free(option);
      return count > most && expressions.isLive(option) ? count : most;
    }, 0);
  };
  return free(state);
}

/**
 * Adds the tokens of a tree that may follow a state.
 *
 * @param isPlain whether they are characters of a JSON string, so that a state in which any may follow needs no closer look
 */
function walk(tree: TokenTree, automaton: Automaton, start: Expression, mask: Mask, isPlain: boolean): void {
  const { bytes, depths, ends, charactersBehind, depth } = tree;
  const { expressions } = automaton;
  const { nothing } = expressions;
  const isFree = (state: Expression, node: number): boolean =>
    isPlain && freeCharacters(state, automaton) >= (charactersBehind[node] ?? 0);
  if (isFree(start, bytes.length)) {
    allow(tree, 0, bytes.length, mask);
    return;
  }
  const states = new Array<Expression>(depth + 1).fill(nothing);
  states[0] = start;
  let node = 0;
  while (node < bytes.length) {
    const at = depths[node] ?? 0;
    const state = expressions.step(states[at] ?? nothing, bytes[node] ?? 0);
    const end = ends[node] ?? bytes.length;
    if (state === nothing) {
      node = end;
      continue;
    }
    states[at + 1] = state;
    // A node's tokens begin where those of the next node do not: those of nodes on the way to a token are none.
    const isWhole = end > node + 1 && isFree(state, node);
    allow(tree, node, isWhole ? end : node + 1, mask);
    node = isWhole ? end : node + 1;
  }
}

/** Adds the tokens of some nodes. */
function allow({ tokens, tokensFrom }: TokenTree, from: number, to: number, mask: Mask): void {
  const end = tokensFrom[to] ?? 0;
  for (let i = tokensFrom[from] ?? 0; i < end; i++) {
    const token = tokens[i] ?? 0;
    mask[token >>> 5] = (mask[token >>> 5] ?? 0) | (1 << (token & 31));
  }
}

/** Where one text is in its grammar. */
export class GrammarMatcher {
  readonly #grammar: Grammar;
  #automaton: Automaton;
  #state: Expression;
  /** The bytes so far, to go on with in an automaton that was made anew. */
  readonly #text: Uint8Array[] = [];

  constructor(grammar: Grammar) {
    this.#grammar = grammar;
    this.#automaton = grammar.automaton;
    this.#state = this.#automaton.start;
  }

  /** Whether the text may end here. */
  get mayEnd(): boolean {
    return this.#state.nullable;
  }

  /** Whether nothing may follow. */
  get mustEnd(): boolean {
    return this.#state.nullable && this.#automaton.expressions.isEnd(this.#state);
  }

  /**
   * The tokens that may come next; not to be written.
   *
   * @throws ModelComposeError "unsupported" for an automaton that has become too large
   */
  mask(): Mask {
    return this.#grammar.maskOf(this.#automaton, this.#state);
  }

  /** @throws ModelComposeError "invalid-argument" for a token that the grammar does not allow here */
  accept(token: number): void {
    const bytes = this.#grammar.vocabulary.bytesOf(token) ?? new Uint8Array();
    const { automaton } = this.#grammar;
    if (automaton !== this.#automaton) {
      this.#automaton = automaton;
      this.#state = this.#text.reduce((state, each) => this.#after(state, each), automaton.start);
    }
    const state = this.#after(this.#state, bytes);
    if (state === automaton.expressions.nothing) {
      throw new ModelComposeError(
        "invalid-argument",
        `The token ${token} is not what the grammar allows here.`,
      );
    }
    this.#state = state;
    this.#text.push(bytes);
  }

  #after(from: Expression, bytes: Uint8Array): Expression {
    const { expressions } = this.#automaton;
    expressions.steps = MOST_STEPS;
    return bytes.reduce((state, byte) => expressions.step(state, byte), from);
  }
}
