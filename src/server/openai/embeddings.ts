import { HttpError, requestFailure } from "../http-error.ts";
import type { ApiModel } from "../model-api/catalog.ts";
import type { WorkflowService } from "../service.ts";
import type { Embedding } from "../../runtime/generation/embed.ts";
import type { z } from "zod";
import type { EmbeddingsBody } from "./bodies.ts";
import type { embeddingsRequest } from "./requests.ts";

/**
 * Makes vectors of the texts of a request. It waits for its turn as runs do, and ends when the one who asked has left.
 *
 * @throws HttpError 400 for a workflow; what embedding throws
 */
export async function embed(
  service: WorkflowService,
  model: ApiModel,
  { input, pooling, encoding_format: format = "float" }: z.infer<typeof embeddingsRequest>,
  signal: AbortSignal,
): Promise<EmbeddingsBody> {
  if (model.kind === "workflow") {
    throw new HttpError(400, `"${model.id}" is a workflow: embeddings are a component's.`, {
      field: "model",
    });
  }
  const embeddings = await made(service.embed(model.component, [input].flat(), { pooling, signal }));
  const tokens = embeddings.reduce((sum, { promptTokens }) => sum + promptTokens, 0);
  return {
    object: "list",
    model: model.id,
    data: embeddings.map(({ embedding }, index) => ({
      object: "embedding",
      index,
      embedding: format === "float" ? [...embedding] : base64Of(embedding),
    })),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

/** A text beyond the context is the fault of the field that it stands in. */
async function made(embeddings: Promise<Embedding[]>): Promise<Embedding[]> {
  try {
    return await embeddings;
  } catch (error) {
    const { status, detail, reason, headers } = requestFailure(error);
    if (reason !== "context-exceeded") {
      throw error;
    }
    throw new HttpError(status, detail, { reason, headers, field: "input" });
  }
}

function base64Of(numbers: Float32Array): string {
  const bytes = new DataView(new ArrayBuffer(4 * numbers.length));
  for (const [i, x] of numbers.entries()) {
    bytes.setFloat32(4 * i, x, true);
  }
  return Buffer.from(bytes.buffer).toString("base64");
}
