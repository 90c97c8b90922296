import { promisify } from "node:util";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCommand, type CommandOptions, type CommandResult } from "./support/command.ts";

const root = path.resolve(import.meta.dirname, "..");
const entry = path.join(root, "dist", "cli.js");
const tales = path.join(root, "models", "tales");
const talesExample = path.join(root, "examples", "tales");

type StartOptions = Partial<CommandOptions>;

/** Runs the command line as a user would, in the folder of most tests. */
function cli(args: readonly string[], options: StartOptions = {}): Promise<CommandResult> {
  return runCommand(args, { cwd: folder, stdin: "", ...options });
}

/** A folder with the compose file of most tests. */
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "model-compose-cli-"));
  const yaml = `component:
  type: model
  task: text-generation
  model: ${tales.replaceAll("\\", "/")}
  text: \${input.prompt as text}
  max_output_length: 8
  temperature: \${input.temperature as number | 0.7}
  seed: 1
`;
  await writeFile(path.join(folder, "model-compose.yml"), yaml);
  await writeFile(path.join(folder, "bad.yml"), yaml.replace("max_output_length", "max_outptu_length"));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Expects a line on stderr with the error, and no stack. */
function expectFailure(
  outcome: CommandResult,
  code: number,
  ...messages: readonly (string | RegExp)[]
): void {
  expect(outcome).toMatchObject({ code, stdout: "" });
  for (const message of messages) {
    expect(outcome.stderr).toMatch(message);
  }
  expect(outcome.stderr).toMatch(/^error: /m);
  expect(outcome.stderr).not.toMatch(/^\s+at /m);
}

describe("--device webgpu:? lists the adapters, whatever the command line lacks", () => {
  test.each([
    ["run", "--device", "webgpu:?"],
    ["run", "--device=webgpu:?", "-f", "no-such-file.yml"],
    ["generate", "--device", "webgpu:?"],
  ])("%s %s %s", async (...args) => {
    const outcome = await cli(args);
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(outcome.stdout).toMatch(/^(.+ \((vulkan|metal|d3d12)[^)]*\)\n)+$/);
  });
});

describe("wrong command lines exit with 2", () => {
  test.each([
    ["an unknown command", ["rnu"], "Did you mean run?"],
    ["an unknown option", ["run", "--bogus"], "unknown option '--bogus'"],
    [
      "an amount without its unit",
      ["run", "--gpu-memory", "8G"],
      "It is not an amount of memory, such as 8GB",
    ],
    ["a prefill mode", ["run", "--prefill", "fp8"], "Allowed choices are exact, split, f16, subgroup-matrix"],
    ["a missing model", ["generate", "x"], "--model tales is the bundled one to try"],
    ["a port", ["up", "--port", "70000"], "It is not a port, an integer in 0 .. 65535."],
    ["a missing prompt", ["generate", "-m", "x"], "missing required argument 'prompt'"],
    ["no number", ["generate", "-m", "x", "--top-k", "many", "x"], "It is not a number."],
    [
      "flags that exclude each other",
      ["generate", "-m", "x", "--greedy", "--do-sample", "x"],
      "cannot be used with",
    ],
    ["an entry without =", ["run", "-e", "NAME"], "-e NAME: expected NAME=VALUE"],
  ])("%s", async (_name, args, message) => {
    expectFailure(await cli(args), 2, message);
  });
});

