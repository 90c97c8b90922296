/** A model that a running server has loaded already, for a command that would load the same once more. */
import packageJson from "../../package.json" with { type: "json" };
import type { TextModel } from "../compose/model-host.ts";
import { resolveModelDirectory } from "../models/hub/resolve.ts";
import type { LoadOptions } from "../models/load-options.ts";
import { readModelInfo } from "../models/model-info.ts";
import type { StreamPart } from "../runtime/generation/types.ts";
import type { ChatPart } from "../models/chat/chat.ts";
import { DEFAULT_CONTEXT } from "../runtime/load-options.ts";
import { askOnServer, modelsOnServer } from "../registry/control-client.ts";
import { differenceOf, heldAs, type LentModel } from "../registry/lent-models.ts";
import type { Registration } from "../registry/registration.ts";
import { runningServers } from "../registry/running-servers.ts";

/** What `generate` needs of a model, wherever it is. */
export type GeneratingModel = Pick<TextModel, "device" | "stream" | "streamChat" | "dispose">;

/**
 * A model on a server of this user: of the same folder (of the same commit), held as it would be here, with a context that is
 * no shorter.
 *
 * @param onNotice hears that there is one, or why one that is there will not do
 */
export async function findServing(
  source: string,
  options: LoadOptions,
  { onNotice, signal }: { readonly onNotice: (line: string) => void; readonly signal: AbortSignal },
): Promise<GeneratingModel | undefined> {
  const servers = await runningServers();
  const ours = servers.filter(({ registration }) => registration.version === packageJson.version);
  const directory = ours.length === 0 ? undefined : await directoryHere(source, options);
  if (directory === undefined) {
    return undefined;
  }
  const context = await contextHere(directory, options);
  for (const { registration } of ours) {
    const models = await modelsOnServer(registration);
    const same = models.filter((model) => model.directory === directory);
    const differences = same.map(
      (model) => differenceOf(model.heldAs, heldAs(options)) ?? contextTooShort(model, context),
    );
    const index = differences.indexOf(undefined);
    const found = same[index];
    if (found !== undefined) {
      onNotice(
        `Generates on the server at ${registration.url}, with its context of ${found.contextLength} tokens; --local does it here.`,
      );
      return servingModel(registration, found, signal);
    }
    if (differences[0] !== undefined) {
      onNotice(`The server at ${registration.url} has the model with ${differences[0]}: loads it here.`);
    }
  }
  return undefined;
}

function contextTooShort({ contextLength }: LentModel, context: number): string | undefined {
  return contextLength >= context ? undefined : `a context of ${contextLength} tokens instead of ${context}`;
}

/** The folder of a model that is on this machine; what is not, no server has loaded. */
async function directoryHere(
  source: string,
  { revision, cacheDirectory }: LoadOptions,
): Promise<string | undefined> {
  try {
    return await resolveModelDirectory(source, { revision, cacheDirectory, localFilesOnly: true });
  } catch {
    // Loading it says what is wrong.
    return undefined;
  }
}

/** Tokens that the context would hold here. */
async function contextHere(directory: string, { contextLength }: LoadOptions): Promise<number> {
  const { maxPositions } = await readModelInfo(directory);
  return Math.min(contextLength === "max" ? Infinity : (contextLength ?? DEFAULT_CONTEXT), maxPositions);
}

function servingModel(registration: Registration, model: LentModel, signal: AbortSignal): GeneratingModel {
  const { component } = model;
  return {
    device: model.device,
    stream: (prompt, { signal: own = signal, onPrefill, ...options }) =>
      askOnServer<StreamPart>(registration, { component, prompt, options }, { signal: own, onPrefill }),
    streamChat: (messages, { signal: own = signal, onPrefill, ...options }) =>
      askOnServer<ChatPart>(
        registration,
        { component, prompt: messages, options },
        { signal: own, onPrefill },
      ),
    dispose: () => Promise.resolve(),
  };
}
