/** Python's `strftime` in the C locale: the date that templates put into a system message. */

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"] as const;
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
] as const;

const pad = (value: number, width = 2): string => String(value).padStart(width, "0");
const hour12 = (date: Date): number => date.getHours() % 12 || 12;

/**
 * The directives of https://docs.python.org/3/library/datetime.html#format-codes without a time zone or a calendar week.
 */
const DIRECTIVES: Readonly<Record<string, (date: Date) => string>> = {
  a: (date) => DAYS[date.getDay()].slice(0, 3),
  A: (date) => DAYS[date.getDay()],
  b: (date) => MONTHS[date.getMonth()].slice(0, 3),
  B: (date) => MONTHS[date.getMonth()],
  c: (date) => strftime(date, "%a %b %e %H:%M:%S %Y"),
  d: (date) => pad(date.getDate()),
  D: (date) => strftime(date, "%m/%d/%y"),
  e: (date) => String(date.getDate()).padStart(2, " "),
  f: (date) => pad(date.getMilliseconds() * 1000, 6),
  F: (date) => strftime(date, "%Y-%m-%d"),
  h: (date) => strftime(date, "%b"),
  H: (date) => pad(date.getHours()),
  I: (date) => pad(hour12(date)),
  j: (date) => pad(dayOfYear(date), 3),
  m: (date) => pad(date.getMonth() + 1),
  M: (date) => pad(date.getMinutes()),
  n: () => "\n",
  p: (date) => (date.getHours() < 12 ? "AM" : "PM"),
  r: (date) => strftime(date, "%I:%M:%S %p"),
  R: (date) => strftime(date, "%H:%M"),
  S: (date) => pad(date.getSeconds()),
  t: () => "\t",
  T: (date) => strftime(date, "%H:%M:%S"),
  u: (date) => String(date.getDay() || 7),
  w: (date) => String(date.getDay()),
  x: (date) => strftime(date, "%m/%d/%y"),
  X: (date) => strftime(date, "%H:%M:%S"),
  y: (date) => pad(date.getFullYear() % 100),
  Y: (date) => String(date.getFullYear()),
  "%": () => "%",
};

/**
 * Formats a date in local time. `%-d` is without padding, as in glibc.
 *
 * @throws Error for a directive that is not known here
 */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)(.?)/gs, (written: string, dash: string, letter: string) => {
    const directive = Object.hasOwn(DIRECTIVES, letter) ? DIRECTIVES[letter] : undefined;
    if (directive === undefined) {
      throw new Error(`strftime_now does not know ${JSON.stringify(written)}`);
    }
    const text = directive(date);
    return dash === "" ? text : text.replace(/^[0 ]+(?=.)/, "");
  });
}

function dayOfYear(date: Date): number {
  const day = (month: number, ofMonth: number): number => Date.UTC(date.getFullYear(), month, ofMonth);
  return Math.round((day(date.getMonth(), date.getDate()) - day(0, 0)) / 86_400_000);
}