describe("bad input exits with 2 and says what to do", () => {
  test.each([
    ["input that is not JSON", ["run", "-i", "{prompt: x}"], "--input is not JSON", "Write --input"],
    ["a missing input", ["run"], 'The workflow input "prompt" is missing', 'Add "prompt" to the input'],
    ["an empty prompt", ["run", "-i", '{"prompt": ""}'], '"prompt" is empty', "at least one character"],
    [
      "a range",
      ["run", "-i", '{"prompt": "a", "temperature": -1}'],
      "temperature must be a number >= 0",
      "found -1",
    ],
    ["NaN", ["run", "-i", '{"prompt": "a", "temperature": "NaN"}'], "cannot convert the text", "to a number"],
    [
      "an output without a folder",
      ["run", "-o", "no/x.json", "-i", '{"prompt": "a"}'],
      "does not exist",
      "--output",
    ],
    [
      "an empty prompt of generate",
      ["generate", "-m", "x", ""],
      "The prompt is empty",
      "at least one character",
    ],
    [
      "NaN in a flag",
      ["generate", "-m", "x", "--temperature", "nan", "x"],
      "--temperature must be",
      "found NaN",
    ],
    [
      "a range of a flag",
      ["generate", "-m", "x", "--top-p", "2", "x"],
      "--top-p must be a number > 0 and <= 1",
      "2",
    ],
    [
      "a count below its range",
      ["generate", "-m", tales, "--max-tokens", "-5", "x"],
      "--max-tokens must be an integer >= 1",
      "found -5",
    ],
    ["a precision", ["generate", "-m", tales, "--precision", "int3", "x"], "int3", "--precision"],
    [
      "a quantization",
      ["generate", "-m", tales, "--quantization", "int3", "x"],
      "expected one of none, int8, int4, auto",
      "--quantization",
    ],
    [
      "activations",
      ["generate", "-m", tales, "--activations", "int4", "x"],
      "must be one of int8, float32; found 'int4'",
      "--activations",
    ],
    [
      "an input that nothing reads",
      ["run", "-i", '{"promt": "a"}'],
      'no input "promt"',
      'Did you mean "prompt"?',
    ],
    ["a device", ["generate", "-m", "x", "--device", "tpu", "x"], "--device tpu is unknown", "Devices:"],
    [
      "a prefill mode on the CPU",
      ["generate", "-m", tales, "--device", "cpu", "--prefill", "f16", "x"],
      'The prefill mode "f16" is the GPU\'s',
      "Leave",
    ],
  ])("%s", async (_name, args, ...messages) => {
    expectFailure(await cli(args), 2, ...messages);
  });

  test("what is named and not there exits with 1", async () => {
    const unknown = await cli(["run", "other", "-i", '{"prompt": "a"}']);
    expectFailure(unknown, 1, 'no workflow "other"', "Workflows:");
    expectFailure(await cli(["run", "-f", "none.yml"]), 1, "none.yml does not exist");
  });

  test("what is wrong in a file exits with 1", async () => {
    const unknownKey = await cli(["run", "-f", "bad.yml"]);
    expectFailure(unknownKey, 1, 'bad.yml:6:3: unknown key "max_outptu_length"', "Did you mean");
  });

  test("a folder without a compose file", async () => {
    expectFailure(await cli(["run"], { cwd: tales }), 1, "There is no model-compose.yml", "-f FILE");
  });

  test("a model that is not there, and --verbose with the stack", async () => {
    const args = ["generate", "-m", "./no-such-model", "x"];
    expectFailure(await cli(args), 1, "no-such-model");
    expect((await cli([...args, "--verbose"])).stderr).toMatch(/^\s+at /m);
  });
});

