"""What is made of a file that was left behind."""

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import Gap, Mark
from bfxtwist.core.messages import Trade
from bfxtwist.core.progress import Progress
from bfxtwist.core.recovery import TORN_LIMIT, TORN_LIMIT_WITHOUT_STATE, CannotContinue, FileId, Plan, Saved, plan
from bfxtwist.core.trade_rows import HEADER, Arrival, Layout

LAYOUT = Layout("tBTCUSD")
MTS = 1_700_000_000_000
FILE = FileId(1, 2)


def row(trade_id: int) -> bytes:
    """One line."""
    return LAYOUT.line(Arrival(Trade(trade_id, MTS + trade_id, b"0.5", b"6443.1"), MTS * 1000))


def saved(content: bytes, last_id: int | None = None, **changes: object) -> Saved:
    """A state of a file that was synced to the end of `content`."""
    progress = Progress(1, Mark(2, MTS + 2), 1)
    fields = {"exchange": "bitfinex", "symbol": "BTCUSD", "file": FILE, "synced": len(content), "last_id": last_id}
    return Saved(**{**fields, "progress": progress, "earlier": [2, 3], **changes})  # type: ignore[arg-type]


def recover(content: bytes, state: Saved | None = None, layout: Layout = LAYOUT) -> Plan:
    """The plan for a file."""

    def read(offset: int, length: int) -> bytes:
        assert offset >= 0 <= length
        return content[offset : offset + length]

    return plan(layout, read, len(content), FILE, state)


def ids(found: Plan) -> list[int]:
    """Those that are known."""
    return found.known.newest(len(found.known), len(found.known), None)


