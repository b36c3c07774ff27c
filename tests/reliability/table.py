"""The rows of the table, and the tests that they name: a test that is gone or renamed is an error, not a broken promise."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from importlib import import_module
from types import ModuleType
from typing import NamedTuple
from unittest import TestCase


class Row(NamedTuple):
    """One fault.

    `shown_by` are names below `tests`, `feed.test_tls.Certificates.test_expired`, with `*` for several; `found` is which
    bugs came to light by these tests; `not_shown` says what of the fault is not tried.
    """

    key: str
    fault: str
    answer: str
    shown_by: Sequence[str] = ()
    found: str = ""
    not_shown: str = ""


class Test(NamedTuple):
    """A test that exists."""

    module: str
    case: str
    name: str
    seed: str  # where its module has one

    @property
    def path(self) -> str:
        """Its module's, from the root of the project."""
        return f"{self.module.replace('.', '/')}.py"


class NoSuchTest(LookupError):
    """A row names a test that there is not."""


def find(pattern: str) -> list[Test]:
    """The tests that a row's name means. Raises NoSuchTest."""
    module, case, name = _split(pattern)
    tests = [
        Test(module.__name__, each.__name__, method, seed_of(module))
        for each in _cases(module)
        if fnmatchcase(each.__name__, case)
        for method in sorted(dir(each))
        if method.startswith("test") and fnmatchcase(method, name)
    ]
    if not tests:
        raise NoSuchTest(pattern)
    return tests


def _split(pattern: str) -> tuple[ModuleType, str, str]:
    parts = pattern.split(".")
    if len(parts) < 3:
        raise NoSuchTest(f"{pattern}: write package.module.Case.test, or module.Case.test")
    *path, case, name = parts
    try:
        return import_module(".".join(["tests", *path])), case, name
    except ImportError:
        raise NoSuchTest(pattern) from None


def _cases(module: ModuleType) -> Iterator[type[TestCase]]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, TestCase) and value.__module__ == module.__name__:
            yield value


def seed_of(module: ModuleType) -> str:
    """The seed of a module's tests, as it is there now."""
    seeds = getattr(module, "SEEDS", None)
    if isinstance(seeds, range):
        return f"{seeds.start} to {seeds.stop - 1}"
    return str(getattr(module, "SEED", ""))
