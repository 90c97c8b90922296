/** Computes the values of a template's expressions while it runs; execute.ts runs its statements. */
import { applyFilter } from "./filters.ts";
import { spend, spendItems, spendText } from "./limits.ts";
import { attribute, item, slice } from "./members.ts";
import { contains, equals, operate, sign } from "./operators.ts";
import { str } from "./print.ts";
import type { Scope } from "./scope.ts";
import type {
  BinaryExpression,
  CallExpression,
  ComparisonChain,
  Expression,
  FilterCall,
  Literal,
  MemberExpression,
  SliceExpression,
  UnaryExpression,
} from "./syntax.ts";
import { applyTest } from "./tests.ts";
import {
  booleanOf,
  floatOf,
  integerOf,
  isSequence,
  isTrue,
  iterate,
  listOf,
  Mapping,
  nameOf,
  NONE,
  textOf,
  tupleOf,
  UNDEFINED,
  type Arguments,
  type Value,
} from "./values.ts";

/** The error of a template that reads a field of something that is not there, or calculates with it. */
export class UndefinedError extends Error {}

const NO_ARGUMENTS: Arguments = { positional: [], named: new Map() };

/** Names that are values and no variables. */
export const CONSTANTS: ReadonlyMap<string, Value> = new Map<string, Value>([
  ["true", booleanOf(true)],
  ["True", booleanOf(true)],
  ["false", booleanOf(false)],
  ["False", booleanOf(false)],
  ["none", NONE],
  ["None", NONE],
]);

export class Evaluator {
  /**
   * Computes the value of an expression.
   *
   * @throws UndefinedError for what is done with a value that is not there; Error for all else that Python would refuse,
   *   and when the budget is used up
   */
  evaluate(node: Expression, scope: Scope): Value {
    spend();
    return this.#evaluate(node, scope);
  }

  /** Applies a filter to a value. */
  filter(filter: FilterCall, value: Value, scope: Scope): Value {
    if (filter.type === "Identifier") {
      return applyFilter(filter.value, value, NO_ARGUMENTS);
    }
    const { callee, args } = filter;
    if (callee.type !== "Identifier") {
      throw new Error(`${sourceOf(callee)} is not the name of a filter`);
    }
    return applyFilter(callee.value, value, this.arguments(args, scope));
  }

  /** Calls a function. @throws Error for what is no function */
  call(callee: Expression, args: Arguments, scope: Scope): Value {
    const called = this.evaluate(callee, scope);
    if (called.kind === "undefined") {
      throw new UndefinedError(`${sourceOf(callee)} is undefined`);
    }
    if ((called.kind !== "function" && called.kind !== "namespace") || called.call === undefined) {
      throw new Error(`${sourceOf(callee)} is ${nameOf(called)}, and cannot be called`);
    }
    return called.call(args);
  }

  /** The values of arguments. As in Python, those without a name are evaluated before those with one. */
  arguments(nodes: readonly Expression[], scope: Scope): Arguments {
    const positional: Value[] = [];
    for (const node of nodes) {
      if (node.type === "SpreadExpression") {
        positional.push(...iterate(this.evaluate(node.argument, scope)));
      } else if (node.type !== "KeywordArgumentExpression" && node.type !== "KeywordSpreadExpression") {
        positional.push(this.evaluate(node, scope));
      }
    }
    const named = new Map<string, Value>();
    const add = (name: string, value: Value): void => {
      if (named.has(name)) {
        throw new Error(`the argument "${name}" is given twice`);
      }
      named.set(name, value);
    };
    for (const node of nodes) {
      if (node.type === "KeywordArgumentExpression") {
        add(node.key.value, this.evaluate(node.value, scope));
      } else if (node.type === "KeywordSpreadExpression") {
        const fields = this.evaluate(node.argument, scope);
        if (fields.kind !== "mapping") {
          throw new Error(`what follows ** is ${nameOf(fields)}; expected a mapping`);
        }
        for (const [name, value] of fields.entries()) {
          add(str(name), value);
        }
      }
    }
    return { positional, named };
  }

