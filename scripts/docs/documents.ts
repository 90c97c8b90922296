/** The documents that have generated parts, as they should be. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { cliReference } from "./cli-reference.ts";
import { composeReference } from "./compose-reference.ts";
import { composeSchema, SCHEMA_FILE } from "./compose-schema.ts";
import { httpReference, modelApiReference } from "./http-reference.ts";
import { withGenerated } from "./markdown.ts";

const root = path.resolve(import.meta.dirname, "../..");

/** Texts by their paths from the root; all but the library's reference, which takes TypeDoc seconds. */
export async function generatedDocuments(): Promise<Readonly<Record<string, string>>> {
  const parts = {
    "docs/compose-file.md": ["reference", composeReference()],
    "docs/cli.md": ["commands", cliReference()],
    "docs/http-api.md": ["routes", await httpReference()],
    "docs/openai-anthropic.md": ["requests", await modelApiReference()],
  } as const;
  const documents: Record<string, string> = {
    [SCHEMA_FILE]: `${JSON.stringify(composeSchema(), null, 1)}\n`,
  };
  for (const [name, [part, content]] of Object.entries(parts)) {
    documents[name] = withGenerated(await readFile(path.join(root, name), "utf8"), part, content);
  }
  return documents;
}
