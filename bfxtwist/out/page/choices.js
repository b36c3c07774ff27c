// What the reader has chosen. What is looked at (pair, rows, step) is in the URL, so that it can be sent and kept as a bookmark;
// how it looks (theme, colours) stays with the browser.

const ROWS = ["10", "25", "100"];
const THEMES = ["auto", "light", "dark"];
const COLOURS = ["green-red", "blue-orange"];

export class Choices {
  constructor(window) {
    this.window = window;
    const query = new URLSearchParams(window.location.search);
    this.pair = query.get("pair");
    this.rows = oneOf(ROWS, query.get("rows"), window.innerHeight >= 1200 ? "25" : "10");
    this.step = query.get("step") ?? "";
    this.theme = oneOf(THEMES, kept(window, "theme"), "auto");
    this.colours = oneOf(COLOURS, kept(window, "colours"), "green-red");
  }

  /** Put the choice in the URL; another pair is another place to go back from. */
  write(pairChanged) {
    const query = new URLSearchParams({ ...(this.pair && { pair: this.pair }), rows: this.rows }); // none is known at first
    if (this.step) query.set("step", this.step);
    const { history } = this.window;
    if (pairChanged) history.pushState(null, "", `?${query}`);
    else history.replaceState(null, "", `?${query}`);
  }

  nextTheme() {
    this.theme = after(THEMES, this.theme);
    keep(this.window, "theme", this.theme);
  }

  nextColours() {
    this.colours = after(COLOURS, this.colours);
    keep(this.window, "colours", this.colours);
  }

  nextRows() {
    this.rows = after(ROWS, this.rows);
  }
}

/** A pair as it stands in the URL: `BTC-USD`. */
export function inUrl(name) {
  return name.replace("/", "-");
}

/** Whether a URL means the pair, written in any of the ways in which `/book?pair=` takes it: `btc-usd`, `BTCUSD`, `tBTCUSD`. */
export function isMeant({ name, symbol }, text) {
  const bare = (written) => written.toUpperCase().replace(/[-/:_]/, "");
  return [name, symbol, symbol.slice(1)].some((written) => bare(written) === bare(text));
}

function oneOf(known, value, otherwise) {
  return known.includes(value) ? value : otherwise;
}

function after(known, value) {
  return known[(known.indexOf(value) + 1) % known.length];
}

// A browser that keeps nothing throws.
function kept(window, name) {
  try {
    return window.localStorage.getItem(name);
  } catch {
    return null;
  }
}

function keep(window, name, value) {
  try {
    window.localStorage.setItem(name, value);
  } catch {
    // It is chosen for as long as the page is open.
  }
}
