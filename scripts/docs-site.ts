/** `npm run docs:site` makes the documentation a site of static pages in build/site, with a search, which needs no network. */
import path from "node:path";
import { Application } from "typedoc";
import { typeDocOptions } from "./docs/library-reference.ts";

const root = path.join(import.meta.dirname, "..");
const out = path.join(root, "build/site");

/** The pages in the order in which somebody reads them. */
const PAGES = [
  "getting-started",
  "web-ui",
  "examples",
  "compose-file",
  "placeholders",
  "cli",
  "http-api",
  "openai-anthropic",
  "library",
  "library-reference",
  "models",
  "performance",
  "deployment",
  "troubleshooting",
  "comparison",
  "inside",
  "contributing",
];

const app = await Application.bootstrap({
  ...typeDocOptions,
  name: "model-compose",
  readme: path.join(root, "README.md"),
  projectDocuments: [
    ...PAGES.map((name) => path.join(root, "docs", `${name}.md`)),
    path.join(root, "ARCHITECTURE.md"),
    path.join(root, "CHANGELOG.md"),
  ],
  out,
  githubPages: false,
  highlightLanguages: ["sh", "yaml", "json", "ts", "ini"],
});
const project = await app.convert();
if (project === undefined) {
  throw new Error("TypeDoc cannot read the library.");
}
for (const page of project.documents ?? []) {
  const [first] = page.content;
  const [heading = "", title = page.name] = /^# (.+)\n+/.exec(first?.text ?? "") ?? [];
  if (first !== undefined && heading !== "") {
    // The page is named by its heading, which then stands above it already.
    page.name = title;
    first.text = first.text.slice(heading.length);
  }
}
app.validate(project);
await app.generateOutputs(project);
process.exitCode = app.logger.hasErrors() || app.logger.hasWarnings() ? 1 : 0;
if (process.exitCode === 0) {
  process.stdout.write(`The documentation is in ${path.relative(process.cwd(), out)}/index.html.\n`);
}
