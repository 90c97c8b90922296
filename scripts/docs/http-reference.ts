/** The references of the HTTP APIs, as Markdown, from the OpenAPI document that a server publishes and the schemas behind it. */
import { z } from "zod";
import { createApp } from "../../src/server/app.ts";
import { anthropicRequests, parametersOfFields as ofAnthropic } from "../../src/server/anthropic/requests.ts";
import { openAiRequests, parametersOfFields as ofOpenAi } from "../../src/server/openai/requests.ts";
import { parametersOfFields as ofResponses } from "../../src/server/openai/responses/requests.ts";
import { WorkflowService } from "../../src/server/service.ts";
import type { GenerationParameterName } from "../../src/compose/definition/parameters.ts";
import { readCompose } from "../../src/compose/load.ts";
import { ModelHost } from "../../src/compose/model-host.ts";
import { parameterMeanings } from "./compose-language.ts";
import { cell, table } from "./markdown.ts";

type Json = Readonly<Record<string, unknown>>;

interface Operation {
  readonly summary: string;
  readonly parameters?: readonly { name: string; in: string; description?: string; schema: Json }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { schema: Json }>> };
  readonly responses: Readonly<
    Record<string, { description: string; content?: Readonly<Record<string, { schema: Json }>> }>
  >;
}

export interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Json>> };
}

/** The OpenAPI document of a server. */
export async function openApi(): Promise<OpenApi> {
  const text = "component: { type: model, task: text-generation, model: m, prompt: x }";
  const file = { name: "model-compose.yml", path: "/model-compose.yml", text };
  const models = new ModelHost(() => Promise.reject(new Error("no model is loaded here")));
  const service = new WorkflowService(readCompose([file], { environment: new Map() }), models);
  const options = { host: "127.0.0.1", origins: [], heartbeatSeconds: 15, onFault: () => undefined };
  const response = await createApp(service, options).request("/api/openapi.json", {
    headers: { host: "localhost" },
  });
  await models.dispose();
  return (await response.json()) as OpenApi;
}

const isOther = (path: string): boolean => path.startsWith("/v1/");

/** Our own API. */
export async function httpReference(): Promise<string> {
  const { paths, components } = await openApi();
  const own = Object.entries(paths).filter(([path]) => !isOther(path));
  const used = reachable(
    own.map(([, operations]) => operations),
    components.schemas,
  );
  return [
    ...own.flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, operation]) => route(method, `/api${path}`, operation)),
    ),
    "## Bodies",
    ...used.map((name) => `### ${name}\n\n${fields(components.schemas[name] ?? {})}`),
  ].join("\n\n");
}

/** The names of schemas that values refer to, directly or through one another, in alphabetical order. */
function reachable(from: unknown, schemas: Readonly<Record<string, Json>>): string[] {
  const found = new Set<string>();
  const look = (value: unknown): void => {
    for (const [, name = ""] of JSON.stringify(value).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)) {
      if (!found.has(name)) {
        found.add(name);
        look(schemas[name]);
      }
    }
  };
  look(from);
  return [...found].toSorted();
}

function route(method: string, path: string, operation: Operation): string {
  const { summary, parameters = [], requestBody, responses } = operation;
  const body = requestBody?.content["application/json"]?.schema;
  const queries = parameters.filter((one) => one.in === "query");
  return [
    `### ${method.toUpperCase()} ${path}`,
    `${summary.replace(/[^?.]$/, "$&.")}`,
    ...(queries.length === 0
      ? []
      : [
          table(
            ["query", "value", "meaning"],
            queries.map(({ name, schema, description = "" }) =>
              [`\`${name}\``, typeOf(schema), description].map(cell),
            ),
          ),
        ]),
    ...(body === undefined ? [] : [`Body: ${typeOf(body)}.`]),
    table(
      ["status", "answer", "meaning"],
      Object.entries(responses).map(([status, { description, content = {} }]) =>
        [
          status,
          [
            ...new Set(
              Object.entries(content).map(([type, { schema }]) =>
                type === "application/json" ? typeOf(schema) : `\`${type}\``,
              ),
            ),
          ].join(", or "),
          description,
        ].map(cell),
      ),
    ),
  ].join("\n\n");
}

