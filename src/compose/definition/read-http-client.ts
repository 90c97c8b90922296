import { validateHeaderName, validateHeaderValue } from "node:http";
import { errorMessage } from "../../base/errors.ts";
import { anonymousIds, type HttpAction, type HttpClientComponent } from "./definition.ts";
import type { MappingReader } from "./mapping-reader.ts";
import type { ProblemList } from "../source/problems.ts";
import { readActions } from "./read-actions.ts";
import { readRuntime } from "./read-controller.ts";
import { readId } from "./read-ids.ts";
import { describeNode, type SourceNode } from "../source/source-tree.ts";
import { literalScalarText } from "../source/node-templates.ts";

/** The keys of an action that are no keys of the component: `headers` are both. */
const actionKeys = [
  "endpoint",
  "path",
  "method",
  "params",
  "body",
  "stream_format",
  "timeout",
  "completion",
  "output",
];

/** Reads a component of type http-client, in either dialect. */
export function readHttpClient(
  reader: MappingReader,
  problems: ProblemList,
): HttpClientComponent | undefined {
  const id = readId(reader, anonymousIds.component);
  const isDefault = reader.flag("default") ?? false;
  const maxConcurrentCount = reader.integer("max_concurrent_count", 0) ?? 0;
  readRuntime(reader);
  const baseUrl = reader.take("base_url")?.value;
  if (baseUrl !== undefined) {
    checkUrl(reader, "base_url", baseUrl, problems);
  }
  const headers = readHeaders(reader, problems);
  const mayRedirectInside = reader.flag("allow_private_redirects") ?? false;
  reader.refuse("rate_limit");
  const actions = readActions(reader, problems, actionKeys, (action, inline) =>
    readAction(action, problems, inline, baseUrl !== undefined),
  );
  reader.finish();
  if (actions === undefined) {
    return undefined;
  }
  return {
    type: "http-client",
    id,
    default: isDefault,
    maxConcurrentCount,
    baseUrl,
    headers,
    mayRedirectInside,
    actions,
    location: reader.firstLine(),
  };
}

function readAction(
  reader: MappingReader,
  problems: ProblemList,
  inline: boolean,
  hasBase: boolean,
): HttpAction | undefined {
  const id = inline ? anonymousIds.action : readId(reader, anonymousIds.action);
  const isDefault = inline ? false : (reader.flag("default") ?? false);
  const target = readTarget(reader, problems, hasBase);
  const method = reader.choice("method", ["GET", "POST", "PUT", "DELETE", "PATCH"]) ?? "POST";
  const headers = inline ? new Map<string, SourceNode>() : readHeaders(reader, problems);
  const params = new Map(valuesOf(reader.mapping("params", `params of ${reader.where}`)));
  const body = reader.take("body")?.value;
  const streamFormat = reader.choice("stream_format", ["text", "json"]) ?? "text";
  const timeout = reader.duration("timeout");
  reader.refuse("completion", "stream_fragmented");
  const output = reader.take("output")?.value;
  if (target === undefined) {
    return undefined;
  }
  return {
    id,
    default: isDefault,
    target,
    method,
    headers,
    params,
    body,
    streamFormat,
    timeout,
    output,
    location: reader.firstLine(),
  };
}

function readTarget(
  reader: MappingReader,
  problems: ProblemList,
  hasBase: boolean,
): HttpAction["target"] | undefined {
  const entry = reader.takeOneOf("endpoint", "path");
  if (entry === undefined) {
    reader.missing("endpoint", "Add endpoint: with a whole URL, or base_url: and path:.");
    return undefined;
  }
  if (entry.name === "endpoint") {
    return checkUrl(reader, "endpoint", entry.value, problems)
      ? { kind: "endpoint", node: entry.value }
      : undefined;
  }
  if (!hasBase) {
    problems.invalid(
      `${reader.where} has a "path", but its component has no "base_url".`,
      entry.key,
      "Add base_url: to the component, or write endpoint: with a whole URL.",
    );
  }
  return isScalarText(reader, "path", entry.value, problems)
    ? { kind: "path", node: entry.value }
    : undefined;
}

/** Checks a URL that is known at load. */
function checkUrl(reader: MappingReader, key: string, node: SourceNode, problems: ProblemList): boolean {
  if (!isScalarText(reader, key, node, problems)) {
    return false;
  }
  const text = literalScalarText(node);
  if (text === undefined || /^https?:$/.test(URL.parse(text)?.protocol ?? "")) {
    return true;
  }
  problems.invalid(
    `${reader.where}: "${key}" must be a URL that begins with http:// or https://, found ${describeNode(node)}.`,
    node.location,
  );
  return false;
}

function isScalarText(reader: MappingReader, key: string, node: SourceNode, problems: ProblemList): boolean {
  if (node.kind === "scalar" && typeof node.value === "string") {
    return true;
  }
  problems.invalid(`${reader.where}: "${key}" must be a text, found ${describeNode(node)}.`, node.location);
  return false;
}

function readHeaders(reader: MappingReader, problems: ProblemList): ReadonlyMap<string, SourceNode> {
  const headers = reader.mapping("headers", `headers of ${reader.where}`);
  for (const [name, entry] of headers?.node.entries ?? []) {
    const value = entry.value.kind === "scalar" ? (literalScalarText(entry.value) ?? "") : undefined;
    try {
      validateHeaderName(name);
      if (value === undefined) {
        throw new Error("a header is a text");
      }
      validateHeaderValue(name, value);
    } catch (error) {
      problems.invalid(`${reader.where}: header ${JSON.stringify(name)}: ${errorMessage(error)}.`, entry.key);
    }
  }
  return new Map(valuesOf(headers));
}

function* valuesOf(reader: MappingReader | undefined): Generator<[string, SourceNode]> {
  for (const [key, entry] of reader?.node.entries ?? []) {
    yield [key, entry.value];
  }
}
