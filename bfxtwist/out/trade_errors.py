"""Why a trade file cannot be recorded, each with the exit code that a process ends with for it (sysexits.h)."""

import errno
import os
from typing import ClassVar

#: No room, no permission and the like: what else open() says is an I/O error.
_CANNOT_CREATE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOENT, errno.ENOTDIR, errno.EEXIST),
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
}


class TradeFileError(Exception):
    """One line for people, which names the file, the reason and what to do."""

    exit_code: ClassVar[int] = os.EX_IOERR


class CannotCreate(TradeFileError):
    """The folder or the file cannot be made or opened."""

    exit_code = os.EX_CANTCREAT


class DiskFailed(TradeFileError):
    """The disk does not do what it was asked for."""

    exit_code = os.EX_IOERR


class Locked(TradeFileError):
    """Another process records to this file."""

    exit_code = os.EX_TEMPFAIL


class WrongFile(TradeFileError):
    """The file is not ours, is another pair's, or is damaged where no crash can have done it."""

    exit_code = os.EX_CONFIG


def explained(path: str, error: OSError) -> TradeFileError:
    """What an OSError means for the owner of a file."""
    text = os.strerror(error.errno) if error.errno else str(error)
    if error.errno == errno.ELOOP:
        return WrongFile(f"{path} is a loop of symbolic links: remove it or name another folder")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return CannotCreate(f"{path}: {text}: raise the limit (ulimit -n), or record fewer pairs")
    if error.errno in _CANNOT_CREATE:
        return CannotCreate(f"{path}: {text}: make the folder writable, make room, or name another folder")
    return DiskFailed(f"{path}: {text}: see to the disk")
