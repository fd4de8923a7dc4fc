"""S, O: who may do what, and what operators may rely on."""

from __future__ import annotations

from tests.promises.promise import Mutant, Promise

_HTTP = "tests/agentd/server/http/test_http.py"
_SESSIONS = "tests/agentd/server/peers/test_sessions.py"
_CONFIG = "tests/agentd/test_config.py"
_DOORS = "tests/agentd/server/test_doors.py"

OPERATED = (
    Promise(
        "S1",
        "the daemon is never reachable from outside by accident: beyond loopback without tokens it "
        "does not start (exit code 78)",
        (
            f"{_CONFIG}::test_open_to_others_without_tokens_is_refused",
            "tests/agentd/cli/daemon/test_serve.py::"
            "test_open_to_all_without_tokens_is_refused_in_one_line",
            "tests/conformance/test_operations.py::"
            "test_r12_beyond_loopback_without_tokens_it_does_not_start",
        ),
        "scripts/test tests/conformance",
        (
            Mutant(
                "0.0.0.0 is taken for this machine alone",
                "agentd/config/resolve.py",
                '    if host == "localhost":',
                '    if host in ("localhost", "0.0.0.0"):',
                f"{_CONFIG}::test_open_to_others_without_tokens_is_refused",
            ),
        ),
    ),
    Promise(
        "S2",
        "no verb and no route forgets the token",
        (
            f"{_DOORS}::test_every_verb_wants_an_operator",
            f"{_DOORS}::test_every_route_wants_a_token_or_tells_nothing_of_agents",
            "tests/conformance/test_operations.py::test_r12_every_operation_needs_admin",
            "tests/conformance/test_operations.py::test_r12_without_a_known_token_nobody_enters",
            f"{_SESSIONS}::test_a_token_bounds_what_hello_may_ask",
        ),
        "scripts/test tests/conformance",
        (
            Mutant(
                "who may learn may operate",
                "agentd/server/peers/operations.py",
                "    if grant < Grant.ADMIN:",
                "    if grant < Grant.LEARN:",
                f"{_DOORS}::test_every_verb_wants_an_operator",
            ),
            Mutant(
                "/stats and /metrics answer everybody",
                "agentd/server/http/app.py",
                "            known = shown_grant(tokens, request) is not Grant.NONE",
                "            known = True",
                f"{_DOORS}::test_every_route_wants_a_token_or_tells_nothing_of_agents",
            ),
        ),
    ),
    Promise(
        "S3",
        "loading weights or data runs no code and allocates no more than is there: nothing is "
        "unpickled, sizes are compared before",
        (
            "tests/test_architecture.py::test_wall_stands",
            "tests/engine/data/test_arrays.py::test_objects_are_never_unpickled",
            "tests/engine/data/test_arrays.py::test_a_shape_bomb_is_refused_by_its_size",
            "tests/engine/data/test_arrays.py::test_a_zip_bomb_is_refused",
            "tests/engine/data/test_idx.py::test_a_header_that_claims_too_much_allocates_nothing",
        ),
        "scripts/fuzz npz --seconds 600",
        (
            Mutant(
                "somebody imports pickle",
                "agentd/engine/data/arrays.py",
                "import io\nimport zipfile\n",
                "import io\nimport pickle\nimport zipfile\n",
                "tests/test_architecture.py::test_wall_stands[nothing_is_unpickled]",
            ),
            Mutant(
                "the size that a header claims is believed",
                "agentd/engine/data/arrays.py",
                "    if want != size:",
                "    if want < size:",
                "tests/engine/data/test_arrays.py::test_a_shape_bomb_is_refused_by_its_size",
            ),
            Mutant(
                "what a deflated file claims to hold is believed",
                "agentd/engine/data/arrays.py",
                "                if entry.file_size > entry.compress_size * _DEFLATE_LIMIT + 1024:",
                "                if False:",
                "tests/engine/data/test_arrays.py::test_a_zip_bomb_is_refused",
            ),
        ),
    ),
    Promise(
        "S4",
        "configuration cannot surprise: anything but plain YAML of known keys is refused with line "
        "and column",
        (
            f"{_CONFIG}::test_no_mutation_of_the_shipped_file_gets_through",
            "tests/engine/strictyaml/test_strictyaml.py::"
            "test_the_yaml_test_suite_gives_only_config_errors",
            "tests/engine/strictyaml/test_strictyaml.py::test_faults_are_named_with_their_place",
            "tests/engine/strictyaml/test_strictyaml.py::test_an_alias_bomb_is_cheap",
        ),
        "scripts/fuzz configuration --seconds 600",
        (
            Mutant(
                "of a key that comes twice the last one counts",
                "agentd/engine/strictyaml/reading.py",
                "        if event.value in container:",
                "        if False:",
                "tests/engine/strictyaml/test_strictyaml.py::"
                "test_faults_are_named_with_their_place",
            ),
            Mutant(
                "unknown keys are passed over",
                "agentd/engine/strictyaml/record.py",
                "kw_only=True, forbid_unknown_fields=True)",
                "kw_only=True, forbid_unknown_fields=False)",
                f"{_CONFIG}::test_no_mutation_of_the_shipped_file_gets_through",
            ),
        ),
    ),
    Promise(
        "O1",
        "SIGTERM drains: ready no more at once, what was accepted is answered, agents are saved, "
        "goodbye, exit code 0; a second signal ends it at once",
        (
            f"{_HTTP}::test_readiness_ends_with_draining",
            f"{_SESSIONS}::test_draining_answers_says_goodbye_and_ends",
            f"{_DOORS}::test_what_was_learned_is_saved_at_the_end",
            "tests/conformance/test_teaching.py::"
            "test_r9_a_server_that_goes_down_answers_and_says_goodbye",
            "tests/agentd/cli/test_serve_end.py::test_a_second_signal_ends_it_at_once",
        ),
        "scripts/test tests/agentd/cli/test_serve_end.py tests/test_deploy.py",
        (
            Mutant(
                "it is ready while it drains",
                "agentd/server/server.py",
                "        self.connections.draining = True\n",
                "",
                f"{_DOORS}::test_what_was_learned_is_saved_at_the_end",
            ),
            Mutant(
                "nothing is saved at the end",
                "agentd/server/agents/registry.py",
                "        await asyncio.gather(*(agent.close() for agent in agents))",
                "        await asyncio.gather(*(agent.close(save=False) for agent in agents))",
                f"{_DOORS}::test_what_was_learned_is_saved_at_the_end",
            ),
        ),
    ),
    Promise(
        "O2",
        "two daemons never serve one data directory: the second ends with exit code 73 and names "
        "the holder",
        (
            "tests/agentd/store/test_lock.py::test_a_second_owner_is_refused_and_told_who_holds_it",
            "tests/agentd/store/test_lock.py::test_who_removes_the_file_takes_nothing",
            "tests/agentd/cli/daemon/test_serve.py::"
            "test_a_second_daemon_on_one_directory_is_refused",
        ),
        "scripts/test tests/agentd/store tests/agentd/cli/daemon",
        (
            Mutant(
                "only the file is locked, which may be removed",
                "agentd/store/lock.py",
                "        while not (_try_lock(fd) and _try_lock(self._fds[1], must=False)):",
                "        while not _try_lock(fd):",
                "tests/agentd/store/test_lock.py::test_who_removes_the_file_takes_nothing",
            ),
        ),
    ),
    Promise(
        "O3",
        "the clock may jump by a day, either way: no deadline falls, nothing is pruned",
        (f"{_DOORS}::test_the_clock_may_jump_by_a_day",),
        "scripts/soak --simulate --seeds 100",
        (
            Mutant(
                "silence is measured by the wall clock",
                "agentd/server/peers/deadlines.py",
                "        now = time.monotonic()\n        loop_lag",
                "        now = time.time()\n        loop_lag",
                f"{_DOORS}::test_the_clock_may_jump_by_a_day",
            ),
        ),
    ),
)
