import { validateHeaderValue } from "node:http";
import { mapsPieces } from "../../analysis/pieces.ts";
import type { Call, HttpAction, HttpClientComponent } from "../../definition/definition.ts";
import { WorkflowInputError } from "../input-error.ts";
import { solePlaceholder, type ScalarNode, type SourceNode } from "../../source/source-tree.ts";
import { isObject, show, toText } from "../../template/convert.ts";
import { evaluatePlaceholder } from "../../template/evaluate.ts";
import { evaluateNode } from "../../source/node-templates.ts";
import { readAnswer, readEvents, isEventStream } from "./http-answer.ts";
import { sendRequest, type HttpRequest } from "./http-request.ts";
import { fieldOf, type RunScope } from "../origin.ts";
import { joinPieces } from "../join-pieces.ts";
import { withSources } from "../scopes.ts";
import type { CallSite, PreparedCall } from "../site.ts";

type HttpCall = Extract<Call, { kind: "http-client" }>;

/** Renders a request to an outside API. */
export function prepareHttp(call: HttpCall, site: CallSite): PreparedCall {
  const request = renderRequest(call, site.scope);
  const slots = site.services.slots(call.component);
  return {
    streams: false,
    execute: () => slots.run(() => execute(call, request, site), site.signal),
  };
}

/** Sends the request. @returns the response through the action's output; of a stream, its pieces joined */
async function execute(
  { component, action }: HttpCall,
  request: HttpRequest,
  site: CallSite,
): Promise<unknown> {
  const limit = action.timeout === undefined ? undefined : AbortSignal.timeout(action.timeout);
  const signal = limit === undefined ? site.signal : AbortSignal.any([site.signal, limit]);
  const answer = await sendRequest(request, signal, action.timeout);
  if (isEventStream(answer)) {
    return readStream(component, action, readEvents(answer, action.streamFormat), site);
  }
  const response = await readAnswer(answer);
  if (action.output === undefined) {
    return response;
  }
  const scope = withSources(site.scope, ["response", response], ["response[]", response]);
  return evaluateNode(action.output, scope);
}

async function readStream(
  component: HttpClientComponent,
  { output: mapping }: HttpAction,
  events: AsyncIterable<unknown>,
  { run, path, index, sink, scope }: CallSite,
): Promise<unknown> {
  const isMapped = mapping !== undefined && mapsPieces(mapping, "response");
  const start = { path, component: component.id, index, output: sink !== undefined };
  const response = await run.generation(start, async (generation) => {
    const pieces: unknown[] = [];
    for await (const event of events) {
      const piece = isMapped ? evaluateNode(mapping, withSources(scope, ["response[]", event])) : event;
      // An event without text, or the mark of the stream's end, is no piece of the output.
      if (piece === null || piece === "") {
        continue;
      }
      pieces.push(piece);
      if (typeof piece === "string") {
        await run.send({ type: "text", generation, text: piece, tokens: 0 });
      }
      await sink?.(piece);
    }
    return { value: joinPieces(pieces) };
  });
  if (mapping === undefined || isMapped) {
    return response;
  }
  return evaluateNode(mapping, withSources(scope, ["response", response]));
}

function renderRequest({ component, action }: HttpCall, scope: RunScope): HttpRequest {
  const url = renderUrl(component, action, scope);
  for (const [name, node] of action.params) {
    const value = evaluateNode(node, scope);
    for (const one of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (one !== null) {
        url.searchParams.append(name, toText(one));
      }
    }
  }
  const headers = new Map<string, string>();
  for (const [name, node] of [...component.headers, ...action.headers]) {
    const value = evaluateNode(node, scope);
    if (value !== null) {
      headers.set(name.toLowerCase(), headerValue(name, toText(value)));
    }
  }
  const body = action.body === undefined ? null : evaluateNode(action.body, scope);
  const { mayRedirectInside } = component;
  return { url, method: action.method, headers, body: encodeBody(body, headers), mayRedirectInside };
}

