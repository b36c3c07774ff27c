"""Option over variable over file over default, and a mistake in any of them is told with its fix."""

import tomllib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.config import DEFAULTS, Config, gather
from bfxtwist.settings import feed, settings

FILE = """
listen = ["tcp:0", "tcp:1"]
length = 100
strict_disk = true

[[feed]]
pair = ["BTC/USD", "ETH/USD"]
channel = "book"

[[feed]]
pair = "DOGE/USD"
channel = ["book", "trades"]
length = 250
file_path = "data/"
"""


class FromFile(SynchronousTestCase):
    def file(self, text: str) -> Path:
        path = Path(self.mktemp())
        path.write_text(text)
        return path

    def test_every_feed_table_counts(self) -> None:
        self.assertEqual(
            gather({}, {}, self.file(FILE)).settings(),
            settings(
                feeds=[
                    feed(pair="BTC/USD", channel="book", length=100),
                    feed(pair="ETH/USD", channel="book", length=100),
                    feed(pair="DOGE/USD", channel="book", length=250, file_path="data/"),
                    feed(pair="DOGE/USD", channel="trades", length=250, file_path="data/"),
                ],
                listen=["tcp:0", "tcp:1"],
                strict_disk=True,
            ),
        )

    def test_pairs_of_the_command_line_stand_in_place_of_the_files_feeds(self) -> None:
        config = gather({"pair": ["LTC/USD"], "channel": ["book"]}, {}, self.file(FILE))
        self.assertEqual(config.settings().feeds, (feed(pair="LTC/USD", channel="book", length=100),))

    def test_an_option_stands_above_a_feed_table(self) -> None:
        lengths = [one.length for one in gather({"length": "25"}, {}, self.file(FILE)).settings().feeds]
        self.assertEqual(lengths, [25, 25, 25, 25])

    def test_a_feed_table_stands_above_the_rest_of_its_file_whatever_that_is_called(self) -> None:
        path = Path("BFXTWIST_settings.toml")
        path.write_text(FILE)
        self.addCleanup(path.unlink)
        self.assertEqual([one.length for one in gather({}, {}, path).settings().feeds], [100, 100, 250, 250])

    def test_mistakes_name_the_file_and_the_fix(self) -> None:
        for text, fix in (
            ("lenght = 25", "did you mean length?"),
            ("[[feed]]\nchanel = 'book'", "did you mean channel?"),
            ("[feed]\npair = 'BTC/USD'", "[[feed]]"),
            ("length = ", "is not TOML"),
            ("zzz = 1", "known are"),
            ("[[feed]]\nchannel = 'book'\n[[feed]]\npair = 'BTC/USD'\nchannel = 'book'", "names no pair"),
            ("[[feed]]\npair = ''\nchannel = 'book'\n[[feed]]\npair = 'BTC/USD'\nchannel = 'book'", "names no pair"),
            ("pair = 'BTC/USD'\n[[feed]]\npair = []\nchannel = 'book'", "names no pair"),
            ("pair = 'BTC/USD'\n[[feed]]\npair = 'ETH/USD'\nchannel = 'book'", "is in no [[feed]]"),
            ("[[feed]]\npair = 'BTC/USD'\nchannel = 'book'\nlisten = 'tcp:9'", "listen is not a [[feed]]'s: write it above"),
        ):
            path = self.file(text)
            error = str(self.assertRaises(ValueError, gather, {}, {}, path))
            self.assertIn(fix, error)
            self.assertIn(str(path), error)
            self.assertNotIn("\n", error)
        self.assertIn("name a file that can", str(self.assertRaises(ValueError, gather, {}, {}, Path("nowhere.toml"))))

    def test_as_editors_of_other_systems_save_it(self) -> None:
        path = Path(self.mktemp())
        plain = gather({}, {}, self.file(FILE)).settings()
        path.write_bytes(b"\xef\xbb\xbf" + FILE.replace("\n", "\r\n").encode())
        self.assertEqual(gather({}, {}, path).settings(), plain)
        path.write_bytes(FILE.replace("data", "d\u00e4t").encode("latin-1"))
        self.assertIn("is not UTF-8 (at line 14)", str(self.assertRaises(ValueError, gather, {}, {}, path)))

    def test_a_value_of_the_wrong_kind_is_refused(self) -> None:
        """There are no settings to print then, so that the line itself says where it is."""
        for text, fix in (
            ("pair = 5", "pair must be a text or a list of texts, not 5"),
            ("listen = [1]", "listen must be a text or a list of texts, not [1]"),
            ("demo = 'maybe'", "demo must be true or false, not 'maybe'"),
            ("ca_file = 1", 'ca_file must be one text, not 1: write ca_file = "1"'),
            ("length = [25]", 'length must be one text, not [25]: write length = "25"'),
            ("file_path = ['data/']", "file_path must be one text, not ['data/']: write file_path = \"data/\""),
            ("rotate = false", "rotate must be one text, not False"),
            ("[[feed]]\npair = 'BTC/USD'\nfile_path = ['a', 'b']", "file_path must be one text, not ['a', 'b']"),
        ):
            path = self.file(text)
            self.assertEqual(str(self.assertRaises(ValueError, gather, {}, {}, path)), f"{path}: {fix}")
        error = self.assertRaises(ValueError, gather, {}, {"BFXTWIST_DEMO": "maybe"})
        self.assertEqual(str(error), "BFXTWIST_DEMO: demo must be true or false, not 'maybe'")

    def test_a_number_that_is_no_value_is_refused_with_what_is(self) -> None:
        """Not with advice to quote it, which would be refused next."""
        for text, fix in (
            ("length = 25.5", "unknown length '25.5' (did you mean 25?): use one of 1, 25, 100, 250"),
            ("sync = 1", "unknown sync '1' (did you mean 1s?): use one of always, 1s, no"),
            ("rotate = 1.5", "--rotate '1.5' is neither a time nor a size: use daily, a size like 100MB, or no"),
            ("ws_url = 5", "--ws-url '5' is not a URL: write it like wss://host:port/path"),
        ):
            config = gather({"pair": "BTC/USD", "channel": "book"}, {}, self.file(text))
            self.assertEqual(str(self.assertRaises(ValueError, config.settings)), fix)

    def test_a_length_may_be_written_as_a_fraction(self) -> None:
        config = gather({"pair": "BTC/USD", "channel": "book"}, {}, self.file("length = 100.0"))
        self.assertEqual([one.length for one in config.settings().feeds], [100])


