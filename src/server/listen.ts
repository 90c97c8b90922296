import { createServer, type Server } from "node:http";
import { createAdaptorServer } from "@hono/node-server";
import { errorMessage, ModelComposeError } from "../base/errors.ts";
import { urlHost } from "./guard.ts";

/** A function that answers requests. */
export type FetchHandler = (request: Request) => Response | Promise<Response>;

/** A server that listens. */
export interface Listener {
  /** Address of the server, without a slash at its end. */
  readonly url: string;
  readonly port: number;
  /** Lets the process end while the server still listens. */
  unref(): void;
  /** Takes no more connections, and ends those that are left after `graceMilliseconds`. */
  close(graceMilliseconds: number): Promise<void>;
}

/**
 * Serves a handler over HTTP. No clock ends an answer: a run may take hours.
 *
 * @param port 0 takes any that is free
 * @throws ModelComposeError `invalid-argument` when the address cannot be had
 */
export async function listen(handler: FetchHandler, host: string, port: number): Promise<Listener> {
  const server = createAdaptorServer({
    fetch: handler,
    createServer,
    overrideGlobalObjects: false,
    // A request must have come whole within a minute; its answer takes what it takes.
    serverOptions: { requestTimeout: 60_000, headersTimeout: 60_000 },
  }) as Server;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(cannotListen(host, port, error)));
    server.listen(port, host, resolve);
  });
  const address = server.address();
  const bound = typeof address === "object" && address !== null ? address.port : port;
  return {
    url: `http://${urlHost(host)}:${bound}`,
    port: bound,
    unref: () => server.unref(),
    close: (graceMilliseconds) => close(server, graceMilliseconds),
  };
}

async function close(server: Server, graceMilliseconds: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMilliseconds);
  await closed;
  clearTimeout(timer);
}

function cannotListen(host: string, port: number, error: NodeJS.ErrnoException): ModelComposeError {
  const place = `${urlHost(host)}:${port}`;
  const [why, remedy] =
    error.code === "EADDRINUSE"
      ? ["the port is in use", "Stop what uses it (model-compose ps shows our servers), or set another port."]
      : error.code === "EADDRNOTAVAIL" || error.code === "ENOTFOUND"
        ? ["this machine has no such address", "Set host to 127.0.0.1, or to an address of this machine."]
        : error.code === "EACCES"
          ? ["this user may not", "Set a port above 1023."]
          : [errorMessage(error), "Set another host or port."];
  return new ModelComposeError("invalid-argument", `The server cannot listen on ${place}: ${why}.`, {
    remedy,
    cause: error,
  });
}
