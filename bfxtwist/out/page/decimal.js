// Exact numbers. A token of the exchange ("0.50", "7e-7") becomes a BigInt of 10^-18 units, and is summed and grouped as that;
// a float would show digits that nobody wrote.

const PLACES = 18;
const ONE = 10n ** BigInt(PLACES);
const EXPONENT = /e/i;
const TOKEN = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/** The units of a token; digits beyond the 18th place are cut off. Throws on what is no number. */
export function parse(token) {
  const match = TOKEN.exec(token);
  if (!match) throw new TypeError(`${token} is not a number`);
  const [, sign, whole, fraction = "", exponent = "0"] = match;
  const shift = PLACES - fraction.length + Number(exponent);
  const digits = BigInt(whole + fraction);
  const units = shift >= 0 ? digits * 10n ** BigInt(shift) : digits / 10n ** BigInt(-shift);
  return sign ? -units : units;
}

/** Units as text, with all their digits and without an exponent. */
export function format(units) {
  const sign = units < 0n ? "-" : "";
  const size = units < 0n ? -units : units;
  const fraction = (size % ONE).toString().padStart(PLACES, "0").replace(/0+$/, "");
  return `${sign}${size / ONE}${fraction && `.${fraction}`}`;
}

/** Units as a float, for what is drawn. */
export function toNumber(units) {
  return Number(units) / Number(ONE);
}

/** The multiple of `step` at or below `units`, or at or above. */
export function toStep(units, step, up) {
  const below = (units / step) * step;
  return up && below < units ? below + step : below;
}

/** Digits after the point; none in a text with an exponent. */
export function placesOf(text) {
  const point = EXPONENT.test(text) ? -1 : text.indexOf(".");
  return point < 0 ? 0 : text.length - point - 1;
}

/** What a text lacks to have so many digits after the point: shown invisibly, it lines up a column of the exchange's own digits.
 *
 * One with an exponent lacks none: `7e-7` and `6.9e-7` end in line.
 */
export function padding(text, places) {
  const missing = text && !EXPONENT.test(text) ? places - placesOf(text) : 0;
  return missing > 0 ? `${placesOf(text) ? "" : "."}${"0".repeat(missing)}` : "";
}

/** A float with so many significant digits, without an exponent: for axes and readouts. */
export function brief(value, digits) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value))));
  const text = value.toFixed(Math.min(places, 12));
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
