/** Tests of a session, with an editor that enters what it is told and a partner whose answers are known: a token a character. */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { temporaryDirectory } from "../../../test/support/model-files.ts";
import { AbortError } from "../../base/errors.ts";
import type { ChatResult } from "../../models/chat/chat.ts";
import type { ChatMessage } from "../../models/chat/messages.ts";
import { emptyConversation, textOf } from "./conversation.ts";
import type { Input } from "./line-editor.ts";
import type { Editor, SessionParts } from "./parts.ts";
import type { AnswerOptions, Partner, PartnerPart } from "./partner.ts";
import { ChatSession } from "./session.ts";
import { defaultSettings } from "./settings.ts";

let folder = "";
beforeEach(() => {
  folder = temporaryDirectory();
  vi.stubEnv("MODEL_COMPOSE_STATE_DIR", folder);
});
afterEach(() => vi.unstubAllEnvs());

class FakePartner implements Partner {
  contextLength = 4000;
  readonly device = "fake";
  readonly asked: { readonly texts: string[]; readonly options: AnswerOptions }[] = [];
  /** What comes before an answer, which is "re: " and the last message. */
  before: readonly PartnerPart[] = [];
  result: Partial<ChatResult> = {};
  /** The editor of the session. */
  editor: Pick<Editor, "onInterrupt"> | undefined;
  /** Called when half of an answer has come. */
  half: (editor?: Pick<Editor, "onInterrupt">) => void = () => undefined;

  async *answer(messages: readonly ChatMessage[], options: AnswerOptions): AsyncGenerator<PartnerPart> {
    this.asked.push({ texts: messages.map(textOf), options });
    const said = messages.at(-1);
    const content = `re: ${said === undefined ? "" : textOf(said)}`;
    yield* this.before;
    yield { type: "content", text: content.slice(0, 4) };
    this.half(this.editor);
    await Promise.resolve();
    if (options.signal.aborted) {
      throw new AbortError(options.signal.reason);
    }
    yield { type: "content", text: content.slice(4) };
    const usage = { promptTokens: 30, completionTokens: 7, cachedTokens: 20 };
    yield {
      type: "result",
      result: {
        message: { role: "assistant", content },
        content,
        toolCalls: [],
        finishReason: "eos",
        usage,
        timings: { decodeTokensPerSecond: 5 },
        ...this.result,
      } as unknown as ChatResult,
    };
  }

  countTokens(messages: readonly ChatMessage[]): Promise<number> {
    return Promise.resolve(messages.map(textOf).join("").length);
  }
}

interface Played {
  /** All that was shown, but answers. */
  readonly shown: string;
  readonly answers: string[];
  readonly session: ChatSession;
  readonly error: unknown;
}

/** Enters texts one after the other; "^C" and "^D" are the keys. */
async function play(
  entered: readonly string[],
  partner = new FakePartner(),
  parts: Partial<SessionParts> = {},
): Promise<Played> {
  const shown: string[] = [];
  const answers: string[] = [];
  const waiting = [...entered];
  const stop = new AbortController();
  const editor: Editor = {
    onInterrupt: undefined,
    read: (): Promise<Input> => {
      const text = waiting.shift() ?? "^D";
      if (text === "^D") {
        return Promise.resolve({ kind: "end" });
      }
      return Promise.resolve(
        text.endsWith("^C") ? { kind: "interrupt", hadText: text !== "^C" } : { kind: "text", text },
      );
    },
  };
  partner.editor = editor;
  const session = new ChatSession(
    {
      partner,
      model: "m",
      editor,
      view: () => {
        let answer = "";
        return {
          reasoning: () => undefined,
          content: (text) => {
            answer += text;
            return Promise.resolve();
          },
          end: () => {
            answers.push(answer);
            return Promise.resolve();
          },
        };
      },
      say: (text) => shown.push(text),
      warn: (text) => shown.push(`warning: ${text}`),
      fail: (error) => shown.push(`error: ${(error as Error).message}`),
      prefilling: () => undefined,
      copy: (text) => shown.push(`clipboard: ${text}`),
      leave: () => stop.abort(new Error("left")),
      signal: stop.signal,
      directory: folder,
      keeps: true,
      ...parts,
    },
    { conversation: emptyConversation, settings: defaultSettings },
  );
  const error: unknown = await session.run().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return { shown: shown.join("\n"), answers, session, error };
}

