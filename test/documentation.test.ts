/** The documentation is whole and true: what is made from the sources is fresh, links lead somewhere, samples are valid. */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { CommanderError } from "commander";
import GithubSlugger from "github-slugger";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { commands, flagsOf } from "../scripts/docs/cli-reference.ts";
import { MAPPINGS, spellings } from "../scripts/docs/compose-language.ts";
import { generatedDocuments } from "../scripts/docs/documents.ts";
import { openApi } from "../scripts/docs/http-reference.ts";
import { createProgram } from "../src/cli/main.ts";
import { typeNames } from "../src/compose/template/ast.ts";
import { loadText } from "./support/compose.ts";
import { blocksOf, pages, readPage, type Block } from "./support/documentation.ts";

const root = path.resolve(import.meta.dirname, "..");

test("what is made from the sources is as npm run docs makes it", async () => {
  for (const [name, text] of Object.entries(await generatedDocuments())) {
    expect(readPage(name) === text, `${name} is stale: npm run docs writes it anew`).toBe(true);
  }
});

test("the README is read in three minutes", () => {
  expect(readPage("README.md").split(/\s+/).length).toBeLessThan(700);
});

describe("all of it is documented:", () => {
  test("what the library exports", () => {
    const reference = readPage("docs/library-reference.md");
    const index = ["src/index.ts", "src/ai/index.ts"]
      .map((file) => readFileSync(path.join(root, file), "utf8"))
      .join("\n");
    const names = [...index.matchAll(/^export (?:type )?\{([^}]+)\}/gm)].flatMap(([, list = ""]) =>
      list.split(",").flatMap((name) => name.trim() || []),
    );
    expect(names).toEqual(expect.arrayContaining(["loadModel", "createModelCompose"]));
    const headings = new Set([...reference.matchAll(/^### (\w+)/gm)].map(([, name]) => name));
    expect(names.filter((name) => !headings.has(name))).toEqual([]);
  });

  test("commands and their flags", () => {
    const page = readPage("docs/cli.md");
    const sections = new Map(page.split(/^### /m).map((section) => [section.split("\n")[0] ?? "", section]));
    const missing = commands().flatMap(({ name, command }) => {
      const section = sections.get(name);
      return section === undefined
        ? [name]
        : flagsOf(command).flatMap(({ flags }) =>
            section.includes(`\`${flags}\``) ? [] : [`${name} ${flags}`],
          );
    });
    expect(missing).toEqual([]);
    expect(sections.size).toBeGreaterThan(15);
  });

  test("keys of compose files", () => {
    const page = readPage("docs/compose-file.md");
    const names = new Set(
      MAPPINGS.flatMap(({ keys, withoutEffect = [], refused = [] }) => [
        ...keys.flatMap(spellings),
        ...withoutEffect,
        ...refused,
      ]),
    );
    expect([...names].filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });

  test("types of placeholders", () => {
    const page = readPage("docs/placeholders.md");
    expect(typeNames.filter((name) => !page.includes(`\`${name}\``) && !page.includes(`\`${name}/`))).toEqual(
      [],
    );
  });

  test("routes", async () => {
    const [own, others] = [readPage("docs/http-api.md"), readPage("docs/openai-anthropic.md")];
    const { paths } = await openApi();
    const missing = Object.entries(paths).flatMap(([route, operations]) =>
      Object.keys(operations).filter((method) => {
        const isOther = route.startsWith("/v1/");
        const name = `${method.toUpperCase()} ${isOther ? "" : "/api"}${route}`;
        return !(isOther ? others.includes(`\`${name}\``) : own.includes(`### ${name}\n`));
      }),
    );
    expect(missing).toEqual([]);
    expect(Object.keys(paths).length).toBeGreaterThan(15);
  });
});

const anchors = new Map<string, Set<string>>();

/** The anchors of a page, as GitHub makes them of headings, and those that it writes itself. */
function anchorsOf(page: string): Set<string> {
  const known = anchors.get(page) ?? readAnchors(page);
  anchors.set(page, known);
  return known;
}

function readAnchors(page: string): Set<string> {
  const text = readPage(page).replaceAll(/^```.*?^```$/gms, "");
  const slugger = new GithubSlugger();
  const headings = [...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = ""]) =>
    slugger.slug(heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll(/[`*\\]/g, "")),
  );
  return new Set([...headings, ...[...text.matchAll(/<a id="([^"]+)">/g)].map(([, id = ""]) => id)]);
}

const linked = [...pages, "ARCHITECTURE.md", "CHANGELOG.md", "bench/peers/README.md"];

test.each(linked)("the links of %s lead somewhere", (page) => {
  const text = readPage(page)
    .replaceAll(/^```.*?^```$/gms, "")
    .replaceAll(/`[^`\n]*`/g, "");
  const broken = [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = ""]) => {
    if (/^[a-z]+:/.test(target)) {
      return [];
    }
    const [file = "", anchor] = target.split("#");
    const name = file === "" ? page : path.join(path.dirname(page), file);
    const leads = existsSync(path.join(root, name)) && (anchor === undefined || anchorsOf(name).has(anchor));
    return leads ? [] : [target];
  });
  expect(broken).toEqual([]);
});

const blocks = pages.flatMap(blocksOf);
const named = ({ page, line }: Block): string => `${page}:${line}`;
const FILE_KEYS = ["controller", "component", "components", "workflow", "workflows"];

test.each(blocks.filter(({ info }) => info === "yaml").map((block) => [named(block), block] as const))(
  "the YAML of %s is valid",
  (_name, { text }) => {
    // A sample may be a part of a file: what serves it, or some keys of a component.
    const keys = Object.keys(parse(text) as object);
    const isFile = keys.some((key) => FILE_KEYS.includes(key));
    const component = "component:\n  type: model\n  task: text-generation\n  prompt: x\n";
    const file = isFile
      ? keys.includes("component") || keys.includes("components")
        ? text
        : `${text}\n${component}  model: m\n`
      : `${component}${text.replaceAll(/^/gm, "  ")}`;
    expect(loadText(file, { env: { HF_TOKEN: "x" } }).warnings).toEqual([]);
  },
);

/** The words of a line of a shell, up to where its output goes elsewhere. */
function words(line: string): string[] {
  const found: string[] = [];
  for (const [word, double, single] of line.matchAll(/"([^"]*)"|'([^']*)'|[^\s"']+/g)) {
    if (/^(#|\||&&|>|<|;)/.test(word)) {
      break;
    }
    found.push(double ?? single ?? word);
  }
  return found;
}

class Called extends Error {}

test("the commands that are shown are ones that the program takes", async () => {
  const lines = blocks
    .filter(({ info }) => /^sh\b/.test(info))
    .flatMap((block) =>
      block.text.split(/\n|&& |\| /).map((text) => ({ name: named(block), text: text.trim() })),
    )
    .filter(({ text }) => /^(npx )?model-compose /.test(text));
  expect(lines.length).toBeGreaterThan(60);
  for (const { name, text } of lines) {
    const program = createProgram(() => {
      throw new Error("no command is run here");
    });
    const prepare = (command: typeof program): void => {
      command.exitOverride().configureOutput({ writeOut: () => undefined, writeErr: () => undefined });
      command.commands.forEach(prepare);
      command.action(() => {
        throw new Called();
      });
    };
    program.commands.forEach(prepare);
    program.configureOutput({ writeErr: () => undefined });
    const args = words(text.replace(/^(npx )?model-compose /, ""));
    const outcome: unknown = await program
      .parseAsync(args, { from: "user" })
      .catch((error: unknown) => error);
    expect(
      outcome instanceof Called,
      `${name}: ${text}: ${outcome instanceof CommanderError ? outcome.message : String(outcome)}`,
    ).toBe(true);
  }
});