/** The value of a header, if a header can carry it. @throws WorkflowInputError */
function headerValue(name: string, value: string): string {
  try {
    validateHeaderValue(name, value);
    return value;
  } catch {
    throw new WorkflowInputError(
      `The value of the header ${name} holds characters that a header cannot carry, such as a line break or letters beyond Latin-1.`,
    );
  }
}

/**
 * The text of a body, undefined for null: a text as it is, anything else as the content type says: a form, or (the
 * default) JSON. A content type that is missing is added.
 */
function encodeBody(body: unknown, headers: Map<string, string>): string | undefined {
  if (body === null) {
    return undefined;
  }
  const type = headers.get("content-type") ?? "";
  if (typeof body === "string") {
    if (type === "") {
      headers.set("content-type", "text/plain; charset=utf-8");
    }
    return body;
  }
  if (type.startsWith("application/x-www-form-urlencoded")) {
    const form = new URLSearchParams();
    for (const [name, value] of isObject(body) ? Object.entries(body) : []) {
      form.append(name, toText(value));
    }
    return form.toString();
  }
  if (type === "") {
    headers.set("content-type", "application/json");
  }
  return JSON.stringify(body);
}

function renderUrl({ baseUrl }: HttpClientComponent, { target }: HttpAction, scope: RunScope): URL {
  const base = target.kind === "path" && baseUrl ? renderUrlText(baseUrl, scope) : "";
  const own = renderUrlText(target.node, scope, base === "");
  const text = base === "" ? own : `${base.replace(/\/+$/, "")}/${own.replace(/^\/+/, "")}`;
  const url = URL.parse(text);
  if (url !== null && /^https?:$/.test(url.protocol)) {
    return url;
  }
  throw new WorkflowInputError(`A URL begins with http:// or https://, found ${show(text)}.`);
}

/**
 * Renders a URL, or a part of it. Values from the input are data: behind the beginning they are encoded, so that they
 * stay in the segment or the parameter they stand in. What is missing is an error, and so are dots that would leave the
 * segment, which no encoding holds (WHATWG URL, "double-dot path segment"): another resource would be meant.
 *
 * @param begins whether the URL begins here, so that a value at the beginning may be more than a segment
 */
function renderUrlText(node: SourceNode, scope: RunScope, begins = true): string {
  const parts = (node as ScalarNode).template?.parts ?? [String((node as ScalarNode).value)];
  const isWhole = solePlaceholder(node) !== undefined;
  const isRaw = (i: number): boolean => isWhole || (i === 0 && begins);
  const texts = parts.map((part, i) => {
    if (typeof part === "string") {
      return part;
    }
    const value = evaluatePlaceholder(part, scope);
    if (value === null || value === "") {
      const field = fieldOf(part, [], scope);
      const what = field === undefined ? part.text : `The workflow input ${JSON.stringify(field)}`;
      throw new WorkflowInputError(`${what} is missing, and it is part of a URL.`, field);
    }
    return isRaw(i) ? toText(value) : encodeURIComponent(toText(value));
  });
  for (const [i, part] of parts.entries()) {
    if (typeof part === "string" || isRaw(i) || !isDotSegment(texts, i)) {
      continue;
    }
    const field = fieldOf(part, [], scope);
    const what = field === undefined ? part.text : `The workflow input ${JSON.stringify(field)}`;
    throw new WorkflowInputError(
      `${what} makes a part of a URL's path "." or "..", which means another path.`,
      field,
    );
  }
  return texts.join("");
}

/** Whether the path segment that holds the text at `index` is "." or ".."; behind "?" or "#" nothing is a segment. */
function isDotSegment(texts: readonly string[], index: number): boolean {
  const before = texts.slice(0, index).join("");
  if (/[?#]/.test(before)) {
    return false;
  }
  const [head = ""] = /[^/\\]*$/.exec(before) ?? [];
  const [rest = ""] = /^[^/\\?#]*/.exec(texts.slice(index).join("")) ?? [];
  return /^(?:\.|%2e){1,2}$/i.test(head + rest);
}
