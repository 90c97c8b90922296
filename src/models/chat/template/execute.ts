/** Runs a template: its statements and what they print; evaluate.ts computes its expressions. */
import { CONSTANTS, Evaluator } from "./evaluate.ts";
import { Output, RunLimits } from "./limits.ts";
import { Signature } from "./macros.ts";
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
} from "./syntax.ts";
import {
  booleanOf,
  functionOf,
  integerOf,
  isTrue,
  iterate,
  nameOf,
  textOf,
  UNDEFINED,
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
  const run = new Run();
  const output = new Output(run.limits);
  requireEnd(run.execute(program.body, new Scope(globals), output));
  return output.text;
}

/** One run of a template. */
class Run {
  readonly limits = new RunLimits();
  readonly #evaluator = new Evaluator(this.limits);

  execute(nodes: readonly Node[], scope: Scope, output: Output): Ending {
    for (const node of nodes) {
      this.limits.checkTime();
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
      case "Comment":
        return "end";
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
    }
  }

  /** Runs a loop. Each iteration has a scope of its own: what one sets, the next does not see. */
  #loop({ loopvar, iterable, body, defaultBlock }: ForStatement, scope: Scope, output: Output): Ending {
    const items = this.#itemsOf(loopvar, iterable, scope);
    if (items.length === 0) {
      return this.execute(defaultBlock, new Scope(scope), output);
    }
    for (const [i, item] of items.entries()) {
      const inner = this.#iteration(loopvar, item, scope);
      inner.set("loop", loopOf(items, i));
      if (this.execute(body, inner, output) === "break") {
        break;
      }
    }
    return "end";
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
    // The time is checked here too, because the body may be empty.
    this.limits.checkTime();
    const inner = new Scope(scope);
    this.#assign(target, item, inner);
    return inner;
  }

  #set({ assignee, value, body }: SetStatement, scope: Scope): Ending {
    if (value !== null) {
      this.#assign(assignee, this.#evaluator.evaluate(value, scope), scope);
      return "end";
    }
    const output = new Output(this.limits);
    const ending = this.execute(body, new Scope(scope), output);
    if (ending === "end") {
      this.#assignBlock(assignee, textOf(output.text), scope);
    }
    return ending;
  }

  /** Sets a variable to the text of a block, filtered: `{% set name | filter %}`. */
  #assignBlock(target: Expression, text: Value, scope: Scope): void {
    const filters: FilterCall[] = [];
    let name = target;
    while (name.type === "FilterExpression") {
      filters.unshift(name.filter);
      name = name.operand;
    }
    const value = filters.reduce((before, filter) => this.#evaluator.filter(filter, before, scope), text);
    this.#assign(name, value, scope);
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
      const output = new Output(this.limits);
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

  #filterBlock({ filter, body }: FilterStatement, scope: Scope, output: Output): Ending {
    const inner = new Output(this.limits);
    const ending = this.execute(body, new Scope(scope), inner);
    if (ending === "end") {
      output.write(str(this.#evaluator.filter(filter, textOf(inner.text), scope)));
    }
    return ending;
  }
}

function requireEnd(ending: Ending): void {
  if (ending !== "end") {
    throw new Error(`${ending} outside of a loop`);
  }
}

function loopOf(items: readonly Value[], i: number): NamespaceValue {
  const { length } = items;
  return {
    kind: "namespace",
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
      ["cycle", functionOf(({ positional }) => cycle(positional, i))],
    ]),
  };
}

function cycle(values: readonly Value[], i: number): Value {
  if (values.length === 0) {
    throw new Error("cycle needs values to choose among");
  }
  return values[i % values.length];
}
