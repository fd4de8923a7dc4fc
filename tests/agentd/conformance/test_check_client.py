"""Every rule has a client that breaks it, and is named; clients that keep them all pass."""

import asyncio
import importlib.util
import io
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agentd.cli import boundary
from agentd.cli.app import app
from agentd.cli.conformance.client import describe
from agentd.cli.screen.terminal import Terminal
from agentd.conformance import scenes
from agentd.conformance.check import check_client
from agentd.conformance.rules import RULES
from agentd.conformance.scenes import SCENES
from agentd.conformance.stage import Stage

CLIENT = Path(__file__).with_name("faulty_client.py")
PATIENCE = 10.0
SHORT = 2.5
WAITED_FOR = ("stays after goodbye", "waits for ever", "keeps forgotten")
WAITED_FOR += ("short observation", "teaches badly")
"""Bugs that show when a client does nothing for so long as it may take."""
BUGS = {
    "long length": ("play", "R2 frame length"),
    "bytes behind the map": ("play", "R2 frame body"),
    "unknown key": ("play", "R2 message keys"),
    "second hello": ("play", "R2 message order"),
    "one recv is one frame": ("play", "R2 split answers"),
    "list of numbers": ("play", "R3 tensors are bin"),
    "short observation": ("play", "R3 tensor sizes"),
    "big-endian": ("play", "R3 little-endian"),
    "no name": ("play", "R4 hello"),
    "range upside down": ("play", "R4 protocol range"),
    "float64": ("play", "R4 schema"),
    "run of zeros": ("play", "R4 run"),
    "does not wait for welcome": ("play", "R4 waits for welcome"),
    "facts in version 1": ("version 1", "R4 older version"),
    "first in mid-episode": ("play", "R5 kinds"),
    "begins with mid": ("play", "R5 first rows"),
    "mid after the end": ("play", "R5 after an end"),
    "stream too high": ("play", "R5 stream ids"),
    "reward of NaN": ("play", "R5 finite numbers"),
    "empty mask": ("play", "R5 masks"),
    "reads one branch": ("play", "R5 multi-discrete"),
    "does not know q": ("play", "R5 explain"),
    "seq from 0": ("play", "R6 seq"),
    "no window": ("hold", "R6 window"),
    "impatient": ("hold", "R6 slow answers"),
    "no second dial": ("cut", "R7 resume"),
    "no resume": ("cut", "R7 resume"),
    "resends other bytes": ("cut", "R7 resend"),
    "resends nothing": ("cut", "R7 resend"),
    "plays on in a lost session": ("cut", "R7 begins anew"),
    "keeps forgotten": ("cut", "R7 forgotten frames"),
    "teaches badly": ("play", "R8 teach"),
    "rounds t": ("play", "R9 ping"),
    "no pongs": ("play", "R9 pong in time"),
    "waits for ever": ("silence", "R9 silent server"),
    "no goodbye": ("finish", "R9 goodbye"),
    "stays after goodbye": ("play", "R9 closes after goodbye"),
    "dies of a refused frame": ("refuse", "R10 refused frame"),
    "dials after a fatal error": ("fail", "R10 fatal error"),
    "comes too early": ("cut", "R10 retry_ms"),
    "knows all keys of stats": ("play", "R11 open maps"),
    "no mask on messages": ("play", "R13 carrier"),
    "reads whole numbers": ("play", "R14 numbers"),
    "forbidden action taken": ("play", "R15 taken"),
    "logs infinity": ("play", "R16 log"),
    "wins in mid-episode": ("play", "R16 success"),
    "does not know late": ("play", "R17 late"),
    "no time": ("play", "R18 elapsed"),
    "does not know settings": ("play", "R19 settings"),
}
GAMES = ("multi", "discrete", "box", "mixed", "web")
FORMS = {"reads whole numbers": "box", "no mask on messages": "web", "does not know q": "discrete"}
STEPS = {"no goodbye": 5}