class RecoveryTests(SynchronousTestCase):
    """`plan`."""

    rows = HEADER + row(1) + row(2) + row(3)

    def refusal(self, content: bytes, state: Saved | None = None) -> str:
        """Why a file is refused."""
        return str(self.assertRaises(CannotContinue, recover, content, state))

    def test_a_demo_and_the_exchange_never_share_a_file(self) -> None:
        """Their rows look the same: nobody could take them apart again."""
        state = saved(self.rows, 3)
        self.assertIn("of BTCUSD of a demo; name another", self.refusal(self.rows, replace(state, exchange="a demo")))
        error = self.assertRaises(CannotContinue, recover, self.rows, state, Layout("tBTCUSD", demo=True))
        self.assertEqual(error.fix, "name another folder for BTCUSD of a demo")

    def test_a_start_that_ended_before_the_first_trade_left_nothing(self) -> None:
        """Whatever the pair was called, or the exchange; but rows of a demo would look like ours."""
        for content in (b"", HEADER[:5], HEADER):
            empty = saved(content, progress=Progress(), earlier=[])
            for state in (replace(empty, symbol="BTXUSD"), replace(empty, exchange="a demo")):
                found = recover(content, state)
                self.assertEqual((found.progress, ids(found), found.notes), (Progress(), [], []))
                self.assertIn("name another", self.refusal(self.rows, state))
                self.assertIn("name another", self.refusal(content, replace(state, last_id=1)))
                self.assertIn("name another", self.refusal(content, replace(state, earlier=[1])))
                self.assertIn("name another", self.refusal(content, replace(state, progress=Progress(1))))

    def test_whole_file_with_its_state(self) -> None:
        """The frontier and gaps are those that were saved, and what was not synced is to be written again."""
        state = saved(HEADER + row(1), 1)
        found = recover(self.rows, state)
        self.assertEqual((found.keep, found.rewrite_from), (len(self.rows), state.synced))
        self.assertIs(found.progress, state.progress)
        self.assertEqual((len(found.known), found.notes, found.newest), (3, [], Mark(3, MTS + 3)))

    def test_the_newest_trade_need_not_stand_last(self) -> None:
        """Below it stands one that was fetched later: then the newest one's time is not known."""
        self.assertIsNone(recover(HEADER + row(3) + row(1)).newest)
        self.assertEqual(recover(HEADER + row(1) + row(3) + b"bit").newest, Mark(3, MTS + 3))

    def test_every_torn_tail_is_cut_at_the_last_whole_row(self) -> None:
        """At each byte of the last row."""
        for length in range(1, len(row(3))):
            found = recover(self.rows[: -len(row(3))] + row(3)[:length])
            with self.subTest(length=length):
                self.assertEqual((found.keep, ids(found)), (len(HEADER + row(1) + row(2)), [1, 2]))

    def test_holes_and_garbage_are_cut(self) -> None:
        """NUL bytes, half rows with a line end, a row that stands twice: what follows goes too."""
        for damage in (bytes(40), row(3)[20:], row(2), row(3)[:30] + row(4), b"\n", row(3)[:-1] + b"\r\n", b"x" * 5000):
            found = recover(HEADER + row(1) + row(2) + damage + row(5))
            with self.subTest(damage=damage):
                self.assertEqual((found.keep, ids(found)), (len(HEADER + row(1) + row(2)), [1, 2]))

    def test_a_file_that_is_read_in_several_pieces(self) -> None:
        """Damage in the second one, a row that stands twice, and none of these."""
        rows = [row(trade_id) for trade_id in range(1, 33_000)]
        good = HEADER + b"".join(rows)
        found = recover(good)
        self.assertEqual((found.keep, ids(found)), (len(good), list(range(1, 33_000))))
        for damage in (b"bad\n", rows[7], rows[18_000]):
            kept = HEADER + b"".join(rows[:20_000])
            found = recover(kept + damage + b"".join(rows[20_000:]))
            with self.subTest(damage=damage):
                self.assertEqual((found.keep, ids(found)), (len(kept), list(range(1, 20_001))))
                self.assertEqual(found.newest, Mark(20_000, MTS + 20_000))

    def test_torn_header_is_written_anew(self) -> None:
        """Whatever a state says; zeros count as torn."""
        for content in (b"", HEADER[:10], bytes(len(HEADER)), HEADER[:10] + bytes(20)):
            for state in (None, saved(self.rows, 3)):
                self.assertEqual(recover(content, state).keep, 0)
        self.assertEqual(recover(b"").notes, [])

    def test_foreign_files_are_refused(self) -> None:
        """Another header, another table, text."""
        for content in (b"a,b,c\n1,2,3\n", HEADER.replace(b"id", b"ID") + row(1), b"\x00" * 100, b"hello"):
            self.assertIn("not the header", self.refusal(content))

    def test_what_an_editor_has_rewritten_is_refused_by_name(self) -> None:
        """Nothing is cut, and what undoes it is named."""
        marked = b"\xef\xbb\xbf" + self.rows
        for content, what in ((self.rows.replace(b"\n", b"\r\n"), "CR LF"), (marked, "byte order mark")):
            for text in (self.refusal(content), self.refusal(content, saved(self.rows, 3))):
                self.assertIn(what, text)
                self.assertIn("dos2unix", text)

    def test_rows_of_another_pair_are_refused(self) -> None:
        """By the rows themselves, and by the state beside them."""
        other = Layout("tETHUSD").line(Arrival(Trade(1, MTS, b"1", b"1"), 1))
        derivative = Layout("tBTCF0:USTF0").line(Arrival(Trade(1, MTS, b"1", b"1"), 1))
        self.assertIn("ETHUSD of bitfinex", self.refusal(HEADER + other))
        self.assertIn("BTCF0:USTF0 of bitfinex-derivatives", self.refusal(HEADER + derivative))
        self.assertIn("ETHUSD", self.refusal(self.rows, saved(b"", symbol="ETHUSD")))

    def test_a_row_of_another_pair_among_ours_is_named(self) -> None:
        """Somebody has joined files by hand: with the place, the row can be taken out."""
        other = row(9).replace(b"BTCUSD", b"ETHUSD")
        for content in (self.rows + other, self.rows + other + row(4)):
            expected = f"line 5, at byte {len(self.rows)}, is a row of ETHUSD of bitfinex; take that line out, and others"
            self.assertIn(expected, self.refusal(content, saved(self.rows, 3)))

    def test_damage_below_the_synced_mark_is_refused(self) -> None:
        """No crash of ours does that."""
        damaged = HEADER + row(1).replace(b"buy", b"bux") + row(2) + row(3)
        self.assertIn(f"damaged at byte {len(HEADER)}", self.refusal(damaged, saved(damaged, 3)))

    def test_damage_far_from_the_end_is_refused(self) -> None:
        """More than a crash can have torn."""
        bad = HEADER + row(1) + b"bad\n"
        self.assertIn("bytes follow", self.refusal(bad + b"x" * TORN_LIMIT_WITHOUT_STATE))
        state = saved(HEADER + row(1), 1)
        self.assertEqual(recover(bad + b"x" * TORN_LIMIT_WITHOUT_STATE, state).keep, len(HEADER + row(1)))
        self.assertIn("bytes follow", self.refusal(bad + b"x" * TORN_LIMIT, state))

    def test_a_backup_that_was_put_back_with_a_torn_end_is_cut(self) -> None:
        """It is another file than the one that the state says was synced."""
        state = saved(self.rows, 3, file=FileId(9, 9))
        self.assertEqual(recover(HEADER + row(1) + row(2)[:20], state).keep, len(HEADER + row(1)))

    def test_lost_state_verifies_everything_again(self) -> None:
        """From the first row on."""
        found = recover(self.rows)
        self.assertEqual((found.progress.start, found.progress.frontier), (1, Mark(1, MTS + 1)))
        self.assertIn("no usable state", found.notes[0])
        self.assertIn("compared with the exchange's history again", found.notes[1])
        self.assertEqual(found.rewrite_from, 0)

    def test_rows_that_are_missing_verify_everything_again(self) -> None:
        """Shorter than it was synced, or another row there: a disk that lied, or a backup that was put back."""
        longer = self.rows + row(4)
        in_a_row = len(self.rows) - 5
        synced_to_there = (saved(self.rows, last_id, synced=in_a_row) for last_id in (2, 3))
        for state in (saved(longer, 4), saved(self.rows, 7), *synced_to_there):
            found = recover(self.rows, state)
            self.assertEqual(found.progress.frontier, Mark(1, MTS + 1))
            self.assertIn("missing", found.notes[0])
        gap = Gap(Mark(1, MTS + 1), Mark(2, MTS + 2), "x", 0, Mark(1, MTS + 1), 1)
        state = saved(longer, 4, progress=Progress(1, Mark(2, MTS + 2), 1, [gap]))
        self.assertEqual(recover(self.rows, state).progress.gaps, [gap])

    def test_rows_that_are_missing_are_not_known(self) -> None:
        """Or else they would not be fetched again. An older one may have been missing, too, that came late."""
        backup = HEADER + row(11) + row(12)
        found = recover(backup, saved(backup + row(13) + row(10), 10, earlier=[8, 9, 10, 11, 12, 13]))
        self.assertEqual((ids(found), found.as_saved), ([11, 12], False))

    def test_rows_from_before_the_file_that_the_state_is_of_was_begun(self) -> None:
        """That one has no row yet: a backup of an earlier one was put in its place. What it had later is missing.

        Its first row may be unknown: the file was lost, and that trade is in no history.
        """
        for earlier in ([1, 2, 3, 4], [3, 4], [0, 3, 4]):
            found = recover(self.rows, saved(HEADER, earlier=earlier))
            self.assertEqual((ids(found), found.as_saved), ([1, 2, 3], False))

    def test_where_rows_are_missing_what_earlier_files_have_is_compared_from_where_it_was(self) -> None:
        """The frontier was in one of them when the file was begun."""
        state = saved(self.rows + row(4), 4, earlier=[1, 2, 3, 4])
        found = recover(HEADER + row(3), replace(state, progress=Progress(1, Mark(2, MTS + 2), 1)))
        self.assertEqual((found.progress, ids(found)), (Progress(1, Mark(2, MTS + 2), 1), [3]))

    def test_an_open_gap_in_an_earlier_file_is_wanted_though_rows_are_missing(self) -> None:
        gap = Gap(Mark(3, MTS + 3), Mark(5, MTS + 5), "x", 0, Mark(3, MTS + 3), 3)
        progress = Progress(2, Mark(12, MTS + 12), 3, [gap])
        found = recover(HEADER + row(11), saved(HEADER + row(11) + row(12), 12, progress=progress))
        self.assertEqual((found.progress.start, found.progress.wanted, found.progress.floor), (3, 3, 11))

    def test_rows_in_another_order_are_not_told_as_missing_alone(self) -> None:
        """Put in order by hand, or saved by another program, they are all there."""
        [note, _] = recover(HEADER + row(1) + row(3) + row(2), saved(self.rows, 3)).notes
        self.assertEqual(note, "the trade file is not as it was left: rows are missing from it, or it was edited")

    def test_copied_file_keeps_its_progress(self) -> None:
        """Another inode with the same rows: moved to a new disk."""
        state = saved(self.rows, 3, file=FileId(9, 9))
        found = recover(self.rows, state)
        self.assertIs(found.progress, state.progress)
        self.assertEqual(found.rewrite_from, 0)  # of the copy, nothing is known to be on disk

    def test_file_that_was_rotated_away(self) -> None:
        """The newest ids are known from the state."""
        for content in (b"", HEADER):
            state = saved(self.rows, 3, file=FileId(9, 9), earlier=[2, 3])
            found = recover(content, state)
            self.assertEqual((ids(found), found.progress.frontier), ([2, 3], Mark(2, MTS + 2)))
            self.assertEqual(len(found.notes), 1)

    def test_rows_that_were_rotated_away_are_known_beside_those_of_the_new_file(self) -> None:
        """History tells them again at the next start."""
        self.assertEqual(ids(recover(HEADER + row(8), saved(HEADER + row(8), 8, earlier=[5, 6]))), [5, 6, 8])

    def test_state_from_before_the_first_row_came_to_the_file(self) -> None:
        """Where the first trades are is known; their rows were given up, or came later."""
        for earlier in ([], [1]):
            state = saved(HEADER, None, earlier=earlier)
            self.assertIs(recover(HEADER, state).progress, state.progress)
            found = recover(HEADER + row(2), state)
            self.assertIs(found.progress, state.progress)
            self.assertEqual((ids(found), found.as_saved), ([*earlier, 2], True))

    def test_empty_state_of_an_empty_file(self) -> None:
        """A recorder that had seen no trade when it saved: of rows that came later, it says nothing."""
        state = saved(HEADER, None, progress=Progress(), earlier=[])
        self.assertEqual(recover(HEADER, state).progress, Progress())
        self.assertEqual(recover(HEADER + row(1) + row(2), state).progress.frontier, Mark(1, MTS + 1))

    def test_late_rows_are_not_the_first(self) -> None:
        """The file is in the order of arrival: older trades may stand later."""
        found = recover(HEADER + row(5) + row(3) + row(4))
        self.assertEqual((found.progress.start, found.progress.frontier), (3, Mark(5, MTS + 5)))
        self.assertEqual(found.progress.floor, 3)
