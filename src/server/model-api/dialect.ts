/** In which words failures are told: those of the API that a path belongs to. */
import { anthropicFailure } from "../anthropic/failures.ts";
import type { Failure } from "../http-error.ts";
import { openAiFailure } from "../openai/failures.ts";
import type { FailureBody } from "../schemas.ts";
import { apiStatus } from "./status.ts";

/** How an API tells of failures. */
export interface Dialect {
  readonly status: (failure: Failure) => number;
  readonly body: (failure: Failure) => object;
}

const own: Dialect = {
  status: ({ status }) => status,
  body: ({ detail, field }): FailureBody => ({ detail, field }),
};

const openAi: Dialect = { status: apiStatus, body: openAiFailure };

const anthropic: Dialect = { status: apiStatus, body: anthropicFailure };

const ANTHROPIC = /^\/v1\/messages(\/|$)/;
/** The paths of OpenAI's API begin with one of these; all else below /v1 is a path that its clients try. */
const OPENAI = /^\/v1\/(models|chat|completions|embeddings|responses)(\/|$)/;

/** The dialect of a path. @param basePath the path below which the server's own API stands */
export function dialectOf(path: string, basePath: string): Dialect {
  if (ANTHROPIC.test(path)) {
    return anthropic;
  }
  const isBelowBase = /^\/v1(\/|$)/.test(basePath) && (path === basePath || path.startsWith(`${basePath}/`));
  const isOther = path.startsWith("/v1/") && !isBelowBase;
  return OPENAI.test(path) || isOther ? openAi : own;
}
