import { isJsonObject } from "../../../base/json.ts";
import { unsupportedKeyword, wrongKeyword, type SchemaAt } from "./place.ts";

/** What `$ref` refers to: places of the document, its anchors, and schemas in it that have an id. */
export class ReferenceTable {
  readonly #root: unknown;
  readonly #ids = new Map<string, SchemaAt>();

  constructor(root: unknown) {
    this.#root = root;
    this.#collect({ schema: root, pointer: "" }, 0);
  }

  /** @throws ModelComposeError "unsupported" for other documents, "invalid-argument" for a place that is not there */
  resolve(pointer: string, reference: unknown): SchemaAt {
    if (typeof reference !== "string") {
      throw wrongKeyword(pointer, "$ref", "a text", reference);
    }
    const known = this.#ids.get(reference);
    if (known !== undefined) {
      return known;
    }
    const [base = "", fragment = ""] = reference.split("#");
    const from = base === "" ? { schema: this.#root, pointer: "" } : this.#ids.get(base);
    if (from === undefined) {
      throw unsupportedKeyword(pointer, "$ref", `"${reference}" is another document, and none is fetched`);
    }
    if (fragment === "") {
      return from;
    }
    if (!fragment.startsWith("/")) {
      throw wrongKeyword(pointer, "$ref", "a reference to a place of the document", reference);
    }
    return this.#at(pointer, from, fragment, reference);
  }

  #at(pointer: string, from: SchemaAt, fragment: string, reference: string): SchemaAt {
    let { schema } = from;
    let at = from.pointer;
    for (const token of fragment.slice(1).split("/")) {
      const key = decoded(token).replaceAll("~1", "/").replaceAll("~0", "~");
      const isThere = typeof schema === "object" && schema !== null && Object.hasOwn(schema, key);
      if (!isThere) {
        throw wrongKeyword(pointer, "$ref", "a reference to a place of the document", reference);
      }
      schema = (schema as Record<string, unknown>)[key];
      at += `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    }
    return { schema, pointer: at };
  }

  #collect({ schema, pointer }: SchemaAt, depth: number): void {
    if (typeof schema !== "object" || schema === null || depth > 200) {
      return;
    }
    if (isJsonObject(schema)) {
      for (const id of [schema.$id, schema.id]) {
        if (typeof id === "string") {
          this.#ids.set(id.replace(/#$/, ""), { schema, pointer });
        }
      }
      if (typeof schema.$anchor === "string") {
        this.#ids.set(`#${schema.$anchor}`, { schema, pointer });
      }
    }
    for (const [key, value] of Object.entries(schema)) {
      if (key !== "enum" && key !== "const") {
        const member = `${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
        this.#collect({ schema: value, pointer: member }, depth + 1);
      }
    }
  }
}

function decoded(token: string): string {
  try {
    return decodeURIComponent(token);
  } catch {
    return token;
  }
}
