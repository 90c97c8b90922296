import { expect, test } from "vitest";
import { isPrivateAddress, PrivateAddressError, publicLookup } from "./private-addresses.ts";

test.each([
  ["127.0.0.1", true],
  ["127.255.255.255", true],
  ["128.0.0.1", false],
  ["10.1.2.3", true],
  ["11.0.0.0", false],
  ["172.15.255.255", false],
  ["172.16.0.0", true],
  ["172.31.255.255", true],
  ["172.32.0.0", false],
  ["192.168.1.1", true],
  ["192.169.0.0", false],
  ["169.254.169.254", true],
  ["100.64.0.1", true],
  ["0.0.0.0", true],
  ["93.184.216.34", false],
  ["[::1]", true],
  ["::", true],
  ["fe80::1%eth0", true],
  ["fd12::1", true],
  ["2606:4700::1", false],
  ["::ffff:127.0.0.1", true],
  ["::ffff:93.184.216.34", false],
  ["64:ff9b::7f00:1", true],
  ["localhost", false],
  ["", false],
])("%s: %s", (address, isPrivate) => {
  expect(isPrivateAddress(address)).toBe(isPrivate);
});

test("a name is refused by what it resolves to", async () => {
  for (const all of [true, false]) {
    const error = await new Promise((resolve) => publicLookup("localhost", { all }, resolve));
    expect(error).toBeInstanceOf(PrivateAddressError);
  }
  const missing = await new Promise((resolve) => publicLookup("nothing.invalid", {}, resolve));
  expect(missing).toMatchObject({ syscall: "getaddrinfo" });
});
