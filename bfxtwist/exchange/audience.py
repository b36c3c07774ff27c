"""Who reads what."""

from collections.abc import Iterator, Sequence

from bfxtwist.core.subscription import Subscription
from bfxtwist.exchange.venue import Item, Reader


class Audience:
    """The readers of each subscription of a venue."""

    def __init__(self) -> None:
        self._readers: dict[Subscription, list[Reader]] = {}

    def join(self, subscription: Subscription, reader: Reader) -> None:
        """From now on `reader` is told."""
        self._readers.setdefault(subscription, []).append(reader)

    def leave(self, subscription: Subscription, reader: Reader) -> None:
        """It is told no more."""
        readers = self._readers[subscription]
        readers.remove(reader)
        if not readers:
            del self._readers[subscription]

    def __contains__(self, subscription: Subscription) -> bool:
        return subscription in self._readers

    def __iter__(self) -> Iterator[Subscription]:
        return iter(list(self._readers))

    @property
    def choked(self) -> bool:
        """Whether some reader does not keep up."""
        return any(reader.choked for readers in self._readers.values() for reader in readers)

    def publish(self, subscription: Subscription, items: Sequence[Item]) -> None:
        """Tell everyone who reads this subscription."""
        if items:
            for reader in list(self._readers.get(subscription, ())):
                reader.publish(subscription, items)
