/** What `run` shows on a terminal, where texts appear as they are written. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { temporaryDirectory } from "../../../test/support/model-files.ts";
import { PacedModels } from "../../../test/support/paced-models.ts";
import { Terminal } from "../terminal.ts";
import { run } from "./run.ts";

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

interface Screen {
  /** What both streams show, in order. */
  readonly all: string;
  readonly stdout: string;
}

/** Runs a file on a terminal, or with stdout in a pipe. */
async function show(yaml: string, isTerminal: boolean): Promise<Screen> {
  const file = join(temporaryDirectory(), "model-compose.yml");
  writeFileSync(file, yaml);
  vi.stubEnv("MODEL_COMPOSE_STATE_DIR", temporaryDirectory());
  const terminal = new Terminal();
  vi.spyOn(terminal, "watched", "get").mockReturnValue(true);
  vi.spyOn(terminal, "stdoutIsTerminal", "get").mockReturnValue(isTerminal);
  let [all, stdout] = ["", ""];
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    all += String(text);
    return true;
  });
  vi.spyOn(process.stdout, "write").mockImplementation((text, written?: unknown) => {
    stdout += String(text);
    all += isTerminal ? String(text) : "";
    if (typeof written === "function") {
      (written as () => void)();
    }
    return true;
  });
  const models = new PacedModels();
  models.words = 3;
  const signal = new AbortController().signal;
  const context = { terminal, signal, loadModel: models.load };
  await run(undefined, { file: [file], input: ['{"prompt": "Once"}'] }, context);
  return { all, stdout };
}

const component = `component:
  type: model
  task: text-generation
  model: m
  text: \${input.prompt as text}
`;

describe("on a terminal", () => {
  test("a text is shown once, with its prompt", async () => {
    const { all, stdout } = await show(component, true);
    expect(stdout).toBe("");
    expect(all).toMatch(/^Once ?w0 w1 w2 ?\n/);
    expect(all.match(/w1/g)).toHaveLength(1);
  });

  test("fields that are no text of the model stand below it", async () => {
    const output = '  output: { text: "${output}", length: 3 }\n';
    const { all, stdout } = await show(`${component}workflow:\n${output}`, true);
    expect(all.match(/w1/g)).toHaveLength(1);
    expect(stdout).toBe("length: 3\n");
  });
});

test("in a pipe the result is JSON, whatever the terminal shows", async () => {
  const { stdout } = await show(component, false);
  expect(JSON.parse(stdout)).toEqual({ generated: expect.stringMatching(/^Once ?w0 w1 w2 ?$/) as string });
});
