"""What is played with a client, so that every rule has its moment.

A scene begins with the client's start, or with its next session, and is one way through the
protocol. It raises ``Over`` where the client leaves early: what was not seen by then stays so.
"""

import asyncio
from collections.abc import Awaitable, Callable

from agentd.conformance.observer import SeenFrame
from agentd.conformance.stage import Stage
from agentd.conformance.visit import PONG_S, Over, Visit
from agentd.protocol import messages as m
from agentd.protocol.codec import encode
from agentd.protocol.errors import Code

Scene = Callable[[Stage], Awaitable[None]]

EARLY_S = 0.25  # a client that does not wait for its welcome has spoken by then
HOLD_S = 0.8
WINDOW = 2
HEARTBEAT_S = 0.6
RETRY_MS = 500
FRAMES = 30  # of the scene that plays, at least
EPISODES = 2  # that should end there
MANY = 3000  # frames after which nobody waits for the end of an episode
QUIET_S = 3.0  # a client that dials again after a fatal error has done so by then
PINGS = (0.1, 1 << 40, 12.5, 7, -3, 86400.123456)


async def play(stage: Stage) -> None:
    """Answers whole, in pieces and joined; pings, settings, late answers, ends of episodes."""
    visit = await stage.meet()
    await asyncio.sleep(EARLY_S)
    game = {"game": {"level": 1.0}} if _offers_2(stage) else {}
    stage.welcome(visit, **game)
    if game:
        await stage.player.goes_on(visit, "R19 settings", 0)
    await _answer_in_all_forms(stage, visit)
    await _split(stage, visit)
    await _answer_with_more(stage, visit)
    await _pings(stage, visit)
    await _until_episodes_end(stage, visit)
    await _farewell(stage, visit)


async def refuse(stage: Stage) -> None:
    """A frame is refused with an error that is not fatal."""
    visit = await stage.start()
    frame = await visit.frame()
    for _ in range(20):
        if frame.check is not None and frame.check.only_mid and len(visit.observer.pending) == 1:
            break
        stage.player.answer(visit, frame)
        frame = await visit.frame()
    before = visit.observer.received
    visit.refuse(frame)
    if await visit.within(visit.patience, lambda: visit.observer.received > before):
        stage.findings.keep("R10 refused frame")
        await stage.player.rounds(visit, 5)
        await _farewell(stage, visit)
        return
    left = visit.observer.left and await stage.comes_back()
    got = "the end of the stream" if visit.ended else f"nothing for {visit.patience:g} s"
    got = "goodbye, and no hello after it" if visit.observer.left else got
    if not visit.broken:
        wish = "another frame, or goodbye and a new session"
        stage.findings.check("R10 refused frame", bool(left), wish, got)
    if left:
        stage.welcome(left)
        await stage.player.rounds(left, 5)
        await _farewell(stage, left)


async def hold(stage: Stage) -> None:
    """A small window, and answers that take their time."""
    visit = await stage.start(window=WINDOW)
    for _ in range(2):
        frame = await visit.frame()
        before = visit.observer.received
        visit.write(visit.ping(0.1))
        await asyncio.sleep(HOLD_S)
        if not visit.ended:
            over = len(visit.observer.pending) > WINDOW
            wish = f"at most {WINDOW} unanswered frames"
            stage.findings.check("R6 window", not over, wish, f"{len(visit.observer.pending)}")
        before = max(before, visit.observer.received)
        stage.player.answer(visit, frame)
        await stage.player.rounds(visit, visit.waiting)
        await stage.player.goes_on(visit, "R6 slow answers", before)
    await stage.player.rounds(visit, 3)
    await _farewell(stage, visit)


async def cut(stage: Stage) -> None:
    """Lost connections, with and without the session, and a server that is full."""
    visit = await stage.start()
    visit = await _cut(stage, visit, taken=False)
    visit = await _cut(stage, visit, taken=True, full=True)
    await stage.player.rounds(visit, 3)
    visit.abort()
    again = await _back(stage)
    stage.welcome(again)
    await stage.player.goes_on(again, "R7 begins anew", again.observer.received)
    await stage.player.rounds(again, 4)
    await _forget(stage, again)


async def fall_silent(stage: Stage) -> None:
    """A server that says nothing any more."""
    visit = await stage.start(heartbeat_s=HEARTBEAT_S)
    await stage.player.rounds(visit, 3)
    await visit.frame()
    visit.silent = visit.parted = visit.observer.cut = True
    again = await stage.comes_back(2 * HEARTBEAT_S + stage.patience)
    got = f"nothing in {2 * HEARTBEAT_S + stage.patience:g} s"
    wish = f"another connection after {2 * HEARTBEAT_S:g} s of silence"
    if again is None and visit.observer.left:
        raise Over("the client has said goodbye")
    if not stage.findings.check("R9 silent server", again is not None, wish, got):
        return
    assert again is not None
    _resume(stage, again)
    await stage.player.rounds(again, 2)
    await _farewell(stage, again)


