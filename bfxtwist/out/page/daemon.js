// What the daemon says of itself over HTTP: which pairs it carries and how their feeds are. Asked every two seconds.

const EVERY = 2000;
const WITHIN = 5000;

/** Where something of the daemon's is: beside the page, which a proxy may have put below a path of its own.
 *
 * From origin and path: relative to a page that was opened with a name and a password in its URL, browsers fetch nothing.
 */
export function beside(path) {
  const { origin, pathname } = window.location;
  return new URL(path, origin + pathname);
}

async function ask(path) {
  const response = await fetch(beside(path), { signal: AbortSignal.timeout(WITHIN) });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

/** Pairs with what is carried of each, books first: `{name, symbol, carried, book, trades, recorder}`. */
export function pairsOf(status, books) {
  const pairs = new Map();
  for (const feed of status.feeds) {
    const pair = pairs.get(feed.exchange_symbol) ?? { name: feed.symbol, symbol: feed.exchange_symbol, carried: null };
    pair[feed.channel] = feed;
    pair.recorder = status.recorders?.[feed.exchange_symbol] ?? null;
    pairs.set(feed.exchange_symbol, pair);
  }
  for (const book of books.books) {
    const pair = pairs.get(book.exchange_symbol);
    if (pair) pair.carried = { precision: book.precision, frequency: book.frequency, length: book.length };
  }
  return [...pairs.values()];
}

/** Calls `told(pairs, version)` again and again. While the daemon does not answer nothing is told: the socket will tell. */
export async function watchDaemon(told) {
  for (;;) {
    try {
      const [status, books] = await Promise.all([ask("status"), ask("books")]);
      told(pairsOf(status, books), status.version);
    } catch (error) {
      if (error instanceof TypeError || error.name === "TimeoutError") await pause(EVERY / 2);
      else console.warn(error.message);
    }
    await pause(EVERY);
  }
}

function pause(ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
