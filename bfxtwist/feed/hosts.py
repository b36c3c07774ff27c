"""Which names may be a host's at all. Twisted finds out at every connect anew, by an error that looks like a bug."""

from ipaddress import ip_address

import idna


def is_host(name: str | None) -> bool:
    """Whether it is an address, or a name that IDNA knows how to say, which is what Twisted's endpoints go by."""
    try:
        ip_address(name or "")
    except ValueError:
        try:
            return bool(idna.encode(name or ""))
        except idna.IDNAError:
            return False
    return True
