"""N, E: what the network, games and learners may do without harm to anybody else."""

from __future__ import annotations

from tests.promises.promise import Mutant, Promise

_HOSTILE = "tests/agentd/server/peers/test_hostile.py"
_LEARNING = "tests/agentd/server/agents/test_learning.py"
_PROCESS = "tests/agentd/learner/test_process.py"
_SIMULATED = "tests/simulation/test_simulation.py::test_promises_hold_whatever_goes_wrong"
_SOAK = "scripts/soak --simulate --seeds 100"

NETWORK = (
    Promise(
        "N1",
        "no malformed frame crashes, hangs or grows the daemon",
        (
            "tests/conformance/test_hostile.py::test_n1_thousands_of_mutated_frames_hurt_nobody",
            f"{_HOSTILE}::test_malformed_frames_neither_crash_nor_grow_the_server",
            "tests/agentd/protocol/test_strict.py::test_any_bytes_raise_only_protocol_errors",
        ),
        "scripts/fuzz codec --seconds 600",
        (
            Mutant(
                "a connection that is gone is kept in mind",
                "agentd/server/peers/connections.py",
                "        self._open.pop(connection, None)",
                "        pass",
                f"{_HOSTILE}::test_malformed_frames_neither_crash_nor_grow_the_server",
            ),
            Mutant(
                "only the decoder's own kinds of error are foreseen",
                "agentd/protocol/codec.py",
                "    except Exception as fault:  # malformed input can also end in TypeError",
                "    except TypeError as fault:  # malformed input can also end in TypeError",
                "tests/agentd/protocol/test_strict.py::test_any_bytes_raise_only_protocol_errors",
            ),
        ),
    ),
    Promise(
        "N2",
        "what unpacks into much more than it is (nested, huge headers, trees, keys twice) costs "
        "less than 5 ms of the event loop",
        (
            "tests/agentd/protocol/test_strict.py::test_a_bomb_is_refused_and_costs_under_5_ms",
            f"{_HOSTILE}::test_a_bomb_costs_little_of_the_loop",
        ),
        "scripts/fuzz codec --seconds 600",
        (
            Mutant(
                "the values of a message are not counted",
                "agentd/protocol/strict.py",
                "        if self._left < 0:",
                "        if False:",
                "tests/agentd/protocol/test_strict.py::test_a_bomb_is_refused_and_costs_under_5_ms",
            ),
        ),
    ),
    Promise(
        "N3",
        "a frame that is too long is refused from its header",
        (
            "tests/conformance/test_hostile.py::test_n3_lying_headers_cost_neither_time_nor_memory",
            f"{_HOSTILE}::test_an_oversized_frame_is_refused_from_its_header",
            "tests/agentd/protocol/test_codec.py::test_a_long_frame_is_refused_from_its_header",
        ),
        "scripts/fuzz codec --seconds 600",
        (
            Mutant(
                "it is refused once all of it has come",
                "agentd/protocol/codec.py",
                "            if need > self.max_frame:",
                "            if need > self.max_frame and self._size >= need:",
                "tests/agentd/protocol/test_codec.py::test_a_long_frame_is_refused_from_its_header",
            ),
        ),
    ),
    Promise(
        "N4",
        "who writes or reads slowly, or never, hurts nobody else, and is cut off in time",
        (
            f"{_HOSTILE}::test_dribblers_are_cut_on_the_deadline_and_hurt_nobody",
            "tests/agentd/server/peers/test_sessions.py::"
            "test_a_peer_that_reads_nothing_is_cut_and_its_neighbour_is_not",
            "tests/conformance/test_operations.py::"
            "test_r10_a_client_that_does_not_read_is_cut_and_hurts_nobody",
            "tests/agentd/server/http/test_http.py::test_half_requests_are_cut_off_in_time",
        ),
        "scripts/test tests/agentd/server/peers tests/conformance",
        (
            Mutant(
                "every byte of a hello begins its time anew",
                "agentd/server/peers/deadlines.py",
                "        if now - connection.opened > limits.hello_timeout_s",
                "        if now - connection.heard > limits.hello_timeout_s",
                f"{_HOSTILE}::test_dribblers_are_cut_on_the_deadline_and_hurt_nobody",
            ),
            Mutant(
                "who reads nothing is waited for",
                "agentd/server/peers/deadlines.py",
                "        if now - connection.choked_since > limits.slow_reader_s:",
                "        if now - connection.choked_since > 1e9:",
                "tests/agentd/server/peers/test_sessions.py::"
                "test_a_peer_that_reads_nothing_is_cut_and_its_neighbour_is_not",
            ),
        ),
    ),
    Promise(
        "N5",
        "of a thousand clients none loses an answer or gets another's; where descriptors end, who "
        "comes is refused politely, and nothing spins",
        (
            f"{_HOSTILE}::test_many_clients_lose_and_cross_no_reply",
            "tests/agentd/cli/daemon/test_crowds.py::"
            "test_at_the_limit_of_descriptors_who_comes_is_refused_and_who_plays_plays_on",
            "tests/agentd/server/peers/test_sessions.py::test_the_house_full_is_said_politely",
        ),
        "python scripts/bench_serving.py frames --connections 1000",
        (
            Mutant(
                "answers of one pass are dealt in reverse",
                "agentd/server/batching/answers.py",
                "    out, start = [], 0\n",
                "    choice.q[:] = choice.q[::-1].copy()\n    out, start = [], 0\n",
                f"{_HOSTILE}::test_many_clients_lose_and_cross_no_reply",
            ),
            Mutant(
                "connections are taken until no descriptor is left",
                "agentd/server/peers/connections.py",
                "    return max(1, min(wanted, soft - SPARE_FILES))",
                "    return wanted",
                "tests/agentd/cli/daemon/test_crowds.py::"
                "test_at_the_limit_of_descriptors_who_comes_is_refused_and_who_plays_plays_on",
            ),
        ),
    ),
    Promise(
        "E1",
        "a client that vanishes in an episode poisons nothing: the ring holds the acknowledged "
        "rows, and the episode ends there, truncated",
        (f"{_HOSTILE}::test_vanishing_clients_poison_nothing", _SIMULATED),
        _SOAK,
        (
            Mutant(
                "its streams stay under way",
                "agentd/server/agents/agent.py",
                "        self.states.open[block] = False\n",
                "",
                f"{_HOSTILE}::test_vanishing_clients_poison_nothing",
            ),
        ),
    ),
    Promise(
        "E2",
        "NaN and infinities never reach the weights: they are refused by name, and counted",
        (
            f"{_HOSTILE}::test_numbers_that_are_none_are_refused_by_name_and_never_learned",
            "tests/agentd/protocol/test_rows.py::test_numbers_must_be_finite",
            _SIMULATED,
        ),
        _SOAK,
        (
            Mutant(
                "rewards are not looked at",
                "agentd/protocol/rows.py",
                "    if not np.isfinite(reward).all():",
                "    if False:",
                f"{_HOSTILE}::test_numbers_that_are_none_are_refused_by_name_and_never_learned",
            ),
            Mutant(
                "observations are not looked at",
                "agentd/protocol/rows.py",
                "        if not _all_finite(values):",
                "        if False:",
                "tests/agentd/protocol/test_rows.py::test_numbers_must_be_finite",
            ),
        ),
    ),
    Promise(
        "E3",
        "training that diverges stops itself, and acting goes on: no update that is not finite is "
        "made, and after ten in a row learning pauses with the last good weights",
        (
            "tests/engine/learners/test_dqn.py::test_what_is_not_finite_is_skipped_and_counted",
            "tests/engine/learners/test_dqn.py::"
            "test_a_rate_far_too_high_stops_itself_with_finite_weights",
            f"{_PROCESS}::test_diverging_training_pauses_with_finite_weights_until_told_to_go_on",
            "tests/agentd/server/agents/test_health.py::"
            "test_learning_that_paused_is_seen_everywhere_and_goes_on_from_good_weights",
        ),
        _SOAK,
        (
            Mutant(
                "a gradient that is not finite is followed",
                "agentd/engine/learners/descent.py",
                "        if not (isfinite(loss) and isfinite(norm)):",
                "        if False:",
                "tests/engine/learners/test_dqn.py::test_what_is_not_finite_is_skipped_and_counted",
            ),
            Mutant(
                "learning never pauses",
                "agentd/learner/updater.py",
                "        self.diverged = skipped - self._skipped_before >= SKIPS_TO_PAUSE",
                "        self.diverged = False",
                f"{_PROCESS}::"
                "test_diverging_training_pauses_with_finite_weights_until_told_to_go_on",
            ),
        ),
    ),
    Promise(
        "E4",
        "a learner that dies or hangs costs no game of a `live` or `free` agent a frame; it is "
        "started again",
        (
            f"{_LEARNING}::test_a_killed_learner_costs_no_game_a_frame_and_learning_goes_on",
            "tests/agentd/learner/test_handle.py::"
            "test_a_killed_learner_is_started_again_and_the_waiting_server_gets_its_weights",
            "tests/agentd/server/agents/test_health.py::"
            "test_a_learner_that_hangs_is_started_again_and_no_paced_frame_waits_for_ever",
        ),
        _SOAK,
        (
            Mutant(
                "a learner that was killed is left",
                "agentd/learner/handle.py",
                "code, pause_s)\n        return True",
                "code, pause_s)\n        return False",
                f"{_LEARNING}::test_a_killed_learner_costs_no_game_a_frame_and_learning_goes_on",
            ),
        ),
    ),
)
