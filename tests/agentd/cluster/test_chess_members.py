"""Members of ``chess train``, here without Ray, in one process."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from agentd.chess.model.fit import ChessFit, FitRequest, begin_run
from agentd.chess.model.recipe import ChessRecipe, convert_recipe
from agentd.chess.model.sources import open_sources
from agentd.cluster.chess_members import ChessMember, ChessRound, ChessRounds, chess_plans
from agentd.engine.strictyaml import parse
from agentd.errors import MissingInput, UsageError
from agentd.interrupts import Interrupts

TINY = """
policy: {layers: [{dense: 8}, relu]}
value: {layers: [{dense: 4}, relu]}
optimizer: {name: adam, lr: 1e-2}
batch: 8
steps: 12
warmup: 2
"""


class Crew:
    """Members in this process."""

    def __init__(self, fit: ChessFit, shards: Path, members: int) -> None:
        self.crew = [ChessMember(plan) for plan in chess_plans(fit, shards, None, members)]

    @property
    def members(self) -> int:
        return len(self.crew)

    def round(self, task: ChessRound) -> list[Any]:
        return [member.round(task) for member in self.crew]


def fit(
    run: Path, shards: Path, members: int = 0, every: int = 5, until: int = 99, **changes: Any
) -> ChessFit:
    """Train in ``run``; with ``until`` as if interrupted at the first measurement from there on."""
    recipe: ChessRecipe = msgspec.structs.replace(convert_recipe(parse(TINY)), **changes)
    request = FitRequest(
        run,
        recipe,
        open_sources(recipe, shards, None, None),
        None,
        every=4,
        members=(members, every) if members else None,
    )
    begin_run(request, run.exists())
    made = ChessFit(request)
    made.resume()
    rounds = ChessRounds(Crew(made, shards, members), every) if members else None
    interrupts = Interrupts()

    def tell(figures: Any) -> None:
        interrupts.seen = made.step >= until

    made.run(interrupts, tell, rounds)
    return made


def same(one: ChessFit, other: ChessFit) -> bool:
    return all(
        np.array_equal(a, other.heads[head].get_state()[0][name])
        for head, trainer in one.heads.items()
        for name, a in trainer.get_state()[0].items()
    )


def test_one_member_is_bit_identical_and_two_go_on_as_if_in_one_go(
    shards: Path, tmp_path: Path
) -> None:
    assert same(fit(tmp_path / "here", shards), fit(tmp_path / "one", shards, 1))
    whole = fit(tmp_path / "two", shards, 2)
    assert fit(tmp_path / "parts", shards, 2, until=4).step == 5
    parts = fit(tmp_path / "parts", shards, 2)

    assert whole.step == parts.step == 12
    assert same(whole, parts)
    assert not same(whole, fit(tmp_path / "other", shards, 2, every=3))
    with pytest.raises(UsageError, match="other members"):
        fit(tmp_path / "parts", shards, 3, steps=20)


def test_a_member_without_the_shards_says_so(shards: Path, tmp_path: Path) -> None:
    made = fit(tmp_path / "run", shards, 1)
    (plan,) = chess_plans(made, tmp_path / "nowhere", None, 1)
    states = {head: trainer.get_state() for head, trainer in made.heads.items()}

    with pytest.raises(MissingInput, match=r"has no shards .*nowhere"):
        ChessMember(plan).round(ChessRound(states, 0, 1))