class Order(SynchronousTestCase):
    def test_option_over_variable_over_file_over_default(self) -> None:
        path = Path(self.mktemp())
        path.write_text('sync = "no"\nprecision = "P1"\nfrequency = "F1"\n')
        environ = {"BFXTWIST_ROTATE": "daily", "BFXTWIST_SYNC": "always", "BFXTWIST_PRECISION": "P2", "BFXTWIST_DEMO": "yes"}
        environ["HOME"] = "/"
        values = gather({"sync": "1s"}, environ, path).values
        self.assertEqual(values["sync"], ("1s", "--sync"))
        self.assertEqual(values["precision"], ("P2", "BFXTWIST_PRECISION"))
        self.assertEqual(values["frequency"], ("F1", str(path)))
        self.assertEqual(values["length"], ("25", "default"))
        self.assertEqual(values["rotate"], ("daily", "BFXTWIST_ROTATE"))
        self.assertEqual(values["rotate_compress"], ("gz", "default"))
        self.assertEqual(values["demo"], (True, "BFXTWIST_DEMO"))

    def test_a_mistyped_variable_is_refused_and_a_stranger_is_not(self) -> None:
        for mistyped, meant in (("LENGHT", "LENGTH"), ("SYNK", "SYNC"), ("PAIRS", "PAIR")):
            error = self.assertRaises(ValueError, gather, {}, {f"BFXTWIST_{mistyped}": "25"})
            self.assertIn(f"did you mean BFXTWIST_{meant}?", str(error))
        gather({}, {"BFXTWIST_DATA": "/somewhere", "BFXTWIST_VERSION": "1", "BFXTWIST_CONFIG": "a.toml"})

    def test_an_empty_variable_is_a_mistake(self) -> None:
        """It would take the place of what the file says: `listen` would be the default again, `strict_disk` off."""
        for name in DEFAULTS.keys() | {"config"}:
            variable = f"BFXTWIST_{name.upper()}"
            error = self.assertRaises(ValueError, gather, {}, {variable: ""})
            self.assertEqual(str(error), f"{variable} is empty: give it a value, or leave it out")
        self.assertRaises(ValueError, gather, {}, {"BFXTWIST_PAIR": " , "})

    def test_several_come_as_a_list_or_with_commas(self) -> None:
        values = gather({"pair": ["BTC/USD", "ETH/USD"]}, {"BFXTWIST_CHANNEL": "book, trades,"}).values
        self.assertEqual((values["pair"].value, values["channel"].value), (("BTC/USD", "ETH/USD"), ("book", "trades")))


class Description(SynchronousTestCase):
    def test_it_is_a_file_that_gives_the_same(self) -> None:
        said = {"pair": ["BTC/USD"], "channel": ["book", "trades"], "strict_disk": True}
        said["file_path"] = 'a "folder"\\\n\x01\x7fé'
        config = gather(said, {})
        path = Path(self.mktemp())
        path.write_text(config.describe())
        self.assertEqual(gather({}, {}, path).settings(), config.settings())

    def test_the_name_of_a_file_with_a_line_end_in_it_is_one_line(self) -> None:
        path, again = Path(f"{self.mktemp()}\n\x1b.toml"), Path(self.mktemp())
        path.write_text(FILE)
        config = gather({}, {}, path)
        again.write_text(config.describe())
        self.assertEqual(gather({}, {}, again).settings(), config.settings())

    def test_feeds_of_a_file_are_described_as_such(self) -> None:
        path, again = Path(self.mktemp()), Path(self.mktemp())
        path.write_text(FILE)
        config = gather({}, {}, path)
        again.write_text(config.describe())
        self.assertEqual(gather({}, {}, again).settings(), config.settings())
        self.assertIn("# default", config.describe())
        self.assertIn(f"# {path}", config.describe())

    def test_every_setting_is_there(self) -> None:
        text = Config(gather({}, {}).values).describe()
        self.assertEqual({line.split(" =")[0].removeprefix("# ") for line in text.splitlines()}, set(DEFAULTS))
        tomllib.loads(text)
