"""The book stream and the trades as bars, in an SVG that needs no program to draw it."""

from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

_WIDTH, _ROW, _LEFT, _BAR = 760, 26, 210, 430


def svg(figures: dict[str, Any]) -> str:
    """µs of CPU per message of every client; the shorter the bar, the better."""
    charts = [name for name in ("book-25", "book-250", "trades") if name in figures["streams"]]
    body: list[str] = []
    top = 10
    for name in charts:
        body += _chart(name, figures["streams"][name], top)
        top += 40 + _ROW * len(figures["streams"][name])
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" font-family="sans-serif" font-size="13">'
    return "\n".join([head, f'<rect width="{_WIDTH}" height="{top}" fill="white"/>', *body, "</svg>"]) + "\n"


def _chart(name: str, clients: dict[str, Any], top: int) -> Iterator[str]:
    yield f'<text x="10" y="{top + 16}" font-weight="bold">{escape(name)}: µs of CPU per message (min to max marked)</text>'
    measured = [(client, one) for client, one in clients.items() if "median" in one]
    longest = max(one["max"] for _client, one in measured)
    for number, (client, one) in enumerate(sorted(measured, key=lambda pair: float(pair[1]["median"]))):
        y = top + 28 + number * _ROW
        length, low, high = (_BAR * one[key] / longest for key in ("median", "min", "max"))
        fill = {"bfxtwist": "#16794c", "floor": "#b9b9b9"}.get(client, "#7d9cc0")
        yield f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(client)}</text>'
        yield f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="18" fill="{fill}"/>'
        yield f'<path d="M{_LEFT + low:.1f} {y + 9}H{_LEFT + high:.1f}" stroke="black"/>'
        yield f'<text x="{_LEFT + high + 6:.1f}" y="{y + 14}">{one["median"]:.2f}</text>'
