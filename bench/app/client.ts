/** A client of the server that costs as little as one can: what is measured is the server. */
import { request, type Agent } from "node:http";
import { text as readText } from "node:stream/consumers";

/**
 * Makes a blocking run of the default workflow.
 *
 * @returns the answer's text
 * @throws Error when the answer is not 200
 */
export async function postRun(url: string, agent: Agent, input: object): Promise<string> {
  return postBody(url, agent, runBody(input));
}

/** The body of a run. */
export function runBody(input: object): Buffer {
  return Buffer.from(JSON.stringify({ input }));
}

/** As `postRun`, with a body that was made before. */
export async function postBody(url: string, agent: Agent, body: Buffer): Promise<string> {
  const headers = { "content-type": "application/json", "content-length": body.length };
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/workflows/runs`, { method: "POST", agent, headers }, (response) => {
      readText(response).then((text) => {
        if (response.statusCode === 200) {
          resolve(text);
        } else {
          reject(new Error(`The server answered ${response.statusCode ?? 0}: ${text}`));
        }
      }, reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}
