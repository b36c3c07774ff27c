"""Names, origins and the token: tables of who may ask."""

import json
import re
from base64 import b64encode

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from bfxtwist.out.guard import Guard, guard
from tests.out.served import Client, Response, site_of

PAGE = "https://page.example"


class Anything(Resource):
    """Answers whatever it is asked."""

    isLeaf = True

    def render_GET(self, request: object) -> bytes:
        return b"served"

    render_OPTIONS = render_GET


def ask(by: Guard, path: str = "/book", *headers: str, host: str = "localhost", method: str = "GET") -> Response:
    return Client(site_of(Anything(), Clock(), by)).get(path, *headers, host=host, method=method)


def basic(user: str) -> str:
    return f"Authorization: Basic {b64encode(user.encode()).decode()}"


class HostTests(SynchronousTestCase):
    def test_our_names_are_served(self) -> None:
        ours = guard(["Book.Example.org", "192.0.2.7", "[2001:DB8::1]"])
        for host in (
            "localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8080",
            "book.example.org", "book.example.org:443", "192.0.2.7:80", "[2001:db8::1]:80",
        ):  # fmt: skip
            self.assertEqual(ask(ours, host=host).status, 200, host)

    def test_the_address_that_was_connected_to_is_served(self) -> None:
        """Of an IPv4 client, too, for whom an IPv6 socket has a longer name."""
        for address, host in (
            (IPv4Address("TCP", "192.0.2.7", 80), "192.0.2.7"),
            (IPv6Address("TCP", "2001:db8::1", 80), "[2001:db8::1]"),
            (IPv6Address("TCP", "::ffff:192.0.2.7", 80), "192.0.2.7"),
            (IPv6Address("TCP", "::ffff:192.0.2.7", 80), "[::ffff:192.0.2.7]"),
        ):
            client = Client(site_of(Anything(), Clock()))
            client.transport.hostAddr = address
            self.assertEqual(client.get(host=host).status, 200, host)

    def test_strangers_are_misdirected(self) -> None:
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.2", "[::2]", "book"):
            response = ask(Guard(), host=host)
            self.assertEqual(response.status, 421, host)
            self.assertIn("--allow-host", json.loads(response.body)["detail"])

    def test_what_is_no_host_is_a_bad_request(self) -> None:
        for host in ("", "a b", "localhost:", "localhost:x", "localhost:123456", "a/b", "me@localhost", "::1", "[::1", "é"):
            self.assertEqual(ask(Guard(), host=host).status, 400, host)

    def test_two_hosts_are_a_bad_request(self) -> None:
        self.assertEqual(ask(Guard(), "/book", "Host: localhost").status, 400)

    def test_no_host_is_a_bad_request_but_not_in_http_1_0(self) -> None:
        for version, status in (("1.1", b"400"), ("1.0", b"200")):
            client = Client(site_of(Anything(), Clock()))
            client.send(f"GET /book HTTP/{version}\r\n\r\n".encode())
            self.assertEqual(client.transport.value().split()[1], status)

    def test_the_target_of_a_request_to_a_proxy_names_the_host(self) -> None:
        self.assertEqual(ask(Guard(), "http://localhost:8080/book", host="evil.example").status, 200)
        self.assertEqual(ask(Guard(), "http://evil.example/book", host="localhost").status, 421)

    @given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=30))
    def test_nothing_but_our_names_is_served(self, host: str) -> None:
        client = Client(site_of(Anything(), Clock()))
        client.send(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host.encode("latin-1"))
        name = re.sub(r":[0-9]{1,5}\Z", "", host.strip(" \t")).lower().removesuffix(".")
        self.assertEqual(client.received[0].status == 200, name in ("localhost", "127.0.0.1", "[::1]"))


