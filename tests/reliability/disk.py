"""The disk, and what others do to our files."""

from tests.reliability.table import Row

_RECORDER = "out.test_trade_recorder.RecorderTests.test_"
_START = "out.test_trade_recorder_start.Start.test_"
_FOLDER = "out.test_trade_folder.FolderTests.test_check_folder"
_KERNEL = "out.test_trade_kernel.*.test_"

ROWS = [
    Row(
        "D1",
        "full disk, quota, largest size; a write that is short and raises nothing",
        "the same bytes at the same place until they are there; beyond 10,000 rows they are let go of and fetched again",
        [
            f"{_RECORDER}full_disk_and_room_again",
            f"{_RECORDER}disk_that_is_full_for_long",
            f"{_KERNEL}full_file_system*",
            f"{_KERNEL}file_size_limit",
            "out.test_trade_failing_calls.FailingCallTests.*",
            "test_stopping.Stopping.test_while_the_disk_is_full",
        ],
    ),
    Row(
        "D2",
        "EIO at a write, or a file system that has become read-only",
        "as D1; three in a row are told, and exit 74 with --strict-disk",
        ["out.test_trade_failing_calls.FailingCallTests.*", "out.test_trade_saving.SavingTests.test_giving_up_*"],
    ),
    Row(
        "D3",
        "EIO at fdatasync, dirty pages dropped",
        "what was not synced is written again, then synced; three in a row are told, and exit 74 with --strict-disk",
        [
            f"{_RECORDER}disk_that_syncs_no_more",
            f"{_KERNEL}failing_and_slow_syncs",
            "out.test_trade_failing_calls.FailingCallTests.*",
        ],
    ),
    Row(
        "D4",
        "power loss: any prefix, holes, blocks in any order",
        "rows are checked strictly from the synced mark; what is no row is set aside, and fetched again",
        ["out.test_trade_crash_images.CrashImageTests.*", "out.test_recorder_machine.*.*"],
        found="a tail without a line end taken for rows; an old head joined to a new tail, in the algorithm's first drafts",
    ),
    Row(
        "D5",
        "NUL bytes, half a row, no line end",
        "as D4",
        ["core.test_recovery.*.*torn*", "core.test_recovery.*.test_holes_and_garbage_are_cut"],
    ),
    Row(
        "D6",
        "damage below the synced mark",
        "refused with the offset, and not a byte changed",
        [
            "core.test_recovery.*.test_damage_*",
            f"{_KERNEL}damage_below_the_synced_mark_is_refused",
            f"{_START}refused_file_is_not_changed_and_the_lock_is_let_go",
        ],
    ),
    Row(
        "D7",
        "not our file: another header, a directory, a device",
        "refused, not a byte changed",
        [
            "core.test_recovery.*.test_foreign_files_are_refused",
            f"{_KERNEL}what_is_not_ours_is_refused_and_not_touched",
            "core.test_recovery.*.test_what_an_editor_has_rewritten_*",
            "out.test_rotation.*.test_a_link_is_not_rotated",
            _FOLDER,
        ],
        found="a link to a part beside it was taken for a rename that had been cut, and the part was removed",
    ),
    Row("D8", "another pair's file", "refused", ["core.test_recovery.*.test_rows_of_another_pair_are_refused"]),
    Row(
        "D9",
        "read-only, no permission, no folder",
        "at the start exit 73 with the reason; later as D1",
        [f"{_KERNEL}read_only_file_system", f"{_KERNEL}no_permission", _FOLDER],
    ),
    Row(
        "D10",
        "renamed, removed, replaced, cut, written to by somebody else",
        "seen within a second; the next file goes on, and no trade is in two of them; what is missing from an older one "
        "that was put back is fetched again",
        [
            "out.test_trade_succession.SuccessionTests.test_file_that_*",
            "out.test_trade_succession.SuccessionTests.test_an_older_file_that_*",
            "out.test_trade_succession.SuccessionTests.test_kill_after_an_older_file_was_put_back",
            "core.test_recovery.*.test_file_that_was_rotated_away",
            f"{_KERNEL}rotation*",
            f"{_KERNEL}copytruncate",
            f"{_KERNEL}removal",
            f"{_KERNEL}folder_that_was_removed",
            "out.test_rotation_kills.*.*",
            "out.test_earlier_parts.AtAStart.*",
        ],
        found="a process that ended while a file was rotated would have written the old one's last rows once more, and so "
        "would a start after a kill and a rename, or when history had been away for 200,000 trades; what was missing from a "
        "backup that was put back while it ran was taken for recorded",
    ),
    Row(
        "D11",
        "the state file lost, damaged or an older one; trade.csv put back from a backup, its state not; "
        "the ledger of gaps lost",
        "everything is verified again, and what is missing fetched: it costs questions, no trades",
        [
            f"{_START}lost_state_costs_only_questions",
            f"{_START}a_backup_that_was_put_back_costs_only_questions",
            f"{_START}a_gap_that_the_ledger_alone_names_is_filled",
            f"{_START}kill_after_the_ledger_has_named_a_gap_and_before_the_state_has",
            f"{_START}a_ledger_that_is_lost_names_again_what_is_open",
            "core.test_recovery.*.test_lost_state_*",
            "core.test_recovery.*.test_rows_that_are_missing_*",
            f"{_START}kill_after_a_backup_was_copied_over_the_file",
            "core.test_recovery.*.test_where_rows_are_missing_*",
            "core.test_recovery.*.test_rows_from_before_the_file_that_the_state_is_of_was_begun",
            "out.test_earlier_parts.AtAStart.test_a_gap_in_a_part_beside_a_file_from_which_rows_are_missing",
            "out.test_earlier_parts.AtAStart.test_a_backup_*",
            "out.test_earlier_parts.AtAStart.test_no_state_*",
        ],
        found="what the state knew of was taken for what the backup has, and never fetched; a gap in an earlier part was "
        "called filled, and was not; one that the ledger alone named stayed open for ever; a late trade that was lost with "
        "the rows after it was taken for a part's, and so was all that was missing where trade.csv had just been rotated",
    ),
    Row(
        "D12",
        "a slow disk",
        "memory stays bounded, heartbeats are not missed",
        [
            "out.test_trade_saving.SavingTests.test_sync_runs_one_at_a_time_and_rows_go_on_meanwhile",
            f"{_KERNEL}failing_and_slow_syncs",
        ],
    ),
    Row(
        "D13",
        "the folder for temporary files is full",
        "nothing is ever written there",
        ["out.test_http_channel.BodyTests.*"],
    ),
]
