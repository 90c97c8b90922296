/** The formats of strings that are enforced, as patterns that match a whole text. */

const DATE =
  "(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))" +
  "|(?:\\d{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)";
const CLOCK = "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?";
const ZONE = "(?:[Zz]|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)";
const OCTET = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const IPV4 = `${OCTET}(?:\\.${OCTET}){3}`;
const H16 = "[0-9A-Fa-f]{1,4}";
const LS32 = `(?:${H16}:${H16}|${IPV4})`;
const IPV6 = [
  `(?:${H16}:){6}${LS32}`,
  `::(?:${H16}:){5}${LS32}`,
  `(?:${H16})?::(?:${H16}:){4}${LS32}`,
  ...[1, 2, 3].map((n) => `(?:(?:${H16}:){0,${n}}${H16})?::(?:${H16}:){${4 - n}}${LS32}`),
  `(?:(?:${H16}:){0,4}${H16})?::${LS32}`,
  `(?:(?:${H16}:){0,5}${H16})?::${H16}`,
  `(?:(?:${H16}:){0,6}${H16})?::`,
].join("|");
const LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const HOSTNAME = `${LABEL}(?:\\.${LABEL}){0,3}`;
const ENCODED = "%[0-9A-Fa-f]{2}";
const PCHAR = `(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|${ENCODED})`;
const AUTHORITY =
  `(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|${ENCODED})*@)?` +
  `(?:\\[(?:${IPV6})\\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|${ENCODED})*)(?::\\d*)?`;
const TAIL = `(?:\\?(?:${PCHAR}|[/?])*)?(?:#(?:${PCHAR}|[/?])*)?`;
const PATHS = `//${AUTHORITY}(?:/${PCHAR}*)*|/(?:${PCHAR}+(?:/${PCHAR}*)*)?|${PCHAR}+(?:/${PCHAR}*)*`;
// A scheme alone is a URI by the letter of RFC 3986, and by no validator.
const URI = `[A-Za-z][A-Za-z0-9+.-]*:(?:${PATHS})${TAIL}`;
const RELATIVE = `(?://${AUTHORITY}(?:/${PCHAR}*)*|/(?:${PCHAR}+(?:/${PCHAR}*)*)?|(?:[A-Za-z0-9._~!$&'()*+,;=@-]|${ENCODED})+(?:/${PCHAR}*)*|)${TAIL}`;
const ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";

/** Patterns by the names of formats. */
export const formatPatterns: Readonly<Record<string, string>> = {
  date: DATE,
  time: `${CLOCK}${ZONE}`,
  "date-time": `${DATE}[Tt]${CLOCK}${ZONE}`,
  duration:
    "P(?:\\d+W|(?:\\d+D|\\d+M(?:\\d+D)?|\\d+Y(?:\\d+M(?:\\d+D)?)?)(?:T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S))?" +
    "|T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S))",
  uuid: "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}",
  email: `${ATOM}(?:\\.${ATOM})*@${LABEL}(?:\\.${LABEL}){1,3}`,
  ipv4: IPV4,
  ipv6: IPV6,
  hostname: HOSTNAME,
  uri: URI,
  "uri-reference": `${URI}|${RELATIVE}`,
  "uri-template":
    "(?:[!#$&()*+,./0-9:;=?@A-Z\\[\\]_a-z~-]|%[0-9A-Fa-f]{2}|" +
    "\\{[+#./;?&=,!@|]?(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})+(?::[1-9]\\d{0,3}|\\*)?(?:,(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})+(?::[1-9]\\d{0,3}|\\*)?)*\\})*",
  "json-pointer": "(?:/(?:[^/~]|~[01])*)*",
};

/** Formats of the JSON Schema vocabulary that are not enforced. Any other name is an annotation by the specification. */
export const refusedFormats: ReadonlySet<string> = new Set([
  "idn-email",
  "idn-hostname",
  "iri",
  "iri-reference",
  "relative-json-pointer",
  "regex",
]);