async def speak_version_1(stage: Stage) -> None:
    """The lowest version that the client offers."""
    visit = await stage.meet()
    hello = stage.observer.hello
    assert hello is not None
    if hello.protocol[0] > 1 or hello.protocol[1] == 1:
        raise Over("the client offers one version")
    stage.welcome(visit, protocol=1)
    await stage.player.rounds(visit, 1)
    await stage.player.goes_on(visit, "R4 older version", visit.observer.received)
    await stage.player.rounds(visit, 10)
    await _farewell(stage, visit)


async def let_finish(stage: Stage) -> None:
    """Answers until the client ends by itself."""
    if stage.findings.is_seen("R9 goodbye"):
        return
    visit = await stage.start()
    loop = asyncio.get_running_loop()
    until = loop.time() + stage.patience
    while loop.time() < until:
        await visit.within(stage.patience, lambda: visit.waiting > 0 or visit.observer.left)
        if visit.observer.left:
            return
        await stage.player.rounds(visit, 1)
    raise Over("the game did not end by itself")


async def fail(stage: Stage) -> None:
    """A fatal error; it comes last."""
    visit = await stage.start()
    await stage.player.rounds(visit, 3)
    await visit.frame()
    visit.fail(Code.BAD_SEQ, "check-client ends this session with a fatal error")
    closed = await visit.end(stage.patience)
    again = await stage.visit(QUIET_S)
    code: int | None = None
    if stage.process is not None:
        code = stage.process.returncode
    key, wish = "R10 fatal error", "the end of the client, with an error"
    if again is not None:
        stage.findings.fail(key, wish, "another connection")
    elif not closed:
        stage.findings.fail(key, wish, f"a connection that stays open for {stage.patience:g} s")
    else:
        stage.findings.check(key, code != 0, "an exit code other than 0", "exit code 0")


SCENES: dict[str, Scene] = {
    "play": play,
    "refuse": refuse,
    "hold": hold,
    "cut": cut,
    "silence": fall_silent,
    "version 1": speak_version_1,
    "finish": let_finish,
    "fail": fail,
}
"""By name, in their order: where we do not start the client, it lives through all of them."""


# -- parts of scenes ------------------------------------------------------------------------------


async def _split(stage: Stage, visit: Visit) -> None:
    """Answers in pieces: byte by byte, cut in the header, cut in the body, two in one piece."""

    def pieces(*sizes: int) -> Callable[[SeenFrame], Awaitable[None]]:
        return lambda frame: visit.dribble(stage.player.encode(visit, frame), sizes)

    async def joined(frame: SeenFrame) -> None:
        before, answer = visit.ping(PINGS[0]), stage.player.encode(visit, frame)
        data = before + answer + visit.ping(PINGS[1])
        await visit.dribble(data, (len(before + answer) + 3, len(data)))

    key = "R2 split answers"
    for sizes in ((), (2, 1000), (4, 1000), (5, 1000), (17, 3, 1000)):
        await stage.player.tries(visit, key, pieces(*sizes))
    await stage.player.tries(visit, key, joined)


async def _answer_in_all_forms(stage: Stage, visit: Visit) -> None:
    """Whole answers in the form that the hello asked for, each followed by a further frame."""
    hello, shape = stage.observer.hello, stage.observer.shape

    async def plainly(frame: SeenFrame) -> None:
        stage.player.answer(visit, frame)

    if shape is not None and shape.kind == "multi_discrete":
        await stage.player.tries(visit, "R5 multi-discrete", plainly)
    if shape is not None and shape.kind in ("box", "mixed"):
        await stage.player.tries(visit, "R14 numbers", plainly)
    if hello is not None and hello.explain and shape is not None and shape.width:
        await stage.player.tries(visit, "R5 explain", plainly)


async def _answer_with_more(stage: Stage, visit: Visit) -> None:
    """What version 2 adds to answers, and what may come between them."""

    async def late(frame: SeenFrame) -> None:
        stage.player.answer(visit, frame, late=True)

    async def with_settings(frame: SeenFrame) -> None:
        settings = encode(m.GameSettings(values={"level": 2.0, "check/wind": 0.5}))
        visit.write(settings + stage.player.encode(visit, frame))

    if stage.newer:
        await stage.player.tries(visit, "R17 late", late)
        await stage.player.tries(visit, "R19 settings", with_settings)