  #evaluate(node: Expression, scope: Scope): Value {
    switch (node.type) {
      case "ArrayLiteral":
      case "FloatLiteral":
      case "IntegerLiteral":
      case "ObjectLiteral":
      case "StringLiteral":
      case "TupleLiteral":
        return this.#literal(node, scope);
      case "Identifier":
        return CONSTANTS.get(node.value) ?? scope.get(node.value);
      case "MemberExpression":
        return this.#member(node, scope);
      case "CallExpression":
        return this.#call(node, scope);
      case "UnaryExpression":
        return this.#unary(node, scope);
      case "BinaryExpression":
        return this.#binary(node, scope);
      case "FilterExpression":
        return this.filter(node.filter, this.evaluate(node.operand, scope), scope);
      case "TestExpression": {
        const value = this.evaluate(node.operand, scope);
        return booleanOf(applyTest(node.test.value, value, this.arguments(node.args, scope)) !== node.negate);
      }
      case "ComparisonChain":
        return this.#comparisons(node, scope);
      case "SelectExpression":
        return isTrue(this.evaluate(node.test, scope)) ? this.evaluate(node.lhs, scope) : UNDEFINED;
      case "Ternary":
        return isTrue(this.evaluate(node.condition, scope))
          ? this.evaluate(node.trueExpr, scope)
          : this.evaluate(node.falseExpr, scope);
      case "KeywordArgumentExpression":
      case "KeywordSpreadExpression":
      case "SliceExpression":
      case "SpreadExpression":
        throw new Error(`a ${node.type} has no value of its own`);
    }
  }

  #literal(node: Literal, scope: Scope): Value {
    switch (node.type) {
      case "IntegerLiteral":
        return integerOf(node.value);
      case "FloatLiteral":
        return floatOf(node.value);
      case "StringLiteral":
        return textOf(node.value);
      case "ArrayLiteral":
        spendItems(node.value.length);
        return listOf(node.value.map((part) => this.evaluate(part, scope)));
      case "TupleLiteral":
        return tupleOf(node.value.map((part) => this.evaluate(part, scope)));
      case "ObjectLiteral":
        return new Mapping(
          [...node.value].map(([key, value]) => [this.evaluate(key, scope), this.evaluate(value, scope)]),
        );
    }
  }

  #member({ object, property, computed }: MemberExpression, scope: Scope): Value {
    const owner = this.evaluate(object, scope);
    if (owner.kind === "undefined") {
      throw new UndefinedError(`${sourceOf(object)} is undefined`);
    }
    if (property.type === "SliceExpression") {
      // Jinja computes what is constant when it compiles, where a slice of what has none is undefined and no error.
      const hasSlices = owner.kind === "text" || isSequence(owner);
      return !hasSlices && isConstant(object) ? UNDEFINED : this.#slice(owner, property, scope);
    }
    return !computed && property.type === "Identifier"
      ? attribute(owner, property.value)
      : item(owner, this.evaluate(property, scope));
  }

  #slice(owner: Value, { start, stop, step }: SliceExpression, scope: Scope): Value {
    const bound = (node: Expression | undefined): Value =>
      node === undefined ? UNDEFINED : this.evaluate(node, scope);
    return slice(owner, bound(start), bound(stop), bound(step));
  }

  #call({ callee, args }: CallExpression, scope: Scope): Value {
    return this.call(callee, this.arguments(args, scope), scope);
  }

  #unary({ operator, argument }: UnaryExpression, scope: Scope): Value {
    const value = this.evaluate(argument, scope);
    if (operator.value === "not") {
      return booleanOf(!isTrue(value));
    }
    this.#requireDefined(argument, value);
    return sign(operator.value, value);
  }

  #binary(node: BinaryExpression, scope: Scope): Value {
    const operator = node.operator.value;
    const left = this.evaluate(node.left, scope);
    if (operator === "and") {
      return isTrue(left) ? this.evaluate(node.right, scope) : left;
    }
    if (operator === "or") {
      return isTrue(left) ? left : this.evaluate(node.right, scope);
    }
    return this.#operate(operator, node.left, left, node.right, this.evaluate(node.right, scope));
  }

  #operate(operator: string, leftNode: Expression, left: Value, rightNode: Expression, right: Value): Value {
    switch (operator) {
      case "==":
        return booleanOf(equals(left, right));
      case "!=":
        return booleanOf(!equals(left, right));
      case "in":
        return booleanOf(contains(right, left));
      case "not in":
        return booleanOf(!contains(right, left));
      case "~": {
        const text = str(left) + str(right);
        spendText(text.length);
        return textOf(text);
      }
    }
    this.#requireDefined(leftNode, left);
    if (operator !== "%" || left.kind !== "text") {
      this.#requireDefined(rightNode, right);
    }
    return operate(operator, left, right);
  }

  /** As in Python, the first comparison that fails ends the chain. */
  #comparisons({ first, rest }: ComparisonChain, scope: Scope): Value {
    let [leftNode, left] = [first, this.evaluate(first, scope)];
    let result: Value = booleanOf(true);
    for (const { operator, value } of rest) {
      const right = this.evaluate(value, scope);
      result = this.#operate(operator, leftNode, left, value, right);
      if (!isTrue(result)) {
        return result;
      }
      [leftNode, left] = [value, right];
    }
    return result;
  }

  #requireDefined(node: Expression, { kind }: Value): void {
    if (kind === "undefined") {
      throw new UndefinedError(`${sourceOf(node)} is undefined`);
    }
  }
}

function isConstant(node: Expression): boolean {
  if (node.type === "ArrayLiteral" || node.type === "TupleLiteral") {
    return node.value.every(isConstant);
  }
  if (node.type === "ObjectLiteral") {
    return [...node.value].flat().every(isConstant);
  }
  if (node.type === "UnaryExpression") {
    return isConstant(node.argument);
  }
  return node.type === "Identifier"
    ? CONSTANTS.has(node.value)
    : ["FloatLiteral", "IntegerLiteral", "StringLiteral"].includes(node.type);
}

/** The source of an expression, as far as that is simple: `"message.content"`; for messages. */
function sourceOf(node: Expression): string {
  if (node.type === "Identifier") {
    return `"${node.value}"`;
  }
  if (node.type !== "MemberExpression") {
    return "a value";
  }
  const { object, property, computed } = node;
  const owner = sourceOf(object).replace(/^"|"$/g, "");
  if (!computed && property.type === "Identifier") {
    return `"${owner}.${property.value}"`;
  }
  const isSimple = property.type === "IntegerLiteral" || property.type === "StringLiteral";
  return `"${owner}[${isSimple ? JSON.stringify(property.value) : "…"}]"`;
}
