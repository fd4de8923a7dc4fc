"""A person at a game that is shown: who plays, and what is played when no key is pressed."""

import numpy as np

from agentd.client.takeover import Moment
from agentd.rl.live import LivePlan, LiveProgress
from agentd.rl.realtime import FrameClock
from agentd.rl.show import Hands
from agentd.rl.tasks import Steer


def moment(action: int = 3, mask: tuple[int, ...] | None = None) -> Moment:
    legal = None if mask is None else np.array(mask, np.uint8)
    return Moment(0, {}, legal, np.array(action, np.int32))


def test_the_agent_plays_until_it_is_taken_over_and_again_when_it_is_handed_back() -> None:
    hands = Hands(idle=0)
    hands.steer(Steer(action=2))
    played = [hands(moment())]
    hands.steer(Steer(taken=True))
    hands.steer(Steer(action=2))
    played += [hands(moment()), hands(moment())]
    hands.steer(Steer(action=1))
    hands.steer(Steer(taken=False))
    played.append(hands(moment()))

    assert played == [None, 2, 0, None], "a key of the agent's time is no action"
    assert hands.steps == 2


def test_keys_wait_for_their_turn_but_not_for_long() -> None:
    hands = Hands(idle=0)
    hands.steer(Steer(taken=True))
    for action in (1, 2, 3, 4):
        hands.steer(Steer(action=action))

    assert [hands(moment()) for _ in range(3)] == [3, 4, 0]


def test_without_a_key_the_last_action_goes_on_whoever_chose_it() -> None:
    hands = Hands(idle=None)
    hands(moment(action=1))
    hands.steer(Steer(taken=True))

    assert hands(moment(action=3)) == 1
    hands.steer(Steer(action=0))
    assert [hands(moment(action=3)) for _ in range(2)] == [0, 0]


def test_an_illegal_key_is_no_action() -> None:
    hands = Hands(idle=None)
    hands(moment(action=1))
    hands.steer(Steer(taken=True))
    hands.steer(Steer(action=3))

    assert hands(moment(action=2, mask=(1, 1, 1, 0))) == 1, "it goes on as it went"
    assert hands(moment(action=2, mask=(1, 0, 1, 1))) is None, "the agent knows a legal one"


def test_frames_fall_due_on_a_clock_that_makes_up_for_nothing() -> None:
    now = [0.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))
        now[0] += seconds

    due = FrameClock(lambda: now[0], sleep)
    for busy in (0.25, 3.0, 0.5, 0.0):
        now[0] += busy
        due.wait(1.0)

    assert slept == [0.75, 0.5, 1.0]


def test_it_is_solved_by_the_last_episodes_alone(tmp_path) -> None:
    plan = LivePlan("cartpole", "a", tmp_path, 0, fps=60.0, seconds=None)
    mark = plan.mark
    assert mark is not None
    progress = LiveProgress(plan)
    for index, total in enumerate([500.0] * (mark.episodes - 1)):
        progress.curve.append((float(index), total))
    assert not progress.solved, "too few"

    progress.curve.append((9.0, 500.0))
    assert progress.solved
    progress.curve += [(10.0 + i, 20.0) for i in range(mark.episodes)]
    assert not progress.solved
