"""T, I: what outside trials have added, and what one agent may cost another."""

from __future__ import annotations

from tests.promises.promise import Mutant, Promise

_LIFECYCLE = "tests/agentd/server/agents/test_lifecycle.py"
_LIFE = "tests/agentd/server/agents/test_life.py"
_ASIDE = "tests/agentd/server/batching/test_aside.py"
_BUDGET = "tests/agentd/server/agents/test_budget.py"
_CREATION = "tests/agentd/server/agents/test_creation.py"
_ISOLATION = "tests/agentd/server/agents/test_isolation.py"
_CROWDS = "tests/agentd/cli/daemon/test_crowds.py"
_LONG = "scripts/test -m long tests/promises"

TRIED = (
    Promise(
        "T1",
        "a flood of hellos, or of connections that say nothing, keeps nobody out for long and "
        "leaves nothing behind",
        (
            f"{_LIFECYCLE}::test_when_the_table_is_full_who_waits_gives_way",
            f"{_LIFECYCLE}::test_a_hello_over_the_limit_leaves_no_agent",
            f"{_CROWDS}::"
            "test_at_the_limit_of_descriptors_who_comes_is_refused_and_who_plays_plays_on",
        ),
        "scripts/test tests/conformance/test_hostile.py",
        (
            Mutant(
                "sessions that nobody resumes keep games out",
                "agentd/server/agents/sessions.py",
                "        if not _end_one_that_waits(registry):",
                "        if True:",
                f"{_LIFECYCLE}::test_when_the_table_is_full_who_waits_gives_way",
            ),
        ),
    ),
    Promise(
        "T2",
        "a damaged ring or session table is set aside, and said: the daemon serves, and no other "
        "agent notices",
        (
            f"{_LIFECYCLE}::test_a_damaged_session_table_is_begun_anew",
            f"{_LIFE}::test_each_file_means_what_the_table_says",
            f"{_LIFE}::test_an_agent_survives_or_is_refused_whatever_is_damaged",
            f"{_LIFE}::test_an_agent_survives_or_is_refused_whatever_is_missing",
        ),
        f"{_LONG}/test_long.py::test_two_hundred_damaged_data_directories",
        (
            Mutant(
                "a damaged session table ends the start",
                "agentd/memory/session_table.py",
                "        except RingMismatch as fault:\n            aside = move_aside(path)",
                "        except ZeroDivisionError as fault:\n            aside = move_aside(path)",
                f"{_LIFECYCLE}::test_a_damaged_session_table_is_begun_anew",
            ),
            Mutant(
                "a damaged ring refuses its agent",
                "agentd/server/agents/build.py",
                "    except RingDamaged as fault:",
                "    except ZeroDivisionError as fault:",
                f"{_LIFE}::test_each_file_means_what_the_table_says",
            ),
        ),
    ),
    Promise(
        "T3",
        "of an agent whose creation failed or was cut off nothing is left that keeps a game out",
        (
            f"{_LIFECYCLE}::test_a_creation_that_fails_leaves_nothing",
            f"{_LIFECYCLE}::test_a_hello_that_fails_does_not_bind_an_agent_that_was_created",
            f"{_CREATION}::test_what_a_cut_off_creation_left_keeps_no_game_out",
            f"{_CREATION}::test_a_disk_that_fails_at_any_call_of_a_creation_leaves_nothing",
            "tests/agentd/server/agents/test_lineage.py::test_a_copy_that_fails_leaves_nothing",
        ),
        "scripts/soak --simulate --seeds 100",
        (
            Mutant(
                "a hello that fails leaves its agent",
                "agentd/server/agents/registry.py",
                "            await asyncio.to_thread(self.stored.remove, name)\n            raise",
                "            raise",
                f"{_CREATION}::test_a_disk_that_fails_at_any_call_of_a_creation_leaves_nothing",
            ),
        ),
    ),
    Promise(
        "T4",
        "a disk that is full while an agent is created: the game is told, nothing is left, and it "
        "works once there is room",
        (f"{_CREATION}::test_a_disk_that_fails_at_any_call_of_a_creation_leaves_nothing",),
        "scripts/soak --simulate --seeds 100",
        (
            Mutant(
                "what the disk refused is a fault of nobody's",
                "agentd/server/agents/faults.py",
                "    except (StorageError, OSError) as fault:",
                "    except ZeroDivisionError as fault:",
                f"{_CREATION}::test_a_disk_that_fails_at_any_call_of_a_creation_leaves_nothing",
            ),
            Mutant(
                "a configuration that could not be written leaves its folder",
                "agentd/server/agents/stored.py",
                "            if is_new:\n",
                "            if False:\n",
                f"{_CREATION}::test_a_disk_that_fails_at_any_call_of_a_creation_leaves_nothing",
            ),
        ),
    ),
    Promise(
        "T5",
        "an agent that no machine could hold is refused before anything of it is made",
        (
            f"{_BUDGET}::test_create_refuses_what_no_game_could_play",
            f"{_BUDGET}::test_a_hello_for_a_model_that_is_too_large_leaves_nothing",
            f"{_BUDGET}::test_a_ring_that_was_asked_for_and_does_not_fit_is_refused",
        ),
        f"scripts/test {_BUDGET}",
        (
            Mutant(
                "`create` asks for no budget",
                "agentd/server/agents/registry.py",
                "            with as_protocol_errors():\n"
                "                check_least(read, self._config.limits)\n",
                "",
                f"{_BUDGET}::test_create_refuses_what_no_game_could_play",
            ),
        ),
    ),
    Promise(
        "I1",
        "an agent that is paced, broken, huge, or slow to build, open or delete never holds up "
        "another's answers",
        (
            f"{_ISOLATION}::test_agents_in_trouble_delay_nobody_else",
            f"{_BUDGET}::test_an_agent_being_built_does_not_hold_up_the_others",
            f"{_ASIDE}::test_others_are_answered_while_a_pass_is_made",
            f"{_ASIDE}::test_weights_that_come_meanwhile_are_those_that_answer",
        ),
        "python scripts/bench_isolation.py",
        (
            Mutant(
                "agents are built on the event loop",
                "agentd/server/agents/build.py",
                "await loop.run_in_executor(_BUILDERS, build_agent, host, folder, config, schema)",
                "build_agent(host, folder, config, schema)",
                f"{_ISOLATION}::test_agents_in_trouble_delay_nobody_else",
            ),
            Mutant(
                "builds take the threads that others' work on the disk waits for",
                "agentd/server/agents/build.py",
                "run_in_executor(_BUILDERS, build_agent",
                "run_in_executor(None, build_agent",
                f"{_ISOLATION}::test_agents_in_trouble_delay_nobody_else",
            ),
            Mutant(
                "answers that wait for the disk take the threads of others",
                "agentd/server/batching/row_sync.py",
                "await loop.run_in_executor(self._thread, self._ring.sync)",
                "await asyncio.to_thread(self._ring.sync)",
                f"{_ISOLATION}::test_agents_in_trouble_delay_nobody_else",
            ),
            Mutant(
                "long passes are made on the event loop",
                "agentd/server/batching/aside.py",
                "loop.run_in_executor(self._thread, self._actor.look_ahead, question)",
                "loop.create_future()\n        self._actor.look_ahead(question)",
                f"{_ASIDE}::test_others_are_answered_while_a_pass_is_made",
            ),
            Mutant(
                "what a pass found is used whatever has come meanwhile",
                "agentd/server/batching/actor.py",
                "ahead[0] == self._turn and ahead[1].equals(question)",
                "True",
                f"{_ASIDE}::test_weights_that_come_meanwhile_are_those_that_answer",
            ),
        ),
    ),
)
