"""Every rule has a client that breaks it, and is named; clients that keep them all pass."""

import asyncio
import importlib.util
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agentd.conformance.check import check_client
from agentd.conformance.rules import RULES
from agentd.conformance.scenes import SCENES
from agentd.conformance.stage import Stage

CLIENT = Path(__file__).with_name("faulty_client.py")
PATIENCE = 4.0
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
    "reads whole numbers": ("play", "R14 numbers"),
    "forbidden action taken": ("play", "R15 taken"),
    "logs infinity": ("play", "R16 log"),
    "wins in mid-episode": ("play", "R16 success"),
    "does not know late": ("play", "R17 late"),
    "no time": ("play", "R18 elapsed"),
    "does not know settings": ("play", "R19 settings"),
}
FORMS = {"reads whole numbers": "box", "does not know q": "discrete"}
STEPS = {"no goodbye": 5}


def load_client():
    spec = importlib.util.spec_from_file_location("faulty_client", CLIENT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Client


async def check_one(make, scenes):
    """The stage after the scenes, played with the client that ``make(address)`` starts."""
    stage = Stage((), PATIENCE)
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
        await check_client(stage, lambda name: None, {name: SCENES[name] for name in scenes})
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
        bug: (lambda address, bug=bug: make(
            address, bug, STEPS.get(bug, 10**6), FORMS.get(bug, "multi")
        ), [scene])
        for bug, (scene, _) in BUGS.items()
    }
    for form in ("multi", "discrete", "box", "mixed"):
        todo[form] = (lambda address, form=form: make(address, "", 250, form), SCENES)

    async def run():
        stages = await asyncio.gather(*(check_one(*each) for each in todo.values()))
        return dict(zip(todo, stages, strict=True))

    return asyncio.run(run())


def failed(stage):
    return {v.rule.key: v.breach for v in stage.findings.verdicts() if v.outcome == "FAILED"}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_named(bug, checked):
    found = failed(checked[bug])

    assert list(found) == [BUGS[bug][1]], (found, checked[bug].notes)


def test_every_rule_has_a_bug_that_breaks_it():
    assert {rule for _, rule in BUGS.values()} == set(RULES) - {"R13 carrier"}


@pytest.mark.parametrize("form", ["multi", "discrete", "box", "mixed"])
def test_a_client_that_keeps_the_rules_passes(form, checked):
    assert failed(checked[form]) == {}, checked[form].notes


def test_the_command_starts_the_client_and_reports_in_words_and_json(tmp_path):
    command = [sys.executable, "-m", "agentd", "check-client", "--timeout", "5"]
    client = ["--", sys.executable, str(CLIENT), "{address}"]

    right = subprocess.run([*command, "--json", *client, "", "200"], capture_output=True, text=True)
    wrong = subprocess.run([*command, *client, "empty mask", "200"], capture_output=True, text=True)

    found = json.loads(right.stdout)
    assert right.returncode == 0, right.stdout + right.stderr
    assert found["failed"] == 0
    assert found["passed"] > 35
    assert wrong.returncode == 1
    assert wrong.stdout.splitlines()[-1].endswith("not seen")
    assert "R5  masks                   FAILED" in wrong.stdout
