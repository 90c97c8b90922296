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

test("they stand without skipLibCheck, and are the library's, as the documentation uses it", async () => {
  const samples = samplesOf("library");
  expect(Object.keys(samples).length).toBeGreaterThan(4);
  const wrong = PROGRAM.replace("maxNewTokens: 2", 'maxNewTokens: "two"');
  const said = await compile({ ...samples, "program.ts": PROGRAM, "wrong.ts": wrong });
  // Of all files one is wrong, in one place.
  expect(said).toMatch(
    /^wrong\.ts\(\d+,\d+\): error TS2322: Type 'string' is not assignable to type 'number'[^\n]*\n$/,
  );
});