const said = ({ session }: Played): string[] => session.conversation.messages.map(textOf);

test("messages are answered with all that was said before", async () => {
  const partner = new FakePartner();
  const played = await play(["/system S", "a", "", "b"], partner);
  expect(partner.asked.map(({ texts }) => texts)).toEqual([
    ["S", "a"],
    ["S", "a", "re: a", "b"],
  ]);
  expect(played.answers).toEqual(["re: a", "re: b"]);
  expect(played.error).toBeUndefined();
});

test("undo, retry, set, copy, tokens", async () => {
  const partner = new FakePartner();
  const played = await play(
    [
      "/undo",
      "/retry",
      "/copy",
      "a",
      "b",
      "/undo",
      "/set seed 4",
      "/retry",
      "/copy",
      "/tokens",
      "/quit",
      "c",
    ],
    partner,
  );
  expect(said(played)).toEqual(["a", "re: a"]);
  expect(partner.asked.map(({ texts }) => texts.at(-1))).toEqual(["a", "b", "a"]);
  expect(partner.asked.at(-1)?.options.settings.parameters).toEqual({ seed: 4 });
  expect(played.shown).toContain("Nothing was said yet.\nNothing was said yet.");
  expect(played.shown).toContain("Taken back: b");
  expect(played.shown).toContain("clipboard: re: a");
  expect(played.shown).toContain("has 6 of 4,000 tokens");
  expect(played.shown).toContain("30 were read, 10 anew, 20 kept from before, and 7 written (5.0 tokens/s)");
});

test("Ctrl-C stops an answer, which stays as far as it came; the second ends the program", async () => {
  const partner = new FakePartner();
  partner.half = (editor) => {
    editor?.onInterrupt?.();
  };
  const played = await play(["abc", "^C", "never"], partner);
  expect(said(played)).toEqual(["abc", "re: "]);
  expect(played.answers).toEqual(["re: "]);
  expect(played.shown).toContain("Stopped.");
  expect(played.error).toBeInstanceOf(AbortError);
  expect(partner.asked).toHaveLength(1);
});

test("two Ctrl-C while it answers end the program at once", async () => {
  const partner = new FakePartner();
  partner.half = (editor) => {
    editor?.onInterrupt?.();
    editor?.onInterrupt?.();
  };
  const played = await play(["abc", "never"], partner);
  expect(played.error).toBeInstanceOf(AbortError);
  expect(partner.asked).toHaveLength(1);
});

test("at the prompt the first Ctrl-C takes back what was written or says what ends, the second ends", async () => {
  expect((await play(["x^C", "^C", "a", "^C"])).error).toBeUndefined();
  expect((await play(["x^C", "^C", "^C", "a"])).error).toBeInstanceOf(AbortError);
});

test("what fails is said, and the conversation stays as it was", async () => {
  const partner = new FakePartner();
  partner.half = () => {
    throw new Error("the GPU is gone");
  };
  const played = await play(
    ["a", "/nonsense", "@no/such/file", "/load no/such/file", "/save x/y/z"],
    partner,
  );
  expect(said(played)).toEqual([]);
  for (const text of [
    "error: the GPU is gone",
    'no command "/nonsense"',
    "no such file",
    "z cannot be written",
  ]) {
    expect(played.shown).toContain(text);
  }
});

test("calls of tools are shown, called by nobody, and answered with /tool", async () => {
  const partner = new FakePartner();
  const toolCall = { name: "f", arguments: { x: 1 } };
  partner.before = [{ type: "tool-call", text: "…", toolCall }];
  partner.result = { toolCalls: [toolCall] };
  const played = await play(["/tool 4", "a", "/tool 5"], partner);
  expect(played.shown).toContain("warning: The last answer calls no tool.");
  expect(played.shown).toContain('The model asks for f {"x":1}\nNothing was called');
  expect(partner.asked.at(-1)?.texts.at(-1)).toBe("5");
  expect(played.session.conversation.messages[2]).toMatchObject({ role: "tool", name: "f", content: "5" });
});

