/** Turns the text of a template into its syntax tree: Jinja 3.1's grammar (jinja2/parser.py), which `#` names refer to. */
import { TemplateSyntaxError, tokenize, type Token } from "./lex.ts";
import type {
  CallExpression,
  Expression,
  FilterCall,
  Identifier,
  Node,
  Parameter,
  Program,
  Statement,
} from "./syntax.ts";

/** How deep expressions and blocks may stand in each other; templates of models go to some twenty. */
const DEEPEST = 150;
/** How many operators, members, calls and filters may follow each other in one expression. */
const LONGEST_CHAIN = 1000;

/** Statements of Jinja that need other templates, or change how all is printed: chat templates have neither. */
const REFUSED: ReadonlySet<string> = new Set(["autoescape", "extends", "from", "import", "include"]);

/**
 * Parses a template with trim_blocks, lstrip_blocks, loop controls and `{% generation %}`, as transformers configures Jinja.
 *
 * @throws TemplateSyntaxError for what is no template, and for what is nested too deep
 */
export function parseTemplate(source: string): Program {
  // Jinja reads every kind of line end as "\n", and drops the last one.
  const lines = source.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  return new Parser(lines).program();
}

type Comparison = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in";
const COMPARISONS: ReadonlySet<string> = new Set(["==", "!=", "<", "<=", ">", ">="]);

