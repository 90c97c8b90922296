import type { Failure } from "../http-error.ts";

/** The body of a failure as Anthropic's API writes it. */
export interface AnthropicFailure {
  readonly type: "error";
  readonly error: { readonly type: string; readonly message: string };
}

/** The types of errors by status; what is wrong with a request is 400 there, not 422. */
const types: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  503: "overloaded_error",
};

/** The status with which Anthropic's API answers a failure. */
export function anthropicStatus({ status }: Pick<Failure, "status">): number {
  return status === 422 ? 400 : status;
}

/** A failure as Anthropic's API writes it. */
export function anthropicFailure({ status, detail, reason }: Failure): AnthropicFailure {
  const type = types[status] ?? (status >= 500 ? "api_error" : "invalid_request_error");
  // Clients know a prompt beyond the context by these words.
  const message = reason === "context-exceeded" ? `prompt is too long: ${detail}` : detail;
  return { type: "error", error: { type, message } };
}
