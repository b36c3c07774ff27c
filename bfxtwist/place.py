"""Where something listens, as it stands in a URL."""


def place_of(host: str, port: int) -> str:
    """`127.0.0.1:8080`, `[::1]:8080`. Of what listens on every address, this machine's own."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - shown, not bound
    return f"{f'[{host}]' if ':' in host else host}:{port}"
