/**
 * Compares a real SmolLM3-3B checkpoint with the expectations that transformers' own integration test has for it.
 *
 *   SMOLLM3_DIR=/path/to/SmolLM3-3B SMOLLM3_EXPECTATIONS=/path/to/integration_expectations.json npm run verify:smollm3
 *
 * The expectations file is not part of this project; by default it is looked for in ../shared/smollm3.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { loadModel } from "../src/index.ts";

interface Expectations {
  logits: {
    input_ids: number[];
    mean_over_vocab_per_position: number[];
    mean_tol: number;
    first_position_logits_0_30: number[];
    slice_tol: number;
  };
  greedy: { prompt: string; prompt_ids: number[]; max_new_tokens: number; text: string };
}

const directory = process.env.SMOLLM3_DIR;
const expectationsPath =
  process.env.SMOLLM3_EXPECTATIONS ??
  join(import.meta.dirname, "../../shared/smollm3/integration_expectations.json");
const print = (line: string): void => void process.stdout.write(`${line}\n`);

const expectations = await readFile(expectationsPath, "utf8").then(
  (text) => JSON.parse(text) as Expectations,
  () => undefined,
);
if (directory === undefined || expectations === undefined) {
  print(
    directory === undefined
      ? "Skipped: SMOLLM3_DIR does not name a folder with the weights of HuggingFaceTB/SmolLM3-3B."
      : `Skipped: there are no expectations at ${expectationsPath} (SMOLLM3_EXPECTATIONS names them).`,
  );
} else {
  process.exitCode = (await verify(directory, expectations)) ? 0 : 1;
}

/**
 * Compares logits and greedy text with those of transformers. It ran in bf16 on a GPU, so that its own tolerances apply to
 * means, and single logits are compared at bf16's step.
 */
async function verify(path: string, { logits, greedy }: Expectations): Promise<boolean> {
  await using model = await loadModel(path, { contextLength: 512, onNotice: print });
  const results: boolean[] = [];
  const check = (what: string, worst: number, allowed: number): void => {
    results.push(worst <= allowed);
    print(
      `${worst <= allowed ? "ok  " : "FAIL"} ${what}: worst difference ${worst.toFixed(5)}, allowed ${allowed}`,
    );
  };

  const { logits: values, shape } = await model.forward(logits.input_ids);
  const [, vocab] = shape;
  const means = logits.mean_over_vocab_per_position.map((expected, position) => {
    const row = values.subarray(position * vocab, (position + 1) * vocab);
    return Math.abs(row.reduce((sum, value) => sum + value, 0) / vocab - expected);
  });
  check("mean logit of every position", Math.max(...means), logits.mean_tol);
  const slice = logits.first_position_logits_0_30.map((expected, i) => Math.abs(values[i] - expected));
  check("logits 0 to 30 of the first position", Math.max(...slice), logits.slice_tol);

  const ids = model.hasTokenizer ? model.tokenizer.encode(greedy.prompt) : greedy.prompt_ids;
  const sameIds = JSON.stringify(ids) === JSON.stringify(greedy.prompt_ids);
  results.push(sameIds);
  print(`${sameIds ? "ok  " : "FAIL"} token ids of "${greedy.prompt}": ${ids.join(" ")}`);
  const { text } = await model.generate(model.hasTokenizer ? greedy.prompt : ids, {
    doSample: false,
    maxNewTokens: greedy.max_new_tokens,
    ignoreEos: true,
  });
  const sameText = !model.hasTokenizer || text === greedy.text;
  results.push(sameText);
  print(`${sameText ? "ok  " : "FAIL"} greedy text: ${JSON.stringify(text)}`);
  return results.every(Boolean);
}
