/** The reference of the command line, as Markdown, from the commands themselves. */
import type { Argument, Command, Option } from "commander";
import { createProgram } from "../../src/cli/main.ts";
import { cell, table } from "./markdown.ts";

/** A command with its whole name. */
export interface NamedCommand {
  readonly name: string;
  readonly command: Command;
}

/** All commands that help shows, those of `models` too. */
export function commands(): readonly NamedCommand[] {
  return subcommands(program(), "model-compose");
}

export function program(): Command {
  return createProgram(() => {
    throw new Error("no command is called here");
  });
}

function subcommands(command: Command, name: string): NamedCommand[] {
  // The hidden command of completion scripts is no part of what help shows.
  const shown = command
    .createHelp()
    .visibleCommands(command)
    .filter((one) => one.name() !== "help");
  return shown.flatMap((one) => {
    const own = `${name} ${one.name()}`;
    return [{ name: own, command: one }, ...subcommands(one, own)];
  });
}

/** The flags of a command that help shows. */
export function flagsOf(command: Command): readonly Option[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .filter(({ long }) => long !== "--help");
}

export function cliReference(): string {
  const all = commands();
  const overview = all
    .filter(({ command }) => command.commands.length === 0)
    .map(({ name, command }) => [
      `[\`${name}\`](#${name.replaceAll(" ", "-")})`,
      cell(command.description()),
    ]);
  const global = flagsOf(program()).map(flagRow);
  return [
    table(["command", "what it does"], overview),
    "These flags may stand before the name of a command too:",
    table(["flag", "meaning"], global),
    ...all.map(section),
  ].join("\n\n");
}

function section({ name, command }: NamedCommand): string {
  const usage = `${name} ${command.usage()}`.trim();
  const args = command.registeredArguments.filter(({ description }) => description !== "");
  const flags = flagsOf(command);
  const examples = examplesOf(command);
  return [
    `### ${name}`,
    sentence(command.description()),
    `\`\`\`\n${usage}\n\`\`\``,
    ...(args.length === 0 ? [] : [table(["argument", "meaning"], args.map(argumentRow))]),
    ...(flags.length === 0 ? [] : [table(["flag", "meaning"], flags.map(flagRow))]),
    ...(examples === "" ? [] : [`Examples:\n\n\`\`\`sh\n${examples}\n\`\`\``]),
  ].join("\n\n");
}

function argumentRow(argument: Argument): string[] {
  const name = argument.required ? `<${argument.name()}>` : `[${argument.name()}]`;
  return [`\`${name}\``, prose(argument.description)];
}

function flagRow({ flags, description, argChoices }: Option): string[] {
  const choices = argChoices === undefined ? "" : `: ${argChoices.join(", ")}`;
  return [`\`${flags}\``, prose(description + choices)].map(cell);
}

/** The lines behind "Examples:" in the help of a command. */
function examplesOf(command: Command): string {
  let help = "";
  command.configureOutput({ writeOut: (text) => (help += text) });
  command.outputHelp();
  const [, text = ""] = help.split("\nExamples:\n");
  return text.replaceAll(/^ {2}/gm, "").trim();
}

/** Words that Markdown would take for marks, in code font. */
function prose(text: string): string {
  return text.replaceAll(/\$\{[^}]+\}/g, "`$&`").replaceAll(/(?<![\w`])(<[\w.-]+>)/g, "`$1`");
}

function sentence(text: string): string {
  const whole = prose(text);
  return `${whole.charAt(0).toUpperCase()}${whole.slice(1)}.`;
}
