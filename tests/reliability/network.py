"""The network and the exchange."""

from tests.reliability.table import Row

_SCENARIO = "feed.test_scenarios.Scenarios.test_"

ROWS = [
    Row(
        "N1",
        "no such name; the name server hangs",
        "back-off; the last book stays, stale; a server that hangs takes one thread however often it is asked",
        [f"{_SCENARIO}name_unknown", "feed.test_resolver.Questions.*"],
    ),
    Row(
        "N2",
        "refused, unreachable, never answered",
        "back-off from 1 to 60 s with full jitter, and no more than 10 connects a minute, over restarts and processes too",
        [
            f"{_SCENARIO}connection_refused",
            f"{_SCENARIO}host_unreachable",
            "feed.test_backoff.Delays.*",
            "feed.test_budget.Own.*",
            "feed.test_budget.Shared.*",
            "feed.test_connection.Pauses.*",
            "feed.test_sockets.Sockets.test_nobody_there",
            "test_stopping.Stopping.test_while_it_connects",
        ],
        found="a wait that floats made 0 said go without being counted; ten a minute did not hold over restarts",
    ),
    Row(
        "N3",
        "TLS: expired, not yet valid, wrong host, no host at all, unknown authority, TLS 1.0, plain text",
        "refused, with the reason in the log; never less than verified",
        ["feed.test_tls.Certificates.*"],
        found="a certificate without a name was taken for the exchange's, whoever had it",
    ),
    Row(
        "N4",
        "handshake answered with another status, a page, garbage, a wrong key, an endless header",
        "one failed attempt, closed within its time; after 429 a minute without connecting",
        [
            f"{_SCENARIO}handshake_*",
            "feed.test_websocket.Handshakes.*",
            "feed.test_sockets.Sockets.test_handshakes_that_are_none",
        ],
    ),
    Row(
        "N5",
        "accepted, then silence",
        "given up after 10 s before the handshake, 15 s after it",
        [f"{_SCENARIO}handshake_hangs", f"{_SCENARIO}handshake_is_followed_by_silence"],
    ),
    Row(
        "N6",
        "a socket that is dead and does not know it",
        "stale after 20 s without a heartbeat, connected anew after 35 s, on the monotonic clock",
        [
            f"{_SCENARIO}plug_pulled_*",
            f"{_SCENARIO}nothing_at_all",
            "core.test_session_watchdogs.Watchdogs.*",
            "feed.test_websocket.Frames.test_a_silent_peer_is_dropped_without_a_tick",
            "test_cable.Cable.*",
        ],
    ),
    Row(
        "N7",
        "one channel falls silent, or only heartbeats come",
        "heartbeats keep a quiet market live; a silent channel is subscribed again, then the connection made anew, "
        "for the same one at most every ten minutes if others on it are live",
        [
            "core.test_channel.Books.test_silent_on_the_next_connection_too_spares_the_other_channels",
            "core.test_channels.Acknowledgements.test_none_again_on_the_next_connection_spares_the_others",
            f"{_SCENARIO}book_falls_silent",
            f"{_SCENARIO}trades_fall_silent",
            f"{_SCENARIO}nothing_but_heartbeats",
            f"{_SCENARIO}pings_not_answered",
        ],
    ),
    Row(
        "N8",
        "cut in the middle of a frame, a handshake, a snapshot",
        "the part is thrown away, the book stale, missed trades fetched",
        [
            f"{_SCENARIO}connection_dropped_*",
            "feed.test_sockets.Sockets.test_connections_that_are_cut",
            "feed.test_websocket.Ends.test_the_exchange_closes_and_does_not_hang_up",
            "test_end_to_end.Faults.test_dropped_connections",
        ],
        found="a goodbye without the end of the socket left books live for 20 s",
    ),
    Row(
        "N9",
        "20051: the server restarts",
        "stale, and connected again after 1 to 5 s",
        [f"{_SCENARIO}server_restarts", "core.test_session.Notices.test_restart_in_every_state"],
    ),
    Row(
        "N10",
        "20060 and 20061: maintenance, with an end or without one",
        "stale; subscribed again at its end, connected anew after 120 s without one",
        [f"{_SCENARIO}maintenance_*", f"{_SCENARIO}end_of_a_maintenance_*", "core.test_session.Notices.*"],
    ),
    Row(
        "N11",
        "acknowledgements late, twice, in any order, of something else, none; unknown channels, events and kinds of frames; "
        "refusals; a channel that the exchange ends",
        "a table decides every message in every state; what was never asked for ends the connection; what is not known is "
        "counted; what is refused is asked for again after ten minutes, what is ended at once",
        [
            f"{_SCENARIO}acknowledgement*",
            f"{_SCENARIO}no_acknowledgement",
            f"{_SCENARIO}subscriptions_refused_for_now",
            "core.test_session.Table.*",
            "core.test_session.Strange.test_unknown_*",
            "core.test_channels.Acknowledgements.*",
            "core.test_channels.Refusals.*",
            "core.test_channels.Ended.*",
            "test_command.Mistakes.test_a_pair_that_is_refused_when_rest_does_not_answer",
        ],
        found="a subscription that had just been dropped was not waited for; a book that the exchange had ended stayed live",
    ),
    Row(
        "N12",
        "no JSON, NaN, numbers of 5,000 digits, 100,000 brackets, binary frames, wrong types",
        "counted, one short line, and the connection made anew; the process goes on",
        [
            f"{_SCENARIO}junk_*",
            "core.test_session_fuzz.BadFrames.*",
            "core.test_fuzz_session.*.*",
            "core.test_wire.Fuzz.*",
            "core.test_wire.ArrayFrames.*",
        ],
    ),
    Row(
        "N13",
        "huge frames, endless fragments, a deflate bomb; pings without end, and no pong read",
        "dropped at 1 MiB; deflate is never offered, nor taken; dropped when 64 KB wait for it",
        [
            f"{_SCENARIO}junk__2_MiB_in_a_frame",
            "feed.test_websocket.Frames.test_a_message_that_is_too_long",
            "feed.test_websocket.Frames.test_a_deflated_message",
            "feed.test_websocket.Frames.test_who_pings_and_reads_no_pong_is_dropped",
            "feed.test_websocket.Handshakes.test_deflate_that_was_not_offered",
            "feed.test_sockets.Sockets.test_frames_that_are_too_long",
        ],
    ),
    Row(
        "N14",
        "sequence numbers that are missing, repeated, begin again",
        "stale in the same turn, connected anew, missed trades fetched",
        [
            f"{_SCENARIO}sequence_*",
            "core.test_session.Sequence.*",
            "test_end_to_end.Faults.test_a_*_sequence_number",
        ],
    ),
    Row(
        "N15",
        "a checksum that does not agree, or never comes",
        "stale in that turn; that channel alone is subscribed again, at most once in 5 s, and the connection made anew for "
        "it at most every ten minutes; without any, unverified",
        [
            f"{_SCENARIO}checksum_*",
            f"{_SCENARIO}level_corrupted",
            f"{_SCENARIO}update_lost_unseen",
            f"{_SCENARIO}no_checksums",
            "test_corruptions.Corruptions.*",
            "core.test_channel.Books.*",
            "test_end_to_end.Faults.test_a_corrupted_level",
        ],
        not_shown="a level below the first 25 of each side is in no checksum of the exchange's, nor is a level's count",
    ),
    Row(
        "N16",
        "a crossed book; deletes of levels that are not there; too many levels",
        "not live while it is crossed without a checksum that says so; subscribed again after 2 s",
        [f"{_SCENARIO}book_crossed_for_good", f"{_SCENARIO}level_deleted_*", "core.test_book_feed.Books.*crossed*"],
    ),
    Row(
        "N17",
        "te twice, tu before te, one without the other, one unlike the other",
        "the first of an id is written; a difference is counted and logged, and the file stays",
        [
            f"{_SCENARIO}trades__*",
            "core.test_trades.TapeTests.test_tu_without_te_is_written",
            "core.test_trades.TapeTests.test_each_id_once_whoever_repeats_it",
            "core.test_trades.TapeTests.test_same_id_*",
            "out.test_trade_recorder.RecorderTests.test_what_is_told_otherwise_*",
        ],
    ),
    Row(
        "N18",
        "one id with two times, some ms apart, on the socket and in history",
        "one trade: the id alone tells",
        [
            "core.test_trades.TapeTests.test_same_id_with_another_time_is_the_same_trade",
            "out.test_recorder_machine.*.*",
        ],
        found="a history judged too short because of the skew between socket and database",
    ),
    Row(
        "N19",
        "trades that the socket never told",
        "found by comparing with history, each minute",
        [
            "core.test_comparison.ComparisonTests.test_trade_that_the_socket_never_told_is_found",
            f"{_SCENARIO}trades__te_missing_0_5",
            "out.test_recorder_machine.*.*",
        ],
        found="the frontier stuck behind an empty last page; a witness looked for in the first page of a walk only",
    ),
    Row(
        "N20",
        "history: 429, errors, HTML, stalls, cut bodies, empty, unsorted, short, late, forgetful",
        "such a page did not come; ten questions a minute; a hole is written down, and fetched for ever",
        [
            "feed.test_history.*.*",
            "core.test_history.*.*",
            "core.test_walk.*.*",
            "core.test_trades_held_back.HoldingBackTests.*history*",
            "out.test_recorder_machine.*.*",
        ],
        found="a gap was written down only together with the frontier; a gap that stayed open in a quiet market, since full "
        "pages had led past its edge before that was published; more trades counted for a gap than lay in it, and fewer",
    ),
    Row(
        "N21",
        "a proxy refuses, hangs, or is none",
        "said in the log, its password not",
        ["feed.test_proxy.Tunnels.*", "feed.test_proxy.Environment.*"],
    ),
    Row(
        "N22",
        "more comes than is read",
        "portions in each turn; a process that was held up blames nobody; stale while frames come 20 s later than usual",
        [
            "test_load.Load.*",
            "core.test_session_watchdogs.Watchdogs.test_a_process_that_was_held_up_*",
            "core.test_session_watchdogs.Watchdogs.test_what_waits_on_a_line_that_was_down_is_old_when_it_comes",
            "core.test_session_watchdogs.Watchdogs.test_a_line_that_falls_behind_more_and_more",
        ],
        found="a book of 26 s ago live, for as long as it took to read what had come meanwhile",
    ),
]
