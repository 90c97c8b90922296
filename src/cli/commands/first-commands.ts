/** The commands of somebody's first minutes: `doctor` and `init`. Each is loaded when it is called. */
import { Option, type Command } from "commander";
import { commonFlags, composeFlags, examples, flagsOf, type GlobalFlags } from "../common-flags.ts";
import { portFlag } from "../flags.ts";
import type { DoctorFlags } from "./doctor.ts";
import type { InitFlags } from "./init.ts";
import type { CommandContext } from "./run.ts";

/** Adds the commands. @param start makes the context of a command from its flags */
export function firstCommands(program: Command, start: (flags: GlobalFlags) => CommandContext): void {
  composeFlags(commonFlags(program.command("doctor")))
    .description("say what this machine can do: cores, memory, GPUs, and which models run how fast")
    .argument("[model]", "a model to tell of first (default: those of the compose file, where there is one)")
    .option("--no-measure", "do not measure how fast the devices are, which takes some seconds")
    .option("--json", "as JSON")
    .addHelpText("after", examples("doctor", "doctor HuggingFaceTB/SmolLM3-3B", "doctor --no-measure --json"))
    .action(async (model: string | undefined, _flags: unknown, command: Command) => {
      const { doctor } = await import("./doctor.ts");
      const flags = flagsOf<DoctorFlags & GlobalFlags>(command);
      await doctor(model, flags, start(flags));
    });
  commonFlags(program.command("init"))
    .description("write a commented model-compose.yml, after three questions")
    .option("-m, --model <model>", "the model, instead of the first question")
    .addOption(
      new Option("--task <task>", "what it does, instead of the second question").choices(["chat", "text"]),
    )
    .addOption(
      new Option("--port <n>", "the port of its server, instead of the third question").argParser(portFlag),
    )
    .option("-y, --yes", "ask nothing: what no flag says is the default")
    .option("--force", "overwrite a file that is there")
    .addHelpText("after", examples("init", "init --yes --model tales"))
    .action(async (_flags: unknown, command: Command) => {
      const { init } = await import("./init.ts");
      const flags = flagsOf<InitFlags & GlobalFlags>(command);
      await init(flags, start(flags));
    });
}
