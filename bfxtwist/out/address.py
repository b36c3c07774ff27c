"""An address of `--listen`, a Twisted endpoint description, taken apart into its words."""


def apart(description: str) -> tuple[list[str], dict[str, str]]:
    r"""`tcp6:8080:interface=\:\:1` is `["tcp6", "8080"]` and `{"interface": "::1"}`.

    A colon separates unless a backslash stands before it, and of one name the last counts, as in Twisted.
    """
    words, escaped = [""], False
    for character in description:
        if escaped or character not in "\\:":
            words[-1] += character
        elif character == ":":
            words.append("")
        escaped = character == "\\" and not escaped
    named = dict(word.split("=", 1) for word in words if "=" in word)
    return [word for word in words if "=" not in word], named
