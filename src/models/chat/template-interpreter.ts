/**
 * Hugging Face's Jinja interpreter with the semantics of Python's Jinja where it differs: what is printed, equality,
 * scopes of loops, `break` and `continue`, access to what is undefined, and the functions of template-functions.ts.
 */
import { Environment, Interpreter, parse, type SyntaxNode as Node } from "./jinja.ts";
import { filters, tests, textMethods, type Arguments } from "./template-functions.ts";
import {
  contains,
  equals,
  isList,
  isMapping,
  isText,
  isTrue,
  isUndefined,
  iterate,
  mappingOf,
  numberOf,
  pythonStr,
  valueOf,
  type Value,
} from "./template-values.ts";

// Shapes of the library's syntax tree, as far as they are used here. Its classes are not exported.
type NodeWith<Fields> = Node & Fields;
type Named = NodeWith<{ value: string }>;
type Call = NodeWith<{ callee: Node; args: Node[] }>;
type Block = NodeWith<{ body: Node[] }>;
type If = NodeWith<{ test: Node; body: Node[]; alternate: Node[] }>;
type For = NodeWith<{ loopvar: Node; iterable: Node; body: Node[]; defaultBlock: Node[] }>;
type Select = NodeWith<{ lhs: Node; test: Node }>;
type Binary = NodeWith<{ operator: { value: string }; left: Node; right: Node }>;
type Member = NodeWith<{ object: Node; property: Node; computed: boolean }>;
type Filtered = NodeWith<{ operand: Node; filter: Node }>;
type Tested = NodeWith<{ operand: Node; negate: boolean; test: Named }>;
type Keyword = NodeWith<{ key: Named; value: Node }>;
/** An operand that has been evaluated. */
type Held = NodeWith<{ held: Value }>;

/** A template reads a field of something that is not there. */
export class UndefinedError extends Error {}

/** `break` or `continue`, on its way to its loop with the text that came before it. */
class LoopControl extends Error {
  readonly kind: "break" | "continue";
  text = "";

  constructor(kind: "break" | "continue") {
    super(`${kind} outside of a loop`);
    this.kind = kind;
  }
}

/**
 * A template comes with a model, from whoever published it, and nothing else can interrupt it. Long conversations take a
 * few milliseconds.
 */
const MOST_MILLISECONDS = 5000;
const LONGEST_TEXT = 2 ** 26;
const LONGEST_LIST = 2 ** 20;

/** Statements that print nothing. */
const SILENT = new Set(["Set", "Macro", "Comment"]);
/** Their blocks are the library's to evaluate. */
const WITH_INNER_BLOCK = new Set(["Set", "Macro", "CallStatement", "FilterStatement"]);
/** `x.items` is the method, also when the mapping has a key "items"; `x["items"]` is the field. */
const MAPPING_METHODS = ["get", "items", "keys", "values"];

/** For one run, whose time begins with it. */
export class TemplateInterpreter extends Interpreter {
  readonly #startedAt = performance.now();

  /** @throws Error too when the template does not come to an end, or makes more than fits */
  override evaluate(node: Node | undefined, scope: Environment): Value {
    this.#checkTime();
    const value = this.#evaluate(node, scope);
    if (isText(value) && String(value.value).length > LONGEST_TEXT) {
      throw new Error(`it makes a text of more than ${LONGEST_TEXT} characters`);
    }
    if (isList(value) && (value.value as Value[]).length > LONGEST_LIST) {
      throw new Error(`it makes a list of more than ${LONGEST_LIST} items`);
    }
    return value;
  }

