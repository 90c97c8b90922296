/** How a failure is answered, in the words of each API. */
import { describe, expect, test } from "vitest";
import { ModelComposeError } from "../base/errors.ts";
import { WorkflowInputError } from "../compose/run/input-error.ts";
import { QueueFullError } from "../compose/run/run-queue.ts";
import { anthropicFailure } from "./anthropic/failures.ts";
import { HttpError, isInternal, requestFailure, runFailure } from "./http-error.ts";
import { NoRoomError } from "./kept-bytes.ts";
import { openAiFailure } from "./openai/failures.ts";

type Code = ConstructorParameters<typeof ModelComposeError>[0];

function failure(code: Code, parameter?: string): ModelComposeError {
  return new ModelComposeError(code, 'It is wrong at "/home/somebody/model".', {
    remedy: "Mend it.",
    ...(parameter !== undefined && { parameter }),
  });
}

describe("a failure", () => {
  test.each<[Code, string | undefined, number, number, string | undefined]>([
    ["invalid-input", undefined, 422, 422, undefined],
    ["invalid-input", "maxPromptTokens", 422, 422, "context-exceeded"],
    ["invalid-argument", undefined, 422, 422, undefined],
    ["invalid-argument", "maxPromptTokens", 422, 422, undefined],
    ["unsupported", undefined, 500, 500, undefined],
    ["unsupported", "jsonSchema", 422, 422, "no-such-form"],
    ["unsupported", "choice", 422, 422, "no-such-form"],
    ["unsupported", "tools", 422, 422, "wrong-tools"],
    ["unsupported", "toolChoice", 500, 500, "wrong-tool-choice"],
    ["not-found", undefined, 404, 500, undefined],
    ["not-found", "template", 404, 500, "no-chat-template"],
    ["unsupported", "template", 500, 500, undefined],
  ])("%s of %s: %d for a request, %d for a run (%s)", (code, parameter, ofRequest, ofRun, reason) => {
    const error = failure(code, parameter);
    const detail = 'It is wrong at "model". Mend it.';
    expect(requestFailure(error)).toMatchObject({ status: ofRequest, detail, reason, headers: {} });
    expect(runFailure(error)).toMatchObject({ status: ofRun, detail, reason, headers: {} });
  });

  test("names the input that is at fault", () => {
    const error = new WorkflowInputError("It is missing.", "prompt", "Add it.");
    expect(runFailure(error)).toMatchObject({ status: 422, field: "prompt" });
  });

  test("for which there is no room says when to come again", () => {
    expect(requestFailure(new NoRoomError(5))).toMatchObject({
      status: 429,
      headers: { "retry-after": "5" },
    });
    expect(requestFailure(new QueueFullError(4, 7))).toMatchObject({
      status: 429,
      headers: { "retry-after": "7" },
    });
  });

  test("of our own making shows nothing of itself", () => {
    const error = new Error("secret /home/somebody");
    expect(runFailure(error)).toEqual({
      status: 500,
      detail: "The server failed. What happened is in its log (model-compose logs).",
      headers: {},
    });
    expect(requestFailure(error)).toEqual(runFailure(error));
    expect([error, failure("unsupported"), new HttpError(404, "no")].map(isInternal)).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe("in the words of other APIs", () => {
  test.each<[number, string, string | null, string]>([
    [400, "invalid_request_error", null, "invalid_request_error"],
    [401, "authentication_error", "invalid_api_key", "authentication_error"],
    [403, "permission_error", null, "permission_error"],
    [404, "invalid_request_error", null, "not_found_error"],
    [409, "invalid_request_error", null, "invalid_request_error"],
    [413, "invalid_request_error", null, "request_too_large"],
    [429, "rate_limit_error", "rate_limit_exceeded", "rate_limit_error"],
    [500, "server_error", null, "api_error"],
    [503, "server_error", "service_unavailable", "overloaded_error"],
  ])("%d is %s (%s) and %s", (status, type, code, anthropic) => {
    const failed = { status, detail: "no", headers: {} };
    expect(openAiFailure(failed)).toEqual({ error: { message: "no", type, param: null, code } });
    expect(anthropicFailure(failed)).toEqual({ type: "error", error: { type: anthropic, message: "no" } });
  });

  test("what clients know by its code", () => {
    const failed = { status: 422, detail: "no", field: "messages", headers: {} };
    const openAi = (reason: Parameters<typeof openAiFailure>[0]["reason"]): unknown =>
      openAiFailure({ ...failed, reason }).error;
    expect(openAi("unknown-model")).toMatchObject({ code: "model_not_found", param: "messages" });
    expect(openAi("context-exceeded")).toMatchObject({
      code: "context_length_exceeded",
      type: "invalid_request_error",
    });
    expect(openAi("no-chat-template")).toMatchObject({ param: "model" });
    expect(anthropicFailure({ ...failed, reason: "context-exceeded" }).error.message).toBe(
      "prompt is too long: no",
    );
    expect(anthropicFailure({ ...failed, reason: "wrong-tools" }).error.message).toBe("no");
  });
});
