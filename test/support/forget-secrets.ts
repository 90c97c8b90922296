/** Forgets what a test file has kept secret: where files share a process, the next one's messages would have holes. */
import { afterAll } from "vitest";
import { forgetSecrets } from "../../src/base/secrets.ts";

afterAll(forgetSecrets);
