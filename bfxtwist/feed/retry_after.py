"""How long a server that refuses is to be left alone: by its own word, Retry-After, and by the exchange's documents."""

#: How long the address is blocked after a 429 (docs requirements-and-limitations).
BLOCKED = 60.0

#: What a server may ask for, at most: an hour without data is worse than a question too many.
LONGEST = 600.0

#: "Too many requests".
TOO_MANY = 429


def seconds_in(header: str | None) -> float | None:
    """What Retry-After says in seconds; a date is not worth reading."""
    text = (header or "").strip()
    return float(text) if text.isdecimal() and len(text) < 6 else None


def seconds_to_wait(status: int | None, retry_after: float | None) -> float:
    """After an answer with this HTTP status. 0.0 where it asks for nothing: the usual pause will do."""
    return max(BLOCKED if status == TOO_MANY else 0.0, min(retry_after or 0.0, LONGEST))
