/** Which values of a compose file and of its environment are kept from being told. */
import { afterEach, expect, test } from "vitest";
import { forgetSecrets, withoutSecrets } from "../../base/secrets.ts";
import { readCompose } from "../load.ts";

afterEach(forgetSecrets);

function told(yaml: string, variables: Record<string, string>, text: string): string {
  readCompose([{ name: "c.yml", path: "/c.yml", text: yaml }], {
    environment: new Map(Object.entries(variables)),
  });
  return withoutSecrets(text);
}

test("what comes from the environment, wherever it stands, and whatever stands in keys of secrets", () => {
  const yaml = `components:
  - id: api
    type: http-client
    base_url: "\${env.BASE}"
    headers: { Authorization: "Bearer literal-key", X-Short: k3y7, Accept: application/json }
    path: /bot\${env.BOT}/send
    body: { text: "\${input.text}", to: "\${env.WHOM | nobody}" }
workflow: { component: api }
`;
  const values = {
    BASE: "https://user:pw@host.example/v1",
    BOT: "12:AAF",
    WHOM: "me@home",
    UNUSED: "left alone",
  };
  const text =
    "POST https://user:pw@host.example/v1/bot12:AAF/send to me@home with literal-key, k3y7, application/json; left alone";
  expect(told(yaml, values, text)).toBe("POST …/bot…/send to … with …, …, application/json; left alone");
});

test("what names a model or an address is told, its token is not", () => {
  const yaml = `controller: { host: "\${env.HOST}", port: "\${env.PORT as integer}" }
component:
  type: model
  task: text-generation
  model: { provider: huggingface, repository: "\${env.MODEL}", revision: "\${env.REVISION}", token: "\${env.TOKEN}" }
  prompt: "\${env.PREFIX} \${input.prompt}"
workflow: { component: __component__ }
`;
  const values = {
    HOST: "127.0.0.1",
    PORT: "8090",
    MODEL: "some/model",
    REVISION: "abcdef",
    TOKEN: "hf_x1y2",
    PREFIX: "private",
  };
  expect(told(yaml, values, "some/model abcdef 127.0.0.1:8090 hf_x1y2 private")).toBe(
    "some/model abcdef 127.0.0.1:8090 … …",
  );
});
