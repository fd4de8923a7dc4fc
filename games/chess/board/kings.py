"""Planes about both kings: checks that could be given, where a king could go, what is pinned to it.

    plane   0-4   squares on which my pawns, knights, bishops, rooks, queens would give safe check
              5   squares on which any piece of mine would give check
              6   squares that their king could go to
              7   squares beside their king that I attack and only the king defends
              8   my pieces that would uncover a check by moving away
              9   their pieces that are pinned to their king
             10   my pieces that are pinned to my king
             11   squares that my king could go to
             12   squares on which any piece of theirs would give safe check

A check is safe if nothing takes the checking piece: no piece of the other side attacks its square,
and the king does not, or a second kind of piece defends it. Pins do not count for that.
"""

from collections.abc import Sequence

import numpy as np

from agentd.games.chess.board import bits as bb
from agentd.games.chess.board.bits import Bits

N_KING_PLANES = 13
_PAWN, _BISHOP, _ROOK, _QUEEN, _KING = 0, 2, 3, 4, 5


def king_planes(
    mine: Sequence[Bits],
    theirs: Sequence[Bits],
    my_reach: Sequence[Bits],
    their_reach: Sequence[Bits],
) -> list[Bits]:
    """Return the planes, (B,) each, from the pieces and the attacks of both sides by kind."""
    ours, others = np.bitwise_or.reduce(mine), np.bitwise_or.reduce(theirs)
    empty = ~(ours | others)
    checks = _checks(mine, ours, others, theirs[_KING], my_reach, empty, "n")
    answers = _checks(theirs, others, ours, mine[_KING], their_reach, empty, "s")
    ring = bb.king_attacks(theirs[_KING])
    reach = np.bitwise_or.reduce(my_reach)
    safe = [_safe(checks[kind], kind, my_reach, their_reach, ring) for kind in range(5)]
    near = bb.king_attacks(mine[_KING])
    danger = [_safe(answers[kind], kind, their_reach, my_reach, near) for kind in range(5)]
    return [
        *safe,
        np.bitwise_or.reduce(checks),
        ring & ~others & ~_through(mine, my_reach, empty | theirs[_KING]),
        ring & reach & ~np.bitwise_or.reduce(their_reach[:_KING]),
        _between(theirs[_KING], ours, mine, empty),
        _between(theirs[_KING], others, mine, empty),
        _between(mine[_KING], ours, theirs, empty),
        near & ~ours & ~_through(theirs, their_reach, empty | mine[_KING]),
        np.bitwise_or.reduce(danger),
    ]


def _checks(
    own: Sequence[Bits],
    ours: Bits,
    others: Bits,
    king: Bits,
    reach: Sequence[Bits],
    empty: Bits,
    forward: str,
) -> list[Bits]:
    """Return where pawns ... queens that move ``forward`` could go to attack ``king``."""
    slanted = bb.slides(king, empty, bb.SLANTED)
    straight = bb.slides(king, empty, bb.STRAIGHT)
    pushed = bb.step(own[_PAWN], forward) & empty
    pushed = pushed | bb.step(pushed, forward) & empty & _middle(forward)
    back = "s" if forward == "n" else "n"
    return [
        (pushed | reach[_PAWN] & others) & bb.pawn_attacks(king, back),
        reach[1] & bb.knight_attacks(king) & ~ours,
        reach[_BISHOP] & slanted & ~ours,
        reach[_ROOK] & straight & ~ours,
        reach[_QUEEN] & (slanted | straight) & ~ours,
    ]


def _middle(forward: str) -> np.uint64:
    """The rank on which a pawn that moves ``forward`` ends its double step."""
    return np.uint64(0xFF << 24 if forward == "n" else 0xFF << 32)


def _safe(checks: Bits, kind: int, reach: Sequence[Bits], foes: Sequence[Bits], ring: Bits) -> Bits:
    """Return those of ``checks`` by a kind of piece on which it could not be taken."""
    others = np.bitwise_or.reduce([each for n, each in enumerate(reach) if n != kind])
    safe: Bits = checks & ~np.bitwise_or.reduce(foes[:_KING]) & (others | ~ring)
    return safe


def _through(own: Sequence[Bits], reach: Sequence[Bits], empty: Bits) -> Bits:
    """Return what a side attacks when its sliders see through ``empty``, the other king too."""
    seen = reach[_PAWN] | reach[1] | reach[_KING]
    seen = seen | bb.slides(own[_BISHOP] | own[_QUEEN], empty, bb.SLANTED)
    return seen | bb.slides(own[_ROOK] | own[_QUEEN], empty, bb.STRAIGHT)


def _between(king: Bits, blockers: Bits, snipers: Sequence[Bits], empty: Bits) -> Bits:
    """Return the ``blockers`` that alone stand between ``king`` and a slider of ``snipers``."""
    found = np.zeros_like(king)
    for directions, kind in ((bb.SLANTED, _BISHOP), (bb.STRAIGHT, _ROOK)):
        shooters = snipers[kind] | snipers[_QUEEN]
        for direction in directions:
            first = bb.slide(king, empty, direction) & blockers
            hit = bb.slide(first, empty, direction) & shooters
            found |= np.where(hit > 0, first, np.uint64(0))
    return found
