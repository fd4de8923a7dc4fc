"""D: what is kept, through kills, power failures, damaged files and full disks."""

from __future__ import annotations

from tests.promises.promise import Mutant, Promise

_STORE = "tests/agentd/store"
_LEARNER = "tests/agentd/learner"
_SIMULATED = "tests/simulation/test_simulation.py::test_promises_hold_whatever_goes_wrong"
_FOUND = "tests/simulation/test_simulation.py::test_what_a_seed_has_found_stays_mended"
_LONG = "scripts/test -m long tests/promises"
_SOAK = "scripts/soak --simulate --seeds 100"

DURABLE = (
    Promise(
        "D1",
        "an acknowledged checkpoint survives `kill -9` at any moment",
        (
            f"{_STORE}/test_kill.py::test_sixty_kills_lose_nothing_that_was_acknowledged",
            f"{_LEARNER}/test_process.py::"
            "test_kills_inside_a_checkpoint_lose_nothing_that_was_acknowledged",
            _SIMULATED,
        ),
        f"{_LONG}/test_long.py::test_a_thousand_kills",
        (
            Mutant(
                "a checkpoint is written under its own name, not aside",
                "agentd/store/checkpoint.py",
                'aside = folder / f"{_ASIDE}{name}"',
                "aside = folder / name",
                f"{_STORE}/test_kill.py::test_sixty_kills_lose_nothing_that_was_acknowledged",
            ),
        ),
    ),
    Promise(
        "D2",
        "… and a power failure: it is written, synced, named and the name synced before it is "
        "acknowledged",
        (
            f"{_STORE}/test_checkpoint.py::test_power_loss_after_every_operation",
            f"{_STORE}/test_checkpoint.py::test_the_order_is_write_sync_rename_sync",
            f"{_STORE}/test_files.py::"
            "test_a_folder_whose_name_was_not_synced_is_synced_by_the_next_who_needs_it",
            _SIMULATED,
        ),
        _SOAK,
        (
            Mutant(
                "the new name is not synced",
                "agentd/store/checkpoint.py",
                '    files.sync_dir(folder)\n    reach("checkpoint.durable")',
                '    reach("checkpoint.durable")',
                f"{_STORE}/test_checkpoint.py::test_power_loss_after_every_operation",
            ),
            Mutant(
                "a file is named before its bytes are synced",
                "agentd/store/files.py",
                "                rest = rest[self.write(fd, rest) :]\n            self.sync(fd)",
                "                rest = rest[self.write(fd, rest) :]",
                f"{_STORE}/test_checkpoint.py::test_power_loss_after_every_operation",
            ),
            Mutant(
                "a folder that is there is taken to be on the disk",
                "agentd/store/files.py",
                "if is_there and (_number(path) in _named or not os.access(path.parent, os.W_OK)):",
                "if is_there:",
                f"{_STORE}/test_files.py::"
                "test_a_folder_whose_name_was_not_synced_is_synced_by_the_next_who_needs_it",
            ),
        ),
    ),
    Promise(
        "D3",
        "a damaged checkpoint is noticed and the one before is used, loudly; with none left the "
        "agent is refused (exit code 66), never begun at random",
        (
            f"{_STORE}/test_checkpoint.py::test_truncated_anywhere",
            f"{_STORE}/test_checkpoint.py::test_one_flipped_bit_anywhere",
            f"{_STORE}/test_checkpoint.py::test_longer_missing_or_twice",
            f"{_STORE}/test_checkpoint.py::test_swapped_files",
            f"{_STORE}/test_checkpoint.py::test_none_left_is_66_and_an_unknown_one_is_named",
            "tests/agentd/server/agents/test_damage.py::test_with_none_left_the_agent_is_refused",
        ),
        f"{_LONG}/test_long.py::test_two_thousand_flipped_bits",
        (
            Mutant(
                "the checksums of a checkpoint's files are not compared",
                "agentd/store/checkpoint.py",
                'if facts["files"][name] != manifest.file_entry(content):',
                'if facts["files"][name]["size"] != len(content):',
                f"{_STORE}/test_checkpoint.py::test_one_flipped_bit_anywhere",
            ),
            Mutant(
                "with no valid checkpoint left, an agent begins anew",
                "agentd/store/checkpoint.py",
                "    if skipped:\n        raise NoValidCheckpoint(",
                "    if False:\n        raise NoValidCheckpoint(",
                "tests/agentd/server/agents/test_damage.py::"
                "test_with_none_left_the_agent_is_refused",
            ),
        ),
    ),
    Promise(
        "D4",
        "a full or failing disk destroys nothing and stops no action; training is `degraded` until "
        "there is room",
        (
            f"{_STORE}/test_checkpoint.py::test_the_nth_call_fails_for_every_n",
            f"{_STORE}/test_files.py::test_a_write_that_fails_leaves_the_old_content",
            f"{_LEARNER}/test_process.py::"
            "test_a_disk_that_refuses_degrades_training_and_stops_nothing",
            "tests/agentd/cli/daemon/test_full_disk.py::"
            "test_rows_that_are_not_kept_are_told_at_once_and_space_is_known_within_two_seconds",
        ),
        _SOAK,
        (
            Mutant(
                "a write that was cut short is taken for a whole one",
                "agentd/store/files.py",
                "rest = rest[self.write(fd, rest) :]",
                "rest = rest[self.write(fd, rest) and len(rest) :]",
                f"{_STORE}/test_checkpoint.py::test_the_nth_call_fails_for_every_n",
            ),
            Mutant(
                "a checkpoint that could not be written is told to nobody",
                "agentd/learner/checkpoints.py",
                "            self.degraded = True\n",
                "",
                f"{_LEARNER}/test_process.py::"
                "test_a_disk_that_refuses_degrades_training_and_stops_nothing",
            ),
        ),
    ),
    Promise(
        "D5",
        "to resume is as if never stopped: parameters, optimizer, target, replay, generators and "
        "counters are bit-equal on the CPU",
        (
            "tests/engine/learners/test_dqn.py::"
            "test_two_thousand_updates_equal_one_thousand_resumed",
            f"{_LEARNER}/test_process.py::test_400_updates_equal_200_and_kill_and_resume_and_200",
            f"{_LEARNER}/test_process.py::test_kills_at_random_moments_change_nothing",
        ),
        _SOAK,
        (
            Mutant(
                "the target network is not restored",
                "agentd/engine/learners/dqn.py",
                '        self._backend.write(self._target, arrays["target"])\n'
                "        self._source.set_state(arrays, scalars)",
                "        self._source.set_state(arrays, scalars)",
                "tests/engine/learners/test_dqn.py::"
                "test_two_thousand_updates_equal_one_thousand_resumed",
            ),
            Mutant(
                "the sampler draws as from the start",
                "agentd/engine/learners/dqn.py",
                "        self._source.set_state(arrays, scalars)\n",
                "",
                f"{_LEARNER}/test_process.py::"
                "test_400_updates_equal_200_and_kill_and_resume_and_200",
            ),
        ),
    ),
    Promise(
        "D6",
        "old checkpoints load for ever",
        (
            f"{_STORE}/test_checkpoint.py::test_the_golden_checkpoint_of_format_1_loads_for_ever",
            f"{_STORE}/test_checkpoint.py::"
            "test_the_golden_checkpoint_without_one_of_its_files_does_not",
        ),
        f"scripts/test {_STORE}/test_checkpoint.py",
        (
            Mutant(
                "only the next format is read",
                "agentd/store/manifest.py",
                "FORMAT = 1\n",
                "FORMAT = 2\n",
                f"{_STORE}/test_checkpoint.py::"
                "test_the_golden_checkpoint_of_format_1_loads_for_ever",
            ),
        ),
    ),
    Promise(
        "D7",
        "an acknowledged row is in the ring once, as it was played, whatever is killed; answers "
        "come in order and to the right stream",
        (
            _SIMULATED,
            "tests/agentd/memory/test_replay_ring_crash.py::"
            "test_sixty_killed_writers_leave_the_old_or_the_new_state",
            "tests/agentd/server/agents/test_learning.py::"
            "test_a_killed_daemon_forgets_no_row_and_doubles_none",
            "tests/agentd/server/peers/test_sessions.py::"
            "test_a_frame_sent_again_gets_the_same_answer_and_counts_once",
        ),
        _SOAK,
        (
            Mutant(
                "rows count before they are written",
                "agentd/memory/replay_ring.py",
                "        for to, of in parts:\n            self._write(to, of, rows)",
                "        self._file.commit.write(self._counters._replace(head=head + n))\n"
                "        for to, of in parts:\n            self._write(to, of, rows)",
                "tests/agentd/memory/test_replay_ring_crash.py::"
                "test_sixty_killed_writers_leave_the_old_or_the_new_state",
            ),
            Mutant(
                "the newest frame, sent again, is taken as a new one",
                "agentd/server/peers/connection.py",
                "        if message.seq <= session.last_seq:\n            agent.repeat",
                "        if message.seq < session.last_seq:\n            agent.repeat",
                "tests/agentd/server/peers/test_sessions.py::"
                "test_a_frame_sent_again_gets_the_same_answer_and_counts_once",
            ),
        ),
    ),
    Promise(
        "D8",
        "a power failure takes no acknowledged row that is older than `durability` says",
        (
            "tests/simulation/test_power.py::"
            "test_a_power_failure_takes_no_row_older_than_the_window",
            _FOUND,
        ),
        "scripts/test -m long tests/simulation/test_power.py",
        (
            Mutant(
                "the header is not waited for",
                "agentd/memory/ring_writer.py",
                "            self._file.sync_header()",
                "            pass",
                "tests/simulation/test_power.py::"
                "test_a_power_failure_takes_no_row_older_than_the_window",
            ),
            Mutant(
                "a checkpoint that is found counts rows that power has taken",
                "agentd/learner/checkpoints.py",
                "StoredCheckpoint(found.name, found.step, None)",
                'StoredCheckpoint(found.name, found.step, RingCounters(**facts["counters"]))',
                _FOUND,
            ),
        ),
    ),
)