def load_client():
    spec = importlib.util.spec_from_file_location("faulty_client", CLIENT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Client


async def check_one(make, names, patience=PATIENCE):
    """The stage after the scenes, played with the client that ``make(address)`` starts."""
    stage = Stage((), patience)
    address = await stage.listen("127.0.0.1", 0)
    clients = []

    def play():
        while not stage.over:
            clients.append(make(address))
            if clients[-1].play() == 3:  # a fatal error
                return

    stage.over = False
    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    try:
        await check_client(stage, lambda name: None, {name: SCENES[name] for name in names})
    finally:
        stage.over = clients[-1].stop = True
        await stage.close()
        await asyncio.to_thread(thread.join, 10)
    return stage


@pytest.fixture(scope="module")
def checked():
    """The findings about every faulty client, and about those of each form: all run at once."""
    make = load_client()
    todo = {
        bug: (
            lambda address, bug=bug: make(
                address, bug, STEPS.get(bug, 10**6), FORMS.get(bug, "multi")
            ),
            [scene],
            SHORT if bug in WAITED_FOR else PATIENCE,
        )
        for bug, (scene, _) in BUGS.items()
    }
    for form in GAMES:
        todo[form] = (lambda address, form=form: make(address, "", 250, form), SCENES)

    async def run():
        stages = await asyncio.gather(*(check_one(*each) for each in todo.values()))
        return dict(zip(todo, stages, strict=True))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "QUIET_S", 1.0)  # ours dial again after 0.02 s
        return asyncio.run(run())


@pytest.fixture
def call():
    def call(*arguments):
        out, err = io.StringIO(), io.StringIO()
        code = boundary.run(app, arguments, Terminal(out, err))
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    return call


def failed(stage):
    return {v.rule.key: v.breach for v in stage.findings.verdicts() if v.outcome == "FAILED"}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_named(bug, checked):
    found = failed(checked[bug])

    assert list(found) == [BUGS[bug][1]], (found, checked[bug].notes)


def test_every_rule_has_a_bug_that_breaks_it():
    assert {rule for _, rule in BUGS.values()} == set(RULES)


@pytest.mark.parametrize("form", GAMES)
def test_a_client_that_keeps_the_rules_passes(form, checked):
    assert failed(checked[form]) == {}, checked[form].notes


def test_the_command_starts_the_client_anew_for_each_scene():
    done = subprocess.run(
        [
            *(sys.executable, "-m", "agentd", "check-client", "--timeout", "5", "--json", "--"),
            *(sys.executable, str(CLIENT), "{address}", "empty mask", "150"),
        ],
        capture_output=True,
        text=True,
    )

    found = json.loads(done.stdout)
    wrong = [rule for rule in found["rules"] if rule["outcome"] == "FAILED"]
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("listening on 127.0.0.1:")
    assert [rule["rule"] + " " + rule["name"] for rule in wrong] == ["R5 masks"]
    assert wrong[0]["fix"] == RULES["R5 masks"].fix
    assert found["passed"] > 35
    assert found["passed"] + found["failed"] + found["not_seen"] == len(RULES)


def test_the_report_says_what_was_expected_what_came_and_the_fix(checked):
    findings = checked["rounds t"].findings
    lines = [describe(verdict) for verdict in findings.verdicts()]

    assert "R2  frame length            OK" in lines
    assert (
        "R9  ping                    FAILED\n"
        "    expected  t: 0.1 (float)\n"
        "    got       t: 0 (int)\n"
        "    fix       send back the very value of t"
    ) in lines
    assert "R13 carrier                 NOT SEEN\n    to see it connect by WebSocket" in lines


def test_a_client_that_never_comes_is_told_as_unavailable(call):
    done = call("check-client", "--timeout", "5", "--", sys.executable, "-c", "print('no server')")

    assert done.returncode == 69
    assert "the client ended with code 0 before it connected" in done.stderr
    assert "the client's last line: no server" in done.stderr


def test_a_command_that_is_not_there_is_told(call):
    done = call("check-client", "--", "/no/such/client")

    assert done.returncode == 66
    assert "cannot start /no/such/client: No such file" in done.stderr
