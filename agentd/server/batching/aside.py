"""Passes that take long are made in a thread, so that other agents' frames need not wait for them.

What a network will be asked depends on the waiting frames and on what their streams left. It is
worked out, and the network is run on it, while the frames stay in the queue; then they are answered
on the event loop as all frames are, and a pass that is asked exactly the same is not made again.
So nothing that happens meanwhile can make an answer wrong: a session that ends, or weights that are
published, cost one more pass, on the event loop.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from agentd.learner.priority import yield_to_others
from agentd.server.batching.actor import Actor
from agentd.server.batching.frame_queue import FrameQueue
from agentd.server.batching.responder import Responder
from agentd.server.batching.session import Frame


class Aside:
    """Makes the long passes of one agent in a thread, one at a time.

    The thread lets every other one that has just been woken run first.

    busy  whether a pass is being made; the agent answers nothing until it is done
    """

    def __init__(
        self, actor: Actor, responder: Responder, queue: FrameQueue, again: Callable[[], None]
    ) -> None:
        """``again`` is called on the event loop when a pass is over and more frames wait."""
        self.busy = False
        self._actor, self._responder, self._queue, self._again = actor, responder, queue, again
        self._thread: ThreadPoolExecutor | None = None

    def takes(self, group: list[Frame]) -> bool:
        """Begin the pass of a group if it takes long; return whether it was begun.

        The group is answered when the pass is done.
        """
        if sum(frame.rows for frame in group) < self._actor.long_rows:
            return False
        question = self._responder.foresee(group)
        if question is None:
            return False
        self.busy = True
        self._queue.lend(group)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "pass", yield_to_others)
        loop = asyncio.get_running_loop()
        made = loop.run_in_executor(self._thread, self._actor.look_ahead, question)
        made.add_done_callback(self._end)
        return True

    def close(self) -> None:
        """Let go of the thread; a pass that is being made is answered to nobody."""
        self._queue.take_back()
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    def _end(self, made: asyncio.Future[None]) -> None:
        self.busy = False
        if not made.cancelled():
            made.exception()  # what failed there fails again, and is told, where it is answered
        group = self._queue.take_back()
        if group:
            self._responder.answer_as_batch(group)
        if self._queue:
            self._again()
