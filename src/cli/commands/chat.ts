import { text as readAll } from "node:stream/consumers";
import { ModelComposeError, throwIfAborted } from "../../base/errors.ts";
import { errorInWordsOf, inWordsOf } from "../../base/front-words.ts";
import { withoutUndefined } from "../../base/without-undefined.ts";
import { allComponents } from "../../compose/definition/definition.ts";
import type { GenerationParameters } from "../../compose/definition/parameters.ts";
import { ModelHost } from "../../compose/model-host.ts";
import { Engine } from "../../compose/run/engine.ts";
import type { GenerateOptions } from "../../runtime/generation/types.ts";
import { answerOnce } from "../chat/answer-once.ts";
import { PlainView, TerminalView, type AnswerView } from "../chat/answer-view.ts";
import { completions } from "../chat/commands.ts";
import { emptyConversation, fromKept, titleOf, toKept, withMessage } from "../chat/conversation.ts";
import { LineEditor } from "../chat/line-editor.ts";
import { chatComponent, ComponentPartner, ModelPartner, systemOf, type Partner } from "../chat/partner.ts";
import { ChatSession, type SessionStart } from "../chat/session.ts";
import { defaultSettings } from "../chat/settings.ts";
import {
  keepConversation,
  keepLines,
  keptConversations,
  newConversationId,
  readLines,
  type StoredConversation,
} from "../chat/store.ts";
import { deviceOptions } from "../flags.ts";
import { drawingOptions, modelOptions, type ModelFlags, type SamplingFlags } from "../model-flags.ts";
import { generateWords } from "../parameter-flags.ts";
import { failureText, statisticsLine } from "../report.ts";
import { loadProject, type CommandContext, type ComposeFlags } from "./run.ts";

export interface ChatFlags extends ComposeFlags, ModelFlags, SamplingFlags {
  readonly model?: string;
  /** What the model is told before everything. */
  readonly system?: string;
  /** The id of a kept conversation to go on with; true: the last one. */
  readonly resume?: string | true;
  /** False with `--no-history`: neither the conversation nor the lines that are entered are kept. */
  readonly history?: boolean;
  readonly verbose?: boolean;
}

/** Who answers, under which name, and what ends it. */
interface Opened {
  readonly partner: Partner;
  readonly model: string;
  /** What the compose file tells the model before everything. */
  readonly system: string | undefined;
  readonly close: () => Promise<void>;
}

/**
 * `model-compose chat`: a conversation in the terminal. With a pipe for its stdin, that is one message, and its answer alone
 * goes to stdout.
 *
 * @param named a model; with a compose file, one of its components
 */
export async function chat(
  named: string | undefined,
  flags: ChatFlags,
  context: CommandContext,
): Promise<void> {
  try {
    await talk(named, flags, context);
  } catch (error) {
    throw errorInWordsOf(error, generateWords);
  }
}

async function talk(named: string | undefined, flags: ChatFlags, context: CommandContext): Promise<void> {
  const { terminal, signal } = context;
  const parameters = parametersOf(flags);
  if (named !== undefined && flags.model !== undefined) {
    throw new ModelComposeError("usage", "chat has one model, found two.", { remedy: "Leave --model out." });
  }
  const resumed = flags.resume === undefined ? undefined : await resume(flags.resume);
  const message = process.stdin.isTTY ? undefined : await readMessage();
  // A notice would break the block of an answer that is being written in place.
  const held: { session?: ChatSession } = {};
  const onNotice = (line: string): void => {
    if (held.session?.holdNotice(line) !== true) {
      terminal.note(inWordsOf(line, generateWords));
    }
  };
  const opened = await open(named ?? flags.model, flags, context, { onNotice, resumed });
  const { partner, model } = opened;
  try {
    const conversation = resumed === undefined ? emptyConversation : fromKept(resumed);
    const system = flags.system ?? conversation.system ?? opened.system;
    const settings = { ...defaultSettings, parameters };
    const start = { conversation: { ...conversation, system }, settings, id: resumed?.id };
    if (message !== undefined) {
      await answerPipe(message, start, opened, flags, context);
      return;
    }
    const lines = flags.history === false ? [] : await readLines();
    const editor = new LineEditor({
      input: process.stdin,
      output: process.stderr,
      history: lines,
      complete: completions,
      signal,
    });
    const isTerminal = terminal.stdoutIsTerminal;
    const session = new ChatSession(
      {
        partner,
        model,
        editor,
        view: (folds) => viewOf(context, folds),
        say: (text) => terminal.say(text),
        warn: (text) => terminal.warn(text),
        fail: (error) =>
          terminal.error(failureText(errorInWordsOf(error, generateWords), flags.verbose ?? false)),
        prefilling: (progress) => terminal.prefilling(progress),
        copy: isTerminal ? (text) => process.stdout.write(clipboardSequence(text)) : undefined,
        leave: () => process.emit("SIGINT"),
        signal,
        directory: process.cwd(),
        keeps: flags.history !== false,
      },
      start,
    );
    held.session = session;
    if (resumed !== undefined) {
      terminal.note(`Goes on: ${titleOf(resumed)}`);
    }
    terminal.note("/help shows what there is; Ctrl-D ends.");
    try {
      await session.run();
    } finally {
      editor.close();
      terminal.endLine();
      if (flags.history !== false) {
        await keepLines(editor.history);
      }
    }
    throwIfAborted(signal);
  } finally {
    terminal.close();
    await opened.close();
  }
}

