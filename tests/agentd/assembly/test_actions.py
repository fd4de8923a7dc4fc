"""From a game's actions to those that are learned, and back."""

import numpy as np
import pytest

from agentd.assembly.actions import codec_of, numbered, require_learnable
from agentd.assembly.network import network_for
from agentd.assembly.ring import plan_ring
from agentd.assembly.rows import format_of
from agentd.config import ConfigError, agent_config_from_wire
from agentd.config.records import ActionsConfig, AgentConfig, LimitsConfig
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.schema import Schema

SEEN = {"x": {"dtype": "float32", "shape": [2]}}
CAR = {"kind": "box", "low": [-1.0, 0.0], "high": [1.0, 10.0]}
MIXED = {"kind": "mixed", "heads": [{"n": 3}, {"low": -1.0, "high": 1.0}, {"n": 2}]}


def schema(action) -> Schema:
    return Schema.from_wire(SEEN, action)


def config(**actions) -> AgentConfig:
    return AgentConfig(actions=ActionsConfig(**actions))


def everything(codec):
    """Every learned action, one a row."""
    grids = np.meshgrid(*(np.arange(n) for n in codec.branches), indexing="ij")
    return np.stack([grid.reshape(-1) for grid in grids], axis=1).astype(np.int32)


def test_numbered_actions_stay_what_they_are():
    plain = schema({"kind": "multi_discrete", "n": [3, 2]})

    assert codec_of(AgentConfig(), plain) is None
    assert numbered(AgentConfig(), plain) is plain


@pytest.mark.parametrize(
    ("action", "actions", "branches"),
    [
        (CAR, {}, (9,)),
        (CAR, {"bins": 5}, (25,)),
        (CAR, {"bins": 7}, (7, 7)),
        (CAR, {"joint": 0}, (3, 3)),
        (MIXED, {}, (18,)),
        (MIXED, {"joint": 17}, (3, 3, 2)),
        ({"kind": "box", "low": [0.0] * 32, "high": [1.0] * 32}, {}, (3,) * 32),
    ],
)
def test_few_combinations_are_valued_together_and_more_head_by_head(action, actions, branches):
    learned = numbered(config(**actions), schema(action))

    assert learned.branches == branches
    assert learned.kind == ("discrete" if len(branches) == 1 else "multi_discrete")
    network = network_for(config(**actions), schema(action))
    assert network.output_shape == (sum(branches),)
    assert format_of(config(**actions), schema(action)).numbers
    layout = plan_ring(config(**actions), schema(action), LimitsConfig()).layout
    assert (layout.branches, layout.n_actions) == (len(branches), sum(branches))


@pytest.mark.parametrize("joint", [32, 0])
@pytest.mark.parametrize("action", [CAR, MIXED])
def test_what_is_answered_comes_back_as_the_action_that_it_was(action, joint):
    codec = codec_of(config(bins=4, joint=joint), schema(action))
    learned = everything(codec)

    told = codec.encode(learned)

    assert told.dtype == np.float32
    np.testing.assert_array_equal(codec.decode(told), learned)
    ended = codec.encode(np.full_like(learned[:2], -1))
    assert np.isnan(ended).all()


def test_bins_are_even_and_end_at_the_bounds():
    ends = {"kind": "box", "low": [-0.1, 0.0], "high": [0.3, 1e38]}
    codec = codec_of(config(bins=3, joint=0), schema(ends))

    low, middle, high = codec.encode(np.array([[0, 0], [1, 1], [2, 2]], np.int32))

    heads = codec.heads
    assert low.tolist() == [heads[0].low, heads[1].low]
    assert high.tolist() == [heads[0].high, heads[1].high]
    np.testing.assert_allclose(middle, [0.1, 5e37], rtol=1e-6)


