/** The declarations that the package publishes, as a project sees them that has no other types but Node's. */
import { expect, test } from "vitest";
import { compile } from "./support/compile.ts";
import { samplesOf } from "./support/documentation.ts";

const PROGRAM = `
import { listAdapters, loadModel, ModelComposeError, type Model } from "model-compose";

const model: Model = await loadModel("tales", { threads: 1, onNotice: console.error });
const { newText, usage } = await model.generate("Once", { maxNewTokens: 2 });
for await (const part of model.stream("Once", { stop: ["."] })) process.stdout.write(part.text);
const count: number = usage.completionTokens;
const names: string[] = (await listAdapters()).map(({ name }) => name);
export { count, names, newText, ModelComposeError };
`;

const AI_PROGRAM = `
import type { EmbeddingModelV3, LanguageModelV3, ProviderV3 } from "@ai-sdk/provider";
import { createModelCompose, modelCompose, type LanguageProviderOptions } from "model-compose/ai";

const own = createModelCompose({ device: "wasm" });
const provider: ProviderV3 = own;
const models: LanguageModelV3[] = [modelCompose("tales", { threads: 1 }), own.completion("tales")];
const vectors: EmbeddingModelV3 = own.embeddingModel("tales");
const options = { minP: 0.1, templateVariables: { enable_thinking: false } } satisfies LanguageProviderOptions;
await models[0].doGenerate({ prompt: [], providerOptions: { modelCompose: options } });
await own.dispose();
export { provider, vectors };
`;

test.each(["nodenext", "bundler"] as const)(
  "they stand without skipLibCheck, and are the library's, as the documentation uses it: %s",
  async (resolution) => {
    // That other samples are found in this way too needs no second look.
    const samples = resolution === "nodenext" ? samplesOf("library") : {};
    expect(Object.keys(samplesOf("library")).length).toBeGreaterThan(4);
    const wrong = PROGRAM.replace("maxNewTokens: 2", 'maxNewTokens: "two"');
    const programs = { ...samples, "ai.ts": AI_PROGRAM, "program.ts": PROGRAM, "wrong.ts": wrong };
    const said = await compile(programs, {
      packages: ["@ai-sdk/provider", "@types/json-schema"],
      resolution,
    });
    // Of all files one is wrong, in one place.
    expect(said).toMatch(
      /^wrong\.ts\(\d+,\d+\): error TS2322: Type 'string' is not assignable to type 'number'[^\n]*\n$/,
    );
  },
);