test("--help has examples, --version the version", async () => {
  const help = await cli(["generate", "--help"]);
  expect(help).toMatchObject({ code: 0, stderr: "" });
  expect(help.stdout).toContain("Examples:");
  const version = await cli(["--version"]);
  expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test("validate: a summary, or every problem at once", async () => {
  const good = await cli(["validate"], { cwd: talesExample });
  expect(good).toMatchObject({ code: 0, stderr: "" });
  expect(good.stdout).toContain('input: prompt (text, default "Once upon a time")');
  const two = path.join(folder, "two.yml");
  await writeFile(two, "component: { type: model, task: text-generation, wibble: 1, text: '${inptu}' }\n");
  expectFailure(await cli(["validate", "-f", "two.yml"]), 1, "wibble", 'has no "model"', "2 problems");
});

const statistics = /^\d+ tokens, \d+\.\d tokens\/s, wasm \(.+\)$/;

function lastLine(text: string): string {
  return text.trimEnd().split("\n").at(-1) ?? "";
}

describe("run", () => {
  test("the result as JSON on stdout, statistics on stderr, the same for the same seed", async () => {
    const args = ["run", "-i", '{"prompt": "Once upon a time"}', "--threads", "1"];
    const first = await cli(args);
    expect(first.code, first.stderr).toBe(0);
    const output = JSON.parse(first.stdout) as { generated: string };
    expect(Object.keys(output)).toEqual(["generated"]);
    expect(output.generated).toMatch(/^Once upon a time.+/s);
    expect(first.stdout).toBe(`${JSON.stringify(output, null, 2)}\n`);
    expect(lastLine(first.stderr)).toMatch(statistics);
    const second = await cli([...args, "--output", "out.json", "--quiet"]);
    expect(second).toMatchObject({ code: 0, stdout: "", stderr: "" });
    expect(await readFile(path.join(folder, "out.json"), "utf8")).toBe(first.stdout);
  });

  test("an output that streams: pieces of text as they come, and one end of line", async () => {
    const chunks: number[] = [];
    const text = await readFile(path.join(talesExample, "model-compose.yml"), "utf8");
    const streaming = text
      .replace("../../models/tales", "tales")
      .replace(/(?<= {2}action:\n)/, "    streaming: true\n");
    await writeFile(path.join(folder, "streaming.yml"), streaming);
    const input = '{"prompt": "Once upon a time", "max_tokens": 40, "seed": 7}';
    const outcome = await cli(["run", "-f", "streaming.yml", "-i", input, "--threads", "1"], {
      onStdout: (stdout) => chunks.push(stdout.length),
    });
    expect(outcome.code, outcome.stderr).toBe(0);
    expect(chunks.length).toBeGreaterThan(1);
    expect(outcome.stdout).not.toMatch(/^Once upon a time/);
    expect(outcome.stdout.trim().length).toBeGreaterThan(20);
    expect(outcome.stdout).toMatch(/[^\n]\n$/);
    expect(lastLine(outcome.stderr)).toMatch(statistics);
  });

  test("--json has all that is known of a run; the input in its forms means the same", async () => {
    await writeFile(path.join(folder, "prompt.txt"), "Once upon a time");
    const whole = { prompt: "Once upon a time", max_tokens: 8, seed: 7 };
    await writeFile(path.join(folder, "input.json"), JSON.stringify(whole));
    const file = path.join(talesExample, "model-compose.yml");
    const args = ["run", "-f", file, "--json", "--quiet", "--threads", "1"];
    const [first, ...others] = await Promise.all([
      cli([...args, "-i", "@input.json"]),
      cli([...args, "-i", "-"], { stdin: JSON.stringify(whole) }),
      cli([...args, "-i", '{"seed": 7}', "-i", "prompt=@prompt.txt", "-i", "max_tokens=8"]),
    ]);
    const { output, ...body } = JSON.parse(first.stdout) as { output: string };
    expect(output).toMatch(/^Once upon a time \w/);
    expect(body).toMatchObject({
      usage: { completion_tokens: 8 },
      finish_reason: "length",
      seed: 7,
      warnings: [],
    });
    for (const other of others) {
      expect(JSON.parse(other.stdout)).toMatchObject({ output });
    }
  });

  // The tests lend Dawn an adapter in software where they run on Linux x64.
  const isSoftwareAlone = process.env.VK_ICD_FILENAMES?.includes("swiftshader");

  test.runIf(isSoftwareAlone)("a device that is known but not there is refused by name", async () => {
    const input = ["run", "-i", '{"prompt": "a"}'];
    expectFailure(await cli([...input, "--device", "cuda"]), 1, "only software", "webgpu:swiftshader");
    expectFailure(await cli([...input, "--device", "webgpu:h200"]), 2, 'No WebGPU adapter has "h200"');
  });

  test.runIf(isSoftwareAlone)(
    "auto says on stderr why it takes no GPU, to those who want to know",
    async () => {
      const outcome = await cli(["run", "-i", '{"prompt": "a"}', "--device", "auto", "--threads", "1", "-v"]);
      expect(outcome.code, outcome.stderr).toBe(0);
      expect(outcome.stderr).toMatch(/No GPU is used: .*only software: "SwiftShader.*\n.*Device: wasm/);
      expect(lastLine(outcome.stderr)).toMatch(statistics);
    },
  );
});

describe("generate", () => {
  const greedy = ["generate", "-m", tales, "--greedy", "--threads", "1"];

  test("new text on stdout; --json has all of the result; the prompt from stdin", async () => {
    const plain = await cli([...greedy, "--max-tokens", "12", "Once upon a time"]);
    expect(plain.code, plain.stderr).toBe(0);
    expect(lastLine(plain.stderr)).toMatch(statistics);
    const json = await cli([...greedy, "--max-tokens", "12", "--json", "-"], { stdin: "Once upon a time\n" });
    const result = JSON.parse(json.stdout) as Record<string, unknown> & { new_text: string };
    expect(result).toMatchObject({
      text: `Once upon a time${result.new_text}`,
      finish_reason: "length",
      usage: { completion_tokens: 12, total_tokens: 18 },
      device: { kind: "wasm" },
    });
    expect(result).not.toHaveProperty("seed");
    expect(plain.stderr).not.toMatch(/^seed/m);
    expect(plain.stdout).toBe(`${result.new_text}\n`);
  });

  test("--quantization: weights of fewer bits, or as many as fit; --activations changes their products", async () => {
    const options = ["--max-tokens", "24", "Once upon a time, there was a", "--device", "wasm"];
    const [plain, four, exact, auto] = [
      await cli([...greedy, ...options]),
      await cli([...greedy, ...options, "--quantization", "int4"]),
      await cli([...greedy, ...options, "--quantization", "int4", "--activations", "float32"]),
      await cli([...greedy, ...options, "--quantization", "auto"]),
    ];
    for (const { code, stderr } of [plain, four, exact, auto]) {
      expect(code, stderr).toBe(0);
    }
    expect(four.stdout).not.toBe(plain.stdout);
    expect(exact.stdout).not.toBe("");
    expect(auto.stderr).toContain("Quantization: none; the weights as they are stored");
    expect(auto.stdout).toBe(plain.stdout);
  });

  const sampled = ["generate", "-m", tales, "--threads", "1", "--temperature", "0.9"];
  const endless = [...sampled, "--max-tokens", "1000000", "--ignore-eos", "Once upon a time"];

  test.skipIf(process.platform === "win32")(
    "Ctrl-C ends cleanly with 130; what was written stays, and the seed is told",
    async () => {
      let asked = false;
      const outcome = await cli(endless, {
        onStdout: (_stdout, command) => {
          if (!asked) {
            command.kill("SIGINT");
          }
          asked = true;
        },
      });
      expect(outcome.code).toBe(130);
      expect(outcome.stdout.length).toBeGreaterThan(0);
      expect(outcome.stderr).toMatch(/^seed \d+$/m);
      expect(outcome.stderr).not.toContain("error");
    },
  );

  test("a reader that goes away ends it quietly", async () => {
    const outcome = await cli(endless, { onStdout: (_stdout, command) => command.closeStdout() });
    expect(outcome.code).toBe(0);
    expect(outcome.stderr).not.toContain("error");
  });
});

describe("a model with a chat template", () => {
  let chatty = "";
  beforeAll(async () => {
    chatty = path.join(folder, "chatty");
    await cp(tales, chatty, { recursive: true });
    const template = "{% for m in messages %}{{ m.content }}{% endfor %}";
    await writeFile(path.join(chatty, "chat_template.jinja"), template);
  });

  test("generate --chat gives it the prompt as a message, behind that of the system", async () => {
    const options = ["--greedy", "--max-tokens", "8", "--device", "cpu"];
    const plain = await cli(["generate", "-m", tales, "Once upon a time, there", ...options]);
    const chat = await cli([
      "generate",
      "-m",
      chatty,
      "--chat",
      " a time, there",
      "--system",
      "Once upon",
      ...options,
    ]);
    expect(chat).toMatchObject({ code: 0, stdout: plain.stdout });
    const json = await cli([
      "generate",
      "-m",
      chatty,
      "--chat",
      "Once upon a time, there",
      "--json",
      ...options,
    ]);
    const report = JSON.parse(json.stdout) as { content: string; new_text: string };
    expect(`${report.content}\n`).toBe(plain.stdout);
    expect(report.new_text).toBe(report.content);
  });

  test("an empty answer to a plain prompt says how to ask", async () => {
    const first = await cli([
      "generate",
      "-m",
      tales,
      "Once upon a time",
      "--greedy",
      "--max-tokens",
      "1",
      "--json",
    ]);
    const { tokens } = JSON.parse(first.stdout) as { tokens: number[] };
    await writeFile(path.join(chatty, "generation_config.json"), JSON.stringify({ eos_token_id: tokens[0] }));
    const { code, stdout, stderr } = await cli(["generate", "-m", chatty, "Once upon a time", "--greedy"]);
    expect([code, stdout]).toEqual([0, "\n"]);
    expect(stderr).toContain("warning: The model ended at once, with no text. It has a chat template");
    expect(stderr).toContain("for a question or an instruction use --chat.");
  });

  test("--system without --chat, and --chat with a model without a template, are refused", async () => {
    const system = await cli(["generate", "-m", tales, "x", "--system", "y"]);
    expect(system).toMatchObject({ code: 2, stdout: "" });
    expect(system.stderr).toContain("--system is a message of a conversation. Add --chat.");
    const none = await cli(["generate", "-m", tales, "--chat", "x"]);
    expect(none).toMatchObject({ code: 1, stdout: "" });
    expect(none.stderr).toContain("chat template");
  });

  test("validate looks at the model's files where they are at hand", async () => {
    const file = path.join(folder, "chat.yml");
    const yaml = (model: string, task: string): string =>
      `component: { type: model, task: ${task}, model: "${model.replaceAll("\\", "/")}", messages: [{ role: user, content: Hi }] }\n`;
    await writeFile(file, yaml(chatty, "chat-completion"));
    expect(await cli(["validate", "-f", file])).toMatchObject({ code: 0 });
    await writeFile(file, yaml(tales, "chat-completion"));
    const refused = await cli(["validate", "-f", file]);
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toContain("chat template");
    // Nothing is known of what is not here.
    await writeFile(file, yaml("somebody/not-here", "chat-completion"));
    expect(await cli(["validate", "-f", file])).toMatchObject({ code: 0 });
  });
});

describe("shell completion", () => {
  test.each(["bash", "zsh", "fish", "powershell"])("a script for %s", async (shell) => {
    const { code, stdout, stderr } = await cli(["completion", shell]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/model-compose["']? complete '?--/);
  });

  test("commands, flags and known values", async () => {
    expect((await cli(["complete", "--", ""])).stdout).toMatch(/^up\t/m);
    expect((await cli(["complete", "--", "run", "--inp"])).stdout).toMatch(/^--input\t/m);
    expect((await cli(["complete", "--", "generate", "--device", "web"])).stdout).toMatch(/^webgpu\t/m);
  });

  test.skipIf(process.platform === "win32")(
    "bash completes without the package bash-completion",
    async () => {
      const complete = (line: string): string => `COMP_LINE='${line}' COMP_POINT=${line.length}
      COMPREPLY=(); __model_compose_complete; printf '%s|' "\${COMPREPLY[@]}"; echo`;
      const script = `
      model-compose() { "${process.execPath}" "${entry}" "$@"; }
      eval "$(model-compose completion bash)"
      declare -F _get_comp_words_by_ref > /dev/null || exit 3
      ${complete("model-compose gen")}
      ${complete("model-compose generate --dev")}
      ${complete("model-compose generate --device ")}`;
      const { stdout } = await promisify(execFile)("bash", ["--norc", "--noprofile", "-c", script]);
      expect(stdout).toBe("generate|\n--device|\nauto|wasm|webgpu|webgpu:?|\n");
    },
  );

  test("an unknown shell is wrong usage", async () => {
    expect(await cli(["completion", "tcsh"])).toMatchObject({ code: 2, stdout: "" });
  });
});
