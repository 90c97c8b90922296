import path from "node:path";
import { expect, test } from "vitest";
import { schemaPath } from "./schema-path.ts";

const file = "docs/model-compose.schema.json";
const at = (...names: string[]): string => path.resolve("/", ...names);

test.each([
  [
    "the package of a project",
    ["app"],
    ["app", "node_modules", "model-compose"],
    `./node_modules/model-compose/${file}`,
  ],
  [
    "from a folder of the project",
    ["app", "tales"],
    ["app", "node_modules", "model-compose"],
    `../node_modules/model-compose/${file}`,
  ],
  ["the clone", ["clone"], ["clone"], `./${file}`],
  ["from a folder of the clone", ["clone", "my-tale"], ["clone"], `../${file}`],
  ["a package of everybody", ["app"], ["usr", "lib", "node_modules", "model-compose"], undefined],
  ["another project's", ["app"], ["application", "node_modules", "model-compose"], undefined],
])("%s", (_what, folder, packageFolder, expected) => {
  expect(schemaPath(at(...folder), at(...packageFolder))).toBe(expected);
});

test("the running program's own", () => {
  const root = path.resolve(import.meta.dirname, "../..");
  expect(schemaPath(path.join(root, "examples", "tales"))).toBe(`../../${file}`);
});
