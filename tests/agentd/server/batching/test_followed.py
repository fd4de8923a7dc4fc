"""What was expected of actions, beside the discounted return that followed."""

import numpy as np
import pytest

from agentd.config import agent_config_from_wire
from agentd.server.batching.followed import FollowedReturns, followed_of

FIRST, MID, TERMINATED, TRUNCATED = 0, 1, 2, 3


def look(followed, kind, reward, stream=(0,), q=((1.0, 5.0),), action=((1,),)) -> None:
    rows = len(stream)
    followed.look(
        np.array(stream, np.int64),
        np.full(rows, kind, np.uint8),
        np.full(rows, reward, np.float32),
        np.array(action, np.int32),
        np.array(q, np.float32),
    )


def test_a_terminated_episode_gives_each_row_its_return():
    followed = FollowedReturns(0.5)
    assert followed.stats() == {"q_followed": None, "return_followed": None}
    look(followed, MID, 9.0)  # an episode that had begun before
    look(followed, FIRST, 0.0)
    look(followed, MID, 1.0)
    look(followed, TERMINATED, 4.0, action=((-1,),))
    assert followed.stats() == {"q_followed": 5.0, "return_followed": (3.0 + 4.0) / 2}
    for _ in range(8):
        look(followed, FIRST, 0.0)
        look(followed, TERMINATED, 100.0)
    assert followed.stats()["return_followed"] == 3.5, "it rests four times as long"


def test_rows_near_a_truncated_end_are_left_out():
    followed = FollowedReturns(0.5)  # 5 rows hold 95 % of a return
    look(followed, FIRST, 0.0)
    for _ in range(6):
        look(followed, MID, 1.0)
    look(followed, TRUNCATED, 1.0, action=((-1,),))
    assert followed.stats()["return_followed"] == pytest.approx(2.0, rel=0.05)


def test_one_stream_of_many_is_followed_and_rewards_are_shaped():
    followed = FollowedReturns(0.0, scale=2.0, clip=3.0)
    many = {"stream": (4, 7), "q": ((1.0, 2.0), (8.0, 9.0)), "action": ((0,), (0,))}
    look(followed, FIRST, 0.0, **many)
    look(followed, TERMINATED, 5.0, stream=(7,))
    look(followed, TERMINATED, 5.0, stream=(4,))
    assert followed.stats() == {"q_followed": 1.0, "return_followed": 3.0}


@pytest.mark.parametrize(
    ("wire", "branches", "is_followed"),
    [
        ({}, 1, True),
        ({}, 2, False),
        ({"dqn": {"horizon_s": 2.0}}, 1, False),
        ({"reward": {"normalize": True}}, 1, False),
        ({"learner": "pqn", "pace": {"updates": 4}}, 1, True),
        ({"learner": "none"}, 1, False),
    ],
)
def test_only_plain_discounted_returns_are_followed(wire, branches, is_followed):
    assert (followed_of(agent_config_from_wire(wire), branches) is not None) is is_followed
