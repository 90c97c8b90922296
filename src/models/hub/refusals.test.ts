/** What each answer of the hub that is no success is told as. */
import { describe, expect, test } from "vitest";
import { refusal, RevisionNotFound, type RefusedAnswer } from "./refusals.ts";

const subject = { id: "org/name", revision: "v2", what: 'config.json of "org/name"' };
const token = { value: "hf_secret", source: "HF_TOKEN" };

interface Case {
  readonly status: number;
  readonly code?: string;
  readonly says?: string;
  readonly token?: RefusedAnswer["token"];
}

function told({ status, code, says, token: shown }: Case): { code: string; message: string } {
  const headers = new Headers();
  if (code !== undefined) {
    headers.set("x-error-code", code);
  }
  if (says !== undefined) {
    headers.set("x-error-message", says);
  }
  const error = refusal({ status, headers, endpoint: "https://hub.example", token: shown }, subject);
  expect(error.message).not.toContain("hf_secret");
  return { code: error.code, message: error.message };
}

describe("a refusal of the hub", () => {
  test.each<[string, Case, string, RegExp]>([
    [
      "a gated repository, without a token",
      { status: 401, code: "GatedRepo" },
      "download",
      /^"org\/name" is gated: .* Accept them at https:\/\/hub\.example\/org\/name, then give a token/,
    ],
    [
      "a gated repository, with one",
      { status: 403, code: "GatedRepo", token },
      "download",
      /The account of the token \(HF_TOKEN\) has no access: accept the terms at https:\/\/hub\.example\/org\/name/,
    ],
    [
      "a revision that is not there",
      { status: 404, code: "RevisionNotFound" },
      "not-found",
      /^"org\/name" has no revision "v2"\. .*https:\/\/hub\.example\/org\/name\/tree\/main/,
    ],
    [
      "a file that is not there",
      { status: 404, code: "EntryNotFound" },
      "not-found",
      /^The hub does not have config\.json of "org\/name", although it lists it\./,
    ],
    [
      "a token that is none",
      { status: 401, says: "Invalid credentials in Authorization header", token },
      "download",
      /^The hub does not know the token \(HF_TOKEN\)\. Make a new one at https:\/\/hub\.example\/settings\/tokens/,
    ],
    [
      "a token that is none, in other words",
      { status: 401, says: "invalid user token", token },
      "download",
      /does not know the token/,
    ],
    [
      "the same without a token: a repository that may be private",
      { status: 401, says: "Invalid credentials" },
      "not-found",
      /^"org\/name" is not on https:\/\/hub\.example\. .*If it is private, give a token: HF_TOKEN/,
    ],
    [
      "another 401 with a token",
      { status: 401, says: "no", token },
      "not-found",
      /is not on .*If it is private, check that the token \(HF_TOKEN\) may read it/,
    ],
    ["a repository that is not there", { status: 400, code: "RepoNotFound" }, "not-found", /is not on /],
    ["404 without a word", { status: 404 }, "not-found", /is not on /],
    [
      "403 without a token",
      { status: 403 },
      "download",
      /^The hub refuses config\.json of "org\/name" \(403\)\. If https:\/\/hub\.example\/org\/name asks for an account/,
    ],
    [
      "403 with its reason and a token",
      { status: 403, says: "Over quota.", token },
      "download",
      /\(403\): Over quota\. Check that the token \(HF_TOKEN\) may read https:\/\/hub\.example\/org\/name\./,
    ],
    ["another status", { status: 410 }, "download", /"hub\.example" answered 410\. Check that HF_ENDPOINT/],
    ["another status with its reason", { status: 410, says: "gone" }, "download", /answered 410 \(gone\)\./],
  ])("%s", (_what, answer, code, message) => {
    const found = told(answer);
    expect(found.code).toBe(code);
    expect(found.message).toMatch(message);
  });

  test("of a revision is told from others, for a fetch may go on with a newer one", () => {
    const answer = { status: 404, endpoint: "https://hub.example" };
    const headers = new Headers({ "x-error-code": "RevisionNotFound" });
    expect(refusal({ ...answer, headers }, subject)).toBeInstanceOf(RevisionNotFound);
    expect(refusal({ ...answer, headers: new Headers() }, subject)).not.toBeInstanceOf(RevisionNotFound);
  });
});
