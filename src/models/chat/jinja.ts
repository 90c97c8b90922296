/**
 * The part of `@huggingface/jinja` that is used here, with types of our own: the library's declarations import without
 * file extensions, which TypeScript's NodeNext resolution does not follow. That they are true is what the tests are for.
 */
import * as library from "@huggingface/jinja";

/** A value while a template runs. `type` is the name of its class, which is not exported. */
export interface RuntimeValue {
  readonly type: string;
  readonly value: unknown;
  /** The methods of texts and mappings. */
  readonly builtins: ReadonlyMap<string, RuntimeValue>;
  __bool__(): { readonly value: boolean };
}

/** A node of the syntax tree; its other fields depend on `type`. */
export interface SyntaxNode {
  readonly type: string;
}

export interface Program extends SyntaxNode {
  body: SyntaxNode[];
}

interface Token {
  readonly type: string;
  readonly value: string;
}

/** A scope of variables. */
export interface Environment {
  readonly variables: Map<string, RuntimeValue>;
  /** Declares a variable of a JavaScript value. */
  set(name: string, value: unknown): RuntimeValue;
  /** Assigns a variable of this scope. */
  setVariable(name: string, value: RuntimeValue): RuntimeValue;
}

export interface Interpreter {
  /** @returns the text */
  run(program: Program): RuntimeValue;
  /** The value of an expression; what a statement prints. Every node passes through here. */
  evaluate(node: SyntaxNode | undefined, scope: Environment): RuntimeValue;
}

interface Library {
  Environment: new (parent?: Environment) => Environment;
  Interpreter: new (scope?: Environment) => Interpreter;
  tokenize: (source: string, options?: { trim_blocks?: boolean; lstrip_blocks?: boolean }) => Token[];
  parse: (tokens: Token[]) => Program;
}

export const { Environment, Interpreter, tokenize, parse } = library as unknown as Library;
