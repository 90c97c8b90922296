import { z } from "zod";
import type { Answer, Route } from "./routes.ts";

export interface OpenApiInfo {
  readonly title: string;
  readonly version: string;
  readonly server: string;
  readonly needsKey: boolean;
}

type Json = Readonly<Record<string, unknown>>;

/** The OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1) of routes, from the schemas that they check with. */
export function openApiDocument(routes: readonly Route[], info: OpenApiInfo): Json {
  const components = new Map<string, unknown>();
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    (paths[route.path] ??= {})[route.method] = operation(route, components);
  }
  return {
    openapi: "3.1.1",
    info: { title: info.title, version: info.version },
    servers: [{ url: info.server }],
    paths,
    components: {
      schemas: Object.fromEntries(components),
      ...(info.needsKey ? { securitySchemes: { apiKey: { type: "http", scheme: "bearer" } } } : {}),
    },
    ...(info.needsKey ? { security: [{ apiKey: [] }] } : {}),
  };
}

function operation(route: Route, components: Map<string, unknown>): Json {
  const parameters = [...pathParameters(route.path), ...queryParameters(route.query)];
  return {
    operationId: operationId(route),
    summary: route.summary,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === undefined ? {} : { requestBody: requestBody(route.body, components) }),
    responses: Object.fromEntries(
      Object.entries(route.answers).map(([status, answer]) => [status, response(answer, components)]),
    ),
  };
}

/** `POST /workflows/{id}/runs` is post_workflows_id_runs. */
function operationId({ method, path }: Route): string {
  return method + path.replaceAll(/[{}.]/g, "").replaceAll("/", "_");
}

function pathParameters(path: string): Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
}

function queryParameters(query: z.ZodObject | undefined): Json[] {
  if (query === undefined) {
    return [];
  }
  return Object.entries(query.shape).map(([name, schema]) => {
    const { description, ...rest } = z.toJSONSchema(schema, { io: "input" });
    return { name, in: "query", description, schema: withoutDialect(rest) };
  });
}

function requestBody(schema: z.ZodType, components: Map<string, unknown>): Json {
  const media = { schema: reference(schema, "input", components) };
  const types = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"];
  return { required: true, content: Object.fromEntries(types.map((type) => [type, media])) };
}

function response({ description, body, mediaType }: Answer, components: Map<string, unknown>): Json {
  const content: Record<string, Json> = {};
  if (body !== undefined) {
    content["application/json"] = { schema: reference(body, "output", components) };
  }
  if (mediaType !== undefined) {
    content[mediaType] = { schema: { type: "string" } };
  }
  return Object.keys(content).length === 0 ? { description } : { description, content };
}

/** A schema, those with an id moved to the components. */
function reference(schema: z.ZodType, io: "input" | "output", components: Map<string, unknown>): unknown {
  const { $defs = {}, ...own } = z.toJSONSchema(schema, { io, reused: "inline" });
  for (const [name, definition] of Object.entries($defs)) {
    components.set(name, relocated(definition));
  }
  const id = schema.meta()?.id;
  if (id === undefined || "$ref" in own) {
    return relocated(withoutDialect(own));
  }
  components.set(id, relocated(withoutDialect(own)));
  return { $ref: `#/components/schemas/${id}` };
}

function withoutDialect({ $schema: _dialect, ...schema }: Json): Json {
  return schema;
}

/** References of zod lead to its own `$defs`; ids are the components' names already. */
function relocated(schema: unknown): unknown {
  const text = JSON.stringify(schema, (key, value: unknown) =>
    key === "id" && typeof value === "string" ? undefined : value,
  );
  return JSON.parse(text.replaceAll('"#/$defs/', '"#/components/schemas/')) as unknown;
}
