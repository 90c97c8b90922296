import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  parse,
  parseDocument,
  type Alias,
  type Document,
  type Node,
  type Pair,
  type Scalar,
  type YAMLMap,
} from "yaml";
import { yamlFaults } from "./yaml-faults.ts";
import { findMask, maskPlaceholders, unmaskPlaceholders } from "./placeholder-mask.ts";
import { isSecretKey, markSecret, type Location, type ProblemList, type SourceFile } from "./problems.ts";
import type { ListNode, MappingEntry, MappingNode, ScalarNode, SourceNode } from "./source-tree.ts";
import type { Placeholder } from "../template/ast.ts";
import { keepSecret } from "../../base/secrets.ts";
import {
  EnvironmentError,
  resolveEnvironment,
  type Environment,
  type Variables,
} from "../template/environment.ts";
import { mayHoldPlaceholder, parseTemplate } from "../template/parse.ts";
import { TemplateSyntaxError } from "../template/syntax-error.ts";

/** Aliases expand to at most this many nodes: a file of a few lines can otherwise stand for billions. */
const MAX_NODES = 50_000;
const MAX_DEPTH = 200;

/** The value that stands for one that is reported as wrong. It is a template, for its value is not known. */
const unknownText = "${input}";
const unknownTemplate = parseTemplate(unknownText);

/**
 * Reads YAML 1.2 into a tree with positions; `${env.…}` is resolved. What is wrong goes to `problems`.
 *
 * @returns undefined when the text is not YAML, empty, or expands to too much; else a tree that can be checked
 *   further, in which what was reported is settled
 */
export function readYaml(
  file: SourceFile,
  environment: Environment,
  problems: ProblemList,
): SourceNode | undefined {
  const mask = findMask(file.text);
  if (mask !== -1) {
    const code = file.text.charCodeAt(mask).toString(16).toUpperCase();
    problems.invalid(
      `U+${code} is a code for use inside programs, not a character.`,
      { file, start: mask, end: mask + 1 },
      "Remove it.",
    );
    return undefined;
  }
  const document = parseDocument(maskPlaceholders(file.text), {
    prettyErrors: false,
    merge: true,
    uniqueKeys: false,
  });
  // A tag nobody knows is only a warning to the library; here it is a slip that must not pass unseen.
  for (const { start, end, message, remedy } of yamlFaults(file.text, [
    ...document.errors,
    ...document.warnings,
  ])) {
    problems.invalid(message, { file, start, end }, remedy);
  }
  if (document.errors.length > 0 || document.warnings.length > 0) {
    return undefined;
  }
  if (document.contents === null) {
    return undefined;
  }
  return new TreeBuilder(file, document, environment, problems).tree(document.contents);
}

class TreeBuilder {
  readonly #file: SourceFile;
  readonly #document: Document;
  readonly #environment: Variables;
  readonly #problems: ProblemList;
  readonly #open = new Set<Node>();
  #nodes = 0;
  /** Number of open keys whose values are never shown. */
  #secret = 0;
  /** How many keys around the present place have values that people must see in messages. */
  #told = 0;
  #overflow = false;

