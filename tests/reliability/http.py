"""Those who read over HTTP, and those who mean no good."""

from tests.reliability.table import Row

ROWS = [
    Row(
        "H1",
        "slow heads and bodies",
        "a head has 10 s in all, an idle connection 30 s; 500 slow ones leave GET /book answering",
        [
            "out.test_http_channel.HeadDeadlineTests.*",
            "out.test_http_channel.IdleTests.*",
            "out.test_listen.*.test_five_hundred_slow_heads_do_not_keep_the_book_from_its_readers",
        ],
    ),
    Row("H2", "lines and heads too long, junk", "400, and closed", ["out.test_http_channel.MalformedTests.*"]),
    Row("H3", "a body on any route", "refused before it is read", ["out.test_http_channel.BodyTests.*"]),
    Row(
        "H4",
        "other methods, strange paths",
        "405 with Allow, 404, in JSON",
        ["out.test_http.*.*only_get*", "out.test_http.*.*nothing*"],
    ),
    Row("H5", "a stranger's name (DNS rebinding)", "421", ["out.test_guard.*.*host*", "out.test_guard.*.*strangers*"]),
    Row(
        "H6",
        "pages of other origins",
        "none may read, but those named; none may use what a browser keeps of the token",
        ["out.test_guard.*.*origin*", "out.test_guard.*.*lent*", "page.test_page_with_token.*.test_strangers"],
    ),
    Row(
        "H7",
        "5,000 requests at once on a connection",
        "in order, in portions, memory flat",
        ["out.test_http_channel.PipeliningTests.*"],
    ),
    Row(
        "H8",
        "many clients; clients that never read",
        "bounded; the one idle for longest makes room; who does not read is cut",
        [
            "out.test_site.ConnectionBoundTests.*",
            "out.test_listen.*.test_a_client_that_never_reads_stops_being_answered",
            "out.test_relay_sockets.*.test_a_thousand",
        ],
    ),
    Row(
        "H9",
        "a reader in the middle of a batch",
        "the book of the last frame, with its number, under an ETag",
        ["out.test_http.*.*tag*", "out.test_http.*.test_the_same_book_is_sent_once", "test_load.Load.*"],
    ),
    Row("H10", "tricks in ?pair=", "404 or 400, never a path", ["out.test_query.*.*pair*"]),
    Row("H11", "an error's page", "no traceback", ["out.test_http.*.*traceback*", "out.test_site.HeaderTests.*"]),
    Row("H12", "the same over TLS", "answered, refused, cut and ended as over TCP", ["out.test_over_tls.OverTlsTest.*"]),
]
