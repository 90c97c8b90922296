import { ModelComposeError } from "../../base/errors.ts";
import {
  serversOf,
  silentServersOf,
  stopServer,
  type RunningServer,
} from "../../registry/running-servers.ts";
import { projectFilesOf, type ProjectFlags } from "../model-project.ts";
import type { CommandContext } from "./run.ts";

export interface StopFlags extends ProjectFlags {
  /** Whether the server's runs are cancelled instead of being waited for. */
  readonly now?: boolean;
}

/** Milliseconds that a server has to end beyond those of its runs: it ends by itself within some 25 s, unless it hangs. */
const CLOSE_MILLISECONDS = 40_000;

/** `model-compose stop`: ends the servers of a project, and returns when they are gone. */
export async function stop(flags: StopFlags, { terminal, signal }: CommandContext): Promise<void> {
  // The files need not be valid any more: a server is known by their names.
  const files = await projectFilesOf(flags);
  const servers = await serversOf(files);
  if (servers.length === 0) {
    const [silent] = await silentServersOf(files);
    if (silent !== undefined) {
      throw new ModelComposeError("device", `The server with the process id ${silent.pid} does not answer.`, {
        remedy: `Try again, or end the process: kill -9 ${silent.pid}.`,
      });
    }
    terminal.note("No server of this project runs.");
    return;
  }
  const now = flags.now === true;
  await Promise.all(
    servers.map(async (server) => {
      if (!now) {
        sayWhatIsWaitedFor(server, (line) => terminal.note(line));
      }
      terminal.progress(`Ending the server at ${server.registration.url}`);
      const isKilled = await stopServer(server, {
        signal,
        now,
        timeoutMilliseconds: (now ? 0 : server.registration.shutdownMilliseconds) + CLOSE_MILLISECONDS,
      });
      const how = isKilled ? "did not end and was killed" : "has ended";
      terminal.note(`The server at ${server.registration.url} ${how}.`);
    }),
  );
}

function sayWhatIsWaitedFor({ registration, info }: RunningServer, note: (line: string) => void): void {
  const runs = info.running + info.waiting;
  if (runs > 0) {
    const seconds = Math.ceil(registration.shutdownMilliseconds / 1000);
    note(
      `The server at ${registration.url} ends when its ${runs === 1 ? "run has" : `${runs} runs have`}, ` +
        `in ${seconds} s at the latest; --now ends it at once.`,
    );
  }
}
