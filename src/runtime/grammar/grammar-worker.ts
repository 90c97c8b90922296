/**
 * Entry of a thread that compiles what texts must be and makes their masks, so that neither keeps the thread waiting that serves
 * everybody, and a mask is made while the model works on the next token.
 */
import { workerScope } from "../platform/workers.ts";
import { serializeError } from "../posted-error.ts";
import type { GrammarReply, GrammarRequest } from "./grammar-thread.ts";
import { Grammars } from "./grammars.ts";
import type { GrammarMatcher } from "./matcher.ts";

const { port, data } = workerScope();
const size = data as number;

/** The bytes of each token. */
const tokens: (Uint8Array | undefined)[] = new Array<Uint8Array | undefined>(size);
const grammars = new Grammars(size, (token) => tokens[token]);
const texts = new Map<number, GrammarMatcher>();

function reply(message: GrammarReply, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

/** Tells where a text is, and then what may follow, which takes longer. */
function tellState(text: number, step: number, matcher: GrammarMatcher): void {
  const { mayEnd, mustEnd } = matcher;
  reply({ type: "ending", text, step, mayEnd, mustEnd });
  // The grammar keeps its masks.
  const mask = matcher.mask().slice();
  reply({ type: "mask", text, step, mask }, [mask.buffer]);
}

function take(request: GrammarRequest): void {
  switch (request.type) {
    case "tokens": {
      const { first, lengths, bytes } = request;
      let at = 0;
      lengths.forEach((length, i) => {
        tokens[first + i] = length === 0 ? undefined : bytes.subarray(at, at + length);
        at += length;
      });
      return;
    }
    case "compile":
      try {
        grammars.of(request.constraint);
        reply({ type: "compiled", compilation: request.compilation });
      } catch (error) {
        reply({ type: "compiled", compilation: request.compilation, error: serializeError(error) });
      }
      return;
    case "follow":
    case "accept": {
      const { text } = request;
      try {
        if (request.type === "follow") {
          texts.set(text, grammars.of(request.constraint).matcher());
        }
        const matcher = texts.get(text);
        if (matcher === undefined) {
          return;
        }
        if (request.type === "accept") {
          matcher.accept(request.token);
        }
        tellState(text, request.type === "accept" ? request.step : 0, matcher);
      } catch (error) {
        texts.delete(text);
        reply({ type: "failed", text, error: serializeError(error) });
      }
      return;
    }
    case "leave":
      texts.delete(request.text);
  }
}

port.on("message", take);
