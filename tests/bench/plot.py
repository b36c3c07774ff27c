"""The book stream and the trades as bars, in an SVG that needs no program to draw it."""

from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

_WIDTH, _ROW, _LEFT, _BAR = 800, 26, 210, 380


def svg(figures: dict[str, Any]) -> str:
    """µs of CPU per message of every client, and what it verifies; the shorter the bar, the better."""
    body: list[str] = []
    top = 10
    for name in ("book-25", "book-250", "trades"):
        clients = figures["streams"].get(name, {}).items()
        if measured := [(client, one) for client, one in clients if "median" in one]:
            body += _chart(name, measured, top)
            top += 40 + _ROW * len(measured)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" font-family="sans-serif" font-size="13">'
    return "\n".join([head, f'<rect width="{_WIDTH}" height="{top}" fill="white"/>', *body, "</svg>"]) + "\n"


def _chart(name: str, measured: list[tuple[str, dict[str, Any]]], top: int) -> Iterator[str]:
    title = f"{name}: µs of CPU per message (line: min to max), and what is verified"
    yield f'<text x="10" y="{top + 16}" font-weight="bold">{escape(title)}</text>'
    *others, longest = sorted(one["max"] for _client, one in measured)
    if others and longest > 3 * others[-1]:
        longest = 1.2 * others[-1]  # whose bar is longer is cut, so that the others can be told from one another
    for number, (client, one) in enumerate(sorted(measured, key=lambda pair: float(pair[1]["median"]))):
        y = top + 28 + number * _ROW
        length, low, high = (min(_BAR * one[key] / longest, _BAR) for key in ("median", "min", "max"))
        fill = {"bfxtwist": "#16794c", "floor": "#b9b9b9"}.get(client, "#7d9cc0")
        yield f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(client)}</text>'
        yield f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="18" fill="{fill}"/>'
        if one["median"] > longest:
            yield f'<path d="M{_LEFT + _BAR - 20} {y + 20}l8 -22" stroke="white" stroke-width="5"/>'
        else:
            yield f'<path d="M{_LEFT + low:.1f} {y + 9}H{_LEFT + high:.1f}" stroke="black"/>'
        yield f'<text x="{_LEFT + high + 6:.1f}" y="{y + 14}">{one["median"]:.2f}, {escape(one["verifies"])}</text>'