  constructor(file: SourceFile, document: Document, environment: Environment, problems: ProblemList) {
    this.#file = file;
    this.#document = document;
    this.#environment = {
      get: (name) => {
        const value = environment.get(name);
        if (this.#told === 0 || this.#secret > 0) {
          keepSecret(value);
        }
        return value;
      },
    };
    this.#problems = problems;
  }

  tree(root: Node): SourceNode | undefined {
    const tree = this.node(root);
    return this.#overflow ? undefined : tree;
  }

  node(node: Node | null): SourceNode {
    const location = this.#locate(node);
    if (node === null) {
      return { kind: "scalar", value: null, plain: true, location };
    }
    if (isAlias(node)) {
      return this.#alias(node, location);
    }
    if (!this.#mayGrow(location)) {
      return { kind: "scalar", value: null, plain: true, location };
    }
    if (isScalar(node)) {
      return this.#scalar(node, location);
    }
    this.#open.add(node);
    const built = isMap(node) ? this.#mapping(node, location) : this.#list(node, location);
    this.#open.delete(node);
    return built;
  }

  #mayGrow(location: Location): boolean {
    this.#nodes += 1;
    if (this.#nodes <= MAX_NODES && this.#open.size <= MAX_DEPTH) {
      return true;
    }
    if (!this.#overflow) {
      this.#overflow = true;
      const what =
        this.#nodes > MAX_NODES ? `more than ${MAX_NODES} values` : `more than ${MAX_DEPTH} levels`;
      this.#problems.invalid(`the file expands to ${what}.`, location, "Use fewer aliases (*name).");
    }
    return false;
  }

  #alias(alias: Alias, location: Location): SourceNode {
    const target = alias.resolve(this.#document);
    if (target === undefined || this.#open.has(target)) {
      const why = target === undefined ? "has no anchor" : "stands inside its own anchor";
      this.#problems.invalid(`the alias *${alias.source} ${why}.`, location);
      return this.#unknown(location);
    }
    return this.node(target);
  }

  #list(node: Node, location: Location): ListNode {
    const items = isSeq(node) ? node.items.map((item) => this.node(item as Node | null)) : [];
    return { kind: "list", items, location };
  }

  #mapping(map: YAMLMap, location: Location): MappingNode {
    const entries = new Map<string, MappingEntry>();
    const merged: SourceNode[] = [];
    for (const pair of map.items as Pair<Node, Node | null>[]) {
      if (isScalar(pair.key) && isMergeKey(pair.key)) {
        merged.push(this.node(pair.value));
        continue;
      }
      const keyLocation = this.#locate(pair.key);
      const key = isScalar(pair.key) ? keyText(pair.key.value) : undefined;
      if (key === undefined) {
        this.#problems.invalid("a key must be a text.", keyLocation);
        continue;
      }
      const value = this.#valueOf(key, pair.value);
      const earlier = entries.get(key);
      if (earlier === undefined) {
        entries.set(key, { key: keyLocation, value });
      } else {
        this.#problems.invalid(
          `the key ${JSON.stringify(key)} is given twice.`,
          keyLocation,
          "Keep one of them.",
        );
      }
    }
    this.#addMerged(entries, merged);
    return { kind: "mapping", entries, location };
  }

  #valueOf(key: string, value: Node | null): SourceNode {
    if (!isSecretKey(key)) {
      this.#told += OPEN_KEYS.has(key) ? 1 : 0;
      const node = this.node(value);
      this.#told -= OPEN_KEYS.has(key) ? 1 : 0;
      return node;
    }
    this.#secret += 1;
    if (value !== null) {
      markSecret(this.#locate(value));
    }
    const node = this.node(value);
    this.#secret -= 1;
    keepSecrets(node);
    return node;
  }

  /** Adds what `<<: *base` names: keys of the base that the mapping does not have itself. */
  #addMerged(entries: Map<string, MappingEntry>, merged: readonly SourceNode[]): void {
    for (const base of merged.flatMap((node) => (node.kind === "list" ? node.items : [node]))) {
      if (base.kind !== "mapping") {
        this.#problems.invalid("<< merges a mapping or a list of mappings.", base.location);
        continue;
      }
      for (const [key, entry] of base.entries) {
        if (!entries.has(key)) {
          entries.set(key, entry);
        }
      }
    }
  }

  #scalar(scalar: Scalar, location: Location): SourceNode {
    const node = this.#openScalar(scalar, location);
    return this.#secret > 0 && node.kind === "scalar" ? { ...node, secret: true } : node;
  }

  #openScalar(scalar: Scalar, location: Location): SourceNode {
    const plain = scalar.type === "PLAIN";
    const { value } = scalar;
    if (typeof value === "string") {
      return this.#text(unmaskPlaceholders(value), plain, location);
    }
    if (typeof value === "number" || typeof value === "boolean" || value === null) {
      return { kind: "scalar", value, plain, location };
    }
    this.#problems.invalid("expected a text, a number, true, false or null.", location);
    return this.#unknown(location);
  }

  #text(value: string, plain: boolean, location: Location): SourceNode {
    if (!mayHoldPlaceholder(value)) {
      return { kind: "scalar", value, plain, location };
    }
    try {
      const resolved = resolveEnvironment(parseTemplate(value), this.#environment);
      if ("template" in resolved) {
        return { kind: "scalar", value, template: resolved.template, plain, location };
      }
      return this.#fromEnvironment(resolved.value, resolved.fromVariable && plain, location);
    } catch (error) {
      if (error instanceof TemplateSyntaxError) {
        const at = locateInScalar(location, value, error.start, error.end);
        const message = this.#secret > 0 ? "a placeholder is malformed" : error.message;
        if (error.unsupported) {
          this.#problems.unsupported(`${message}.`, at, error.remedy);
        } else {
          this.#problems.invalid(`${message}.`, at, error.remedy);
        }
      } else if (error instanceof EnvironmentError) {
        const { start, end } = error.placeholder;
        const at = locateInScalar(location, value, start, end);
        const isHidden = this.#secret > 0 && error.showsValue;
        const message = isHidden ? "an environment variable does not hold what is needed" : error.message;
        this.#problems.invalid(`${message}.`, at, error.remedy);
      } else {
        throw error;
      }
      return this.#unknown(location);
    }
  }

  /** Stands in place of a value that was reported: the rest of the file is checked, this place no more. */
  #unknown(location: Location): ScalarNode {
    this.#problems.settle(location);
    return { kind: "scalar", value: unknownText, template: unknownTemplate, plain: true, location };
  }

  /** The node for a scalar that was wholly `${env.NAME}`: read as if its value stood in the file. */
  #fromEnvironment(value: unknown, reread: boolean, location: Location): SourceNode {
    const read = reread && typeof value === "string" ? rereadYaml(value) : value;
    return nodeFromValue(read, location);
  }

  #locate(node: Node | null): Location {
    const [start = 0, end = start] = node?.range ?? [];
    return { file: this.#file, start, end };
  }
}

