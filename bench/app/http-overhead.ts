/** Measures what a blocking run over HTTP takes more than the same call of the library. */
import { Agent } from "node:http";
import { startServer } from "../../src/server/server.ts";
import { loadModel, type GenerateOptions, type Model } from "../../src/index.ts";
import type { Progress } from "../harness/progress.ts";
import { summarize, type Summary } from "../harness/statistics.ts";
import { postRun } from "./client.ts";
import { composeDefinition, lent, MODEL } from "./workflow.ts";

/** Milliseconds of a call of the library and of a run over HTTP. */
export interface HttpOverhead {
  library: Summary;
  http: Summary;
  /** The run over HTTP less the library's call, of each pair. */
  overhead: Summary;
}

const PROMPT = "Once upon a time";
/** Pairs that are not counted: V8 has yet to compile both ways. */
const WARM_UP = 10;

/** What the server asked of the model. */
interface Asked {
  prompt: string;
  options: GenerateOptions;
}

/**
 * Measures one loaded model, called in turn by the library and by a server in this process, over a socket on loopback
 * that stays open. The library's call repeats what the server asked for, to the last option.
 *
 * @throws Error when the two do not give the same text
 */
export async function measureHttpOverhead(
  { runs, tokens, threads }: { runs: number; tokens: number; threads: number },
  progress: Progress,
): Promise<HttpOverhead> {
  progress.phase("HTTP overhead: loading the model");
  await using model = await loadModel(MODEL, { device: "cpu", threads });
  let asked: Asked | undefined;
  const server = await startServer(composeDefinition(tokens), {
    port: 0,
    environment: new Map(),
    loadModel: () =>
      Promise.resolve(
        lent(model, (prompt, options) => {
          asked = { prompt, options };
          return model.stream(prompt, options);
        }),
      ),
  });
  const agent = new Agent({ keepAlive: true });
  try {
    await server.ready;
    const overHttp = () => postRun(server.url, agent, { prompt: PROMPT });
    await overHttp();
    if (asked === undefined) {
      throw new Error("the server did not ask the model");
    }
    const { prompt, options } = asked;
    const call = { ...options, signal: undefined, onPrefill: undefined };
    const samples: { library: number; http: number }[] = [];
    for (let pair = -WARM_UP; pair < runs; pair++) {
      progress.step(`HTTP overhead: pair ${Math.max(0, pair + 1)} of ${runs}`);
      const sample = await measurePair(() => libraryText(model, { prompt, options: call }), overHttp, pair);
      if (pair >= 0) {
        samples.push(sample);
      }
    }
    return {
      library: summarize(samples.map(({ library }) => library)),
      http: summarize(samples.map(({ http }) => http)),
      overhead: summarize(samples.map(({ library, http }) => http - library)),
    };
  } finally {
    agent.destroy();
    await server.close({ timeoutMilliseconds: 0 });
  }
}

async function libraryText(model: Model, { prompt, options }: Asked): Promise<string> {
  return (await model.generate(prompt, options)).newText;
}

/** Measures the two ways, every other time the other one first: neither has the caches of the processor to itself. */
async function measurePair(
  library: () => Promise<string>,
  overHttp: () => Promise<string>,
  pair: number,
): Promise<{ library: number; http: number }> {
  const isLibraryFirst = pair % 2 === 0;
  const first = await timed(isLibraryFirst ? library : overHttp);
  const second = await timed(isLibraryFirst ? overHttp : library);
  const [called, answered] = isLibraryFirst ? [first, second] : [second, first];
  const { output } = JSON.parse(answered.text) as { output: unknown };
  if (!isTextOf(output, called.text)) {
    throw new Error(
      `The server answered ${JSON.stringify(output)}, the library ${JSON.stringify(called.text)}.`,
    );
  }
  return { library: called.milliseconds, http: answered.milliseconds };
}

function isTextOf(output: unknown, text: string): boolean {
  return typeof output === "object" && output !== null && "generated" in output && output.generated === text;
}

async function timed(act: () => Promise<string>): Promise<{ text: string; milliseconds: number }> {
  const start = performance.now();
  const text = await act();
  return { text, milliseconds: performance.now() - start };
}
