import type { CommandContext } from "./run.ts";
import { serve, type ServeFlags } from "./serve.ts";

/** `model-compose up`: serves a project over HTTP, with its web UI. */
export async function up(flags: ServeFlags, context: CommandContext): Promise<void> {
  await serve(flags, context);
}