/** A schema as a table of its fields, those of objects within it too. */
function fields(schema: Json): string {
  return table(
    ["field", "value", "meaning"],
    fieldRows(schema, "").map((row) => row.map(cell)),
  );
}

function fieldRows({ properties = {}, required = [] }: Json, before: string): string[][] {
  return Object.entries(properties as Record<string, Json>).flatMap(([name, schema]) => {
    if (isNever(schema)) {
      return [];
    }
    const mark = (required as readonly string[]).includes(name) ? "" : ", optional";
    const row = [`\`${before}${name}\``, typeOf(schema) + mark, descriptionOf(schema)];
    return schema["type"] === "object" && schema["properties"] !== undefined
      ? [row, ...fieldRows(schema, `${before}${name}.`)]
      : [row];
  });
}

const descriptionOf = ({ description }: Json): string => (typeof description === "string" ? description : "");
const isNever = (schema: Json): boolean => "not" in schema;

/** What a schema takes, in words. */
function typeOf(schema: Json): string {
  const { $ref, anyOf, oneOf, type, items, enum: names, const: constant, minimum, maximum } = schema;
  if (typeof $ref === "string") {
    const name = $ref.split("/").at(-1) ?? "";
    return `[${name}](#${name.toLowerCase()})`;
  }
  const choices = (anyOf ?? oneOf) as readonly Json[] | undefined;
  if (choices !== undefined) {
    const [first, second] = choices;
    // Queries and forms write a boolean in several ways, of which one is enough to know.
    if (first?.["type"] === "boolean" && Array.isArray(second?.["enum"]) && second["enum"].includes("yes")) {
      return typeOf(first);
    }
    return [...new Set(choices.filter(({ type: one }) => one !== "null").map(typeOf))].join(" or ");
  }
  if (Array.isArray(names)) {
    return names.map((name) => `\`${String(name)}\``).join(", ");
  }
  if (constant !== undefined) {
    return `\`${JSON.stringify(constant).replaceAll('"', "")}\``;
  }
  switch (type) {
    case "string":
      return schema["format"] === "date-time" ? "date and time" : "text";
    case "integer":
    case "number": {
      const isBounded = (bound: unknown): boolean =>
        bound !== undefined && Math.abs(Number(bound)) < Number.MAX_SAFE_INTEGER;
      const range = [
        ...(isBounded(minimum) ? [`>= ${String(minimum)}`] : []),
        ...(isBounded(maximum) ? [`<= ${String(maximum)}`] : []),
      ];
      return [type, ...range].join(" ").replace(/(>= \S+) (<=)/, "$1 and $2");
    }
    case "boolean":
      return "`true` or `false`";
    case "array":
      return `list of ${typeOf((items ?? {}) as Json)}`;
    case "object":
      return "object";
    default:
      return "any value";
  }
}

/** The requests that the routes of others take, by the headings of the reference. */
const REQUESTS = {
  "POST /v1/chat/completions": openAiRequests.ChatRequest,
  "POST /v1/completions": openAiRequests.CompletionRequest,
  "POST /v1/responses": openAiRequests.ResponsesRequest,
  "POST /v1/embeddings": openAiRequests.EmbeddingsRequest,
  "POST /v1/messages": anthropicRequests.MessagesRequest,
  "POST /v1/messages/count_tokens": anthropicRequests.CountTokensRequest,
} as const;

/** The APIs of others: every field of every request, what it means, and why it is refused where it is. */
export async function modelApiReference(): Promise<string> {
  const { paths } = await openApi();
  const routes = Object.entries(paths)
    .filter(([path]) => isOther(path))
    .flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, { summary }]) =>
        [`\`${method.toUpperCase()} ${path}\``, summary].map(cell),
      ),
    );
  return [
    table(["route", "what it does"], routes),
    ...Object.entries(REQUESTS).map(([route, schema]) => `### ${route}\n\n${requestFields(schema)}`),
  ].join("\n\n");
}

