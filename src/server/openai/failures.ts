import type { Failure } from "../http-error.ts";

/** The body of a failure as OpenAI's API writes it. */
export interface OpenAiFailure {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

/** The status with which OpenAI's API answers a failure: what is wrong with a request is 400 there, not 422. */
export function openAiStatus({ status }: Pick<Failure, "status">): number {
  return status === 422 ? 400 : status;
}

/** A failure as OpenAI's API writes it. */
export function openAiFailure(failure: Failure): OpenAiFailure {
  const { detail: message, field = null } = failure;
  const [type, code] = kindOf(failure);
  return { error: { message, type, param: field, code } };
}

function kindOf(failure: Failure): [type: string, code: string | null] {
  if (failure.reason === "unknown-model") {
    return ["invalid_request_error", "model_not_found"];
  }
  if (failure.reason === "context-exceeded") {
    return ["invalid_request_error", "context_length_exceeded"];
  }
  switch (openAiStatus(failure)) {
    case 401:
      return ["authentication_error", "invalid_api_key"];
    case 403:
      return ["permission_error", null];
    case 429:
      return ["rate_limit_error", "rate_limit_exceeded"];
    case 501:
      return ["invalid_request_error", "not_supported"];
    case 503:
      return ["server_error", "service_unavailable"];
    default:
      return [failure.status >= 500 ? "server_error" : "invalid_request_error", null];
  }
}
