import type { Failure } from "../http-error.ts";
import { apiStatus } from "../model-api/status.ts";

/** The body of a failure as OpenAI's API writes it. */
export interface OpenAiFailure {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

/** A failure as OpenAI's API writes it. */
export function openAiFailure(failure: Failure): OpenAiFailure {
  const { detail: message, field, reason } = failure;
  const [type, code] = kindOf(failure);
  const param = reason === "no-chat-template" ? "model" : (field ?? null);
  return { error: { message, type, param, code } };
}

function kindOf(failure: Failure): [type: string, code: string | null] {
  if (failure.reason === "unknown-model") {
    return ["invalid_request_error", "model_not_found"];
  }
  if (failure.reason === "context-exceeded") {
    return ["invalid_request_error", "context_length_exceeded"];
  }
  const status = apiStatus(failure);
  switch (status) {
    case 401:
      return ["authentication_error", "invalid_api_key"];
    case 403:
      return ["permission_error", null];
    case 429:
      return ["rate_limit_error", "rate_limit_exceeded"];
    case 503:
      return ["server_error", "service_unavailable"];
    default:
      return [status >= 500 ? "server_error" : "invalid_request_error", null];
  }
}
