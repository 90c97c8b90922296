import { atOnce } from "../../../base/async/at-once.ts";
import { errorInWordsOf, inWordsOf } from "../../../base/front-words.ts";
import type { ChatAnswer, ChatPart } from "../../../models/chat/chat.ts";
import type { GenerateResult, StreamPart, TokenLogprob } from "../../../runtime/generation/types.ts";
import type { LoadProgress } from "../../../models/load-options.ts";
import type { ContextNeed } from "../../analysis/context-needs.ts";
import { mapsPieces } from "../../analysis/pieces.ts";
import { composeWords } from "../../definition/library-names.ts";
import type { TextModel } from "../../model-host.ts";
import { evaluateNode, placeholdersIn } from "../../source/node-templates.ts";
import type { SourceNode } from "../../source/source-tree.ts";
import { joinPieces } from "../join-pieces.ts";
import { MOST_AT_ONCE } from "./calls.ts";
import { withSources } from "../scopes.ts";
import type { CallSite, PreparedCall } from "../site.ts";
import {
  generateOptions,
  contextNeed,
  renderRequest,
  type GenerationRequest,
  type ModelCall,
} from "./generation-request.ts";
import type { ModelInput } from "./rendered-inputs.ts";

/** Renders an action of a model. No model is loaded before this has succeeded. */
export function prepareModelCall(call: ModelCall, site: CallSite): PreparedCall {
  const request = renderRequest(call, site);
  const slots = site.services.slots(call.component);
  return {
    need: contextNeed(request),
    streams: request.parameters.streaming,
    execute: async (needs) => {
      try {
        const execution = new ModelExecution(call, request, site);
        return await slots.run(() => execution.execute(needs), site.signal);
      } catch (error) {
        throw errorInWordsOf(error, composeWords);
      }
    },
  };
}

/** One text: what `result` is, and (of a conversation) `response`. */
interface Output {
  readonly result: unknown;
  readonly response?: Readonly<Record<string, unknown>>;
}

/** One call of a model while it does its work. */
class ModelExecution {
  readonly #call: ModelCall;
  readonly #request: GenerationRequest;
  readonly #site: CallSite;

  constructor(call: ModelCall, request: GenerationRequest, site: CallSite) {
    this.#call = call;
    this.#request = request;
    this.#site = site;
  }