  #checkTime(): void {
    if (performance.now() - this.#startedAt < MOST_MILLISECONDS) {
      return;
    }
    throw new Error(`it is not done after ${MOST_MILLISECONDS / 1000} seconds`);
  }

  #evaluate(node: Node | undefined, scope: Environment): Value {
    if (node === undefined) {
      return super.evaluate(node, scope);
    }
    switch (node.type) {
      case "Held":
        return (node as Held).held;
      case "Program":
        return valueOf(this.#text((node as Block).body, scope));
      case "If": {
        const { test, body, alternate } = node as If;
        return valueOf(this.#text(isTrue(this.evaluate(test, scope)) ? body : alternate, scope));
      }
      case "For":
        return valueOf(this.#loop(node as For, scope));
      case "Break":
        throw new LoopControl("break");
      case "Continue":
        throw new LoopControl("continue");
      case "BinaryExpression":
        return this.#binary(node as Binary, scope);
      case "MemberExpression":
        return this.#member(node as Member, scope);
      case "FilterExpression":
        return this.#filter(node as Filtered, scope);
      case "TestExpression":
        return this.#test(node as Tested, scope);
      default:
        return super.evaluate(
          WITH_INNER_BLOCK.has(node.type) ? withOneStatement(node as Block) : node,
          scope,
        );
    }
  }

  /** What a block prints. */
  #text(nodes: readonly Node[], scope: Environment): string {
    let text = "";
    for (const node of nodes) {
      try {
        const value = this.evaluate(node, scope);
        if (!SILENT.has(node.type)) {
          text += pythonStr(value);
        }
      } catch (error) {
        if (error instanceof LoopControl) {
          error.text = text + error.text;
        }
        throw error;
      }
    }
    return text;
  }

  /** Each iteration has a scope of its own: what one sets, the next does not see. */
  #loop({ loopvar, iterable, body, defaultBlock }: For, scope: Environment): string {
    const isFiltered = iterable.type === "SelectExpression";
    const { lhs, test } = iterable as Select;
    let items = iterate(this.evaluate(isFiltered ? lhs : iterable, scope));
    if (isFiltered) {
      items = items.filter((item) => isTrue(this.evaluate(test, this.#iteration(loopvar, item, scope))));
    }
    let text = "";
    for (const [i, item] of items.entries()) {
      const inner = this.#iteration(loopvar, item, scope);
      inner.setVariable("loop", loopOf(items, i));
      try {
        text += this.#text(body, inner);
      } catch (error) {
        if (!(error instanceof LoopControl)) {
          throw error;
        }
        text += error.text;
        if (error.kind === "break") {
          break;
        }
      }
    }
    return items.length === 0 ? this.#text(defaultBlock, scope) : text;
  }

  #iteration(loopvar: Node, item: Value, scope: Environment): Environment {
    // The body may be empty.
    this.#checkTime();
    const inner = new Environment(scope);
    if (loopvar.type === "Identifier") {
      inner.setVariable((loopvar as Named).value, item);
      return inner;
    }
    const names = (loopvar as NodeWith<{ value: Named[] }>).value;
    const values = iterate(item);
    if (values.length !== names.length) {
      throw new Error(`cannot unpack ${values.length} values into ${names.length} variables`);
    }
    for (const [i, { value: name }] of names.entries()) {
      inner.setVariable(name, values[i]);
    }
    return inner;
  }

  #binary(node: Binary, scope: Environment): Value {
    const operator = node.operator.value;
    const left = this.evaluate(node.left, scope);
    if (operator === "and") {
      return isTrue(left) ? this.evaluate(node.right, scope) : left;
    }
    if (operator === "or") {
      return isTrue(left) ? left : this.evaluate(node.right, scope);
    }
    const right = this.evaluate(node.right, scope);
    switch (operator) {
      case "==":
        return valueOf(equals(left, right));
      case "!=":
        return valueOf(!equals(left, right));
      case "in":
        return valueOf(contains(right, left));
      case "not in":
        return valueOf(!contains(right, left));
      case "~":
        return valueOf(pythonStr(left) + pythonStr(right));
    }
    if (isText(left) && isText(right) && ["<", "<=", ">", ">="].includes(operator)) {
      const [a, b] = [String(left.value), String(right.value)];
      return valueOf(
        operator.startsWith("<")
          ? a < b || (operator === "<=" && a === b)
          : !(a < b) && (operator === ">=" || a !== b),
      );
    }
    const [a, b] = [numberOf(left), numberOf(right)];
    // The sign of Python's remainder is that of the divisor.
    if (operator === "%" && a !== undefined && b !== undefined && b !== 0) {
      return valueOf(((a % b) + b) % b);
    }
    for (const [side, value] of [
      [node.left, left],
      [node.right, right],
    ] as const) {
      if (isUndefined(value)) {
        throw new UndefinedError(`${sourceOf(side)} is undefined`);
      }
    }
    return super.evaluate({ ...node, left: held(left), right: held(right) } as Binary, scope);
  }

  #member(node: Member, scope: Environment): Value {
    const { computed, property } = node;
    const object = this.evaluate(node.object, scope);
    if (isUndefined(object)) {
      throw new UndefinedError(`${sourceOf(node.object)} is undefined`);
    }
    const name = property.type === "Identifier" && !computed ? (property as Named).value : undefined;
    if (name !== undefined && isText(object)) {
      const method = textMethods.get(name);
      const text = String(object.value);
      if (method !== undefined) {
        return valueOf((...args: unknown[]) => method(text, ...args));
      }
    }
    if (name !== undefined && isMapping(object) && MAPPING_METHODS.includes(name)) {
      return object.builtins.get(name) ?? valueOf(undefined);
    }
    return super.evaluate({ ...node, object: held(object) } as Member, scope);
  }

  #filter({ operand, filter, ...node }: Filtered, scope: Environment): Value {
    const { name, args } = callOf(filter);
    const value = this.evaluate(operand, scope);
    if (name === "map" && args[0] !== undefined && args[0].type !== "KeywordArgumentExpression") {
      return this.#mapByFilter(value, args, scope);
    }
    const own = filters.get(name === "d" ? "default" : name);
    if (own !== undefined) {
      return own(value, this.#arguments(args, scope));
    }
    return super.evaluate({ ...node, operand: held(value), filter } as Filtered, scope);
  }

  /** `map("upper")`: the filter of that name on each item. */
  #mapByFilter(list: Value, [name, ...args]: readonly Node[], scope: Environment): Value {
    const callee = { type: "Identifier", value: pythonStr(this.evaluate(name, scope)) };
    const filter = args.length === 0 ? callee : { type: "CallExpression", callee, args };
    const mapped = iterate(list).map((item) =>
      this.#filter({ type: "FilterExpression", operand: held(item), filter }, scope),
    );
    const result = valueOf([]);
    (result.value as Value[]).push(...mapped);
    return result;
  }

  #test(node: Tested, scope: Environment): Value {
    const value = this.evaluate(node.operand, scope);
    const own = tests.get(node.test.value);
    if (own === undefined) {
      return super.evaluate({ ...node, operand: held(value) } as Tested, scope);
    }
    return valueOf(own(value, valueOf(undefined)) !== node.negate);
  }

  #arguments(args: readonly Node[], scope: Environment): Arguments {
    const positional: Value[] = [];
    const named = new Map<string, Value>();
    for (const arg of args) {
      if (arg.type !== "KeywordArgumentExpression") {
        positional.push(this.evaluate(arg, scope));
      } else {
        named.set((arg as Keyword).key.value, this.evaluate((arg as Keyword).value, scope));
      }
    }
    return { positional, named };
  }
}

