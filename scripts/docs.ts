/**
 * `npm run docs` writes what of the documentation is made from the sources: references between their marks in docs/*.md, the
 * library's reference, and the JSON Schema of compose files. With --check it writes nothing and says what is stale.
 */
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { generatedDocuments } from "./docs/documents.ts";
import { libraryReference } from "./docs/library-reference.ts";

const root = path.join(import.meta.dirname, "..");
const LIBRARY = "docs/library-reference.md";

const isCheck = process.argv.includes("--check");
const head =
  "# Library reference\n\nWhat `model-compose` and `model-compose/ai` export. [The guide](library.md) shows how it is used. `npm run docs` makes this page.\n\n";
const documents = { ...(await generatedDocuments()), [LIBRARY]: head + (await libraryReference()) };

const stale: string[] = [];
for (const [name, text] of Object.entries(documents)) {
  const file = path.join(root, name);
  const found = await readFile(file, "utf8").catch(() => "");
  if (found === text) {
    continue;
  }
  stale.push(name);
  if (!isCheck) {
    await writeFile(file, text);
  }
}
if (stale.length > 0) {
  process.stdout.write(
    `${isCheck ? "Stale; npm run docs writes them anew" : "Written"}: ${stale.join(", ")}\n`,
  );
}
process.exitCode = isCheck && stale.length > 0 ? 1 : 0;