function requestFields(schema: z.ZodObject): string {
  const json = z.toJSONSchema(schema, { io: "input" }) as Json;
  const properties = json["properties"] as Readonly<Record<string, Json>>;
  const required = (json["required"] ?? []) as readonly string[];
  const all = Object.entries(properties).map(([name, property]) => ({
    name,
    property,
    field: schema.shape[name] as z.ZodType,
  }));
  const refused = all.filter(({ property }) => isNever(property));
  const isIgnored = ({ property }: { property: Json }): boolean =>
    descriptionOf(property).startsWith("Accepted; it changes nothing");
  const ignored = all.filter(isIgnored);
  const others = all.filter((one) => !refused.includes(one) && !ignored.includes(one));
  return [
    table(
      ["field", "value", "meaning"],
      others.map(({ name, property, field }) => {
        const mark = required.includes(name) ? " (**required**)" : "";
        return [`\`${name}\`${mark}`, ...valueAndMeaning(name, property, field)].map(cell);
      }),
    ),
    ...(ignored.length === 0
      ? []
      : [`Accepted, and changes nothing: ${ignored.map(({ name }) => `\`${name}\``).join(", ")}.`]),
    ...(refused.length === 0
      ? []
      : [
          `Refused with 400:\n\n${refused.map(({ name, field }) => `- \`${name}\`: ${reasonOf(field)}.`).join("\n")}`,
        ]),
  ].join("\n\n");
}

const PARAMETERS: Readonly<Record<string, GenerationParameterName>> = {
  ...ofOpenAi,
  ...ofResponses,
  ...ofAnthropic,
  top_logprobs: "logprobs",
};

/** Fields that say the same wherever they stand, and say it nowhere in the schemas. */
const MEANINGS: Readonly<Record<string, string>> = {
  stream: "Whether the answer comes piece by piece, as server-sent events.",
  stream_options: "With `include_usage: true`, a last chunk of completions has the usage.",
  messages: "The conversation.",
  system: "What the system says, before the conversation.",
  tools:
    "Functions that the model may call. With `strict: true`, the arguments of a call hold to the schema.",
  tool_choice:
    "Whether the model calls them: as it likes (`auto`), not (`none`), some one (`required`; of messages `any`), the one that is named, or (not in messages) only those of `allowed_tools`.",
  output_config: "Its `format` is a JSON schema that the answer holds to.",
  response_format:
    "What the answer must be: `text`, `json_object`, or `json_schema` with a schema, which is always enforced.",
  text: "Its `format` says what the answer must be: `text`, `json_object`, or `json_schema` with a schema, which is always enforced.",
  logprobs: "Whether to tell how likely each token was.",
  include: "Must be empty: nothing can be included beside the response.",
  reasoning: "May be there, but `effort` and `summary` in it are refused.",
  modalities: "Texts are all that there is.",
  metadata: "Comes back with the response.",
  encoding_format: "How vectors are written. Default `float`.",
};

/** What a field takes, and what it does. */
function valueAndMeaning(name: string, property: Json, field: z.ZodType): [string, string] {
  const description = descriptionOf(property);
  if ("const" in property) {
    return [typeOf(property), `Any other value is refused: ${reasonOf(field)}.`];
  }
  // A parameter's description is its range, what it does stands in the reference of compose files.
  const isRange = /^(an? (integer|number|text|object|list)|true )/.test(description);
  const parameter = PARAMETERS[name];
  const meaning =
    isRange || description === ""
      ? (MEANINGS[name] ?? (parameter && parameterMeanings[parameter]) ?? "")
      : description;
  return [isRange ? description : typeOf(property), meaning];
}

/** Why a value that a field does not take is refused, in the words of the answer. */
function reasonOf(field: z.ZodType): string {
  const issue = field.safeParse({ nothing: "of the kind" }).error?.issues[0];
  return (issue?.message ?? "").replace(/\.$/, "");
}
