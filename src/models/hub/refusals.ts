/** Errors for the hub's answers that are no success, in words that help. */
import { ModelComposeError } from "../../base/errors.ts";
import type { HubToken } from "./environment.ts";
import { meantModel, suggestion } from "../families/known-models.ts";
import { DEFAULT_REVISION } from "./repository.ts";

/** What a request is about: the repository, its revision, and the thing that is asked for. */
export interface Subject {
  readonly id: string;
  readonly revision: string;
  /** Name of the thing in messages: "the file model.safetensors of org/name". */
  readonly what: string;
}

export interface RefusedAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly endpoint: string;
  readonly token?: HubToken;
}

/** The error for a revision that is not there (any more). */
export class RevisionNotFound extends ModelComposeError {}

/** The error for an answer that trying again will not change. The hub says what is wrong in X-Error-Code. */
export function refusal(answer: RefusedAnswer, subject: Subject): ModelComposeError {
  const { status, headers } = answer;
  const code = headers.get("x-error-code");
  if (code === "GatedRepo") {
    return gated(answer, subject);
  }
  if (code === "RevisionNotFound") {
    return revisionNotFound(answer, subject);
  }
  if (code === "EntryNotFound") {
    return new ModelComposeError(
      "not-found",
      `The hub does not have ${subject.what}, although it lists it.`,
      {
        remedy: 'Fetch the model anew: "model-compose models pull" looks for its newest revision.',
      },
    );
  }
  const says = headers.get("x-error-message") ?? "";
  if (status === 401 && /invalid (credentials|user token)/i.test(says) && answer.token !== undefined) {
    return badToken(answer.token, answer.endpoint);
  }
  if (code === "RepoNotFound" || status === 401 || status === 404) {
    return unknownRepository(answer, subject);
  }
  if (status === 403) {
    return forbidden(answer, subject, says);
  }
  return new ModelComposeError(
    "download",
    `Fetching ${subject.what}: "${new URL(answer.endpoint).host}" answered ${status}${says === "" ? "" : ` (${says})`}.`,
    { remedy: "Check that HF_ENDPOINT, if it is set, is the address of a hub." },
  );
}

function gated({ endpoint, token }: RefusedAnswer, { id }: Subject): ModelComposeError {
  const page = `${endpoint}/${id}`;
  return new ModelComposeError(
    "download",
    `"${id}" is gated: its owner gives access to those who accept its terms.`,
    {
      remedy:
        token === undefined
          ? `Accept them at ${page}, then give a token of that account: HF_TOKEN or "hf auth login", or the option "token".`
          : `The account of the token (${token.source}) has no access: accept the terms at ${page}.`,
    },
  );
}

function revisionNotFound({ endpoint }: RefusedAnswer, { id, revision }: Subject): ModelComposeError {
  return new RevisionNotFound("not-found", `"${id}" has no revision "${revision}".`, {
    remedy: `Its branches and tags are at ${endpoint}/${id}/tree/${DEFAULT_REVISION}.`,
  });
}

function badToken(token: HubToken, endpoint: string): ModelComposeError {
  return new ModelComposeError("download", `The hub does not know the token (${token.source}).`, {
    remedy: `Make a new one at ${endpoint}/settings/tokens, or take the old one away: public models need none.`,
  });
}

function forbidden(
  { endpoint, token }: RefusedAnswer,
  { id, what }: Subject,
  says: string,
): ModelComposeError {
  const reason = says === "" ? "" : `: ${says.replace(/\.$/, "")}`;
  return new ModelComposeError("download", `The hub refuses ${what} (403)${reason}.`, {
    remedy:
      token === undefined
        ? `If ${endpoint}/${id} asks for an account, give a token: HF_TOKEN or "hf auth login", or the option "token".`
        : `Check that the token (${token.source}) may read ${endpoint}/${id}.`,
  });
}

/** The hub answers the same for a repository that is not there and for one that is private. */
function unknownRepository({ endpoint, token }: RefusedAnswer, { id }: Subject): ModelComposeError {
  const near = suggestion(id);
  if (near !== undefined && meantModel(id) !== id) {
    return new ModelComposeError("not-found", near);
  }
  const privately =
    token === undefined
      ? 'If it is private, give a token: HF_TOKEN, or the option "token".'
      : `If it is private, check that the token (${token.source}) may read it.`;
  return new ModelComposeError("not-found", `"${id}" is not on ${endpoint}.`, {
    remedy: near === undefined ? `Check the name. ${privately}` : `${near} ${privately}`,
  });
}
