/** `model-compose init` and `model-compose doctor` by the real command line. */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { runCommand, type CommandResult } from "./support/command.ts";
import { temporaryDirectory } from "./support/model-files.ts";

let folder: string;
beforeEach(() => {
  folder = temporaryDirectory();
});

function run(...args: readonly string[]): Promise<CommandResult> {
  return runCommand(args, { cwd: folder, env: { HF_HUB_OFFLINE: "1", HF_HUB_CACHE: folder } });
}

const file = (name: string): string => path.join(folder, name);

describe("init", () => {
  test("writes a file that runs", async () => {
    const { code, stderr } = await run("init", "--yes", "--model", "tales", "--port", "9000");
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr:
        'Wrote model-compose.yml. Next:\n  model-compose run --input prompt="Once upon a time"\n  model-compose up\n',
    });
    expect(readFileSync(file("model-compose.yml"), "utf8")).toContain("port: 9000 #");
    const result = await run("run", "--input", "prompt=Once upon a time", "--input", "max_tokens=4");
    expect(JSON.parse(result.stdout)).toEqual({
      generated: expect.stringMatching(/^Once upon a time/) as string,
    });
  });

  test("a file that is there stays, but with --force", async () => {
    writeFileSync(file("model-compose.yaml"), "mine");
    expect(await run("init", "--yes")).toEqual({
      code: 2,
      stdout: "",
      stderr: expect.stringContaining("There is a model-compose.yaml in") as string,
    });
    expect(await run("init", "--yes", "--force")).toMatchObject({ code: 0 });
    expect(readFileSync(file("model-compose.yml"), "utf8")).toContain("task: chat-completion");
    expect(readFileSync(file("model-compose.yaml"), "utf8")).toBe("mine");
    expect(await run("init", "--yes", "--force", "--task", "text")).toMatchObject({ code: 0 });
    expect(readFileSync(file("model-compose.yml"), "utf8")).toContain("task: text-generation");
  });

  test("where nobody is at the terminal, it wants --yes", async () => {
    expect(await run("init", "--model", "tales")).toEqual({
      code: 2,
      stdout: "",
      stderr: expect.stringContaining("Add --yes") as string,
    });
  });
});

interface Told {
  models: { model: string; choices: { fits: boolean; needed_bytes: number }[] }[];
}

describe("doctor", () => {
  const told = async (...args: readonly string[]): Promise<{ names: string[]; stderr: string }> => {
    const { code, stdout, stderr } = await run("doctor", "--no-measure", "--json", ...args);
    expect(code).toBe(0);
    const { models } = JSON.parse(stdout) as Told;
    return { names: models.map(({ model }) => model), stderr };
  };
  const known = "HuggingFaceTB/SmolLM2-135M-Instruct";

  test("tells of well-known models, first of the one that is named", async () => {
    expect((await told("tales")).names.slice(0, 2)).toEqual(["tales", known]);
    expect((await told("Qwen/Qwen3-8B")).names.filter((name) => name === "Qwen/Qwen3-8B")).toHaveLength(1);
  });

  test("tells of the file's models, and goes on without what is wrong with them", async () => {
    const model = (name: string): string =>
      `  - { id: ${name}, type: model, task: text-generation, model: ${name}, text: x }\n`;
    const yaml = `workflow: { job: { component: tales } }\ncomponents:\n${["tales", "nobody/nothing"].map(model).join("")}`;
    writeFileSync(file("model-compose.yml"), yaml.replaceAll("id: nobody/", "id: "));
    const { names, stderr } = await told();
    expect(names.slice(0, 2)).toEqual(["tales", known]);
    expect(stderr).toContain("warning: The file's model nobody/nothing is left out: The model");
    writeFileSync(file("model-compose.yml"), "component: [");
    const broken = await told();
    expect(broken.names[0]).toBe(known);
    expect(broken.stderr).toContain("warning: The compose file has problems, so its models are left out");
    // Who names the file wants to know.
    expect(await run("doctor", "--no-measure", "-f", "model-compose.yml")).toMatchObject({
      code: 1,
      stdout: "",
    });
  });
});
