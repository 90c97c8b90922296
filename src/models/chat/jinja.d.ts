/**
 * What is used of @huggingface/jinja. The package's own declarations import each other without file extensions, which
 * TypeScript does not follow in ES modules: everything would be `any`.
 */
declare module "@huggingface/jinja" {
  /** A value while a template runs. `type` is the name of its class, which is not exported. */
  export interface RuntimeValue {
    readonly type: string;
    readonly value: unknown;
    /** The methods of texts and mappings. */
    readonly builtins: ReadonlyMap<string, RuntimeValue>;
    __bool__(): { readonly value: boolean };
  }

  /** A node of the syntax tree; the fields depend on `type`. */
  export interface SyntaxNode {
    readonly type: string;
  }

  export interface Token {
    readonly type: string;
    readonly value: string;
  }

  export interface Program extends SyntaxNode {
    body: SyntaxNode[];
  }

  /** A scope of variables. */
  export class Environment {
    readonly variables: Map<string, RuntimeValue>;
    constructor(parent?: Environment);
    /** Declares a variable of a JavaScript value. */
    set(name: string, value: unknown): RuntimeValue;
    /** Assigns a variable of this scope. */
    setVariable(name: string, value: RuntimeValue): RuntimeValue;
  }

  export class Interpreter {
    constructor(environment?: Environment);
    /** @returns the text */
    run(program: Program): RuntimeValue;
    /** The value of an expression; what a statement prints. Every node passes through here. */
    evaluate(node: SyntaxNode | undefined, environment: Environment): RuntimeValue;
  }

  export function tokenize(
    source: string,
    options?: { trim_blocks?: boolean; lstrip_blocks?: boolean },
  ): Token[];

  export function parse(tokens: Token[]): Program;
}
