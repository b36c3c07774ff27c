"""Files and folders are grouped to recordings as the daemon's rotation lays them out."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.files.recording import NoRecording, closed_parts, ledger_of, recordings


class Grouping(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())

    def make(self, *names: str) -> None:
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def names(self, *paths: Path) -> list[list[str]]:
        return [[str(part.relative_to(self.folder)) for part in found.parts] for found in recordings(paths)]

    def test_the_parts_of_a_folder_are_one_recording_oldest_first(self) -> None:
        self.make("trade.csv", "trade-2026-11-22.csv.gz", "trade-2026-11-21.csv.zst", "trade-2026-11-22-10.csv",
                  "trade-2026-11-22-9.csv.gz", "trade.gaps.csv", "trade.csv.lock", "trade.csv.state", "notes.csv",
                  "trade.csv.torn-20261122T101112Z", "trade-old.csv", "trade-2026-11-22.csv.gz.tmp")  # fmt: skip
        self.assertEqual(self.names(self.folder), [
            ["trade-2026-11-21.csv.zst", "trade-2026-11-22.csv.gz", "trade-2026-11-22-9.csv.gz", "trade-2026-11-22-10.csv",
             "trade.csv"],
        ])  # fmt: skip
        [found] = recordings([self.folder])
        self.assertEqual(found.ledger, self.folder / "trade.gaps.csv")
        self.assertEqual(found.name, f"{self.folder / 'trade.csv'} and 4 older")

    def test_a_part_that_is_there_plain_and_compressed_counts_once(self) -> None:
        self.make("trade.csv", "trade-2026-11-21.csv", "trade-2026-11-21.csv.gz", "trade-2026-11-22.csv", "trade.csv.gz")
        [found] = recordings([self.folder])
        names = [part.name for part in found.parts]
        self.assertEqual(names[:2], ["trade-2026-11-21.csv.gz", "trade-2026-11-22.csv"])
        self.assertEqual(set(names[2:]), {"trade.csv", "trade.csv.gz"}, "the live one is never left out")

    def test_parts_that_logrotate_made(self) -> None:
        self.make("trade.csv", "trade.csv.1", "trade.csv.2.gz", "trade.csv.10.gz", "trade.csv.torn-20261122T101112Z")
        self.assertEqual(self.names(self.folder), [["trade.csv.10.gz", "trade.csv.2.gz", "trade.csv.1", "trade.csv"]])
        self.make("d/trade.csv-20261122", "d/trade.csv-20261121.gz")
        self.assertEqual(self.names(self.folder / "d"), [["d/trade.csv-20261121.gz", "d/trade.csv-20261122"]])
        self.assertEqual([found.ledger.name for found in recordings([self.folder / "d"])], ["trade.gaps.csv"])

    def test_a_part_that_logrotate_is_compressing_is_whole_where_it_is_plain(self) -> None:
        self.make("trade.csv", "trade.csv.1", "trade.csv.1.gz", "trade.csv-20261122", "trade.csv-20261122.gz")
        [names] = self.names(self.folder)
        self.assertEqual(sorted(names), ["trade.csv", "trade.csv-20261122", "trade.csv.1"])

    def test_the_closed_parts_among_the_names_of_a_folder(self) -> None:
        """Each once, oldest first, and none of what is no part of trade.csv."""
        ours = ["trade-2026-11-21.csv.zst", "trade-2026-11-22.csv", "trade-2026-11-22-2.csv.gz"]
        theirs = ["trade.csv.10.gz", "trade.csv.2.gz", "trade.csv.1"]
        others = ["trade.csv", "trade.csv.gz", "trade.gaps.csv", "trade.csv.lock", "old-2026-11-22.csv"]
        packed = ["trade-2026-11-22.csv.gz", "trade-2026-11-22.csv.gz.tmp"]
        self.assertEqual(closed_parts([*others, *packed, *ours[::-1]]), ours)
        self.assertEqual(closed_parts([*others, "trade.csv.1.gz", *theirs[::-1]]), theirs)

    def test_each_folder_is_a_recording_of_its_own(self) -> None:
        self.make("BTC-USD/trade.csv", "ETH-USD/trade.csv", "ETH-USD/trade-2026-11-21.csv.gz")
        expected = [["BTC-USD/trade.csv"], ["ETH-USD/trade-2026-11-21.csv.gz", "ETH-USD/trade.csv"]]
        self.assertEqual(self.names(self.folder), expected)
        self.assertEqual(self.names(self.folder, self.folder / "BTC-USD"), expected)

    def test_named_files_may_be_called_anything(self) -> None:
        self.make("a.csv", "b.csv.gz", "trade.csv", "trade-2026-11-21.csv.gz", "plain")
        every = sorted(self.folder.iterdir())
        self.assertEqual(
            self.names(*every), [["a.csv"], ["b.csv.gz"], ["plain"], ["trade-2026-11-21.csv.gz", "trade.csv"]]
        )
        self.assertEqual(self.names(self.folder / "trade.csv"), [["trade.csv"]])
        self.assertEqual(ledger_of(self.folder / "b.csv.gz"), self.folder / "b.gaps.csv")

    def test_a_recording_of_one_part_is_called_as_that(self) -> None:
        self.make("trade.csv")
        [found] = recordings([self.folder])
        self.assertEqual(found.name, str(self.folder / "trade.csv"))

    def test_parts_that_get_other_names_meanwhile_are_told(self) -> None:
        """In Python's words, no file would be there, where there is one."""
        self.make("trade.csv", "trade-2026-11-21.csv", "trade-2026-11-22.csv")
        for name, what in (("trade.csv", "rotated"), ("trade-2026-11-22.csv", "compressed or moved")):
            [found] = recordings([self.folder])
            parts = found.to_read()
            next(parts)
            (self.folder / name).rename(self.folder / "elsewhere")
            self.assertIn(f"{name} was {what} meanwhile: try again", str(self.assertRaises(NoRecording, list, parts)))
            self.make(name)

    def test_nothing_to_read_is_told(self) -> None:
        """A folder that is called like a part is none."""
        self.make("notes.csv", "trade-2026-11-21.csv/notes.txt")
        for path, words in ((self.folder, "no trade.csv in"), (self.folder / "gone.csv", "there is no")):
            self.assertIn(words, str(self.assertRaises(NoRecording, recordings, [path])))
