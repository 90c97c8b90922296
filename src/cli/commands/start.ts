import { resolveModelDirectory } from "../../models/hub/resolve.ts";
import { allComponents } from "../../compose/definition/definition.ts";
import type { LoadTextModel } from "../../compose/model-host.ts";
import { openProject } from "../model-project.ts";
import type { CommandContext } from "./run.ts";
import { serve, type ServeFlags } from "./serve.ts";

/**
 * `model-compose start`: does what `up` does, with models that are on this machine alone.
 *
 * @throws ModelComposeError `not-found` before anything is served, when a model is not there
 */
export async function start(flags: ServeFlags, context: CommandContext): Promise<void> {
  const { definition } = await openProject(flags, context, { localFilesOnly: true });
  for (const component of allComponents(definition)) {
    if (component.type !== "model") {
      continue;
    }
    await resolveModelDirectory(component.model.source, { ...component.model.hub, localFilesOnly: true });
  }
  // Nothing may be fetched later either.
  const loadModel: LoadTextModel = (source, options) =>
    context.loadModel(source, { ...options, localFilesOnly: true });
  await serve(flags, { ...context, loadModel }, { localFilesOnly: true });
}
