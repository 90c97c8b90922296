/** Runs a template: its statements and what they print; evaluate.ts computes its expressions. */
import { CONSTANTS, Evaluator } from "./evaluate.ts";
import { Output, spend, withBudget } from "./limits.ts";
import { Signature } from "./macros.ts";
import { equals } from "./operators.ts";
import { str } from "./print.ts";
import { Scope } from "./scope.ts";
import {
  isStatement,
  type CallStatement,
  type Expression,
  type FilterCall,
  type FilterStatement,
  type ForStatement,
  type MacroStatement,
  type MemberExpression,
  type Node,
  type Parameter,
  type Program,
  type SetStatement,
  type Statement,
  type WithStatement,
} from "./syntax.ts";
import {
  booleanOf,
  functionOf,
  integerOf,
  isTrue,
  iterate,
  nameOf,
  textOf,
  tupleOf,
  UNDEFINED,
  type Arguments,
  type FunctionValue,
  type NamespaceValue,
  type Value,
} from "./values.ts";

/** How a block ends: at its end, or early, for the loop around it to go on from there. */
type Ending = "end" | "break" | "continue";

/**
 * Runs a template and returns its text.
 *
 * @throws UndefinedError, RaisedError, or Error for all else that Python would refuse, and when the template does not come
 *   to an end or makes more than fits
 */
export function renderProgram(program: Program, globals: Scope): string {
  return withBudget(() => {
    const output = new Output();
    requireEnd(new Run().execute(program.body, new Scope(globals), output));
    return output.text;
  });
}

/** One run of a template. */
class Run {
  readonly #evaluator = new Evaluator();

  execute(nodes: readonly Node[], scope: Scope, output: Output): Ending {
    for (const node of nodes) {
      spend();
      if (!isStatement(node)) {
        output.write(str(this.#evaluator.evaluate(node, scope)));
        continue;
      }
      const ending = this.#statement(node, scope, output);
      if (ending !== "end") {
        return ending;
      }
    }
    return "end";
  }

  #statement(node: Statement, scope: Scope, output: Output): Ending {
    switch (node.type) {
      case "Break":
        return "break";
      case "Continue":
        return "continue";
      case "If": {
        const isMet = isTrue(this.#evaluator.evaluate(node.test, scope));
        return this.execute(isMet ? node.body : node.alternate, scope, output);
      }
      case "For":
        return this.#loop(node, scope, output);
      case "Set":
        return this.#set(node, scope);
      case "Macro":
        this.#declare(node, scope);
        return "end";
      case "CallStatement":
        output.write(str(this.#callBlock(node, scope)));
        return "end";
      case "FilterStatement":
        return this.#filterBlock(node, scope, output);
      case "Scope":
        return this.execute(node.body, new Scope(scope), output);
      case "With":
        return this.#with(node, scope, output);
    }
  }

  /** Runs a loop. Each iteration has a scope of its own: what one sets, the next does not see. */
  #loop(node: ForStatement, scope: Scope, output: Output): Ending {
    const items = this.#itemsOf(node.loopvar, node.iterable, scope);
    return this.#loopOver(node, items, { scope, output, depth: 0 });
  }

  #loopOver(node: ForStatement, items: readonly Value[], { scope, output, depth }: Place): Ending {
    const { loopvar, body, defaultBlock, recursive } = node;
    const call = ({ positional: [inner = UNDEFINED] }: Arguments): Value => {
      if (depth >= DEEPEST_LOOP) {
        throw new Error(`a loop calls itself more than ${DEEPEST_LOOP} times`);
      }
      const text = new Output();
      requireEnd(this.#loopOver(node, iterate(inner), { scope, output: text, depth: depth + 1 }));
      return textOf(text.text);
    };
    const state: LoopState = { items, depth, call: recursive ? call : undefined, changed: undefined };
    let hasCompleted = false;
    for (const [i, item] of items.entries()) {
      const inner = this.#iteration(loopvar, item, scope);
      inner.set("loop", loopOf(state, i));
      const ending = this.execute(body, inner, output);
      hasCompleted ||= ending === "end";
      if (ending === "break") {
        break;
      }
    }
    // As in Jinja, `else` stands for a loop of which no iteration came to its end.
    return hasCompleted ? "end" : this.execute(defaultBlock, new Scope(scope), output);
  }

  /** The items that a loop goes over; of `items if test`, those for which the test holds. */
  #itemsOf(target: Expression, iterable: Expression, scope: Scope): readonly Value[] {
    if (iterable.type !== "SelectExpression") {
      return iterate(this.#evaluator.evaluate(iterable, scope));
    }
    const { lhs, test } = iterable;
    return iterate(this.#evaluator.evaluate(lhs, scope)).filter((item) =>
      isTrue(this.#evaluator.evaluate(test, this.#iteration(target, item, scope))),
    );
  }

  #iteration(target: Expression, item: Value, scope: Scope): Scope {
    // This is counted too, because the body may be empty.
    spend();
    const inner = new Scope(scope);
    this.#assign(target, item, inner);
    return inner;
  }

  /** Runs a block with variables whose values do not see each other. */
  #with({ assignments, body }: WithStatement, scope: Scope, output: Output): Ending {
    const values = assignments.map(([, value]) => this.#evaluator.evaluate(value, scope));
    const inner = new Scope(scope);
    for (const [i, [target]] of assignments.entries()) {
      this.#assign(target, values[i] ?? UNDEFINED, inner);
    }
    return this.execute(body, inner, output);
  }

  #set({ assignee, value, filters, body }: SetStatement, scope: Scope): Ending {
    if (value !== null) {
      this.#assign(assignee, this.#evaluator.evaluate(value, scope), scope);
      return "end";
    }
    const output = new Output();
    const ending = this.execute(body, new Scope(scope), output);
    if (ending === "end") {
      this.#assign(assignee, this.#filtered(output.text, filters, scope), scope);
    }
    return ending;
  }

  #filtered(text: string, filters: readonly FilterCall[], scope: Scope): Value {
    return filters.reduce<Value>(
      (before, filter) => this.#evaluator.filter(filter, before, scope),
      textOf(text),
    );
  }

  #assign(target: Expression, value: Value, scope: Scope): void {
    if (target.type === "Identifier") {
      if (CONSTANTS.has(target.value)) {
        throw new Error(`"${target.value}" is a constant and cannot be set`);
      }
      scope.set(target.value, value);
    } else if (target.type === "TupleLiteral") {
      this.#unpack(target.value, iterate(value), scope);
    } else if (target.type === "MemberExpression") {
      this.#setField(target, value, scope);
    } else {
      throw new Error(`a ${target.type} cannot be set; expected a name`);
    }
  }

