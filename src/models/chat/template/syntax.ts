/** The syntax tree of a template. */

export interface Program {
  readonly type: "Program";
  readonly body: readonly Node[];
}

/** A part of a block. An expression there is what `{{ … }}` prints, or the text between statements. */
export type Node = Statement | Expression;

export type Statement =
  | BreakStatement
  | CallStatement
  | FilterStatement
  | ForStatement
  | IfStatement
  | MacroStatement
  | ScopeStatement
  | SetStatement
  | WithStatement;

export type Expression =
  | BinaryExpression
  | CallExpression
  | ComparisonChain
  | FilterExpression
  | Identifier
  | KeywordArgument
  | Literal
  | MemberExpression
  | SelectExpression
  | SliceExpression
  | SpreadExpression
  | TernaryExpression
  | TestExpression
  | UnaryExpression;

export interface IfStatement {
  readonly type: "If";
  readonly test: Expression;
  readonly body: readonly Node[];
  /** The block of `else`; for an `elif`, one more If. */
  readonly alternate: readonly Node[];
}

export interface ForStatement {
  readonly type: "For";
  readonly loopvar: Expression;
  /** The expression that the loop goes over; `items if test` is a SelectExpression. */
  readonly iterable: Expression;
  /** Whether the body may call `loop` with other items. */
  readonly recursive: boolean;
  readonly body: readonly Node[];
  /** The block of `else`. */
  readonly defaultBlock: readonly Node[];
}

export interface BreakStatement {
  readonly type: "Break" | "Continue";
}

export interface SetStatement {
  readonly type: "Set";
  readonly assignee: Expression;
  /** The value; null when it is what `body` prints. */
  readonly value: Expression | null;
  /** What the text of `body` goes through. */
  readonly filters: readonly FilterCall[];
  readonly body: readonly Node[];
}

/** A block with variables of its own. */
export interface ScopeStatement {
  readonly type: "Scope";
  readonly body: readonly Node[];
}

export interface WithStatement {
  readonly type: "With";
  readonly assignments: readonly (readonly [target: Expression, value: Expression])[];
  readonly body: readonly Node[];
}

/** A parameter: `name`, or `name=default`. */
export type Parameter = Identifier | KeywordArgument;

export interface MacroStatement {
  readonly type: "Macro";
  readonly name: Identifier;
  readonly args: readonly Parameter[];
  readonly body: readonly Node[];
}

export interface CallStatement {
  readonly type: "CallStatement";
  readonly call: CallExpression;
  readonly callerArgs: readonly Parameter[] | null;
  readonly body: readonly Node[];
}

/** A filter: its name, with or without arguments. */
export type FilterCall = Identifier | CallExpression;

export interface FilterStatement {
  readonly type: "FilterStatement";
  readonly filters: readonly FilterCall[];
  readonly body: readonly Node[];
}

export type Literal =
  | { readonly type: "IntegerLiteral" | "FloatLiteral"; readonly value: number }
  | { readonly type: "StringLiteral"; readonly value: string }
  | { readonly type: "ArrayLiteral"; readonly value: readonly Expression[] }
  | TupleLiteral
  | { readonly type: "ObjectLiteral"; readonly value: ReadonlyMap<Expression, Expression> };

export interface TupleLiteral {
  readonly type: "TupleLiteral";
  readonly value: readonly Expression[];
}

export interface Identifier {
  readonly type: "Identifier";
  readonly value: string;
}

export interface MemberExpression {
  readonly type: "MemberExpression";
  readonly object: Expression;
  readonly property: Expression;
  /** True for `object[property]`, false for `object.property`. */
  readonly computed: boolean;
}

/** A slice, which only stands within a MemberExpression. */
export interface SliceExpression {
  readonly type: "SliceExpression";
  readonly start?: Expression;
  readonly stop?: Expression;
  readonly step?: Expression;
}

export interface CallExpression {
  readonly type: "CallExpression";
  readonly callee: Expression;
  readonly args: readonly Expression[];
}

/** An argument or a parameter with a name; it only stands among arguments and parameters. */
export interface KeywordArgument {
  readonly type: "KeywordArgumentExpression";
  readonly key: Identifier;
  readonly value: Expression;
}

/** The arguments `*list` or `**mapping`. */
export interface SpreadExpression {
  readonly type: "SpreadExpression" | "KeywordSpreadExpression";
  readonly argument: Expression;
}

interface Operator {
  readonly value: string;
}

export interface BinaryExpression {
  readonly type: "BinaryExpression";
  readonly operator: Operator;
  readonly left: Expression;
  readonly right: Expression;
}

export interface UnaryExpression {
  readonly type: "UnaryExpression";
  readonly operator: Operator;
  readonly argument: Expression;
}

export interface FilterExpression {
  readonly type: "FilterExpression";
  readonly operand: Expression;
  readonly filter: FilterCall;
}

/** The comparison `a < b <= c`, in which each value is computed once. */
export interface ComparisonChain {
  readonly type: "ComparisonChain";
  readonly first: Expression;
  readonly rest: readonly { readonly operator: string; readonly value: Expression }[];
}

/** The test `operand is test(args)`. */
export interface TestExpression {
  readonly type: "TestExpression";
  readonly operand: Expression;
  readonly negate: boolean;
  readonly test: Identifier;
  readonly args: readonly Expression[];
}

/** The value `lhs if test` without `else`: undefined where the test fails. In a `for` it tells which items there are. */
export interface SelectExpression {
  readonly type: "SelectExpression";
  readonly lhs: Expression;
  readonly test: Expression;
}

export interface TernaryExpression {
  readonly type: "Ternary";
  readonly condition: Expression;
  readonly trueExpr: Expression;
  readonly falseExpr: Expression;
}

const STATEMENTS: Readonly<Record<Statement["type"], true>> = {
  Break: true,
  CallStatement: true,
  Continue: true,
  FilterStatement: true,
  For: true,
  If: true,
  Macro: true,
  Scope: true,
  Set: true,
  With: true,
};

export function isStatement(node: Node): node is Statement {
  return Object.hasOwn(STATEMENTS, node.type);
}