function held(value: Value): Held {
  return { type: "Held", held: value };
}

/** The same statement with its block as one statement, so that it is evaluated here. */
function withOneStatement(node: Block): Block {
  const block = parse([]);
  block.body = node.body;
  return { ...node, body: [block] };
}

/** A filter with or without arguments. */
function callOf(filter: Node): { name: string; args: Node[] } {
  if (filter.type === "Identifier") {
    return { name: (filter as Named).value, args: [] };
  }
  const { callee, args } = filter as Call;
  return { name: (callee as Named).value, args };
}

function loopOf(items: readonly Value[], i: number): Value {
  const cycle = valueOf((...values: unknown[]) => values[i % values.length]);
  const { length } = items;
  const numbers = { index: i + 1, index0: i, revindex: length - i, revindex0: length - i - 1, length };
  const flags = { first: i === 0, last: i === length - 1 };
  return mappingOf([
    ...Object.entries({ ...numbers, ...flags }).map(([name, value]) => [name, valueOf(value)] as const),
    ["previtem", items[i - 1] ?? valueOf(undefined)],
    ["nextitem", items[i + 1] ?? valueOf(undefined)],
    ["cycle", cycle],
  ]);
}

/** `message.content`, as far as that is simple. */
function sourceOf(node: Node): string {
  if (node.type === "Identifier") {
    return `"${(node as Named).value}"`;
  }
  if (node.type !== "MemberExpression") {
    return "a value";
  }
  const { object, property, computed } = node as Member;
  const owner = sourceOf(object).replace(/^"|"$/g, "");
  if (!computed) {
    return `"${owner}.${(property as Named).value}"`;
  }
  const index = "value" in property ? JSON.stringify(property.value) : "…";
  return `"${owner}[${index}]"`;
}