function isMergeKey(key: Scalar): boolean {
  return key.type === "PLAIN" && (key.source === "<<" || key.value === "<<");
}

function keyText(value: unknown): string | undefined {
  if (typeof value === "string") {
    return unmaskPlaceholders(value);
  }
  return typeof value === "number" || typeof value === "boolean" ? String(value) : undefined;
}

/** The value of a text: a number, true, false, null or a flow list or mapping where the text is one, else the text. */
function rereadYaml(text: string): unknown {
  try {
    const value = parse(text, { logLevel: "silent", maxAliasCount: 0 }) as unknown;
    const isFlow = /^\s*[[{]/.test(text);
    return isFlow || value === null || ["number", "boolean"].includes(typeof value) ? value : text;
  } catch {
    return text;
  }
}

/** A plain value as a tree, all of it at one place of the file. */
function nodeFromValue(value: unknown, location: Location): SourceNode {
  if (Array.isArray(value)) {
    return { kind: "list", items: value.map((item: unknown) => nodeFromValue(item, location)), location };
  }
  if (typeof value === "object" && value !== null) {
    const entries = new Map(
      Object.entries(value).map(([key, item]) => [
        key,
        { key: location, value: nodeFromValue(item, location) },
      ]),
    );
    return { kind: "mapping", entries, location };
  }
  const isScalarValue = ["string", "number", "boolean"].includes(typeof value);
  return {
    kind: "scalar",
    value: isScalarValue ? (value as string | number | boolean) : null,
    plain: true,
    location,
  };
}

/**
 * The place in the file of a range of a scalar's value. Quoting and folding move characters about, so the n-th `${` of
 * the value is looked up as the n-th `${` of what was written.
 */
export function locateInScalar(scalar: Location, value: string, start: number, end: number): Location {
  const written = scalar.file.text.slice(scalar.start, scalar.end);
  let inValue = value.indexOf("${");
  let inWritten = written.indexOf("${");
  if (inValue === -1 || inWritten === -1) {
    return scalar;
  }
  for (;;) {
    const nextValue = value.indexOf("${", inValue + 2);
    const nextWritten = written.indexOf("${", inWritten + 2);
    if (nextValue === -1 || nextValue > start || nextWritten === -1) {
      break;
    }
    inValue = nextValue;
    inWritten = nextWritten;
  }
  const from = scalar.start + inWritten + Math.max(0, start - inValue);
  const to = Math.min(from + (end - start), scalar.end);
  return { file: scalar.file, start: Math.min(from, scalar.end - 1), end: to };
}

/** The place in its file of a placeholder of a scalar. */
export function locatePlaceholder(node: ScalarNode, placeholder: Placeholder): Location {
  return locateInScalar(node.location, String(node.value), placeholder.start, placeholder.end);
}

/**
 * Keys whose values messages name, so that a person knows which model or address is meant, though they come from the
 * environment: everything else from there is kept from being told.
 */
const OPEN_KEYS: ReadonlySet<string> = new Set([
  "model",
  "device",
  "precision",
  "quantization",
  "architecture",
  "host",
  "port",
  "base_path",
  "origins",
]);

/** Headers that say nothing about who asks. */
const OPEN_HEADERS = ["accept", "accept-language", "content-type", "user-agent"];

/** Keeps the texts of a node from being told, also without the scheme that stands before them in a header. */
function keepSecrets(node: SourceNode): void {
  if (node.kind === "list") {
    node.items.forEach(keepSecrets);
  } else if (node.kind === "mapping") {
    for (const [key, { value }] of node.entries) {
      if (!OPEN_HEADERS.includes(key.toLowerCase())) {
        keepSecrets(value);
      }
    }
  } else if (typeof node.value === "string" && node.template === undefined) {
    keepSecret(node.value);
    keepSecret(node.value.replace(/^\w+ +/, ""));
  }
}