class OriginTests(SynchronousTestCase):
    PREFLIGHT = (f"Origin: {PAGE}", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization")

    def test_no_origin_may_read_by_default(self) -> None:
        headers = ask(Guard(), "/book", f"Origin: {PAGE}").headers
        self.assertFalse([name for name in headers if name.startswith("Access-Control")])

    def test_an_allowed_origin_may_read_and_no_other(self) -> None:
        allowing = guard(origins=[PAGE])
        strangers = ("https://evil.example", f"{PAGE}.evil.example", "null")
        for origin, expected in ((PAGE, PAGE), *((stranger, None) for stranger in strangers)):
            headers = ask(allowing, "/book", f"Origin: {origin}").headers
            self.assertEqual(headers.get("Access-Control-Allow-Origin"), expected, origin)
            self.assertIn("Origin", headers["Vary"])
            self.assertNotIn("Access-Control-Allow-Credentials", headers)

    def test_a_preflight_needs_no_token_since_browsers_send_none(self) -> None:
        response = ask(guard(origins=[PAGE], token=b"secret"), "/book", *self.PREFLIGHT, method="OPTIONS")
        self.assertEqual(response.status, 204)
        self.assertEqual(response.headers["Access-Control-Allow-Methods"], "GET, HEAD")
        self.assertIn("Authorization", response.headers["Access-Control-Allow-Headers"])

    def test_a_preflight_of_a_stranger_is_an_ordinary_request(self) -> None:
        strange = guard(origins=["https://other.example"], token=b"secret")
        self.assertEqual(ask(strange, "/book", *self.PREFLIGHT, method="OPTIONS").status, 401)

    def test_a_websocket_of_a_strange_page_is_refused(self) -> None:
        for origin, host, status in (
            ("https://evil.example", "localhost:8080", 403),
            ("null", "localhost:8080", 403),
            ("http://[", "localhost:8080", 403),
            ("http://localhost:9999", "localhost:8080", 403),
            ("http://localhost:8080", "localhost:8080", 200),
            (PAGE, "localhost:8080", 200),
        ):
            response = ask(guard(origins=[PAGE]), "/ws/2", "Upgrade: websocket", f"Origin: {origin}", host=host)
            self.assertEqual(response.status, status, origin)

    def test_a_program_that_opens_a_websocket_says_no_origin(self) -> None:
        self.assertEqual(ask(Guard(), "/ws/2", "Upgrade: websocket").status, 200)


class TokenTests(SynchronousTestCase):
    def test_only_the_token_opens(self) -> None:
        locked = guard(token=b"0123456789abcdef")
        for headers, status in (
            ((), 401),
            (("Authorization: Bearer 0123456789abcdef",), 200),
            (("authorization: bearer 0123456789abcdef",), 200),
            (("Authorization: Bearer 0123456789abcdeF",), 401),
            (("Authorization: Bearer 0123456789abcde",), 401),
            (("Authorization: Bearer",), 401),
            (("Authorization: Basic 0123456789abcdef",), 401),
            ((basic("anybody:0123456789abcdef"),), 200),
            ((basic(":0123456789abcdef").replace("Basic", "bAsIc "),), 200),
            ((basic("anybody:0123456789abcdeF"),), 401),
            ((basic("anybody:0123456789abcdef:"),), 401),
            ((basic("0123456789abcdef"),), 401),
            ((basic("0123456789abcdef:"),), 401),
            (("Authorization: Basic",), 401),
            (("Authorization: Basic ====",), 401),
            (("Authorization: Basic \u00e9",), 401),
            ((f"{basic('anybody:0123456789abcdef')}!",), 401),
            (("Authorization: 0123456789abcdef",), 401),
            (("Authorization: Bearer \u00e9",), 401),
        ):
            self.assertEqual(ask(locked, "/book", *headers).status, status, headers)

    def test_the_refusal_says_how(self) -> None:
        client = Client(site_of(Anything(), Clock(), guard(token=b"secret")))
        self.assertEqual(client.get("/book").status, 401)
        lines = [line for line in client.transport.value().split(b"\r\n") if line.startswith(b"WWW-Authenticate: ")]
        schemes = [b'Bearer realm="bfxtwist"', b'Basic realm="bfxtwist", charset="UTF-8"']
        self.assertEqual(lines, [b"WWW-Authenticate: " + scheme for scheme in schemes])

    def test_a_browser_does_not_lend_the_password_to_pages_of_strangers(self) -> None:
        locked = guard(origins=[PAGE], token=b"0123456789abcdef")
        for headers, status in (
            (("Origin: http://localhost:8080",), 200),
            ((f"Origin: {PAGE}",), 403),
            (("Origin: https://evil.example",), 403),
            (("Origin: null",), 403),
            (("Origin: http://[",), 403),
            (("Origin: http://localhost:9999", "Sec-Fetch-Site: same-site"), 403),
            (("Sec-Fetch-Site: same-origin", "Sec-Fetch-Dest: empty"), 200),
            (("Sec-Fetch-Site: none", "Sec-Fetch-Dest: document"), 200),
            (("Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: document"), 200),
            (("Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: iframe"), 403),
            (("Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: image"), 403),
            (("Sec-Fetch-Site: same-site", "Sec-Fetch-Dest: script"), 403),
        ):
            password = basic("anybody:0123456789abcdef")
            self.assertEqual(ask(locked, "/book", password, *headers, host="localhost:8080").status, status, headers)
            self.assertEqual(ask(locked, "/book", *headers, host="localhost:8080").status, 401, headers)

    def test_a_websocket_of_an_allowed_page_is_not_lent_the_password_either(self) -> None:
        locked = guard(origins=[PAGE], token=b"0123456789abcdef")
        for origin, status in ((PAGE, 403), ("http://localhost:8080", 200)):
            upgrade = ("Upgrade: websocket", f"Origin: {origin}", basic("anybody:0123456789abcdef"))
            self.assertEqual(ask(locked, "/ws/2", *upgrade, host="localhost:8080").status, status, origin)

    def test_a_page_that_has_the_token_sends_it_itself(self) -> None:
        locked = guard(origins=[PAGE], token=b"0123456789abcdef")
        headers = (f"Origin: {PAGE}", "Authorization: Bearer 0123456789abcdef", "Sec-Fetch-Site: cross-site")
        self.assertEqual(ask(locked, "/book", *headers).status, 200)

    def test_livez_alone_is_open(self) -> None:
        locked = guard(token=b"secret")
        for path, status in (("/livez", 200), ("/livez?x=1", 200), ("/livez/", 401), ("/%6civez", 401), ("/readyz", 401)):
            self.assertEqual(ask(locked, path).status, status, path)


class CheckTests(SynchronousTestCase):
    def test_names_are_names(self) -> None:
        for name in ("", "a b", "https://book.example.org", "book.example.org:80", "*", "a..b"):
            with self.assertRaises(ValueError) as raised:
                guard([name])
            self.assertIn("--allow-host", str(raised.exception))

    def test_origins_are_origins(self) -> None:
        for origin in ("*", "null", "page.example", f"{PAGE}/", "https://Page.example", "ftp://page.example", "https://"):
            with self.assertRaises(ValueError) as raised:
                guard(origins=[origin])
            self.assertIn("--allow-origin", str(raised.exception))
