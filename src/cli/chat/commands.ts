/** What a line of `chat` means: a message, or a command that begins with a slash. */
import { nearestName } from "../../base/nearest-name.ts";
import { alignColumns } from "../../base/text-table.ts";

/** The commands, with what `/help` says of them. */
export const CHAT_COMMANDS = {
  help: ["", "show this"],
  system: ["[TEXT | none]", "show or change what the model is told before everything"],
  set: [
    "[NAME VALUE | NAME default]",
    "show or change how answers are made: temperature, max_output_length, seed, …",
  ],
  retry: ["", "answer the last message again"],
  undo: ["", "take the last turn back"],
  tool: ["RESULT", "answer a call of a tool with its result"],
  think: ["", "show what the model thought before the last answer"],
  tokens: ["", "show how full the context is, and what the last answer took"],
  copy: ["", "copy the last answer, through the terminal"],
  save: ["FILE", "write the conversation to a file, as JSON"],
  load: ["[FILE | NUMBER]", "go on with a conversation from a file, or with a kept one; alone: list those"],
  new: ["", "begin a new conversation"],
  quit: ["", "end (also Ctrl-D)"],
} as const satisfies Readonly<Record<string, readonly [argument: string, meaning: string]>>;

export type ChatCommand = keyof typeof CHAT_COMMANDS;

/** The commands that want an argument. */
const NEEDS_ARGUMENT: ReadonlySet<ChatCommand> = new Set(["save", "tool"]);

/** What was entered. */
export type Entry =
  | { readonly kind: "nothing" }
  | { readonly kind: "message"; readonly text: string }
  | { readonly kind: "command"; readonly name: ChatCommand; readonly argument: string }
  /** A command that there is not, or one that lacks its argument. */
  | { readonly kind: "mistake"; readonly message: string };

/** Reads what was entered. A message may begin with a slash when it is written twice: `//` stands for one. */
export function readEntry(text: string): Entry {
  if (text.trim() === "") {
    return { kind: "nothing" };
  }
  const [, slash, name = "", argument = ""] = /^(\/\/?)([a-z]*)\s*([^]*)$/i.exec(text.trimStart()) ?? [];
  if (slash === undefined) {
    return { kind: "message", text };
  }
  if (slash === "//") {
    return { kind: "message", text: text.trimStart().slice(1) };
  }
  const command = commandOf(name.toLowerCase());
  if (command === undefined) {
    const near = nearestName(name, Object.keys(CHAT_COMMANDS));
    const hint = near === undefined ? "/help shows what there is" : `Did you mean /${near}?`;
    return { kind: "mistake", message: `There is no command "/${name}". ${hint}` };
  }
  if (NEEDS_ARGUMENT.has(command) && argument.trim() === "") {
    return { kind: "mistake", message: `/${command} needs ${CHAT_COMMANDS[command][0]} behind it.` };
  }
  return { kind: "command", name: command, argument: argument.trim() };
}

function commandOf(name: string): ChatCommand | undefined {
  const aliases: Readonly<Record<string, ChatCommand>> = { exit: "quit", bye: "quit" };
  const known = aliases[name] ?? name;
  return Object.hasOwn(CHAT_COMMANDS, known) ? known : undefined;
}

/** The text of `/help`. */
export function helpText(): string {
  const commands = Object.entries(CHAT_COMMANDS).map(([name, [argument, meaning]]) => [
    `/${name} ${argument}`.trimEnd(),
    meaning,
  ]);
  const keys = [
    ["@FILE", "in a message: what stands in the file goes with it"],
    ['""" … """', "a message of several lines; so is one with \\ at the end of a line, and what is pasted"],
    ["Up, Ctrl-R", "earlier lines: those that begin, or contain, what is written"],
    ["Ctrl-C", "stop the answer; again: end"],
  ];
  return alignColumns([...commands, [""], ...keys]).join("\n");
}

/** The ends of a line that begins with a slash, for the Tab key. */
export function completions(line: string): string[] {
  return Object.keys(CHAT_COMMANDS)
    .map((name) => `/${name}`)
    .filter((name) => line.startsWith("/") && name.startsWith(line));
}
