"""The process and its time."""

from tests.reliability.table import Row

ROWS = [
    Row(
        "P1",
        "kill -9 at any byte, at any moment",
        "after the next start the file is the exchange's ledger: nothing torn, lost or twice",
        ["test_kills.Kills.*", "out.test_trade_kills.KillTests.*", "core.test_recovery.*.*"],
        found="half a row taken for a row where the read part of a file begins",
    ),
    Row(
        "P2",
        "SIGTERM, SIGINT",
        "sockets closed, rows flushed, synced, saved; what could not be written is exit code 74 and a line",
        [
            "test_stopping.Stopping.test_while_everything_is_live",
            "test_stopping.Stopping.test_while_the_disk_is_full",
            "test_command.Running.test_sigterm_leaves_a_whole_file",
            "out.test_trade_recorder.RecorderTests.test_stop_*",
        ],
    ),
    Row(
        "P3",
        "SIGHUP",
        "a file that was moved is left for a new one, settings read again; a mistake in them changes nothing",
        [
            "test_command.Running.test_sighup_reads_the_settings_again",
            "out.test_trade_succession.SuccessionTests.test_sighup_after_a_rename",
        ],
    ),
    Row(
        "P4",
        "told to stop twice; while starting, connecting, in a handshake, waiting, syncing",
        "it ends in every state, and leaves no socket open",
        ["test_stopping.Stopping.*", "feed.test_sockets.Sockets.test_stopping_leaves_nothing_open"],
    ),
    Row("P5", "out of memory", "as kill -9; MemoryMax in the unit", not_shown="no test kills by memory; P1 kills as hard"),
    Row(
        "P6",
        "two daemons on one file",
        "the second exits with 75 and names the first one's pid; that it does not where the lock was removed",
        [
            "test_command.Mistakes.test_a_file_that_another_daemon_has",
            "out.test_trade_kernel.*.test_second_daemon",
            "out.test_trade_kernel.*.test_lock_file_that_was_removed",
            "out.test_trade_kernel.*.test_link_to_a_file_that_another_daemon_has",
        ],
    ),
    Row(
        "P7",
        "twistd forks; umask 077 or 022",
        "the lock survives, modes are explicit",
        [
            "out.test_trade_kernel.*.test_modes_whatever_the_umask",
            "out.test_trade_kernel.*.test_descriptors_*",
            "test_command.Running.test_the_lock_goes_into_the_background",
        ],
    ),
    Row(
        "P8",
        "a stale or foreign pid file",
        "a dead process' hinders nobody, the lock is on the file; twistd refuses to start for one of a process that runs",
        ["test_command.Running.test_the_lock_goes_into_the_background"],
        not_shown="one of a process that runs and is no daemon: use --pidfile=",
    ),
    Row(
        "P9",
        "the clock is set by an hour or a day; the process is stopped for a while, or the machine suspended",
        "timers go on; no connection ends for it, and no old book is live; rows carry the exchange's time",
        [
            "test_clock_steps.ClockSteps.*",
            "core.test_session_watchdogs.Watchdogs.test_a_process_that_was_held_up_blames_nobody",
            "test_app.ClockTest.test_it_goes_on_while_the_machine_is_suspended",
        ],
    ),
    Row(
        "P10",
        "a bug in our own code",
        "logged as one; the connection is made anew, the process goes on",
        [
            "feed.test_websocket.Frames.test_a_bug_*",
            "feed.test_connection.Faults.*",
            "out.test_trade_recorder.RecorderTests.test_bug_in_history_is_logged_and_survived",
        ],
        found="a connection that somebody else cancelled would have been given up for ever",
    ),
    Row("P11", "no descriptors left", "the limit is raised at the start, connections are bounded", ["test_app.*.*limit*"]),
    Row(
        "P12",
        "the disk stalls",
        "syncing is done in a thread, one at a time; rows go on meanwhile",
        [
            "out.test_trade_saving.SavingTests.test_sync_runs_one_at_a_time_and_rows_go_on_meanwhile",
            "out.test_trade_kernel.*.test_failing_and_slow_syncs",
            "test_notify.*.*",
        ],
    ),
]