  #setField({ object, property, computed }: MemberExpression, value: Value, scope: Scope): void {
    const owner = this.#evaluator.evaluate(object, scope);
    if (owner.kind !== "namespace" || computed || property.type !== "Identifier") {
      throw new Error(`a field of ${nameOf(owner)} cannot be set; expected one of a namespace`);
    }
    owner.fields.set(property.value, value);
  }

  #unpack(targets: readonly Expression[], values: readonly Value[], scope: Scope): void {
    if (values.length !== targets.length) {
      throw new Error(`cannot unpack ${values.length} values into ${targets.length} variables`);
    }
    for (const [i, target] of targets.entries()) {
      this.#assign(target, values[i], scope);
    }
  }

  #declare({ name, args, body }: MacroStatement, scope: Scope): void {
    scope.set(name.value, this.#blockFunction(`the macro "${name.value}"`, args, body, scope));
  }

  /** A function that runs a block, with the variables of where it is written. */
  #blockFunction(
    name: string,
    parameters: readonly Parameter[],
    body: readonly Node[],
    scope: Scope,
  ): FunctionValue {
    const signature = new Signature(name, parameters, body);
    return functionOf((args) => {
      const inner = new Scope(scope);
      signature.bind(args, inner, (node) => this.#evaluator.evaluate(node, inner));
      const output = new Output();
      requireEnd(this.execute(body, inner, output));
      return textOf(output.text);
    });
  }

  /** Calls a macro, which gets the block as `caller`. */
  #callBlock({ call, callerArgs, body }: CallStatement, scope: Scope): Value {
    const caller = this.#blockFunction("the block of call", callerArgs ?? [], body, scope);
    const { positional, named } = this.#evaluator.arguments(call.args, scope);
    return this.#evaluator.call(
      call.callee,
      { positional, named: new Map([...named, ["caller", caller]]) },
      scope,
    );
  }

  #filterBlock({ filters, body }: FilterStatement, scope: Scope, output: Output): Ending {
    const inner = new Output();
    const ending = this.execute(body, new Scope(scope), inner);
    if (ending === "end") {
      const filtered = this.#filtered(inner.text, filters, scope);
      if (filtered.kind !== "text") {
        throw new Error(`a filter block makes ${nameOf(filtered)}; expected a text`);
      }
      output.write(filtered.value);
    }
    return ending;
  }
}

function requireEnd(ending: Ending): void {
  if (ending !== "end") {
    throw new Error(`${ending} outside of a loop`);
  }
}

/** Where a loop runs. */
interface Place {
  readonly scope: Scope;
  readonly output: Output;
  /** How many loops of the same statement it runs in. */
  readonly depth: number;
}

/** How deep a recursive loop may call itself. */
const DEEPEST_LOOP = 200;

interface LoopState {
  readonly items: readonly Value[];
  readonly depth: number;
  readonly call: NamespaceValue["call"];
  /** What `loop.changed` was called with last. */
  changed: Value | undefined;
}

function loopOf(state: LoopState, i: number): NamespaceValue {
  const { items, depth, call } = state;
  const { length } = items;
  return {
    kind: "namespace",
    ...(call === undefined ? {} : { call }),
    fields: new Map<string, Value>([
      ["index", integerOf(i + 1)],
      ["index0", integerOf(i)],
      ["revindex", integerOf(length - i)],
      ["revindex0", integerOf(length - i - 1)],
      ["length", integerOf(length)],
      ["first", booleanOf(i === 0)],
      ["last", booleanOf(i === length - 1)],
      ["previtem", items[i - 1] ?? UNDEFINED],
      ["nextitem", items[i + 1] ?? UNDEFINED],
      ["depth", integerOf(depth + 1)],
      ["depth0", integerOf(depth)],
      ["cycle", functionOf(({ positional }) => cycle(positional, i))],
      ["changed", functionOf(({ positional }) => booleanOf(hasChanged(state, tupleOf(positional))))],
    ]),
  };
}

function hasChanged(state: LoopState, values: Value): boolean {
  const isSame = state.changed !== undefined && equals(state.changed, values);
  state.changed = values;
  return !isSame;
}

function cycle(values: readonly Value[], i: number): Value {
  if (values.length === 0) {
    throw new Error("cycle needs values to choose among");
  }
  return values[i % values.length];
}
