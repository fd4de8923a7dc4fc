"""Every promise of the product, and the page that lists them."""

from __future__ import annotations

from tests.promises.durable import DURABLE
from tests.promises.network import NETWORK
from tests.promises.operated import OPERATED
from tests.promises.promise import Mutant
from tests.promises.tried import TRIED

PROMISES = (*DURABLE, *NETWORK, *OPERATED, *TRIED)


def mutants() -> list[tuple[str, Mutant]]:
    """Every mutant with the number of its promise: D3.2 is the second of D3."""
    return [
        (f"{promise.number}.{place}", mutant)
        for promise in PROMISES
        for place, mutant in enumerate(promise.mutants, 1)
    ]


def promises_page() -> str:
    """The table of promises as docs/RELIABILITY.md has it."""
    lines = ["| | promise | shown by | at length |", "|---|---|---|---|"]
    for promise in PROMISES:
        files = dict.fromkeys(test.partition("::")[0] for test in promise.shown)
        shown = ", ".join(f"`{file.removeprefix('tests/')}`" for file in files)
        holds = promise.holds
        lines.append(f"| {promise.number} | {holds} | {shown} | `{promise.longer}` |")
    return "\n".join(lines) + "\n"


def mutants_page(seconds: dict[str, str]) -> str:
    """The table of mutants as docs/RELIABILITY.md has it, with what each took to be caught.

    A dash stands for one that was not measured there.
    """
    lines = ["| | defect | caught by | s |", "|---|---|---|---|"]
    for number, mutant in mutants():
        test = mutant.caught_by.rpartition("::")[2]
        lines.append(f"| {number} | {mutant.says} | `{test}` | {seconds.get(number, '–')} |")
    return "\n".join(lines) + "\n"
