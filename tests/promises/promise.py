"""What a line of the table of promises holds."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """A defect of the product: where ``old`` stands once in ``file``, ``new`` stands instead.

    says       the defect, in words
    caught_by  the node id of the test that must fail with it
    """

    says: str
    file: str
    old: str
    new: str
    caught_by: str


class Promise(NamedTuple):
    """One promise.

    number   its name for good
    holds    what is promised
    shown    node ids of tests that run every time (tier G)
    longer   the command that shows it at length, before a release (tier R)
    mutants  defects that break it
    """

    number: str
    holds: str
    shown: tuple[str, ...]
    longer: str
    mutants: tuple[Mutant, ...]
