/** Measures how a model answers many at once: `npm run bench:serve` (see flags.ts). */
import { alignColumns } from "../../src/base/text-table.ts";
import { loadModel } from "../../src/models/model.ts";
import { runCommand } from "../harness/command.ts";
import { machineJson, machineText, thisMachine } from "../harness/machine.ts";
import type { Progress } from "../harness/progress.ts";
import { median } from "../harness/statistics.ts";
import { preparePlot } from "../plot/write-plot.ts";
import { readServeFlags, USAGE, type ServeFlags } from "./flags.ts";
import { lastTurn, longBeside, promptAlone, textsAtOnce, type LastTurn, type LongBeside } from "./measure.ts";

interface ServeResult {
  device: string;
  /** Tokens a second of a prompt that is read alone. */
  prompt: number;
  /** Tokens a second of all texts together, by how many they are. */
  texts: readonly { texts: number; rate: number }[];
  long: LongBeside | undefined;
  turn: LastTurn | undefined;
}

const PROMPT_ALONE = 512;

async function run(args: string[], progress: Progress): Promise<string> {
  const flags = readServeFlags(args);
  if (flags === undefined) {
    return USAGE;
  }
  const draw = await preparePlot(flags.plot);
  progress.phase(`loading ${flags.model}`);
  const most = Math.max(...flags.texts);
  await using model = await loadModel(flags.model, {
    device: "wasm",
    threads: flags.threads,
    quantization: flags.quantization,
    contextLength: Math.max(2048, flags.long + 64),
    maxConcurrency: Math.max(8, most),
    // What is measured here must not wait for memory.
    kvMemory: 8 * 2 ** 30,
    onNotice: (line) => {
      progress.notice(line);
    },
  });
  /** The median of some repetitions. */
  const repeated = async (what: string, measure: () => Promise<number>): Promise<number> => {
    const values: number[] = [];
    for (let i = 0; i < flags.repeat; i++) {
      progress.phase(`${what}, ${i + 1} of ${flags.repeat}`);
      values.push(await measure());
    }
    return median(values);
  };
  await textsAtOnce(model, most, { prompt: 8, tokens: 8 }); // warm
  const texts: { texts: number; rate: number }[] = [];
  for (const count of flags.texts) {
    const rate = await repeated(`${count} texts at once`, () => textsAtOnce(model, count, flags));
    texts.push({ texts: count, rate });
  }
  const result: ServeResult = {
    device: model.device.description,
    prompt: await repeated("a prompt", () => promptAlone(model, PROMPT_ALONE)),
    texts,
    long: flags.long > 0 ? await longBeside(model, flags.long) : undefined,
    turn: flags.turns > 0 ? await lastTurn(model, flags.turns) : undefined,
  };
  await draw([{ name: "The result", result: toJson(flags, result) }]);
  return flags.json ? `${JSON.stringify(toJson(flags, result), null, 2)}\n` : `${toTable(flags, result)}\n`;
}

function toJson(flags: ServeFlags, result: ServeResult): Record<string, unknown> {
  return { ...machineJson(thisMachine()), ...flags, json: undefined, plot: undefined, result };
}

function toTable(flags: ServeFlags, { device, prompt, texts, long, turn }: ServeResult): string {
  const one = texts.find((entry) => entry.texts === 1)?.rate;
  const milliseconds = (seconds: number): string => `${(1000 * seconds).toFixed(1)} ms`;
  const rows = [
    [`a prompt of ${PROMPT_ALONE}`, `${prompt.toFixed(1)} tokens/s`, ""],
    ...texts.map(({ texts: count, rate }) => [
      count === 1 ? "1 text" : `${count} texts at once`,
      `${rate.toFixed(1)} tokens/s`,
      `${one === undefined ? "" : `${(rate / one).toFixed(2)} x one, `}${(rate / prompt).toFixed(2)} x the prompt`,
    ]),
    ...(long === undefined
      ? []
      : [
          ["a step of four texts", milliseconds(long.stepMedian), ""],
          [
            `beside a prompt of ${flags.long}`,
            milliseconds(long.gapMedian),
            `99 of 100: ${milliseconds(long.gap99)}`,
          ],
          [
            "that prompt",
            `${long.promptBeside.toFixed(2)} s`,
            `alone ${long.promptAlone.toFixed(2)} s: ${(long.promptBeside / long.promptAlone).toFixed(2)} x`,
          ],
        ]),
    ...(turn === undefined
      ? []
      : [
          [
            `turn ${flags.turns} of a chat`,
            milliseconds(turn.seconds),
            `${turn.cached} tokens were there, ${turn.fresh} were read; as many alone ${milliseconds(turn.baseline)}`,
          ],
        ]),
  ];
  const head = `${flags.model}: ${device}, ${flags.quantization}, repeat ${flags.repeat}`;
  return [head, machineText(thisMachine()), "", ...alignColumns(rows)].join("\n");
}

await runCommand(run);
