import { resolveModelDirectory } from "../../models/hub/resolve.ts";
import { allComponents } from "../../compose/definition/definition.ts";
import type { LoadTextModel } from "../../compose/model-host.ts";
import { loadProject, type CommandContext } from "./run.ts";
import { serve, type ServeFlags } from "./serve.ts";

/**
 * `model-compose start`: as `up`, with what is on this machine.
 *
 * @throws ModelComposeError `not-found` before anything is served, when a model is not there
 */
export async function start(flags: ServeFlags, context: CommandContext): Promise<void> {
  const { definition } = loadProject(flags, context.terminal);
  for (const component of allComponents(definition)) {
    if (component.type !== "model") {
      continue;
    }
    await resolveModelDirectory(component.model.source, { ...component.model.hub, localFilesOnly: true });
  }
  // Nor is anything fetched later.
  const loadModel: LoadTextModel = (source, options) =>
    context.loadModel(source, { ...options, localFilesOnly: true });
  await serve(flags, { ...context, loadModel });
}
