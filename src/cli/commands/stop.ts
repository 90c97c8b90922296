import { findComposeFiles } from "../../compose/load.ts";
import { serversOf, stopServer, type RunningServer } from "../../registry/running-servers.ts";
import type { CommandContext, ComposeFlags } from "./run.ts";

/** Milliseconds that a server has to end beyond those of its runs: freeing a model's memory takes time. */
const CLOSE_MILLISECONDS = 60_000;

/** `model-compose stop`: ends the servers of a project, and returns when they are gone. */
export async function stop(flags: ComposeFlags, { terminal, signal }: CommandContext): Promise<void> {
  // The files need not be valid any more: a server is known by their names.
  const files = findComposeFiles(process.cwd(), flags.file ?? []);
  const servers = await serversOf(files);
  if (servers.length === 0) {
    terminal.note("No server of this project runs.");
    return;
  }
  await Promise.all(
    servers.map(async (server) => {
      terminal.progress(progressText(server));
      await stopServer(server, {
        signal,
        timeoutMilliseconds: server.registration.shutdownMilliseconds + CLOSE_MILLISECONDS,
      });
      terminal.note(`The server at ${server.registration.url} has ended.`);
    }),
  );
}

function progressText({ registration, info }: RunningServer): string {
  const runs = info.running + info.waiting;
  const wait = runs === 0 ? "" : `, which waits for ${runs} ${runs === 1 ? "run" : "runs"}`;
  return `Ending the server at ${registration.url}${wait}`;
}