def test_a_number_that_was_played_is_snapped_to_the_nearest_bin():
    codec = codec_of(config(bins=5, joint=0), schema(CAR))
    played = np.array([[-1.0, 1.2], [-0.76, 1.3], [-0.74, 10.0], [0.99, 4.9]], np.float32)

    assert codec.decode(played).tolist() == [[0, 0], [0, 1], [1, 4], [4, 2]]
    nothing = codec.decode(np.array([[np.nan, np.inf], [-99, 99]], np.float32))
    assert ((nothing >= 0) & (nothing < 5)).all()


@pytest.mark.parametrize("joint", [32, 0])
def test_a_mask_speaks_of_the_numbered_heads_alone(joint):
    codec = codec_of(config(bins=3, joint=joint), schema(MIXED))
    rng = np.random.default_rng(0)
    mask = (rng.random((40, 5)) < 0.5).astype(np.uint8)
    mask[:, [0, 3]] = 1

    legal = codec.spread(mask)

    told, columns = codec.encode(everything(codec)), {0: 0, 2: 3}
    for row in range(len(mask)):
        expected = [
            all(mask[row, at + int(action[head])] for head, at in columns.items())
            for action in told
        ]
        found = [
            all(legal[row, sum(codec.branches[:b]) + a] for b, a in enumerate(action))
            for action in everything(codec)
        ]
        assert found == expected
    np.testing.assert_array_equal(codec.gather(legal), mask)


def test_a_learner_of_classes_takes_no_numbers():
    with pytest.raises(ProtocolError, match="takes no actions of kind box") as caught:
        require_learnable(AgentConfig(learner="supervised"), schema(CAR))
    assert (caught.value.code, caught.value.got) == (Code.UNSUPPORTED_ACTION, "box")


@pytest.mark.parametrize("bins", [1, 0, 66])
def test_a_number_has_at_least_two_bins(bins):
    with pytest.raises(ConfigError, match=r"actions\.bins"):
        agent_config_from_wire({"actions": {"bins": bins}})


def test_bins_grow_from_both_ends_by_halves():
    one = {"kind": "box", "low": [-1.0], "high": [1.0]}
    growing = config(bins=9, grow_every=100)
    growth = format_of(growing, schema(one)).growth

    values = codec_of(growing, schema(one)).encode(np.arange(9, dtype=np.int32)[:, np.newaxis])
    there = [growth.limit(None, rows, 1) for rows in (0, 99, 100, 200, 299, 300)]
    counts = [9 if mask is None else int(mask.sum()) for mask in there]
    assert counts == [2, 2, 3, 5, 5, 9]
    assert values[there[2][0] == 1][:, 0].tolist() == [-1, 0, 1]
    assert growth.limit(there[0] * 0, 500, 1).sum() == 0  # a mask of the game stays


@pytest.mark.parametrize("joint", [32, 0])
def test_numbered_heads_of_a_growing_mixture_are_whole_from_the_beginning(joint):
    codec = codec_of(config(bins=3, joint=joint, grow_every=10), schema(MIXED))
    growth = format_of(config(bins=3, joint=joint, grow_every=10), schema(MIXED)).growth

    legal = growth.legal(0)
    told = codec.encode(everything(codec)) if joint else None
    if joint:
        assert {tuple(row) for row in told[legal == 1]} == {
            (a, b, c) for a in range(3) for b in (-1.0, 1.0) for c in range(2)
        }
    else:
        assert legal.tolist() == [1, 1, 1, 1, 0, 1, 1, 1]
    assert growth.legal(10) is None


@pytest.mark.parametrize("bins", [2, 4, 7])
def test_bins_that_halves_do_not_reach_are_refused(bins):
    with pytest.raises(ConfigError, match="cannot be grown to by halves"):
        agent_config_from_wire({"actions": {"bins": bins, "grow_every": 10}})
    with pytest.raises(ConfigError, match="grow_every is for learner dqn"):
        agent_config_from_wire({"learner": "none", "actions": {"grow_every": 10}})
