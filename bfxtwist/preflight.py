"""Whether what the settings ask for can be had on this machine: addresses, folders, files. Asked before anything starts."""

import re
from collections.abc import Iterable
from os import environ
from pathlib import Path
from urllib.parse import urlsplit

from twisted.internet.endpoints import serverFromString

from bfxtwist.feed.budget import SharedLedger
from bfxtwist.feed.proxy import proxy_for
from bfxtwist.feed.tls import ExplainedTLS
from bfxtwist.files.trade_file import MissingDecompressor, zstandard
from bfxtwist.out.certificate import read_certificate
from bfxtwist.out.guard import guard
from bfxtwist.out.listen import check_listen, read_token
from bfxtwist.out.trade_folder import check_folder
from bfxtwist.settings import LISTEN, Settings

_PORT = re.compile(r"(?:tcp6?|ssl):(?:port=)?([0-9]+)")
_LAST_PORT = 65535


def check(settings: Settings) -> None:
    """Raises ValueError or TradeFileError, with one line that names the fix. Folders that are missing are made."""
    for description in settings.listen:
        _check_endpoint(description)
        _check_port(description)
        check_listen(description, allow_remote=settings.allow_remote, token=settings.token_file is not None)
    if settings.token_file is not None:
        read_token(settings.token_file)
    guard(settings.allow_hosts, settings.allow_origins)
    _check_way(settings)
    if settings.rotate is not None and settings.rotate.compress == "zst":
        _check_zstandard()
    _check_folders(feed.folder for feed in settings.feeds if feed.folder is not None)


def _check_folders(folders: Iterable[Path]) -> None:
    """Each is for one pair. The settings part those that share one, but do not see that data/ and Data/ are one on macOS, or
    two mounts, nor that another pair asks for what is made of data/.
    """
    found: dict[tuple[int, int], Path] = {}
    for folder in folders:
        check_folder(folder)
        status = folder.stat()
        if other := found.get(place := (status.st_dev, status.st_ino)):
            raise ValueError(f"--file-path {other} and {folder} are one folder, and each pair needs its own: name another")
        found[place] = folder


def _check_endpoint(description: str) -> None:
    if description.startswith("ssl:"):
        read_certificate(description)
        return
    try:
        # Only who listens needs the reactor; to read a description nobody does.
        serverFromString(None, description)
    except LookupError:
        raise ValueError(f"--listen {description!r}: systemd gives no such socket: see its .socket unit") from None
    except (ValueError, TypeError, AttributeError) as error:
        example = r"tcp6:8080:interface=\:\:1" if "::" in description else LISTEN
        raise ValueError(f"--listen {description!r} is no endpoint ({error}): write it like {example}") from None


def _check_port(description: str) -> None:
    port = _PORT.match(description)
    if port and int(port[1]) > _LAST_PORT:
        raise ValueError(f"--listen {description!r} has no port: they end at {_LAST_PORT}")


def _check_zstandard() -> None:
    try:
        zstandard()
    except MissingDecompressor:
        raise ValueError("--rotate-compress zst needs a package: pip install backports.zstd, or use gz") from None


def _check_way(settings: Settings) -> None:
    """The way to the exchange: the proxy, the authorities, and what is shared with other daemons."""
    for url in () if settings.demo else (settings.ws_url, settings.rest_url):
        parts = urlsplit(url)
        if parts.scheme in ("wss", "https"):
            proxy_for(str(parts.hostname), environ)
    if settings.ca_file is not None:
        ExplainedTLS("localhost", settings.ca_file)
    if settings.lock_folder is not None:
        try:
            SharedLedger.within(settings.lock_folder, settings.ws_url)
        except OSError as error:
            why = error.strerror
            raise ValueError(f"--lock-folder {settings.lock_folder} cannot be used ({why}): name another") from None
