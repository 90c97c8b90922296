/** What the environment says about the hub, as the huggingface_hub library reads it. */
import { homedir } from "node:os";
import { join } from "node:path";
import { keepSecret } from "../../base/secrets.ts";
import { ModelComposeError } from "../../base/errors.ts";
import { readText } from "../../runtime/platform/file-store.ts";

/** Variables of the environment. An empty one counts as unset. */
export type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_ENDPOINT = "https://huggingface.co";

/** A token with the place it is from, which errors name instead of it. */
export interface HubToken {
  readonly value: string;
  readonly source: string;
}

/** The hub cache that the environment names, with the precedence of the huggingface_hub library. */
export function hubCacheDirectory(env: Environment = process.env): string {
  const cache = env["HF_HUB_CACHE"] || env["HUGGINGFACE_HUB_CACHE"];
  return cache ? expandPath(cache, env) : join(hubHome(env), "hub");
}

/**
 * Address of the hub without a slash at its end: HF_ENDPOINT, else https://huggingface.co.
 *
 * @throws ModelComposeError "invalid-argument" for what is not an address
 */
export function hubEndpoint(env: Environment = process.env): string {
  const text = env["HF_ENDPOINT"]?.trim() || DEFAULT_ENDPOINT;
  const url = URL.parse(text);
  const isAddress =
    url !== null && ["https:", "http:"].includes(url.protocol) && url.search === "" && url.hash === "";
  if (isAddress && url.username === "" && url.password === "") {
    return text.replace(/\/+$/, "");
  }
  // The address may hold a password, which no message may show.
  const found = isAddress ? "a name or a password is in it" : `found ${JSON.stringify(text)}`;
  throw new ModelComposeError("invalid-argument", `HF_ENDPOINT is not the address of a hub: ${found}.`, {
    remedy: `Write it as in "${DEFAULT_ENDPOINT}", or leave it out; a token goes into HF_TOKEN.`,
  });
}

/**
 * The token to show to the hub: the one given, else HF_TOKEN, else the file that "hf auth login" wrote (HF_TOKEN_PATH,
 * or "token" in HF_HOME). With HF_HUB_DISABLE_IMPLICIT_TOKEN it is only the one given.
 *
 * @throws ModelComposeError "invalid-argument" for a token that cannot be one; the message does not show it
 */
export async function hubToken(
  given: string | undefined,
  env: Environment = process.env,
): Promise<HubToken | undefined> {
  const explicit = tokenFrom(given, "the option token");
  if (explicit !== undefined) {
    return explicit;
  }
  if (isTrue(env["HF_HUB_DISABLE_IMPLICIT_TOKEN"])) {
    return undefined;
  }
  for (const name of ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]) {
    const token = tokenFrom(env[name], name);
    if (token !== undefined) {
      return token;
    }
  }
  const path = expandPath(env["HF_TOKEN_PATH"] || join(hubHome(env), "token"), env);
  return tokenFrom(await readText(path), `the file "${path}"`);
}

/** The setting that forbids the network, as messages name it: "HF_HUB_OFFLINE=1"; undefined when none does. */
export function offlineSetting(env: Environment = process.env): string | undefined {
  const name = env["HF_HUB_OFFLINE"] ? "HF_HUB_OFFLINE" : "TRANSFORMERS_OFFLINE";
  return isTrue(env[name]) ? `${name}=${env[name] ?? ""}` : undefined;
}

export function expandHome(path: string, env: Environment): string {
  return /^~($|[\\/])/.test(path) ? join(homeDirectory(env), path.slice(1)) : path;
}

function hubHome(env: Environment): string {
  const home =
    env["HF_HOME"] || join(env["XDG_CACHE_HOME"] || join(homeDirectory(env), ".cache"), "huggingface");
  return expandPath(home, env);
}

/**
 * A path of a variable, in which `~` and other variables mean what they mean to huggingface_hub (Python's expanduser and
 * expandvars): `$NAME`, `${NAME}`, on Windows also `%NAME%`. One that is not set stays as it is written.
 */
function expandPath(path: string, env: Environment): string {
  const names = process.platform === "win32" ? /\$(\w+)|\$\{([^}]+)\}|%(\w+)%/g : /\$(\w+)|\$\{([^}]+)\}/g;
  return expandHome(path, env).replaceAll(
    names,
    (whole, bare?: string, braced?: string, percent?: string) =>
      env[bare ?? braced ?? percent ?? ""] ?? whole,
  );
}

function homeDirectory(env: Environment): string {
  return (process.platform === "win32" ? env["USERPROFILE"] : env["HOME"]) || homedir();
}

function tokenFrom(text: string | undefined, source: string): HubToken | undefined {
  const value = text?.trim() ?? "";
  if (value === "") {
    return undefined;
  }
  if (/^[\x21-\x7e]+$/.test(value)) {
    keepSecret(value);
    return { value, source };
  }
  throw new ModelComposeError(
    "invalid-argument",
    `The Hugging Face token (${source}) holds spaces or characters that no token has.`,
    { remedy: "Copy it again from https://huggingface.co/settings/tokens." },
  );
}

/** Whether a variable says yes, in the spellings of huggingface_hub. */
function isTrue(value: string | undefined): boolean {
  return ["1", "ON", "YES", "TRUE"].includes(value?.trim().toUpperCase() ?? "");
}
