"""What this machine cannot give is found before anything starts, in one line that names the fix."""

import os
from pathlib import Path
from typing import Any

import trustme

import bfxtwist.preflight
from bfxtwist.files.trade_file import MissingDecompressor
from bfxtwist.out.trade_errors import CannotCreate
from bfxtwist.preflight import check
from bfxtwist.settings import feed, settings
from tests.command_line import CommandLineTest

BOOK = feed(pair="BTC/USD", channel="book")


class AtTheCommandLine(CommandLineTest):
    """With the exit code that says whose mistake it is."""

    def test_what_this_machine_does_not_give_is_found_before_the_start(self) -> None:
        self.assertIn("--allow-remote", self.refused("-p BTC/USD -c book -l tcp:8080"))
        self.assertIn("write it like tcp:8080", self.refused("-p BTC/USD -c book -l tpc:8080"))
        self.assertIn("write it like tcp:8080", self.refused("-p BTC/USD -c book -l tcp:http:interface=127.0.0.1"))
        self.assertIn("end at 65535", self.refused("-p BTC/USD -c book -l tcp:80800:interface=127.0.0.1"))
        self.assertIn("systemd", self.refused("-p BTC/USD -c book -l systemd:domain=INET:index=0"))
        self.assertIn("systemd", self.refused("-p BTC/USD -c book -l systemd:domain=INET:name=http"))
        self.assertIn("privateKey=", self.refused("-p BTC/USD -c book -l ssl:8443:privateKey=/nowhere"))
        Path("no.pem").touch()
        self.assertIn("must be PEM", self.refused("-p BTC/USD -c book -l ssl:8443:privateKey=no.pem"))
        authority = trustme.CA()
        authority.issue_cert("localhost").private_key_pem.write_to_path("key.pem")
        authority.cert_pem.write_to_path("another.pem")
        strange = self.refused("-p BTC/USD -c book -l ssl:8443:privateKey=key.pem:certKey=another.pem")
        self.assertIn("do not belong together", strange)
        self.assertIn("is no endpoint", self.refused("-p BTC/USD -c book -l ssl:8443:sslmethod=no"))
        for colons in ("tcp6:8080:interface=::1", "tcp6:8080:interface=[::1]"):
            self.assertIn(r"interface=\:\:1", self.refused(f"-p BTC/USD -c book -l {colons}"))
        Path("bad.pem").write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
        self.assertIn("bad.pem holds what is no", self.refused("-p BTC/USD -c book --ca-file bad.pem"))
        Path("in-the-way").touch()
        self.assertIn("--file-path", self.refused("-p BTC/USD -c trades -f in-the-way", os.EX_CANTCREAT))
        self.assertIn("--lock-folder", self.refused("-p BTC/USD -c book --lock-folder in-the-way"))
        Path("locks/connects-exchange.test.lock").mkdir(parents=True)
        where = "--ws-url wss://exchange.test/ws/2 --lock-folder locks"
        self.assertIn("--lock-folder", self.refused(f"-p BTC/USD -c book {where}"))
        self.assertIn("not an origin", self.refused("-p BTC/USD -c book --allow-origin example.org"))


