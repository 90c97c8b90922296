/** Tests of what `init` asks, and of the answers that it takes. */
import { cpSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { temporaryDirectory } from "../../test/support/model-files.ts";
import { askChoices, askNobody, type Ask } from "./starter-questions.ts";

const INSTRUCT = "HuggingFaceTB/SmolLM2-135M-Instruct";

/** Somebody who gives these answers, an empty one for the default, with what was shown for those that could not be. */
function person(...answers: string[]): { ask: Ask; asked: string[]; refusals: string[] } {
  const [asked, refusals]: [string[], string[]] = [[], []];
  const ask: Ask = async (question, fallback, read) => {
    asked.push(`${question.replace(/[?:].*/, "")} [${fallback}]`);
    for (;;) {
      const answer = answers.shift();
      if (answer === undefined) {
        throw new Error(`no answer to "${question}"`);
      }
      try {
        return await read(answer === "" ? fallback : answer);
      } catch (error) {
        refusals.push(error instanceof Error ? error.message : "");
      }
    }
  };
  return { ask, asked, refusals };
}

test("three questions, each with a default", async () => {
  const { ask, asked } = person("", "", "");
  expect(await askChoices({}, ask)).toEqual({ model: INSTRUCT, task: "chat", port: 8080 });
  expect(asked).toEqual([
    `Which model [${INSTRUCT}]`,
    "What should it do [chat]",
    "On which port should its server listen [8080]",
  ]);
  expect(await askChoices({}, askNobody)).toEqual({ model: INSTRUCT, task: "chat", port: 8080 });
});

test("what is given is not asked", async () => {
  const { ask, asked } = person("");
  expect(await askChoices({ model: "tales", port: 9000 }, ask)).toEqual({
    model: "tales",
    task: "text",
    port: 9000,
  });
  expect(asked).toEqual(["What should it do [text]"]);
});

test("what cannot be is asked again", async () => {
  const { ask, refusals } = person("./nowhere", "tales", "poem", "chat", "text", "0", "65535", "x", "65534");
  expect(await askChoices({}, ask)).toEqual({ model: "tales", task: "text", port: 65_534 });
  expect(refusals).toEqual([
    expect.stringContaining('No model at "./nowhere"'),
    'It is chat or text; found "poem".',
    expect.stringContaining('"tales" has no chat template'),
    "The port is an integer in 1 .. 65534; found 0. The page has the next one.",
    "The port is an integer in 1 .. 65534; found 65535. The page has the next one.",
    "The port is an integer in 1 .. 65534; found NaN. The page has the next one.",
  ]);
});

test("a model with a chat template is suggested for a chat, and takes texts too", async () => {
  const folder = path.join(temporaryDirectory(), "chatty");
  cpSync(path.resolve(import.meta.dirname, "../../models/tales"), folder, { recursive: true });
  writeFileSync(path.join(folder, "chat_template.jinja"), "{{ messages[0].content }}");
  expect(await askChoices({ model: folder }, askNobody)).toMatchObject({ task: "chat" });
  expect(await askChoices({ model: folder, task: "text" }, askNobody)).toMatchObject({ task: "text" });
  expect(await askChoices({ model: folder, task: "chat" }, askNobody)).toMatchObject({ task: "chat" });
});

test("a flag that cannot be is refused before anything is asked", async () => {
  const { ask, asked } = person();
  await expect(askChoices({ port: 0 }, ask)).rejects.toThrow("found 0");
  await expect(askChoices({ model: "tales", task: "chat" }, ask)).rejects.toThrow("--task");
  expect(asked).toEqual([]);
});
