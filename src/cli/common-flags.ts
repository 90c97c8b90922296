/** What the commands have in common: flags, and how they are read and shown. */
import type { Command } from "commander";
import type { ComposeFlags } from "./commands/run.ts";
import { collect } from "./flags.ts";

export interface GlobalFlags extends ComposeFlags {
  readonly verbose?: boolean;
  readonly quiet?: boolean;
}

/** The flags of a command with those before its name: a list has those of both, of another flag its own wins. */
export function flagsOf<T extends object>(command: Command): T {
  const own = command.opts();
  const before: Record<string, unknown> = command.parent?.opts() ?? {};
  const merged: Record<string, unknown> = { ...before, ...own };
  for (const [name, value] of Object.entries(before)) {
    const mine: unknown = own[name];
    if (Array.isArray(value) && Array.isArray(mine)) {
      merged[name] = [...(value as unknown[]), ...(mine as unknown[])];
    }
  }
  return merged as T;
}

export function commonFlags(command: Command): Command {
  return command
    .option("-v, --verbose", "show causes and stacks of errors, and what GPU drivers say")
    .option("-q, --quiet", "nothing on stderr but errors");
}

export function composeFlags(command: Command): Command {
  return command
    .option("-f, --file <file>", "compose file, repeatable (default: model-compose.yml)", collect)
    .option("--env-file <file>", "file of environment variables, repeatable (.env is always read)", collect)
    .option("-e, --env <name=value>", "environment variable for ${env.NAME}, repeatable", collect)
    .option("--lenient", "unknown keys are warnings");
}

/** The examples in the help of a command that need no word. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  model-compose ${line}`).join("\n")}`;
}
