import { z } from "zod";
import type { Answer, Route } from "./routes.ts";

/** What the document says about the API as a whole. */
export interface OpenApiInfo {
  readonly title: string;
  readonly version: string;
  readonly server: string;
  readonly needsKey: boolean;
}

type Json = Readonly<Record<string, unknown>>;

/** Which side of a transform a schema describes: what is sent, or what comes out of it. */
type Direction = "input" | "output";

/** Schemas by the names under which the document publishes them. */
export type NamedSchemas = Readonly<Record<Direction, Readonly<Record<string, z.ZodType>>>>;

/**
 * The OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1) of routes, from the schemas that they check with.
 * Schemas with a name are its components, which all others refer to.
 */
export function openApiDocument(routes: readonly Route[], named: NamedSchemas, info: OpenApiInfo): Json {
  const requests = new DocumentSchemas(
    "input",
    named.input,
    routes.flatMap(({ body }) => body ?? []),
  );
  const answers = new DocumentSchemas(
    "output",
    named.output,
    routes.flatMap((route) => Object.values(route.answers).flatMap(({ body }) => body ?? [])),
  );
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    const own = operation(route, requests, answers);
    (paths[route.path] ??= {})[route.method] =
      route.atRoot === true ? { ...own, servers: [{ url: "/" }] } : own;
  }
  return {
    openapi: "3.1.1",
    info: { title: info.title, version: info.version },
    servers: [{ url: info.server }],
    paths,
    components: {
      schemas: { ...requests.components, ...answers.components },
      ...(info.needsKey ? { securitySchemes: { apiKey: { type: "http", scheme: "bearer" } } } : {}),
    },
    ...(info.needsKey ? { security: [{ apiKey: [] }] } : {}),
  };
}

const componentUri = (name: string): string => `#/components/schemas/${name}`;

/** The schemas of one direction as JSON Schema. */
class DocumentSchemas {
  readonly components: Readonly<Record<string, Json>>;
  /** The JSON that stands in the document where a schema is used. */
  readonly #uses: ReadonlyMap<z.ZodType, Json>;

  /** @param bodies all schemas that `at` will be asked for, named or not */
  constructor(io: Direction, named: Readonly<Record<string, z.ZodType>>, bodies: readonly z.ZodType[]) {
    const names = new Map(Object.entries(named).map(([name, schema]) => [schema, name]));
    const unnamed = bodies.filter((schema) => !names.has(schema));
    // One registry converts all of them, so that each finds the names of the others; it wants an id for every schema.
    const ids = new Map(unnamed.map((schema, i) => [schema, `body-${i}`]));
    const registry = z.registry<{ id: string }>();
    for (const [schema, id] of [...names, ...ids]) {
      registry.add(schema, { id });
    }
    const { schemas } = z.toJSONSchema(registry, { io, uri: componentUri });
    const converted = (id: string): Json => withoutAnything(withoutIdentity(schemas[id])) as Json;
    this.components = Object.fromEntries([...names.values()].map((name) => [name, converted(name)]));
    this.#uses = new Map([
      ...[...names].map(([schema, name]) => [schema, { $ref: componentUri(name) }] as const),
      ...[...ids].map(([schema, id]) => [schema, converted(id)] as const),
    ]);
  }

  /** A reference to a component, or a schema without a name itself. */
  at(schema: z.ZodType): Json {
    const use = this.#uses.get(schema);
    if (use === undefined) {
      throw new Error("The schema is not among the bodies that the document was made for.");
    }
    return use;
  }
}

/** The schema without its dialect and identity: in a document of OpenAPI both follow from its place. */
function withoutIdentity({ $schema: _dialect, $id: _identity, ...schema }: Json): Json {
  return schema;
}

/** A schema in which no choice has anything at all among its alternatives: such a choice says nothing. */
function withoutAnything(schema: unknown): unknown {
  if (Array.isArray(schema)) {
    return schema.map(withoutAnything);
  }
  if (typeof schema !== "object" || schema === null) {
    return schema;
  }
  const entries = Object.entries(schema)
    .filter(([key, value]) => !(key === "anyOf" && Array.isArray(value) && value.some(isAnything)))
    .map(([key, value]) => [key, withoutAnything(value)] as const);
  return Object.fromEntries(entries);
}

function isAnything(schema: unknown): boolean {
  return typeof schema === "object" && schema !== null && Object.keys(schema).length === 0;
}

function operation(route: Route, requests: DocumentSchemas, answers: DocumentSchemas): Json {
  const parameters = [...pathParameters(route.path), ...queryParameters(route.query)];
  return {
    operationId: operationId(route),
    summary: route.summary,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === undefined
      ? {}
      : { requestBody: requestBody(requests.at(route.body), route.atRoot === true) }),
    responses: Object.fromEntries(
      Object.entries(route.answers).map(([status, answer]) => [status, response(answer, answers)]),
    ),
  };
}

/** The id of an operation: that of `POST /workflows/{id}/runs` is post_workflows_id_runs. */
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
    return { name, in: "query", description, schema: withoutIdentity(rest) };
  });
}

function requestBody(schema: Json, isJson: boolean): Json {
  const media = { schema };
  const forms = isJson ? [] : ["application/x-www-form-urlencoded", "multipart/form-data"];
  const types = ["application/json", ...forms];
  return { required: true, content: Object.fromEntries(types.map((type) => [type, media])) };
}

function response({ description, body, mediaType }: Answer, answers: DocumentSchemas): Json {
  const content: Record<string, Json> = {};
  if (body !== undefined) {
    content["application/json"] = { schema: answers.at(body) };
  }
  if (mediaType !== undefined) {
    content[mediaType] = { schema: { type: "string" } };
  }
  return Object.keys(content).length === 0 ? { description } : { description, content };
}