  /**
   * Loads the model and generates all texts of the call.
   *
   * @param needs what all calls of the job need of the model's context
   * @returns the value of the call: of one text itself, of several a list
   * @throws what loading and generating throw; AbortError
   */
  async execute(needs: readonly ContextNeed[]): Promise<unknown> {
    const { component } = this.#call;
    const { services, run, signal } = this.#site;
    const request = {
      needs: run.calledOnce.has(component) ? needs : undefined,
      onProgress: (progress: LoadProgress) =>
        run.progress({ type: "loading", component: component.id, progress }),
      signal,
    };
    return services.models.use(component, request, (model) => this.#write(model));
  }

  /** Generates all texts of the call. */
  async #write(model: TextModel): Promise<unknown> {
    const { action } = this.#call;
    const { isList, inputs, parameters } = this.#request;
    const { signal } = this.#site;
    // A beam search gives its sequences at once; sampling gives one at a time.
    const isSearch = parameters.num_beams > 1;
    const times = isSearch ? 1 : parameters.num_return_sequences;
    // Searches take much memory each, and pieces of a stream come in the order of their texts.
    const isInTurn = isSearch || (parameters.streaming && this.#site.sink !== undefined);
    const most = isInTurn ? 1 : Math.min(MOST_AT_ONCE, parameters.batch_size * times);
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const generate = (index: number): Promise<Output[]> => {
      const [i, j] = [index % times, Math.floor(index / times)];
      return this.#generate(model, inputs[j], [i, j], either);
    };
    const found = await atOnce(inputs.length * times, most, generate, () => {
      stop.abort();
    });
    const outputs = found.flat();
    const isMany = isList || outputs.length > 1;
    const result = isMany ? outputs.map((one) => one.result) : outputs[0]?.result;
    const { output } = action;
    if (output === undefined || (parameters.streaming && mapsPieces(output, "result"))) {
      return result;
    }
    if (action.kind === "chat" && isMany) {
      return outputs.map((one) => this.#evaluate(output, one.result, one.response));
    }
    return this.#evaluate(output, result, outputs[0]?.response);
  }

  /** The value of the action's output; of several conversations, of each. */
  #evaluate(output: SourceNode, result: unknown, response: unknown): unknown {
    const scope = withSources(
      this.#site.scope,
      ["result", result],
      ["result[]", result],
      ["response", response],
    );
    return evaluateNode(output, scope);
  }

  /** Generates one text; of a beam search, all that were asked for. A stream's pieces are mapped as the output asks. */
  async #generate(
    model: TextModel,
    input: ModelInput,
    [i, j]: [number, number],
    signal: AbortSignal,
  ): Promise<Output[]> {
    const { run, path, index, repeat, sink } = this.#site;
    const { parameters, seedIsDrawn } = this.#request;
    const { component } = this.#call;
    const output = parameters.streaming && sink !== undefined;
    const prefix = this.#repeatsPrompt(model, input) && !parameters.streaming ? input : undefined;
    const drawnSeed = seedIsDrawn ? parameters.seed : undefined;
    const writing = {
      name: component.model.name,
      precision: model.precision,
      device: model.device.description,
      contextLength: model.contextLength,
    };
    const start = { path, component: component.id, model: writing, index, output, prefix, drawnSeed };
    return run.generation(start, async (generation) => {
      const pieces: unknown[] = [];
      let last: Finished | undefined;
      let tokens = 0;
      let logprobs: TokenLogprob[] | undefined;
      const parts = this.#stream(model, input, {
        sequence: [i, j, repeat],
        signal,
        onPrefill: ({ done, total }) => run.progress({ type: "prefill", generation, done, total }),
      });
      for await (const part of parts) {
        last = part.result ?? last;
        tokens += part.tokens.length;
        if (part.logprobs !== undefined) {
          logprobs = [...(logprobs ?? []), ...part.logprobs];
        }
        // A token may be only a part of a character.
        if (part.text === "") {
          continue;
        }
        const kind = "type" in part && part.type !== "content" ? part.type : undefined;
        const toolCall = "toolCall" in part ? part.toolCall : undefined;
        await run.send({ type: "text", generation, text: part.text, tokens, kind, toolCall, logprobs });
        tokens = 0;
        logprobs = undefined;
        if (kind !== undefined) {
          continue;
        }
        const piece = parameters.streaming ? this.#mapPiece(part.text) : part.text;
        if (piece === null) {
          continue;
        }
        pieces.push(piece);
        if (output) {
          await sink(piece);
        }
      }
      if (last === undefined) {
        throw new Error("a stream of text ended without its result");
      }
      this.#site.services.models.works(component);
      for (const message of last.warnings) {
        run.warn(inWordsOf(message, composeWords), path);
      }
      const device = model.device.description;
      const record = { path, component: component.id, index, device, result: last, seedDrawn: seedIsDrawn };
      const value = this.#outputs(model, input, last);
      // A stream carries new text only, also where it is joined.
      if (parameters.streaming) {
        value[0] = { ...value[0], result: joinPieces(pieces) };
      }
      return { value, record };
    });
  }

  #stream(
    model: TextModel,
    input: ModelInput,
    place: Pick<Parameters<TextModel["stream"]>[1], "sequence" | "signal" | "onPrefill">,
  ): AsyncIterable<Part> {
    const options = { ...generateOptions(this.#request.parameters), ...place };
    return typeof input === "string"
      ? model.stream(input, { ...options, returnFullText: false })
      : model.streamChat(input, { ...options, ...this.#request.chat });
  }

  /** Whether the result begins with the prompt. */
  #repeatsPrompt({ architecture }: TextModel, input: ModelInput): input is string {
    return (
      typeof input === "string" &&
      this.#request.parameters.return_full_text &&
      architecture === "causal" &&
      this.#call.component.task === "text-generation"
    );
  }

  #outputs(model: TextModel, input: ModelInput, result: Finished): Output[] {
    const answers = result.sequences ?? [result];
    return answers.map((answer) => {
      if ("content" in answer) {
        this.#warnOfCalls(answer);
        return { result: answer.content, response: responseOf(answer) };
      }
      return { result: (this.#repeatsPrompt(model, input) ? input : "") + answer.newText };
    });
  }

  /** Warns when the model calls tools and the action's output does not take the calls, which no text shows. */
  #warnOfCalls({ toolCalls }: ChatAnswer): void {
    const { output } = this.#call.action;
    if (toolCalls.length === 0) {
      return;
    }
    if (output !== undefined && usesResponse(output)) {
      return;
    }
    const { run, path } = this.#site;
    run.warn(
      "The model calls tools, but the output of the action does not show it: use ${response.tool_calls}.",
      path,
    );
  }

  #mapPiece(text: string): unknown {
    const { output } = this.#call.action;
    if (output === undefined || !mapsPieces(output, "result")) {
      return text;
    }
    return evaluateNode(output, withSources(this.#site.scope, ["result[]", text]));
  }
}

type Part = StreamPart | ChatPart;
type Finished = NonNullable<Part["result"]>;

/** An answer as templates see it, in the words of chat APIs. */
function responseOf({
  content,
  reasoning,
  toolCalls,
  message,
  ...rest
}: ChatAnswer & Pick<GenerateResult, "finishReason">) {
  return {
    content,
    reasoning: reasoning ?? null,
    tool_calls: toolCalls.map((call) => ({ type: "function", function: call })),
    message,
    finish_reason: rest.finishReason,
  };
}

function usesResponse(output: Parameters<typeof placeholdersIn>[0]): boolean {
  return [...placeholdersIn(output)].some(({ placeholder }) => placeholder.name === "response");
}
