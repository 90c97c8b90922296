import { rm } from "node:fs/promises";
import { logFile } from "../../registry/launch.ts";
import { projectFilesOf } from "../model-project.ts";
import type { CommandContext } from "./run.ts";
import { stop, type StopFlags } from "./stop.ts";

/** `model-compose down`: does what `stop` does, and removes what servers of the project left behind, their log. */
export async function down(flags: StopFlags, context: CommandContext): Promise<void> {
  await stop(flags, context);
  await rm(await logFile(await projectFilesOf(flags)), { force: true });
}
