import type { Failure } from "../http-error.ts";
import { apiStatus } from "../model-api/status.ts";

/** The body of a failure as Anthropic's API writes it. */
export interface AnthropicFailure {
  readonly type: "error";
  readonly error: { readonly type: string; readonly message: string };
}

/** The types of errors by status. */
const types: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  503: "overloaded_error",
};

/** A failure as Anthropic's API writes it. */
export function anthropicFailure(failure: Failure): AnthropicFailure {
  const { detail, reason } = failure;
  const status = apiStatus(failure);
  const type = types[status] ?? (status >= 500 ? "api_error" : "invalid_request_error");
  // Clients know a prompt beyond the context by these words.
  const message = reason === "context-exceeded" ? `prompt is too long: ${detail}` : detail;
  return { type: "error", error: { type, message } };
}
