"""``agentd check-env``: a right environment passes, and every planted fault is named."""

import io
import json
import subprocess

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from agentd.cli import boundary
from agentd.cli.app import app
from agentd.cli.screen.terminal import Terminal

FAULTS = {
    "text observed": "observation space",
    "numbers without bounds for actions": "action space",
    "reset without info": "reset",
    "step with four": "step",
    "other dtype": "observations",
    "out of bounds": "observations",
    "reward of NaN": "rewards",
    "end as a number": "ends",
    "mask too short": "masks",
    "mask of zeros": "masks",
    "own random numbers": "same seed",
    "breaks": "step",
}


class Walk(gymnasium.Env):
    """Five steps to the end; ``fault`` makes one thing wrong."""

    def __init__(self, fault="", masked=True):
        self.fault, self.masked = fault, masked
        self.observation_space = spaces.Box(-1, 1, (2,), np.float32)
        self.action_space = spaces.MultiDiscrete([3, 2])
        if fault == "text observed":
            self.observation_space = spaces.Text(5)
        if fault == "numbers without bounds for actions":
            self.action_space = spaces.Box(-np.inf, np.inf, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.age = 0
        return (self._see(), self._info()) if self.fault != "reset without info" else self._see()

    def step(self, action):
        self.age += 1
        if self.fault == "breaks":
            raise ZeroDivisionError("a fault of the environment")
        reward = np.nan if self.fault == "reward of NaN" else 0.5
        over = self.age == 5
        end = int(over) if self.fault == "end as a number" else over
        if self.fault == "step with four":
            return self._see(), reward, end, {}
        return self._see(), reward, end, False, self._info()

    def _see(self):
        rng = np.random if self.fault == "own random numbers" else self.np_random
        seen = rng.uniform(-1, 1, 2).astype(np.float32)
        if self.fault == "other dtype":
            seen = seen.astype(np.float64)
        return seen * 3 + 9 if self.fault == "out of bounds" else seen

    def _info(self):
        if not self.masked:
            return {}
        mask = np.array([1, 0, 1, 1, 1][: 4 if self.fault == "mask too short" else 5], np.int8)
        return {"action_mask": mask * (self.fault != "mask of zeros")}


@pytest.fixture(scope="module", autouse=True)
def _register():
    gymnasium.register("CheckedWalk-v0", Walk)
    yield
    gymnasium.registry.pop("CheckedWalk-v0")


@pytest.fixture
def call():
    def call(*arguments):
        out, err = io.StringIO(), io.StringIO()
        code = boundary.run(app, arguments, Terminal(out, err))
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    return call


def test_a_right_environment_passes_and_its_schema_is_told(call):
    done = call("check-env", "CheckedWalk-v0", "--steps", "300")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "same seed           OK" in done.stdout
    assert 'schema: obs float32[2] -> multi_discrete[3, 2], masks in info["action_mask"]' in (
        done.stdout
    )
    assert "300 steps, 60 episodes" in done.stdout
    assert done.stdout.splitlines()[-1] == "9 passed, 0 failed, 0 not seen"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named(fault, call):
    done = call(
        *("check-env", "gym:CheckedWalk-v0", "--steps", "60", "--json"),
        *("--env-arg", f"fault={fault}"),
    )

    found = json.loads(done.stdout)
    wrong = [each for each in found["checks"] if each["outcome"] == "FAILED"]
    assert [each["name"] for each in wrong] == [FAULTS[fault]]
    assert wrong[0]["advice"]
    assert done.returncode == 1


def test_what_was_not_seen_says_what_would_show_it(call):
    done = call("check-env", "CheckedWalk-v0", "--steps", "3", "--env-arg", "masked=false")

    assert done.returncode == 0
    assert "masks               NOT SEEN\n    to see it put action_mask into info" in done.stdout
    assert "ends                NOT SEEN\n    to see it play more --steps" in done.stdout


def test_gymnasium_s_own_environments_pass(call):
    done = call("check-env", "gym:CartPole-v1", "--steps", "200", "--json")

    found = json.loads(done.stdout)
    assert (done.returncode, found["failed"]) == (0, 0)
    assert found["observation"] == {"obs": {"dtype": "float32", "shape": [4]}}
    assert found["actions"] == 2
    assert found["steps_per_second"] > 0


def test_an_environment_that_is_not_there_is_missing(call):
    assert call("check-env", "Nothing-v9").returncode == 66
    assert call("check-env", "CartPole-v1", "--env-arg", "no=1").returncode == 2
