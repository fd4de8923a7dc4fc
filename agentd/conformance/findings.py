"""What was seen of each rule, and the verdict on it."""

from collections import Counter
from collections.abc import Iterator
from typing import Literal, NamedTuple

from agentd.conformance.rules import RULES, Rule

Outcome = Literal["OK", "FAILED", "NOT SEEN"]


class Breach(NamedTuple):
    """How a rule was broken the first time."""

    expected: str
    got: str


class Verdict(NamedTuple):
    """What is to be said of one rule."""

    rule: Rule
    outcome: Outcome
    breach: Breach | None

    def record(self) -> dict[str, str]:
        """The verdict as plain words."""
        found = {"rule": self.rule.number, "name": self.rule.name, "outcome": self.outcome}
        if self.breach is not None:
            found |= {"expected": self.breach.expected, "got": self.breach.got}
            found["fix"] = self.rule.fix
        elif self.outcome == "NOT SEEN":
            found["see"] = self.rule.see
        return found


class Findings:
    """Counts, rule by rule, of what was right, and the first of what was wrong."""

    def __init__(self) -> None:
        self._right: Counter[str] = Counter()
        self._wrong: dict[str, Breach] = {}

    def keep(self, key: str) -> None:
        """Note that the rule was kept once."""
        assert key in RULES, key
        self._right[key] += 1

    def fail(self, key: str, expected: str, got: str) -> None:
        """Note that the rule was broken."""
        assert key in RULES, key
        self._wrong.setdefault(key, Breach(expected, got))

    def check(self, key: str, right: bool, expected: str, got: str) -> bool:
        """Note whether the rule was kept; return it."""
        if right:
            self.keep(key)
        else:
            self.fail(key, expected, got)
        return right

    def is_broken(self, key: str) -> bool:
        """Whether the rule was broken before."""
        return key in self._wrong

    def is_seen(self, key: str) -> bool:
        """Whether anything is known of the rule."""
        return key in self._wrong or self._right[key] > 0

    def verdicts(self) -> Iterator[Verdict]:
        """Yield the verdict on every rule."""
        for key, rule in RULES.items():
            breach = self._wrong.get(key)
            seen: Outcome = "OK" if self._right[key] else "NOT SEEN"
            yield Verdict(rule, "FAILED" if breach else seen, breach)

    def counts(self) -> tuple[int, int, int]:
        """How many rules passed, failed and were not seen."""
        found = Counter(verdict.outcome for verdict in self.verdicts())
        return found["OK"], found["FAILED"], found["NOT SEEN"]
