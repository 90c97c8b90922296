/**
 * Addresses that a stranger's redirect must not lead to: this machine's, and those of private networks, where services answer
 * whoever can reach them (a cloud's metadata, a router).
 */
import { lookup as resolveName } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";

/** IANA's special-purpose registries: loopback, private, shared, link-local, unspecified, unique local, translated. */
const SUBNETS: readonly [string, number][] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["::", 128],
  ["::1", 128],
  ["64:ff9b::", 96],
  ["64:ff9b:1::", 48],
  ["fc00::", 7],
  ["fe80::", 10],
];

const privateAddresses = new BlockList();
for (const [network, bits] of SUBNETS) {
  privateAddresses.addSubnet(network, bits, isIP(network) === 4 ? "ipv4" : "ipv6");
}

/** Whether this is such an address, IPv6 with or without its brackets or its zone; false for a name. */
export function isPrivateAddress(host: string): boolean {
  const address = host.replace(/^\[|\]$|%.*$/g, "");
  const version = isIP(address);
  // An IPv4 address within an IPv6 one (::ffff:127.0.0.1) is found by the rule of the former.
  return version !== 0 && privateAddresses.check(address, version === 4 ? "ipv4" : "ipv6");
}

/** The error for a redirect that leads inside. */
export class PrivateAddressError extends Error {
  override readonly name = "PrivateAddressError";

  constructor(host: string) {
    super(
      `a redirect of a public host leads to ${host}, which is an address of this machine or of a private network; ` +
        "allow_private_redirects: true in the component allows that",
    );
  }
}

/** Resolves a name as Node does, and refuses one that has any private address. */
export const publicLookup: LookupFunction = (name, options, callback) => {
  resolveName(name, { ...options, all: true }, (error, addresses) => {
    const found = addresses as typeof addresses | undefined;
    const inside = found?.find(({ address }) => isPrivateAddress(address));
    if (error !== null || found === undefined) {
      callback(error, "");
    } else if (inside !== undefined) {
      callback(new PrivateAddressError(name), "");
    } else if (options.all === true) {
      callback(null, found);
    } else {
      callback(null, found[0]?.address ?? "", found[0]?.family);
    }
  });
};
