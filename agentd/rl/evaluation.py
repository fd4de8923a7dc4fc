"""Looks at games and greedy episodes of an agent, played over TCP by a process of their own."""

from agentd.interrupts import Interrupts
from agentd.rl.process import STOP_S, GameProcess
from agentd.rl.scores import Scores
from agentd.rl.tasks import Evaluate, GameSource, Look, Looks

WAIT_S = 0.2  # between looks at whether to give up
SLOW_S = 10.0  # after which it is told that it goes on


class GreedyPlayer(GameProcess):
    """A process that looks at a game, and plays it greedily when asked to."""

    asked: Evaluate | None = None

    def look(self, source: GameSource, interrupts: Interrupts | None = None) -> Looks:
        """Make the game once and return what it looks like.

        Raises as ``open_game`` does, and KeyboardInterrupt once ``interrupts`` has seen one.
        """
        self.send(Look(source))
        while (report := self.take(WAIT_S)) is None:
            if interrupts is not None and interrupts.seen:
                raise KeyboardInterrupt
        assert report.looks is not None
        return report.looks

    def begin(self, task: Evaluate) -> None:
        """Begin to play; ``poll`` tells what came of it."""
        self.asked = task
        self.send(task)

    def poll(self, wait_s: float = 0.0) -> Scores | None:
        """Return the scores of what was begun, None as long as it is played. Raises JobFailed."""
        if self.asked is None or (report := self.take(wait_s)) is None:
            return None
        if report.cut_off:
            ended = len(report.returns)
            self._tell(f"{report.cut_off} of {ended} episodes were cut off at their time limit")
        self.asked = None
        return Scores(tuple(report.returns))

    def play(
        self,
        task: Evaluate,
        interrupts: Interrupts | None = None,
        patience_s: float = float("inf"),
    ) -> Scores:
        """Play to the end; what had ended once ``interrupts`` has seen one, or ``patience_s``."""
        self.begin(task)
        slow = False
        while (found := self.poll(WAIT_S)) is None:
            if self.silent_s > SLOW_S and not slow:
                slow = True
                self._tell(f"the evaluation of {task.episodes} episodes goes on")
            if self.silent_s > patience_s:
                return Scores(())
            if interrupts is not None and interrupts.seen:
                interrupts = None
                self.hang_up()
                patience_s = self.silent_s + STOP_S
        return found
