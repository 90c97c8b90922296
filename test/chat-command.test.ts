/** Tests of `model-compose chat` in a process of its own, with the bundled model, in pipes. */
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { runCommand, type CommandResult } from "./support/command.ts";
import { temporaryDirectory } from "./support/model-files.ts";

const root = path.resolve(import.meta.dirname, "..");
const bundled = path.join(root, "models", "tales");

/** The bundled model with a template that joins what is said to the beginning of a story. */
const parent = mkdtempSync(path.join(tmpdir(), "model-compose-"));
afterAll(() => rmSync(parent, { recursive: true, force: true }));
const tales = path.join(parent, "tales");
cpSync(bundled, tales, { recursive: true });
writeFileSync(
  path.join(tales, "chat_template.jinja"),
  `{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- message.content }}
    {%- else %}
        {%- if not loop.first %}
            {{- '\\n\\n' }}
        {%- endif %}
        {{- message.content | trim }}
    {%- endif %}
{%- endfor %}
`,
);
const generation = { bos_token_id: 0, eos_token_id: 1, do_sample: true, temperature: 0.7, top_p: 0.95 };
writeFileSync(
  path.join(tales, "generation_config.json"),
  JSON.stringify({ ...generation, top_k: 40, min_p: 0.05 }),
);

function chat(args: readonly string[], stdin: string, state: string): Promise<CommandResult> {
  return runCommand(["chat", ...args], { cwd: state, stdin, env: { MODEL_COMPOSE_STATE_DIR: state } });
}

const short = ["--seed", "1", "--max-tokens", "12"];

test("in a pipe the answer alone is on stdout, the same as by the library's template", async () => {
  const state = temporaryDirectory();
  const first = await chat(["-m", tales, ...short], "Once upon a time\n", state);
  expect(first).toMatchObject({ code: 0 });
  expect(first.stdout).toMatch(/^ .*\n$/s);
  expect(first.stderr).toContain("12 tokens");
  const file = path.join(state, "model-compose.yml");
  writeFileSync(
    file,
    `component:
  type: model
  task: chat-completion
  model: ${tales}
  messages: \${input.messages}
  max_output_length: 12
  seed: 1
  temperature: 0.7
  top_p: 0.95
  top_k: 40
  min_p: 0.05
`,
  );
  expect((await chat(["-f", file], "Once upon a time", state)).stdout).toBe(first.stdout);
  // What a script asks is not kept.
  expect(existsSync(path.join(state, "chat"))).toBe(false);
});

test("a kept conversation goes on", async () => {
  const state = temporaryDirectory();
  const kept = {
    version: 1,
    model: tales,
    savedAt: "2026-01-01T00:00:00.000Z",
    messages: [
      { role: "user", content: "There was a king" },
      { role: "assistant", content: " who had a fox." },
    ],
  };
  cpSync(path.join(tales, "README.md"), path.join(state, "chat", "README.md"));
  writeFileSync(path.join(state, "chat", "01M8EZTKBPJP25KVNX7CC0XTFS.json"), JSON.stringify(kept));
  const resumed = await chat(["--resume", ...short], "The fox said", state);
  expect(resumed).toMatchObject({ code: 0 });
  const whole = await chat(
    [tales, ...short],
    "There was a king who had a fox.\n\nThe fox said",
    temporaryDirectory(),
  );
  expect(resumed.stdout).toBe(whole.stdout);
  rmSync(path.join(state, "chat", "README.md"));
  expect(readdirSync(path.join(state, "chat"))).toEqual(["01M8EZTKBPJP25KVNX7CC0XTFS.json"]);
});

test("a model without a template is told what it is; what is missing is said", async () => {
  const state = temporaryDirectory();
  const bare = path.join(state, "bare");
  cpSync(bundled, bare, { recursive: true });
  const refused = await chat([bare], "x", state);
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toContain("continues texts and has no chat template");
  expect(refused.stderr).toContain(`model-compose generate -m ${bare}`);
  for (const [args, stdin, message] of [
    [[], "x", "chat needs a model."],
    [[tales], "\n", "The message is empty."],
  ] as const) {
    const outcome = await chat(args, stdin, state);
    expect(outcome.code).toBe(2);
    expect(outcome.stderr).toContain(message);
  }
});
