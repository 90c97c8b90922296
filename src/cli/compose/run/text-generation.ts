import type { GenerateResult } from "../../../runtime/generation-types.ts";
import type { Call } from "../definition.ts";
import {
  generateOptions,
  neededContext,
  renderRequest,
  type GenerationRequest,
} from "./generation-request.ts";
import type { TextModel } from "../model-host.ts";
import type { Scope } from "../template/evaluate.ts";
import { evaluateNode } from "../value-template.ts";
import { actionScope, withSources, type CallSite, type PreparedCall } from "./call.ts";
import type { Origin } from "./origin.ts";
import { joinPieces, mapsPieces } from "./pieces.ts";

type ModelCall = Extract<Call, { kind: "model" }>;

/** Renders an action of text-generation. No model is loaded before this has succeeded. */
export function prepareTextGeneration(
  call: ModelCall,
  input: unknown,
  origin: Origin,
  site: CallSite,
): PreparedCall {
  const scope = actionScope(input, site);
  const { limits } = site.run.services.definition.controller;
  const origins = new Map([["input", origin]]);
  const request = renderRequest(call.action, {
    scope,
    origins,
    limits,
    runInput: site.run.input,
    drawnSeed: site.drawnSeed,
  });
  return {
    context: neededContext(request),
    streams: request.parameters.streaming,
    execute: (context) =>
      site.run.services
        .slots(call.component)
        .run(() => new TextGeneration(call, request, scope, site).execute(context), site.signal),
  };
}

class TextGeneration {
  readonly #call: ModelCall;
  readonly #request: GenerationRequest;
  readonly #scope: Scope;
  readonly #site: CallSite;

  constructor(call: ModelCall, request: GenerationRequest, scope: Scope, site: CallSite) {
    this.#call = call;
    this.#request = request;
    this.#scope = scope;
    this.#site = site;
  }

  async execute(context: number): Promise<unknown> {
    const { component, action } = this.#call;
    const { isList, prompts, parameters } = this.#request;
    const { run, signal } = this.#site;
    const model = await run.services.models.model(component, {
      context: run.calledOnce.has(component) ? context : undefined,
      onProgress: (progress) => run.progress({ type: "loading", component: component.id, progress }),
      signal,
    });
    const outputs: unknown[] = [];
    for (const [j, prompt] of prompts.entries()) {
      for (let i = 0; i < parameters.num_return_sequences; i++) {
        outputs.push(await this.#generate(model, prompt, [i, j]));
      }
    }
    const result = isList || outputs.length > 1 ? outputs : outputs[0];
    const { output } = action;
    if (output === undefined || (parameters.streaming && mapsPieces(output, "result"))) return result;
    return evaluateNode(output, withSources(this.#scope, ["result", result], ["result[]", result]));
  }

  /** Generates one text. @returns the text, its pieces mapped as the action's output asks */
  async #generate(model: TextModel, prompt: string, [i, j]: [number, number]): Promise<unknown> {
    const { run, path, index, repeat, signal, sink } = this.#site;
    const { parameters, seedIsDrawn } = this.#request;
    const { component } = this.#call;
    const output = parameters.streaming && sink !== undefined;
    const start = { path, component: component.id, index, output };
    return run.generation(start, async (generation) => {
      const pieces: unknown[] = [];
      let result: GenerateResult | undefined;
      let tokens = 0;
      const parts = model.stream(prompt, {
        ...generateOptions(parameters),
        sequence: [i, j, repeat],
        returnFullText: false,
        signal,
        onPrefill: ({ done, total }) => run.progress({ type: "prefill", generation, done, total }),
      });
      for await (const part of parts) {
        result = part.result ?? result;
        tokens += part.tokens.length;
        // A token may be only a part of a character.
        if (part.text === "") continue;
        await run.send({ type: "text", generation, text: part.text, tokens });
        tokens = 0;
        const piece = parameters.streaming ? this.#mapPiece(part.text) : part.text;
        if (piece === null) continue;
        pieces.push(piece);
        if (output) await sink(piece);
      }
      if (result === undefined) throw new Error("a stream of text ended without its result");
      for (const message of result.warnings) run.warn(message, path);
      const device = model.device.description;
      const record = { path, component: component.id, index, device, result, seedDrawn: seedIsDrawn };
      // A stream carries new text only, also where it is joined.
      const before = parameters.return_full_text ? prompt : "";
      return { value: parameters.streaming ? joinPieces(pieces) : before + pieces.join(""), record };
    });
  }

  #mapPiece(text: string): unknown {
    const { output } = this.#call.action;
    if (output === undefined || !mapsPieces(output, "result")) return text;
    return evaluateNode(output, withSources(this.#scope, ["result[]", text]));
  }
}
