import { randomUUID } from "node:crypto";
import { Channel } from "../../base/async/channel.ts";
import { errorInWordsOf } from "../../base/front-words.ts";
import { callOf, type WorkflowDefinition } from "../definition/definition.ts";
import { composeWords } from "../definition/library-names.ts";
import { contextNeed, renderRequest } from "./calls/generation-request.ts";
import { runInput } from "./origin.ts";
import { Run } from "./run.ts";
import { actionScope } from "./scopes.ts";
import type { RunServices } from "./site.ts";

/**
 * Counts the tokens that a model would read for the one call of a workflow, which is rendered as a run would and not made.
 *
 * @throws what rendering and loading the model throw; AbortError
 */
export async function countTokens(
  services: RunServices,
  { workflow, input, signal }: { workflow: WorkflowDefinition; input: unknown; signal: AbortSignal },
): Promise<number> {
  const [job] = workflow.jobs;
  const call = job && callOf(job);
  if (job === undefined || call?.kind !== "model") {
    throw new Error(`the workflow ${workflow.id} does not begin with a call of a model`);
  }
  const run = new Run({ taskId: randomUUID() }, input, new Set(), new Channel());
  const traced = { value: input, origin: runInput };
  const site = { services, run, path: [job.id], input: traced, repeat: 0, signal, drawnSeed: 0 };
  const { prompts = [] } = contextNeed(renderRequest(call, { ...site, scope: actionScope(site) }));
  try {
    return await services.models.use(call.component, { signal }, async (model) => {
      let tokens = 0;
      for (const prompt of prompts) {
        tokens +=
          typeof prompt === "string"
            ? await model.countTokens(prompt, { signal })
            : await model.countTokens(prompt.messages, { ...prompt.options, signal });
      }
      return tokens;
    });
  } catch (error) {
    throw errorInWordsOf(error, composeWords);
  }
}