/** The parameters that flags set, by their names in compose files. @throws ModelComposeError `usage` */
function parametersOf(flags: ChatFlags): GenerationParameters {
  const drawing: GenerateOptions = flags.greedy === true ? {} : drawingOptions(flags);
  return withoutUndefined<GenerationParameters>({
    max_output_length: flags.maxTokens,
    temperature: drawing.temperature,
    top_k: drawing.topK,
    top_p: drawing.topP,
    min_p: drawing.minP,
    seed: drawing.seed,
    repetition_penalty: flags.repetitionPenalty,
    no_repeat_ngram_size: flags.noRepeatNgramSize,
    do_sample: flags.greedy === true ? false : flags.doSample,
    stop_sequences: flags.stop === undefined ? undefined : [...flags.stop],
  });
}

/** The conversation that goes on. @throws ModelComposeError "not-found" */
async function resume(wanted: string | true): Promise<StoredConversation> {
  const kept = await keptConversations();
  const found = wanted === true ? kept[0] : kept.find(({ id }) => id === wanted.toUpperCase());
  if (found !== undefined) {
    return found;
  }
  throw new ModelComposeError(
    "not-found",
    wanted === true ? "No conversation is kept." : `No conversation with the id "${wanted}" is kept.`,
    { remedy: "/load in a conversation lists those that are; --resume alone takes the last one." },
  );
}

interface OpenOptions {
  readonly onNotice: (line: string) => void;
  readonly resumed: StoredConversation | undefined;
}

/** Loads who answers. */
async function open(
  named: string | undefined,
  flags: ChatFlags,
  { terminal, signal, loadModel }: CommandContext,
  { onNotice, resumed }: OpenOptions,
): Promise<Opened> {
  const onProgress = terminal.loading.bind(terminal);
  if (flags.file === undefined) {
    const model = named ?? resumed?.model;
    if (model === undefined) {
      throw new ModelComposeError("usage", "chat needs a model.", {
        remedy:
          "model-compose chat HuggingFaceTB/SmolLM2-135M-Instruct fetches 270 MB; -f FILE " +
          "takes a component of a compose file.",
      });
    }
    const options = { ...modelOptions(flags), chat: true, signal, onProgress, onNotice };
    const loaded = await loadModel(model, options).catch((error: unknown) => {
      throw isWithoutTemplate(error) ? noTemplateError(model, error) : error;
    });
    return {
      partner: new ModelPartner(loaded),
      model,
      system: undefined,
      close: () => loaded.dispose(),
    };
  }
  const { definition } = loadProject(flags, terminal);
  const models = allComponents(definition).filter((component) => component.type === "model");
  const component = chatComponent(models, named);
  const host = new ModelHost(loadModel, { onNotice }, deviceOptions(flags));
  try {
    const loaded = await host.model(component, { signal, onProgress });
    const engine = new Engine(definition, host, { serving: true });
    return {
      partner: new ComponentPartner(engine, component, loaded),
      model: component.model.name,
      system: systemOf(component),
      close: () => host.dispose(),
    };
  } catch (error) {
    await host.dispose();
    throw error;
  }
}

function isWithoutTemplate(error: unknown): boolean {
  return error instanceof ModelComposeError && error.code === "not-found" && error.parameter === "template";
}

function noTemplateError(model: string, cause: unknown): ModelComposeError {
  return new ModelComposeError(
    "not-found",
    `The model "${model}" continues texts and has no chat template: it was not made for conversations.`,
    {
      remedy:
        `model-compose generate -m ${model} "Once upon a time" goes on from a text. For a conversation take a model that was ` +
        "tuned for it, whose name mostly ends in -Instruct.",
      cause,
    },
  );
}

async function readMessage(): Promise<string> {
  // As `$(…)` does in shells, the line break that ends it is not part of the text.
  const message = (await readAll(process.stdin)).replace(/\r?\n$/, "");
  if (message.trim() === "") {
    throw new ModelComposeError("invalid-input", "The message is empty.", {
      remedy: "Write one into the pipe, or start chat at a terminal.",
    });
  }
  return message;
}

async function answerPipe(
  message: string,
  { conversation, settings, id = newConversationId() }: SessionStart,
  { partner, model }: Opened,
  flags: ChatFlags,
  { terminal, signal }: CommandContext,
): Promise<void> {
  const asked = withMessage(conversation, { role: "user", content: message });
  const answered = await answerOnce(
    {
      partner,
      signal,
      view: () => new PlainView((text) => terminal.write(text)),
      warn: (text) => terminal.warn(inWordsOf(text, generateWords)),
      prefilling: (progress) => terminal.prefilling(progress),
    },
    asked,
    settings,
  );
  // What a script asks is kept only where it goes on with what was kept.
  if (flags.resume !== undefined && flags.history !== false) {
    await keepConversation(id, toKept(answered.conversation, model, new Date().toISOString()));
  }
  terminal.note(statisticsLine([answered.result], partner.device));
}

function viewOf({ terminal }: CommandContext, folds: boolean): AnswerView {
  if (!terminal.stdoutIsTerminal) {
    return new PlainView((text) => terminal.write(text));
  }
  const colors = process.stdout.hasColors() && !process.env["NO_COLOR"];
  return new TerminalView(process.stdout, { colors, folds, begin: () => terminal.close() });
}

/** What tells a terminal to put a text into the clipboard (OSC 52), also through a connection to another machine. */
function clipboardSequence(text: string): string {
  return `\u001b]52;c;${Buffer.from(text).toString("base64")}\u0007`;
}
