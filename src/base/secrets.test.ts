import { afterEach, describe, expect, test } from "vitest";
import { forgetSecrets, keepSecret, withoutSecrets } from "./secrets.ts";

afterEach(forgetSecrets);

describe("secrets", () => {
  test("nothing is kept, nothing is hidden", () => {
    expect(withoutSecrets("a (b) $c")).toBe("a (b) $c");
  });

  test("are hidden wherever they stand, whatever characters they have", () => {
    for (const value of ["s3cr3t-key", "a.b*c", "$&(x)[y]{z}|^\\", "ключ", "p w"]) {
      forgetSecrets();
      keepSecret(value);
      expect(withoutSecrets(`x${value}y ${value}!`)).toBe(value.length < 4 ? `x${value}y …!` : "x…y …!");
    }
  });

  test("of few letters are hidden as words only", () => {
    keepSecret("dev");
    expect(withoutSecrets("the device dev, dev=dev, über-dev, devü")).toBe("the device …, …=…, über-…, devü");
  });

  test("the longer one goes first", () => {
    keepSecret("abcd");
    keepSecret("abcdef");
    expect(withoutSecrets("abcdef abcd")).toBe("… …");
  });

  test("of several lines are known by each line", () => {
    keepSecret("-----BEGIN-----\r\nMIIabc\n");
    expect(withoutSecrets("key MIIabc.")).toBe("key ….");
  });

  test("numbers, truth values, single characters and what is no text are none", () => {
    for (const value of ["8080", "-1.5", "true", "Off", "x", "", "  ", 7, null, { a: "secret" }]) {
      keepSecret(value);
    }
    expect(withoutSecrets("8080 -1.5 true Off x secret")).toBe("8080 -1.5 true Off x secret");
  });
});
