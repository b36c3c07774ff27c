"""A certificate that is served, or refused in one line that names the fix. On real sockets: test_over_tls.py."""

from datetime import UTC, datetime
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from twisted.internet.testing import MemoryReactor
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.out.certificate import Certificate, read_certificate

AUTHORITY = trustme.CA()


class CertificateTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.key, self.chain = Path(self.mktemp()), Path(self.mktemp())
        self.where = f"ssl:8443:privateKey={self.key}:certKey={self.chain}"
        self.issue()

    def issue(self, not_after: datetime | None = None) -> None:
        leaf = AUTHORITY.issue_cert("book.example", not_after=not_after)
        self.key.write_bytes(leaf.private_key_pem.bytes())
        self.chain.write_bytes(leaf.cert_chain_pems[0].bytes())


class Refused(CertificateTest):
    def refusal(self, more: str = "") -> str:
        line = str(self.assertRaises(ValueError, read_certificate, self.where + more))
        self.assertNotIn("\n", line)
        self.assertTrue(line.startswith(f"--listen {self.where + more!r} "), line)
        return line

    def test_what_is_no_certificate(self) -> None:
        content = self.chain.read_bytes()
        for half in (content[:200], content.replace(b"A", b"*"), b"", b"\xff\xfe"):
            self.chain.write_bytes(half)
            self.assertIn("it must be PEM", self.refusal())
        self.chain.unlink()
        self.assertIn("cert", self.refusal())
        self.assertIn("No such file", self.refusal())

    def test_a_key_with_a_passphrase(self) -> None:
        """OpenSSL would ask for it on the terminal. Both ways of PEM to say so, and both files that may hold it."""
        key = load_pem_private_key(self.key.read_bytes(), None)
        for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
            encrypted = key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret"))
            self.key.write_bytes(encrypted)
            fix = f": openssl pkey -in {self.key} -out plain.pem, and name that"
            self.assertTrue(self.refusal().endswith(f"names a key with a passphrase, which nobody is there to type{fix}"))
        self.chain.write_bytes(self.chain.read_bytes() + encrypted)
        self.key.write_bytes(b"")
        both = f"openssl pkey -in {self.chain} -out plain.pem && openssl x509 -in {self.chain} >>plain.pem, and name that"
        self.assertIn(both, self.refusal())
        for words in (f"privateKey={self.chain}", f"{self.key}:{self.chain}", str(self.chain)):
            self.where = f"ssl:8443:{words}"
            self.assertIn(f"openssl pkey -in {self.chain} ", self.refusal())

    def test_a_passphrase_that_nobody_asks_for(self) -> None:
        """OpenSSL takes the first key that there is, and Twisted gives it the certificate's file before the key's own."""
        plain = self.key.read_bytes()
        key = load_pem_private_key(plain, None)
        for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
            encrypted = key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret"))
            self.key.write_bytes(plain + encrypted)
            read_certificate(self.where)
            self.key.write_bytes((encrypted + plain).replace(b"\n", b"\r\n"))
            self.assertIn("passphrase", self.refusal())
        self.chain.write_bytes(self.chain.read_bytes() + plain)
        read_certificate(self.where)

    def test_a_key_of_another(self) -> None:
        self.key.write_bytes(AUTHORITY.issue_cert("book.example").private_key_pem.bytes())
        self.assertIn("do not belong together", self.refusal())

    def test_what_would_fail_at_the_first_connection_only(self) -> None:
        """As a key that is too short does; these parameters are quicker to have."""
        self.assertIn("names what OpenSSL refuses (no start line", self.refusal(f":dhParameters={self.chain}"))

    def test_what_is_no_endpoint(self) -> None:
        self.assertIn("write it like ssl:8443:privateKey=", self.refusal(":sslmethod=no"))
        self.assertIn("doesn't contain any valid", self.refusal(f":extraCertChain={self.key}"))


class Told(CertificateTest):
    def told(self, year: int) -> tuple[LogLevel, str]:
        self.issue(datetime(year, 2, 3, 4, 5, 6, tzinfo=UTC))
        with capturedLogs() as events:
            Certificate(MemoryReactor(), self.where).tell("https://book.example")
        [event] = events
        return event["log_level"], event["log_format"].format(**event)

    def test_until_when_it_is_good(self) -> None:
        text = "the certificate of https://book.example is good until 2091-02-03 04:05:06+00:00"
        self.assertEqual(self.told(2091), (LogLevel.info, text))

    def test_that_it_has_expired(self) -> None:
        text = "the certificate of https://book.example was good until 2021-02-03 04:05:06+00:00: renew it"
        self.assertEqual(self.told(2021), (LogLevel.error, text))
