"""Frames made once for many must be those that the conversation makes for one."""

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import ConfFlags, Trade
from bfxtwist.exchange.server import text_frame
from bfxtwist.exchange.venue import checksum, confirmed, executed, update
from bfxtwist.out.relay_frames import Form, Forms
from tests.exchange.clients import conversation
from tests.out.relayed import BULK, OB_CHECKSUM, SEQ_ALL, TIMESTAMP
from tests.out.served import rows

_TRADE = Trade(7, 1000, b"-7e-7", b"6443.50")
_ITEMS = (update(rows(1)[0]), update(rows(1)[1]), checksum(-5), executed(_TRADE), confirmed(_TRADE))


class FormTest(SynchronousTestCase):
    """One form for each set of flags."""

    def test_as_for_one(self) -> None:
        """With every combination of flags, byte for byte."""
        for chosen in product((0, SEQ_ALL), (0, TIMESTAMP), (0, OB_CHECKSUM), (0, BULK)):
            flags = ConfFlags(sum(chosen))
            one, ear = conversation(_Venue())  # type: ignore[arg-type]  # it has less than a Venue
            one.received(b'{"event":"conf","flags":%d}' % flags)
            one.received(b'{"event":"subscribe","channel":"book","symbol":"tBTCUSD"}')
            (channel,) = one.channels.values()
            ear.bursts.clear()
            one.sequence = 3
            one.publish(channel.subscription, _ITEMS)
            wanted = b"".join(text_frame(text) for burst in ear.bursts for text in burst)
            form = Form(channel.id, _ITEMS, flags, 1000)
            made = form.numbered(4) if ConfFlags.SEQ_ALL in flags else form.unnumbered()
            self.assertEqual(made, wanted, flags)
            self.assertEqual(one.sequence, 3 + len(form) * (ConfFlags.SEQ_ALL in flags))

    def test_made_once(self) -> None:
        """Whoever has the same flags gets the same object, until there is another batch."""
        forms = Forms(lambda: 1000)
        first = forms.get(1, _ITEMS, ConfFlags(SEQ_ALL))
        self.assertIs(forms.get(1, _ITEMS, ConfFlags(0)), first, "sequence numbers make no other form")
        self.assertIsNot(forms.get(1, _ITEMS, ConfFlags(TIMESTAMP)), first)
        self.assertIsNot(forms.get(1, _ITEMS[:1], ConfFlags(0)), first)


class _Venue:
    """Has everything, and nothing happens."""

    def refuses(self, _subscription: object) -> None:
        return None

    def open(self, _subscription: object, _reader: object) -> object:
        return update(rows(1)[0])

    def close(self, _subscription: object, _reader: object) -> None:
        return None
