import { expect, test } from "vitest";
import { z } from "zod";
import { openApiDocument, type NamedSchemas } from "./openapi.ts";
import type { Route } from "./routes.ts";

const item = z.object({ id: z.string().describe("Its name.") });
const list = z.object({ items: z.array(item), first: item.optional() });
const order = z.strictObject({ count: z.string().transform(Number) });
const named: NamedSchemas = { input: { Order: order }, output: { Item: item, List: list } };
const either = z.union([list, z.object({ detail: z.string() })]);

const route: Route = {
  method: "post",
  path: "/lists/{id}/items.json",
  summary: "Order",
  query: z.object({ limit: z.coerce.number<string>().int().optional().describe("Default 1.") }),
  body: order,
  answers: {
    200: { description: "All.", body: list, mediaType: "text/event-stream" },
    202: { description: "Either.", body: either },
    204: { description: "Nothing." },
  },
  handle: () => new Response(),
};
const info = { title: "T", version: "1", server: "/", needsKey: false };

interface Document {
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: Record<string, Record<string, unknown>>;
  readonly security?: unknown;
}
interface Operation {
  readonly operationId: string;
  readonly parameters: readonly unknown[];
  readonly requestBody: { readonly content: Record<string, unknown> };
  readonly responses: Record<string, { readonly content?: Record<string, unknown> }>;
}

function documentOf(routes: readonly Route[], needsKey = false): Document {
  return openApiDocument(routes, named, { ...info, needsKey }) as unknown as Document;
}

test("named schemas are components, which bodies and one another refer to", () => {
  const { paths, components } = documentOf([route]);
  expect(components.schemas).toEqual({
    Order: {
      type: "object",
      properties: { count: { type: "string" } },
      required: ["count"],
      additionalProperties: false,
    },
    Item: {
      type: "object",
      properties: { id: { type: "string", description: "Its name." } },
      required: ["id"],
      additionalProperties: false,
    },
    List: {
      type: "object",
      properties: {
        items: { type: "array", items: { $ref: "#/components/schemas/Item" } },
        first: { $ref: "#/components/schemas/Item" },
      },
      required: ["items"],
      additionalProperties: false,
    },
  });
  const { operationId, parameters, requestBody, responses } = paths["/lists/{id}/items.json"].post;
  expect(operationId).toBe("post_lists_id_itemsjson");
  expect(requestBody.content["multipart/form-data"]).toEqual({
    schema: { $ref: "#/components/schemas/Order" },
  });
  expect(parameters).toMatchObject([
    { name: "id", in: "path", required: true, schema: { type: "string" } },
    { name: "limit", in: "query", description: "Default 1." },
  ]);
  expect(responses).toEqual({
    200: {
      description: "All.",
      content: {
        "application/json": { schema: { $ref: "#/components/schemas/List" } },
        "text/event-stream": { schema: { type: "string" } },
      },
    },
    202: {
      description: "Either.",
      content: {
        "application/json": {
          schema: {
            anyOf: [
              { $ref: "#/components/schemas/List" },
              {
                type: "object",
                properties: { detail: { type: "string" } },
                required: ["detail"],
                additionalProperties: false,
              },
            ],
          },
        },
      },
    },
    204: { description: "Nothing." },
  });
});

test("routes may share a schema without a name, and the document tells of the key", () => {
  const twin: Route = { ...route, path: "/twin" };
  const { paths, components, security } = documentOf([route, twin], true);
  expect(paths["/twin"].post.responses["202"]).toEqual(paths[route.path].post.responses["202"]);
  expect(components.securitySchemes).toEqual({ apiKey: { type: "http", scheme: "bearer" } });
  expect(security).toEqual([{ apiKey: [] }]);
  expect(documentOf([route]).security).toBeUndefined();
});
