/** A run as a command line, for people who go on from the page to a script. */

/** A request that starts a run. */
export interface CurlRequest {
  readonly url: string;
  readonly body: unknown;
  /** Whether the API asks for a key; the command takes the key from the environment instead of showing it. */
  readonly needsKey: boolean;
  /** Whether the answer is a stream of events. */
  readonly streams: boolean;
}

/** The program that reads the command: "cmd" is that of Windows, "posix" all others. */
export type Shell = "posix" | "cmd";

const KEY_VARIABLE = "MODEL_COMPOSE_API_KEY";

/** The command of a request, for a shell. */
export function curlCommand({ url, body, needsKey, streams }: CurlRequest, shell: Shell): string {
  const quote = shell === "posix" ? quotePosix : quoteCmd;
  const key = shell === "posix" ? `$${KEY_VARIABLE}` : `%${KEY_VARIABLE}%`;
  const json = JSON.stringify(body);
  const parts = [
    streams ? "curl -N" : "curl",
    quote(url),
    `-H ${quote("Content-Type: application/json")}`,
    ...(needsKey ? [`-H "Authorization: Bearer ${key}"`] : []),
    `-d ${shell === "posix" ? quote(json) : quoteCmd(escapeForCmd(json))}`,
  ];
  return parts.join(shell === "posix" ? " \\\n  " : " ");
}

function quotePosix(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Quotes for programs on Windows, which take arguments apart themselves: backslashes count only before a quotation mark. */
function quoteCmd(text: string): string {
  return `"${text.replaceAll(/(\\*)"/g, '$1$1\\"').replace(/\\+$/, "$&$&")}"`;
}

/** JSON in which nothing is left that cmd.exe reads itself, or that a code page changes. */
function escapeForCmd(json: string): string {
  return json.replaceAll(
    /[&|<>^%!]|[^ -~]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
