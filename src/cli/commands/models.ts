/** `model-compose models`: what is done with the models on this machine. Each subcommand is loaded when it is called. */
import type { Command } from "commander";
import type { ModelsFlags } from "./models/flags.ts";
import type { CommandContext } from "./run.ts";

/** Adds the subcommands of `models`. @param start makes the context of a command from its flags */
export function modelsCommands(program: Command, start: (flags: ModelsFlags) => CommandContext): void {
  const models = common(program.command("models"))
    .description("list, fetch, check and remove models")
    .enablePositionalOptions()
    .addHelpText(
      "after",
      examples("models list", "models pull HuggingFaceTB/SmolLM3-3B", "models info tales"),
    );

  json(common(models.command("list")))
    .description("list the models in the Hugging Face cache, and those that came with the program")
    .addHelpText("after", examples("models list", "models list --json"))
    .action(async (_flags: unknown, command: Command) => {
      const { listModels } = await import("./models/list.ts");
      const flags = flagsOf(command);
      await listModels(flags, start(flags));
    });

  revision(common(models.command("pull")))
    .description("fetch a model, or what is newer of it, and print its folder")
    .argument("<model>", "a repository on the Hugging Face hub, such as HuggingFaceTB/SmolLM3-3B")
    .addHelpText(
      "after",
      examples("models pull HuggingFaceTB/SmolLM3-3B", "models pull org/name --revision v1.0"),
    )
    .action(async (model: string, _flags: unknown, command: Command) => {
      const { pullModel } = await import("./models/pull.ts");
      const flags = flagsOf(command);
      await pullModel(model, flags, start(flags));
    });

  revision(common(models.command("verify")))
    .description("compare the files of cached models with their hashes; exit code 1 when one is wrong")
    .argument("[model]", "a repository (default: all)")
    .option("--repair", "fetch again what is damaged or missing")
    .addHelpText("after", examples("models verify", "models verify HuggingFaceTB/SmolLM3-3B --repair"))
    .action(async (model: string | undefined, _flags: unknown, command: Command) => {
      const { verifyModels } = await import("./models/verify.ts");
      const flags = flagsOf(command);
      await verifyModels(model, flags, start(flags));
    });

  revision(common(models.command("remove")))
    .description("remove a model from the cache; what another commit of it uses stays")
    .argument("<model>", "a repository, or with --quantized whatever was loaded quantised")
    .option("-y, --yes", "do not ask")
    .option("--quantized", "only the quantised copies that loading has kept; they are made again when needed")
    .addHelpText(
      "after",
      examples(
        "models remove org/name",
        "models remove org/name --revision 1a2b3c4 --yes",
        "models remove org/name --quantized",
      ),
    )
    .action(async (model: string, _flags: unknown, command: Command) => {
      const { removeModel } = await import("./models/remove.ts");
      const flags = flagsOf(command);
      await removeModel(model, flags, start(flags));
    });

  json(revision(common(models.command("info"))))
    .description("show what a model takes, and whether it fits here; needs its config.json only")
    .argument("<model>", "a folder, a bundled model or a repository")
    .addHelpText("after", examples("models info tales", "models info HuggingFaceTB/SmolLM3-3B --json"))
    .action(async (model: string, _flags: unknown, command: Command) => {
      const { showModelInfo } = await import("./models/info.ts");
      const flags = flagsOf(command);
      await showModelInfo(model, flags, start(flags));
    });
}

function common(command: Command): Command {
  return command
    .option("--cache-dir <folder>", "the cache of models (default: HF_HUB_CACHE, or in HF_HOME)")
    .option("-v, --verbose", "show causes and stacks of errors")
    .option("-q, --quiet", "nothing on stderr but errors");
}

function revision(command: Command): Command {
  return command.option("--revision <name>", "branch, tag or commit (default: main; verify, remove: all)");
}

function json(command: Command): Command {
  return command.option("--json", "as JSON");
}

/** The flags of a command with those before its name and before "models". */
function flagsOf(command: Command): ModelsFlags {
  const models = command.parent;
  const before: Record<string, unknown> = models?.parent?.opts() ?? {};
  if (before["file"] !== undefined) {
    command.error("error: models takes no compose file (-f)");
  }
  return { ...before, ...models?.opts(), ...command.opts() };
}

function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  model-compose ${line}`).join("\n")}`;
}
