"""Reports say what a recording holds and what is wrong with it, to people and to programs."""

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import GapLedger, GapState
from bfxtwist.files.report import as_json, as_text
from bfxtwist.files.verify import Report, verify
from tests.files.rows import arrival, recording, write
from tests.files.test_gap_ledger import gap


class Reports(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.good = verify(recording(write(self.folder / "good.csv", map(arrival, range(1, 2001)))))
        bad = write(self.folder / "bad.csv", [arrival(1), arrival(2), arrival(2)], "tDOGE:USD")
        bad.write_bytes(bad.read_bytes() + b"junk\n" * 7)
        ledger = GapLedger()
        ledger.record(gap(1, 2, state=GapState.LOST))
        bad.with_name("bad.gaps.csv").write_bytes(ledger.text())
        self.bad = verify(recording(bad))

    def test_for_people(self) -> None:
        header, good, bad, *faults = as_text([self.good, self.bad]).splitlines()
        self.assertEqual(header.split()[:3], ["recording", "pair", "trades"])
        self.assertEqual(good.split()[1:], ["BTC/USD", "2,000", "2018-11-12", "18:05:48.738", "2018-11-12", "18:39:07.738",
                                            "0", "none", "none"])  # fmt: skip
        self.assertEqual(bad.split()[1:3] + bad.split()[-3:], ["DOGE/USD", "3", "1", "lost", "9"])
        self.assertEqual(header.index("pair"), good.index("BTC/USD"))
        kinds = [line.split(":")[0] for line in faults]
        self.assertEqual(kinds, ["duplicate", *["row"] * 5, "gap", "row", "1 of 2 not clean"])
        self.assertEqual(faults[-2], "row: 2 more")
        self.assertEqual(as_text([self.good]).splitlines()[-1], "clean")

    def test_an_empty_recording_has_no_times_and_no_pair(self) -> None:
        empty = verify(recording(write(self.folder / "empty.csv", [])))
        self.assertEqual(as_text([empty]).splitlines()[1].split()[1:], ["-", "0", "-", "-", "0", "none", "none"])

    def test_a_comparison_is_told(self) -> None:
        self.good.compared = 2000
        self.assertIn("none, 2,000 compared", as_text([self.good]))

    def test_what_cannot_be_checked_is_told_and_no_fault(self) -> None:
        self.good.without_checksum.append(Path("trade-2026-11-22.csv.zst"))
        *_, told, verdict = as_text([self.good]).splitlines()
        self.assertTrue(told.startswith("unchecked: trade-2026-11-22.csv.zst: "), told)
        self.assertEqual(verdict, "clean")
        [one] = json.loads(as_json([self.good]))["recordings"]
        self.assertEqual((one["clean"], one["without_checksum"]), (True, ["trade-2026-11-22.csv.zst"]))

    def test_for_programs(self) -> None:
        told = json.loads(as_json([self.good, self.bad]))
        self.assertEqual((told["clean"], [one["clean"] for one in told["recordings"]]), (False, [True, False]))
        bad = told["recordings"][1]
        self.assertEqual(bad["faults"], {"duplicate": 1, "row": 7, "gap": 1})
        self.assertEqual((bad["symbol"], bad["trades"], bad["gaps"][0]["state"]), ("DOGE:USD", 3, "lost"))
        self.assertEqual(bad["first_faults"][0]["where"], f"{self.folder / 'bad.csv'}:4")
        self.assertEqual(json.loads(as_json([Report(self.good.recording)]))["recordings"][0]["first_timestamp"], None)
