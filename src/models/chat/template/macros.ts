/** The parameters of a macro, and of the block of a `call` (jinja2/runtime.py: Macro; jinja2/compiler.py: macro_body). */
import type { Scope } from "./scope.ts";
import type { Expression, FilterCall, Node, Parameter } from "./syntax.ts";
import { Mapping, textOf, tupleOf, UNDEFINED, type Arguments, type Value } from "./values.ts";

/** Variables that a macro has when its block reads them. */
const SPECIAL_NAMES = ["caller", "kwargs", "varargs"] as const;
type SpecialName = (typeof SPECIAL_NAMES)[number];

/** The parameters of one macro. */
export class Signature {
  readonly #name: string;
  readonly #parameters: readonly Parameter[];
  readonly #special: ReadonlySet<SpecialName>;

  /** @param name the macro's name, for messages */
  constructor(name: string, parameters: readonly Parameter[], body: readonly Node[]) {
    this.#name = name;
    this.#parameters = parameters;
    this.#special = specialNamesIn(parameters, body);
  }

  /**
   * Sets the parameters in the scope of one call. All are set before a default is evaluated, so that a name of a
   * parameter is never one from around the macro.
   *
   * @throws Error for arguments that no parameter takes
   */
  bind({ positional, named }: Arguments, scope: Scope, evaluate: (node: Expression) => Value): void {
    const rest = new Map(named);
    const defaults: [string, Expression][] = [];
    for (const [i, parameter] of this.#parameters.entries()) {
      const name = nameOf(parameter);
      const value = positional[i] ?? rest.get(name);
      if (positional[i] === undefined) {
        rest.delete(name);
      }
      if (value === undefined && parameter.type === "KeywordArgumentExpression") {
        defaults.push([name, parameter.value]);
      }
      scope.set(name, value ?? UNDEFINED);
    }
    this.#bindSpecial(positional.slice(this.#parameters.length), rest, scope);
    for (const [name, node] of defaults) {
      scope.set(name, evaluate(node));
    }
  }

  #bindSpecial(others: readonly Value[], named: Map<string, Value>, scope: Scope): void {
    if (this.#special.has("caller")) {
      scope.set("caller", named.get("caller") ?? UNDEFINED);
      named.delete("caller");
    }
    if (this.#special.has("kwargs")) {
      scope.set("kwargs", new Mapping([...named].map(([name, value]) => [textOf(name), value])));
    } else if (named.size > 0) {
      throw new Error(`${this.#name} takes no argument named ${[...named.keys()].join(", ")}`);
    }
    if (this.#special.has("varargs")) {
      scope.set("varargs", tupleOf(others));
    } else if (others.length > 0) {
      throw new Error(`${this.#name} takes at most ${this.#parameters.length} arguments`);
    }
  }
}

function nameOf(parameter: Parameter): string {
  return parameter.type === "Identifier" ? parameter.value : parameter.key.value;
}

/** The special names that a block reads before it sets them, in the order in which Jinja looks. */
function specialNamesIn(parameters: readonly Parameter[], body: readonly Node[]): Set<SpecialName> {
  const reads = new NameReads();
  for (const parameter of parameters) {
    reads.set(nameOf(parameter));
  }
  reads.visitAll(body);
  return new Set(SPECIAL_NAMES.filter((name) => reads.names.has(name)));
}

/** Collects the names that a tree reads before it sets them. */
class NameReads {
  readonly names = new Set<string>();
  readonly #known = new Set<string>();

  set(name: string): void {
    this.#known.add(name);
  }

  visitAll(nodes: Iterable<Node | null | undefined>): void {
    for (const node of nodes) {
      if (node !== null && node !== undefined) {
        this.#visit(node);
      }
    }
  }

  #visit(node: Node): void {
    switch (node.type) {
      case "Identifier":
        if (!this.#known.has(node.value)) {
          this.names.add(node.value);
        }
        return;
      case "Break":
      case "Continue":
      case "FloatLiteral":
      case "IntegerLiteral":
      case "StringLiteral":
        return;
      case "If":
        this.visitAll([node.test, ...node.body, ...node.alternate]);
        return;
      case "For":
        this.#visitFor(node.loopvar, node.iterable, [...node.body, ...node.defaultBlock]);
        return;
      case "Set":
        this.#setTarget(node.assignee);
        this.visitAll([node.value, ...node.body]);
        return;
      case "Macro":
        this.#visitParameters(node.args);
        this.visitAll(node.body);
        return;
      case "CallStatement":
        this.#visit(node.call);
        this.#visitParameters(node.callerArgs ?? []);
        this.visitAll(node.body);
        return;
      case "FilterStatement":
        this.visitAll(node.body);
        node.filters.forEach((filter) => this.#visitFilter(filter));
        return;
      case "Scope":
        this.visitAll(node.body);
        return;
      case "With":
        this.visitAll(node.assignments.map(([, value]) => value));
        node.assignments.forEach(([target]) => this.#setTarget(target));
        this.visitAll(node.body);
        return;
      case "ComparisonChain":
        this.visitAll([node.first, ...node.rest.map(({ value }) => value)]);
        return;
      case "ArrayLiteral":
      case "TupleLiteral":
        this.visitAll(node.value);
        return;
      case "ObjectLiteral":
        this.visitAll([...node.value].flat());
        return;
      case "MemberExpression":
        this.visitAll(node.computed ? [node.object, node.property] : [node.object]);
        return;
      case "SliceExpression":
        this.visitAll([node.start, node.stop, node.step]);
        return;
      case "CallExpression":
        this.visitAll([node.callee, ...node.args]);
        return;
      case "KeywordArgumentExpression":
        this.#visit(node.value);
        return;
      case "SpreadExpression":
      case "KeywordSpreadExpression":
      case "UnaryExpression":
        this.#visit(node.argument);
        return;
      case "BinaryExpression":
        this.visitAll([node.left, node.right]);
        return;
      case "FilterExpression":
        this.#visit(node.operand);
        this.#visitFilter(node.filter);
        return;
      case "TestExpression":
        this.#visit(node.operand);
        return;
      case "SelectExpression":
        this.visitAll([node.test, node.lhs]);
        return;
      case "Ternary":
        this.visitAll([node.condition, node.trueExpr, node.falseExpr]);
        return;
    }
  }

  /** Jinja looks at the condition of a loop after its blocks. */
  #visitFor(target: Expression, iterable: Expression, blocks: readonly Node[]): void {
    this.#setTarget(target);
    if (iterable.type === "SelectExpression") {
      this.visitAll([iterable.lhs, ...blocks, iterable.test]);
    } else {
      this.visitAll([iterable, ...blocks]);
    }
  }

  #visitParameters(parameters: readonly Parameter[]): void {
    for (const parameter of parameters) {
      this.set(nameOf(parameter));
    }
    this.visitAll(
      parameters.map((parameter) => (parameter.type === "Identifier" ? undefined : parameter.value)),
    );
  }

  /** The name of a filter is no variable. */
  #visitFilter(filter: FilterCall): void {
    if (filter.type === "CallExpression") {
      this.visitAll(filter.args);
    }
  }

  #setTarget(target: Expression): void {
    if (target.type === "Identifier") {
      this.set(target.value);
    } else if (target.type === "TupleLiteral") {
      for (const part of target.value) {
        this.#setTarget(part);
      }
    }
  }
}