const long = "x".repeat(200);

test.each([
  ["d", [["b"]], ["b", "re: b"]],
  ["n", [], ["a", "re: a"]],
  ["", [], ["a", "re: a"]],
])("a conversation that does not fit any more: %j", async (choice, asked, left) => {
  const partner = new FakePartner();
  partner.half = () => undefined;
  const played = await play(["a", "/system " + long, "b", choice], shrinking(partner, 213));
  expect(partner.asked.slice(1).map(({ texts }) => texts.slice(1))).toEqual(asked);
  expect(said(played)).toEqual(left);
  expect(played.shown).toContain("It fits without the oldest turn.");
});

/** A partner whose context is so small that the second turn does not fit: 207 tokens, of which 6 are of the first. */
function shrinking(partner: FakePartner, length: number): FakePartner {
  partner.contextLength = Math.ceil((length * 4) / 3) - 16;
  return partner;
}

test("summed up, the summary stands in the place of the oldest turns", async () => {
  const partner = new FakePartner();
  partner.contextLength = 2000;
  const played = await play([long.repeat(4), "b", "c".repeat(200), "s"], partner);
  // The first turn has 1,604 tokens with its answer, and of 2,000 the answer's room is 256.
  expect(partner.asked.map(({ texts }) => texts.length)).toEqual([1, 3, 3, 5]);
  expect(partner.asked[2]?.options.settings.parameters.max_output_length).toBe(256);
  expect(said(played)[1]).toMatch(/^re: Summarise/);
  expect(said(played)).toHaveLength(6);
});

test("a message that does not fit alone is not sent", async () => {
  const partner = new FakePartner();
  partner.contextLength = 100;
  const played = await play([long], partner);
  expect(partner.asked).toEqual([]);
  expect(played.shown).toContain("nothing was sent");
});

test("a conversation is kept for its user alone, listed, and goes on", async () => {
  await play(["a", "b"]);
  const kept = readdirSync(path.join(folder, "chat"));
  expect(kept).toHaveLength(1);
  const file = path.join(folder, "chat", kept[0] ?? "");
  if (process.platform !== "win32") {
    expect(statSync(file).mode & 0o777).toBe(0o600);
  }
  const saved = path.join(folder, "saved.json");
  const played = await play(["/load", "/load 1", "c", `/save ${saved}`], undefined, { keeps: true });
  expect(played.shown).toMatch(/^1 {2}\d{4}-\d\d-\d\d \d\d:\d\d {2}a\n\/load NUMBER/);
  expect(said(played)).toEqual(["a", "re: a", "b", "re: b", "c", "re: c"]);
  expect(readdirSync(path.join(folder, "chat"))).toHaveLength(1);
  expect(readFileSync(file, "utf8")).toContain("re: c");
});

test("with --no-history nothing is kept; /save and /load go by files; /new begins anew", async () => {
  const file = path.join(folder, "mine.json");
  const played = await play(["a", `/save ${file}`, "/new", `/load ${file}`, "b"], undefined, {
    keeps: false,
  });
  expect(said(played)).toEqual(["a", "re: a", "b", "re: b"]);
  expect(readdirSync(folder)).toEqual(["mine.json"]);
  writeFileSync(file, "{}");
  expect((await play([`/load ${file}`])).shown).toContain("is not a conversation that /save has written");
});

test("what stands in a file goes with the message that names it", async () => {
  writeFileSync(path.join(folder, "notes.md"), "line\n```\ncode\n```");
  const partner = new FakePartner();
  await play(["what is in @notes.md?", "ask @bob"], partner);
  expect(partner.asked[0]?.texts[0]).toBe(
    "what is in @notes.md?\n\nnotes.md:\n````md\nline\n```\ncode\n```\n````",
  );
  expect(partner.asked[1]?.texts.at(-1)).toBe("ask @bob");
});