async def _pings(stage: Stage, visit: Visit) -> None:
    """Pings beside answers, and one while an answer is waited for."""
    for t in PINGS[2:]:
        frame = await visit.frame()
        visit.write(visit.ping(t))
        stage.player.answer(visit, frame)
    frame = await visit.frame()
    visit.write(visit.ping(0.5))
    await visit.within(PONG_S + 0.5, lambda: not visit.pinging)
    visit.check_pings()
    stage.player.answer(visit, frame)


async def _until_episodes_end(stage: Stage, visit: Visit) -> None:
    loop = asyncio.get_running_loop()
    until, frames = loop.time() + stage.patience, 0
    while frames < FRAMES or (
        stage.findings.is_seen("R5 after an end") is False and frames < MANY and loop.time() < until
    ):
        await stage.player.rounds(visit, 1)
        frames += 1


async def _farewell(stage: Stage, visit: Visit) -> None:
    """Say goodbye, and see whether the client closes."""
    visit.check_pings()
    visit.goodbye()
    closed = await visit.end(stage.patience)
    wish, got = "the end of the stream", f"an open connection after {stage.patience:g} s"
    if not visit.broken:
        stage.findings.check("R9 closes after goodbye", closed, wish, got)


async def _cut(stage: Stage, visit: Visit, *, taken: bool, full: bool = False) -> Visit:
    """Answer some frames, cut the connection with one on its way, take the client back.

    ``taken``: the frame counts as taken by the server; ``full``: it is sent away once before.
    """
    await stage.player.rounds(visit, 4)
    frame = await visit.frame()
    if taken:
        visit.close()
    else:
        visit.abort()
    again = await _back(stage)
    if full:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        again.fail(Code.LIMIT, "check-client is full for a moment", RETRY_MS)
        again.close()
        if (later := await stage.comes_back()) is None:
            raise Over("the client did not come back after it was asked to stay away")
        waited = 1000 * (loop.time() - asked)
        wish = f"the next try after {RETRY_MS} ms"
        stage.findings.check("R10 retry_ms", waited > 0.9 * RETRY_MS, wish, f"{waited:.0f} ms")
        again = later
    _resume(stage, again, last_seq=frame.seq if taken else frame.seq - 1)
    await _resent(stage, again)
    await stage.player.rounds(again, 2)
    return again


async def _resent(stage: Stage, visit: Visit) -> None:
    """Answer the frame that a client sends first after its session was resumed. Raises Over."""
    resumed = stage.observer.welcome is not None and stage.observer.welcome.resumed
    try:
        stage.player.answer(visit, await visit.frame())
    except Over as over:
        if resumed and not visit.broken and not visit.observer.left:
            stage.findings.fail("R7 resend", "the frame that has no answer, again", str(over))
        raise


async def _back(stage: Stage) -> Visit:
    """The client after a lost connection. Raises Over."""
    visit = await stage.comes_back()
    if visit is None:
        got = f"no connection for {stage.patience:g} s"
        if stage.process is not None and stage.process.returncode is not None:
            got = f"exit code {stage.process.returncode}: {stage.last_words()}"
        stage.findings.fail("R7 resume", "another connection, and hello with resume", got)
        raise Over(got)
    return visit


def _resume(stage: Stage, visit: Visit, last_seq: int | None = None, **facts: object) -> None:
    """Welcome a client back to its session, or to a new one where it asks for none."""
    hello, welcome = stage.observer.hello, stage.observer.welcome
    if hello is None or welcome is None or hello.resume != welcome.session:
        stage.welcome(visit, **facts)
        return
    newest = max(stage.observer.pending, default=0)
    visit.welcome(welcome.session, resumed=True, last_seq=last_seq or newest, **facts)


async def _forget(stage: Stage, visit: Visit) -> None:
    """Resume with fewer frames than were answered: the client must begin a new session."""
    frame = await visit.frame()
    visit.close()
    again = await _back(stage)
    if stage.observer.hello is None or stage.observer.hello.resume is None or frame.seq < 4:
        raise Over("the client did not ask to resume")
    assert stage.observer.welcome is not None
    again.welcome(stage.observer.welcome.session, resumed=True, last_seq=1)
    again.observer.cut = False
    anew = await stage.comes_back()
    key, wish = "R7 forgotten frames", "a new session: hello without resume"
    if anew is None:
        if not again.observer.left:
            got = f"seq {(await again.frame()).seq}" if again.waiting else "no other connection"
            stage.findings.fail(key, wish, got)
        return
    resume = stage.observer.hello.resume
    stage.findings.check(key, resume is None, wish, "hello with resume")
    stage.welcome(anew)
    await stage.player.rounds(anew, 2)
    await _farewell(stage, anew)


def _offers_2(stage: Stage) -> bool:
    hello = stage.observer.hello
    return hello is not None and hello.protocol[1] > 1
