from __future__ import annotations

import numpy as np
import pytest

from agentd.client.settings import ConnectSettings


def read(observation=("float32", (2,)), actions=3, **options):
    return ConnectSettings.read("box:1", "pong", observation, actions, options)


def test_hello_says_what_the_options_say():
    settings = read(
        {"a": (np.uint8, (2, 3)), "b": ("float16", [])},
        [2, 3],
        streams=5,
        role="eval",
        token="t",
        run=b"r" * 16,
        explain=True,
        deadline_ms=20,
        priority="bulk",
    )

    hello = settings.hello
    assert hello.protocol == (1, 2)
    assert (hello.agent, hello.role, hello.streams, hello.token) == ("pong", "eval", 5, "t")
    assert (hello.run, hello.explain, hello.deadline_ms, hello.priority) == (
        b"r" * 16,
        True,
        20,
        "bulk",
    )
    assert hello.action == {"kind": "multi_discrete", "n": [2, 3]}
    assert hello.observation == {
        "a": {"dtype": "uint8", "shape": [2, 3]},
        "b": {"dtype": "float16", "shape": []},
    }


def test_every_start_of_a_game_has_its_own_run():
    assert read().hello.run != read().hello.run


def test_the_only_tensor_is_named_obs():
    assert list(read().hello.observation) == ["obs"]


def test_a_token_in_the_address_counts_unless_another_is_given():
    one = ConnectSettings.read("agentd://abc@box", "x", ("uint8", (1,)), 2, {})
    two = ConnectSettings.read("agentd://abc@box", "x", ("uint8", (1,)), 2, {"token": "d"})

    assert (one.hello.token, two.hello.token) == ("abc", "d")


def test_an_admin_says_nothing_of_a_game():
    settings = ConnectSettings.read("box", "", None, None, {"role": "admin"})

    assert settings.schema is None
    assert settings.hello.observation is None
    assert settings.hello.streams == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"observation": ("float64", (2,))}, "observation.obs.dtype: want uint8"),
        ({"observation": None}, "want an observation and actions"),
        ({"actions": None}, "want an observation and actions"),
        ({"actions": 0}, "action.n"),
        ({"actions": []}, "action.n"),
        ({"observation": {"a b": ("uint8", ())}}, "names of 1..64"),
        ({"streams": 0}, "streams: want 1"),
        ({"run": b"short"}, "run: want 16 bytes"),
        ({"wait": -1}, "wait: want seconds"),
        ({"retry_for": float("inf")}, "retry_for: want seconds"),
    ],
)
def test_what_the_server_would_refuse_is_refused_here(options, words):
    with pytest.raises(ValueError, match=words):
        read(**options)