class Parser {
  readonly #source: string;
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
    this.#tokens = tokenize(source);
  }

  program(): Program {
    const body = this.#statements();
    if (this.#token.kind !== "end") {
      this.#fail(`unexpected {% ${this.#describe()} %}`);
    }
    return { type: "Program", body };
  }

  get #token(): Token {
    const token = this.#tokens[this.#next] ?? this.#tokens.at(-1);
    if (token === undefined) {
      throw new Error("a template has no token, not even its end");
    }
    return token;
  }

  /** Text, values and statements up to a statement that only ends or divides a block; its name is the next token. */
  #statements(): Node[] {
    const body: Node[] = [];
    for (;;) {
      const token = this.#token;
      if (token.kind === "text") {
        this.#next += 1;
        body.push({ type: "StringLiteral", value: token.value });
      } else if (token.kind === "variable-begin") {
        this.#next += 1;
        body.push(this.#tuple());
        this.#expectKind("variable-end");
      } else if (token.kind === "block-begin") {
        this.#next += 1;
        if (this.#isDivider()) {
          return body;
        }
        body.push(...this.#nested(() => this.#statement()));
      } else {
        return body;
      }
    }
  }

  /** Whether the statement that begins ends or divides a block: `endfor`, `else`. */
  #isDivider(): boolean {
    const token = this.#token;
    return token.kind === "name" && (/^end/.test(token.value) || ["else", "elif"].includes(token.value));
  }

  /** A block up to one of the dividers. @returns what it holds, and the divider */
  #block(...dividers: readonly string[]): { readonly body: readonly Node[]; readonly divider: string } {
    this.#expectKind("block-end");
    const body = this.#statements();
    const token = this.#token;
    if (token.kind === "name" && dividers.includes(token.value)) {
      this.#next += 1;
      return { body, divider: token.value };
    }
    return this.#fail(`expected {% ${dividers.join(" %} or {% ")} %}, found ${this.#describe()}`);
  }

  /** A block up to its end. */
  #blockUntil(end: string): readonly Node[] {
    const { body } = this.#block(end);
    this.#expectKind("block-end");
    return body;
  }

  #statement(): Node[] {
    const name = this.#expectName("a statement");
    if (REFUSED.has(name)) {
      this.#next -= 1;
      this.#fail(`"${name}" is not supported in chat templates`);
    }
    switch (name) {
      case "if":
        return [this.#if()];
      case "for":
        return [this.#for()];
      case "set":
        return [this.#set()];
      case "with":
        return [this.#with()];
      case "macro":
        return [this.#macro()];
      case "call":
        return [this.#callBlock()];
      case "filter": {
        const filter = this.#filterChain();
        return [{ type: "FilterStatement", filters: filter, body: this.#blockUntil("endfilter") }];
      }
      case "generation":
        return [{ type: "Scope", body: this.#blockUntil("endgeneration") }];
      case "block":
        return [this.#namedBlock()];
      case "print":
        return this.#print();
      case "break":
      case "continue":
        this.#expectKind("block-end");
        return [{ type: name === "break" ? "Break" : "Continue" }];
      default:
        this.#next -= 1;
        return this.#fail(`the statement "${name}" is unknown`);
    }
  }

  #if(): Statement {
    const test = this.#tuple({ mayBeConditional: false });
    const { body, divider } = this.#block("elif", "else", "endif");
    if (divider === "elif") {
      return { type: "If", test, body, alternate: [this.#nested(() => this.#if())] };
    }
    const alternate = divider === "else" ? this.#blockUntil("endif") : [];
    if (divider === "endif") {
      this.#expectKind("block-end");
    }
    return { type: "If", test, body, alternate };
  }

  #for(): Statement {
    const loopvar = this.#target("in");
    this.#expectWord("in");
    const items = this.#tuple({ mayBeConditional: false, end: "recursive" });
    const test = this.#acceptWord("if") ? this.#expression() : undefined;
    const recursive = this.#acceptWord("recursive");
    const { body, divider } = this.#block("endfor", "else");
    const defaultBlock = divider === "else" ? this.#blockUntil("endfor") : [];
    if (divider === "endfor") {
      this.#expectKind("block-end");
    }
    const iterable: Expression = test === undefined ? items : { type: "SelectExpression", lhs: items, test };
    return { type: "For", loopvar, iterable, recursive, body, defaultBlock };
  }

  #set(): Statement {
    const assignee = this.#target();
    if (this.#accept("=")) {
      const value = this.#tuple();
      this.#expectKind("block-end");
      return { type: "Set", assignee, value, filters: [], body: [] };
    }
    const filters = this.#isOperator("|") ? this.#filters() : [];
    return { type: "Set", assignee, value: null, filters, body: this.#blockUntil("endset") };
  }

  #with(): Statement {
    const assignments: (readonly [Expression, Expression])[] = [];
    while (this.#token.kind !== "block-end") {
      if (assignments.length > 0) {
        this.#expect(",");
      }
      const target = this.#target();
      this.#expect("=");
      assignments.push([target, this.#expression()]);
    }
    return { type: "With", assignments, body: this.#blockUntil("endwith") };
  }

  #macro(): Statement {
    const name: Identifier = { type: "Identifier", value: this.#expectName("the name of a macro") };
    const args = this.#signature();
    return { type: "Macro", name, args, body: this.#blockUntil("endmacro") };
  }

  #callBlock(): Statement {
    const callerArgs = this.#isOperator("(") ? this.#signature() : null;
    const call = this.#expression();
    if (call.type !== "CallExpression") {
      return this.#fail("expected a call of a macro");
    }
    return { type: "CallStatement", call, callerArgs, body: this.#blockUntil("endcall") };
  }

  /** A block that other templates could replace, of which there are none: what it holds. */
  #namedBlock(): Statement {
    const name = this.#expectName("the name of a block");
    if (this.#acceptWord("scoped") || this.#acceptWord("required")) {
      this.#acceptWord("scoped");
    }
    const { body } = this.#block("endblock");
    this.#acceptWord(name);
    this.#expectKind("block-end");
    return { type: "Scope", body };
  }

  #print(): Expression[] {
    const values: Expression[] = [];
    while (this.#token.kind !== "block-end") {
      if (values.length > 0) {
        this.#expect(",");
      }
      values.push(this.#expression());
    }
    this.#expectKind("block-end");
    return values;
  }

  #signature(): Parameter[] {
    this.#expect("(");
    const parameters: Parameter[] = [];
    while (!this.#isOperator(")")) {
      if (parameters.length > 0) {
        this.#expect(",");
      }
      const key: Identifier = { type: "Identifier", value: this.#expectName("a parameter") };
      if (this.#accept("=")) {
        parameters.push({ type: "KeywordArgumentExpression", key, value: this.#expression() });
      } else if (parameters.some(({ type }) => type === "KeywordArgumentExpression")) {
        this.#fail("a parameter without a default follows one that has it");
      } else {
        parameters.push(key);
      }
    }
    this.#expect(")");
    return parameters;
  }

  /** What may be set: a name, names, a field of a namespace. @param end a word that ends a list of names */
  #target(end?: string): Expression {
    const first = this.#targetPart();
    if (!this.#isOperator(",")) {
      return first;
    }
    const value = [first];
    while (this.#accept(",")) {
      const isEnd = this.#isOperator("=") || this.#token.kind === "block-end" || this.#isWord(end);
      if (isEnd) {
        break;
      }
      value.push(this.#targetPart());
    }
    return { type: "TupleLiteral", value };
  }

  #targetPart(): Expression {
    if (this.#accept("(")) {
      const inner = this.#nested(() => this.#target());
      this.#expect(")");
      return inner;
    }
    const object: Identifier = { type: "Identifier", value: this.#expectName("a name to set") };
    if (!this.#accept(".")) {
      return object;
    }
    const property: Identifier = { type: "Identifier", value: this.#expectName("the name of a field") };
    return { type: "MemberExpression", object, property, computed: false };
  }

  /** An expression, or several with commas, which are a tuple. @param options.end a word that ends it */
  #tuple(options: { readonly mayBeConditional?: boolean; readonly end?: string } = {}): Expression {
    const value: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (this.#endsTuple(options.end)) {
        break;
      }
      value.push(this.#expression(options.mayBeConditional));
      if (!this.#accept(",")) {
        break;
      }
      isTuple = true;
    }
    const [only] = value;
    if (only === undefined) {
      return this.#fail(`expected an expression, found ${this.#describe()}`);
    }
    return isTuple ? { type: "TupleLiteral", value } : only;
  }

  #endsTuple(end: string | undefined): boolean {
    const { kind } = this.#token;
    return kind === "variable-end" || kind === "block-end" || this.#isOperator(")") || this.#isWord(end);
  }

  #expression(mayBeConditional = true): Expression {
    return this.#nested(() => (mayBeConditional ? this.#conditional() : this.#or()));
  }

  #conditional(): Expression {
    let value = this.#or();
    for (const chain = this.#chain(); this.#acceptWord("if"); chain()) {
      const condition = this.#or();
      value = this.#acceptWord("else")
        ? { type: "Ternary", condition, trueExpr: value, falseExpr: this.#expression() }
        : { type: "SelectExpression", lhs: value, test: condition };
    }
    return value;
  }

  #or(): Expression {
    let left = this.#and();
    for (const chain = this.#chain(); this.#acceptWord("or"); chain()) {
      left = binary("or", left, this.#and());
    }
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    for (const chain = this.#chain(); this.#acceptWord("and"); chain()) {
      left = binary("and", left, this.#not());
    }
    return left;
  }

  #not(): Expression {
    if (this.#acceptWord("not")) {
      const argument = this.#nested(() => this.#not());
      return { type: "UnaryExpression", operator: { value: "not" }, argument };
    }
    return this.#comparison();
  }

  #comparison(): Expression {
    const first = this.#sum();
    const rest: { operator: Comparison; value: Expression }[] = [];
    const chain = this.#chain();
    for (let operator = this.#comparator(); operator !== undefined; operator = this.#comparator()) {
      chain();
      rest.push({ operator, value: this.#sum() });
    }
    const [only] = rest;
    if (only === undefined) {
      return first;
    }
    return rest.length === 1
      ? binary(only.operator, first, only.value)
      : { type: "ComparisonChain", first, rest };
  }

  #comparator(): Comparison | undefined {
    const token = this.#token;
    if (token.kind === "operator" && COMPARISONS.has(token.value)) {
      this.#next += 1;
      return token.value as Comparison;
    }
    if (this.#acceptWord("in")) {
      return "in";
    }
    const after = this.#tokens[this.#next + 1];
    if (this.#isWord("not") && after?.kind === "name" && after.value === "in") {
      this.#next += 2;
      return "not in";
    }
    return undefined;
  }

  #sum(): Expression {
    return this.#leftAssociative(["+", "-"], () => this.#concatenation());
  }

  #concatenation(): Expression {
    return this.#leftAssociative(["~"], () => this.#product());
  }

  #product(): Expression {
    return this.#leftAssociative(["*", "/", "//", "%"], () => this.#power());
  }

  #power(): Expression {
    return this.#leftAssociative(["**"], () => this.#unary(true));
  }

  #leftAssociative(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    for (const chain = this.#chain(); ; chain()) {
      const operator = operators.find((text) => this.#accept(text));
      if (operator === undefined) {
        return left;
      }
      left = binary(operator, left, operand());
    }
  }

  #unary(mayHaveFilters: boolean): Expression {
    const sign = ["-", "+"].find((text) => this.#accept(text));
    const value: Expression =
      sign === undefined
        ? this.#postfix(this.#primary())
        : {
            type: "UnaryExpression",
            operator: { value: sign },
            argument: this.#nested(() => this.#unary(false)),
          };
    return mayHaveFilters ? this.#filtersAndTests(value) : value;
  }

  #primary(): Expression {
    const token = this.#token;
    switch (token.kind) {
      case "name":
        this.#next += 1;
        return { type: "Identifier", value: token.value };
      case "integer":
      case "float":
        this.#next += 1;
        return { type: token.kind === "integer" ? "IntegerLiteral" : "FloatLiteral", value: token.value };
      case "string":
        return { type: "StringLiteral", value: this.#strings() };
      case "operator":
        return this.#nested(() => this.#bracketed(token.value));
      case "block-begin":
      case "block-end":
      case "end":
      case "text":
      case "variable-begin":
      case "variable-end":
        return this.#fail(`expected an expression, found ${this.#describe()}`);
    }
  }

  /** Texts that follow each other, which are one. */
  #strings(): string {
    const parts: string[] = [];
    for (let token = this.#token; token.kind === "string"; token = this.#token) {
      parts.push(token.value);
      this.#next += 1;
    }
    return parts.join("");
  }

  #bracketed(open: string): Expression {
    switch (open) {
      case "(": {
        this.#next += 1;
        const value = this.#isOperator(")") ? { type: "TupleLiteral" as const, value: [] } : this.#tuple();
        this.#expect(")");
        return value;
      }
      case "[":
        return { type: "ArrayLiteral", value: this.#listOf("[", "]", () => this.#expression()) };
      case "{": {
        const pairs = this.#listOf("{", "}", () => {
          const key = this.#expression();
          this.#expect(":");
          return [key, this.#expression()] as const;
        });
        return { type: "ObjectLiteral", value: new Map(pairs) };
      }
      default:
        return this.#fail(`expected an expression, found ${this.#describe()}`);
    }
  }

  #listOf<T>(open: string, close: string, item: () => T): T[] {
    this.#expect(open);
    const items: T[] = [];
    while (!this.#isOperator(close)) {
      if (items.length > 0) {
        this.#expect(",");
        if (this.#isOperator(close)) {
          break;
        }
      }
      items.push(item());
    }
    this.#expect(close);
    return items;
  }

  /** Members, items and calls behind a value. */
  #postfix(value: Expression): Expression {
    let left = value;
    for (const chain = this.#chain(); ; chain()) {
      if (this.#accept(".")) {
        left = { type: "MemberExpression", object: left, property: this.#memberName(), computed: false };
      } else if (this.#isOperator("[")) {
        left = { type: "MemberExpression", object: left, property: this.#subscript(), computed: true };
      } else if (this.#isOperator("(")) {
        left = { type: "CallExpression", callee: left, args: this.#arguments() };
      } else {
        return left;
      }
    }
  }

  #memberName(): Expression {
    const token = this.#token;
    this.#next += 1;
    if (token.kind === "name") {
      return { type: "Identifier", value: token.value };
    }
    if (token.kind === "integer") {
      return { type: "IntegerLiteral", value: token.value };
    }
    this.#next -= 1;
    return this.#fail(`expected the name of a field, found ${this.#describe()}`);
  }

  #subscript(): Expression {
    const items = this.#listOf("[", "]", () => this.#sliceOrItem());
    const [only] = items;
    if (only === undefined) {
      return this.#fail("expected an index in [ ]");
    }
    return items.length === 1 ? only : { type: "TupleLiteral", value: items };
  }

  #sliceOrItem(): Expression {
    const isOpen = (): boolean => ![":", "]", ","].some((text) => this.#isOperator(text));
    const start = isOpen() ? this.#expression() : undefined;
    if (!this.#accept(":")) {
      return start ?? this.#fail("expected an index in [ ]");
    }
    const stop = isOpen() ? this.#expression() : undefined;
    const step = this.#accept(":") && isOpen() ? this.#expression() : undefined;
    return { type: "SliceExpression", start, stop, step };
  }

  #arguments(): Expression[] {
    let hasNamed = false;
    return this.#listOf("(", ")", () => {
      if (this.#accept("*")) {
        return { type: "SpreadExpression", argument: this.#expression() };
      }
      if (this.#accept("**")) {
        hasNamed = true;
        return { type: "KeywordSpreadExpression", argument: this.#expression() };
      }
      const [token, after] = [this.#token, this.#tokens[this.#next + 1]];
      if (token.kind === "name" && after?.kind === "operator" && after.value === "=") {
        this.#next += 2;
        hasNamed = true;
        const key: Identifier = { type: "Identifier", value: token.value };
        return { type: "KeywordArgumentExpression", key, value: this.#expression() };
      }
      if (hasNamed) {
        this.#fail("an argument without a name follows one that has it");
      }
      return this.#expression();
    });
  }

  /** Filters and tests behind a value; what a filter gives may be called. */
  #filtersAndTests(value: Expression): Expression {
    let left = value;
    for (const chain = this.#chain(); ; chain()) {
      if (this.#isOperator("|")) {
        this.#next += 1;
        left = { type: "FilterExpression", operand: left, filter: this.#filterCall() };
      } else if (this.#acceptWord("is")) {
        left = this.#test(left);
      } else if (this.#isOperator("(")) {
        left = { type: "CallExpression", callee: left, args: this.#arguments() };
      } else {
        return left;
      }
    }
  }

  #filters(): FilterCall[] {
    const filters: FilterCall[] = [];
    for (const chain = this.#chain(); this.#accept("|"); chain()) {
      filters.push(this.#filterCall());
    }
    return filters;
  }

  /** The filters of a filter block: the first has no `|` before it. */
  #filterChain(): FilterCall[] {
    return [this.#filterCall(), ...this.#filters()];
  }

  #filterCall(): FilterCall {
    const callee: Identifier = { type: "Identifier", value: this.#dottedName("the name of a filter") };
    return this.#isOperator("(")
      ? ({ type: "CallExpression", callee, args: this.#arguments() } satisfies CallExpression)
      : callee;
  }

  #test(operand: Expression): Expression {
    const negate = this.#acceptWord("not");
    const test: Identifier = { type: "Identifier", value: this.#dottedName("the name of a test") };
    return { type: "TestExpression", operand, negate, test, args: this.#testArguments() };
  }

  #testArguments(): Expression[] {
    if (this.#isOperator("(")) {
      return this.#arguments();
    }
    const token = this.#token;
    const isWord = token.kind === "name" && !["else", "or", "and"].includes(token.value);
    if (isWord && token.value === "is") {
      this.#fail('tests cannot follow each other with "is"');
    }
    const isValue = ["string", "integer", "float"].includes(token.kind) || isWord;
    if (isValue || ["[", "{"].some((text) => this.#isOperator(text))) {
      return [this.#postfix(this.#primary())];
    }
    return [];
  }

  #dottedName(what: string): string {
    let name = this.#expectName(what);
    while (this.#accept(".")) {
      name += `.${this.#expectName(what)}`;
    }
    return name;
  }

  #isOperator(value: string): boolean {
    const token = this.#token;
    return token.kind === "operator" && token.value === value;
  }

  #isWord(value: string | undefined): boolean {
    const token = this.#token;
    return token.kind === "name" && token.value === value;
  }

  #accept(operator: string): boolean {
    const is = this.#isOperator(operator);
    this.#next += is ? 1 : 0;
    return is;
  }

  #acceptWord(word: string): boolean {
    const is = this.#isWord(word);
    this.#next += is ? 1 : 0;
    return is;
  }

  #expect(operator: string): void {
    if (!this.#accept(operator)) {
      this.#fail(`expected "${operator}", found ${this.#describe()}`);
    }
  }

  #expectWord(word: string): void {
    if (!this.#acceptWord(word)) {
      this.#fail(`expected "${word}", found ${this.#describe()}`);
    }
  }

  #expectKind(kind: "variable-end" | "block-end"): void {
    if (this.#token.kind !== kind) {
      this.#fail(`expected ${kind === "block-end" ? "%}" : "}}"}, found ${this.#describe()}`);
    }
    this.#next += 1;
  }

  #expectName(what: string): string {
    const token = this.#token;
    if (token.kind !== "name") {
      return this.#fail(`expected ${what}, found ${this.#describe()}`);
    }
    this.#next += 1;
    return token.value;
  }

  /** Reads something that stands within something else. */
  #nested<T>(read: () => T): T {
    this.#depth += 1;
    if (this.#depth > DEEPEST) {
      this.#fail(`more than ${DEEPEST} expressions and blocks stand in each other`);
    }
    const value = read();
    this.#depth -= 1;
    return value;
  }

  /** Counts the links of a chain, each of which is evaluated within the next. */
  #chain(): () => void {
    let length = 0;
    return () => {
      length += 1;
      if (length > LONGEST_CHAIN) {
        this.#fail(`an expression has more than ${LONGEST_CHAIN} operators in a row`);
      }
    };
  }

  /** The next token, for messages. */
  #describe(): string {
    const token = this.#token;
    switch (token.kind) {
      case "name":
      case "operator":
        return `"${token.value}"`;
      case "string":
        return "a text";
      case "integer":
      case "float":
        return String(token.value);
      case "text":
        return "text";
      case "variable-begin":
        return "{{";
      case "variable-end":
        return "}}";
      case "block-begin":
        return "{%";
      case "block-end":
        return "%}";
      case "end":
        return "the end of the template";
    }
  }

  #fail(message: string): never {
    throw new TemplateSyntaxError(message, this.#source, this.#token.at);
  }
}

function binary(operator: string, left: Expression, right: Expression): Expression {
  return { type: "BinaryExpression", operator: { value: operator }, left, right };
}