class Checks(CommandLineTest):
    """`check`."""

    def setUp(self) -> None:
        self.patch(bfxtwist.preflight, "environ", {})

    def check(self, **more: Any) -> None:
        check(settings(**{"feeds": [BOOK], "listen": "tcp:0:interface=127.0.0.1", **more}))

    def complaint(self, **more: Any) -> str:
        return str(self.assertRaises(ValueError, self.check, **more))

    def test_what_can_be_had(self) -> None:
        token = Path(self.mktemp())
        token.write_text("0123456789abcdef")
        token.chmod(0o600)
        self.check()
        self.check(listen=[r"tcp6:0:interface=\:\:1", "unix:/tmp/bfx.sock"])
        self.check(listen="tcp:8080", allow_remote=True, token_file=str(token))
        self.check(listen="tcp:65535:interface=127.0.0.1", allow_origins=["https://desk.example"])

    def test_beyond_this_machine_only_with_protection(self) -> None:
        self.assertIn("--token-file", self.complaint(listen="tcp:8080", allow_remote=True))

    def test_a_port_that_is_none(self) -> None:
        for port in ("65536", "port=65536"):
            complaint = self.complaint(listen=f"tcp:{port}:interface=127.0.0.1")
            self.assertEqual(complaint, f"--listen 'tcp:{port}:interface=127.0.0.1' has no port: they end at 65535")

    def test_a_token_that_is_none(self) -> None:
        """A daemon that nobody can be let into, or everybody."""
        path = Path(self.mktemp())
        path.write_text("short")
        path.chmod(0o600)
        self.assertIn("must hold one word of 16 bytes or more: openssl rand -hex 32", self.complaint(token_file=str(path)))
        path.chmod(0o644)
        self.assertIn("can be read by others: chmod 600", self.complaint(token_file=str(path)))

    def test_a_name_that_clients_cannot_say(self) -> None:
        self.assertIn("--allow-host", self.complaint(allow_hosts=["http://bfx.example/"]))

    def test_a_proxy_that_cannot_be_used(self) -> None:
        """Found at the first reconnection, it would be found at night."""
        self.patch(bfxtwist.preflight, "environ", {"HTTPS_PROXY": "socks5://me:secret@proxy:1080"})
        complaint = self.complaint()
        self.assertIn("give one like http://host:3128, or unset it", complaint)
        self.assertNotIn("secret", complaint)
        self.assertIn("HTTPS_PROXY", self.complaint(ws_url="ws://127.0.0.1:9/"))
        self.assertIn("HTTPS_PROXY", self.complaint(rest_url="http://127.0.0.1:9/"))
        self.check(ws_url="ws://127.0.0.1:9/", rest_url="http://127.0.0.1:9/")
        self.check(demo=True)

    def test_compression_without_its_package(self) -> None:
        """Parts would be left as they are when the first is closed, days later."""
        def missing() -> None:
            raise MissingDecompressor

        self.patch(bfxtwist.preflight, "zstandard", missing)
        complaint = self.complaint(rotate="daily", rotate_compress="zst")
        self.assertEqual(complaint, "--rotate-compress zst needs a package: pip install backports.zstd, or use gz")
        self.check(rotate="daily", rotate_compress="gz")
        self.check(rotate_compress="zst")  # nothing is closed

    def test_folders_are_made_when_all_else_is_right(self) -> None:
        """A mistake leaves nothing behind."""
        one, other = Path(self.mktemp()), Path(self.mktemp())
        places = {"BTC/USD": one, "ETH/USD": other}
        feeds = [feed(pair=pair, channel="trades", file_path=str(path)) for pair, path in places.items()]
        self.assertRaises(ValueError, self.check, feeds=feeds, listen="tcp:8080")
        self.assertFalse(one.exists() or other.exists())
        self.check(feeds=feeds)
        self.assertTrue(one.is_dir() and other.is_dir())

    def test_one_folder_by_two_names(self) -> None:
        """As where upper and lower case are the same: the second pair would find the first one's file locked."""
        one, other = Path(self.mktemp()), Path(self.mktemp())
        places = {"BTC/USD": one, "ETH/USD": other}
        made = settings(feeds=[feed(pair=pair, channel="trades", file_path=str(path)) for pair, path in places.items()])
        other.symlink_to(one.absolute())  # now, and not before: the settings would have told them apart
        one.mkdir()
        self.assertIn("are one folder", str(self.assertRaises(ValueError, check, made)))

    def test_what_is_made_of_a_shared_folder_is_taken(self) -> None:
        shared = Path(self.mktemp())
        places = {"BTC/USD": shared, "ETH/USD": shared, "LTC/USD": shared / "BTC-USD"}
        feeds = [feed(pair=pair, channel="trades", file_path=path) for pair, path in places.items()]
        self.assertIn("are one folder", str(self.assertRaises(ValueError, self.check, feeds=feeds)))

    def test_a_folder_that_cannot_be_made(self) -> None:
        in_the_way = Path(self.mktemp())
        in_the_way.touch()
        error = self.assertRaises(
            CannotCreate, self.check, feeds=[feed(pair="BTC/USD", channel="trades", file_path=str(in_the_way / "data"))]
        )
        self.assertEqual(error.exit_code, os.EX_CANTCREAT)

    def test_what_is_shared_with_other_daemons(self) -> None:
        folder = Path(self.mktemp())
        self.check(lock_folder=str(folder))
        [file] = folder.iterdir()
        self.assertEqual(file.name, "connects-api-pub.bitfinex.com.lock")
        complaint = self.complaint(lock_folder=str(file))
        self.assertEqual(complaint, f"--lock-folder {file} cannot be used (File exists): name another")
