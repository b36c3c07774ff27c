"""Numbers as JavaScript's `String(number)` writes them, which is how the exchange does (bfx-api-node-models #70).

An exponent below 1e-6 (`7e-7`, `1.5e-7`), plain at and above (`0.0000011`), integers without `.0`.
"""

from functools import lru_cache


@lru_cache(maxsize=1 << 16)
def token(units: int, decimals: int) -> bytes:
    """The text of `units` · 10^-`decimals`. Exact, for as many digits as a JavaScript number holds (15)."""
    if units < 0:
        return b"-" + token(-units, decimals)
    if units == 0:
        return b"0"
    digits = str(units).rstrip("0")
    exponent = len(str(units)) - 1 - decimals  # of the first digit
    if exponent < -6:
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{digits[0]}{fraction}e{exponent}".encode()
    if exponent < 0:
        return f"0.{'0' * (-exponent - 1)}{digits}".encode()
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    fraction = digits[exponent + 1 :]
    return f"{whole}.{fraction}".encode() if fraction else whole.encode()


def rounded(units: int, digits: int, up: bool) -> int:
    """`units` with no more than `digits` significant digits, rounded down or up."""
    step: int = 10 ** max(0, len(str(units)) - digits)
    return -(-units // step) * step if up else units // step * step
