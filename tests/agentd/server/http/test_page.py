"""The page: its files, the events that it hears, what its buttons may ask, and who may press."""

import asyncio
import http.client
import json
import re
import shutil
import subprocess
from importlib.resources import files

import pytest

from agentd.auth import Grant, Tokens
from agentd.config import ServerConfig, agent_config_from_wire
from agentd.store import EpisodeSummary, ProgressPoint

pytest.importorskip("starlette", reason="pip install starlette uvicorn prometheus-client")
from agentd.server.http.board import _Past, columns
from agentd.server.http.page_routes import FILES, POLICY

FIRST, MID, TERMINATED = 0, 1, 2
ACT, ADMIN = "a" * 16, "o" * 16
SAVE = {"type": "save", "agent": "a"}


def config(learner: str = "none") -> ServerConfig:
    agent = agent_config_from_wire({"learner": learner, "model": {"layers": [{"dense": 8}]}})
    return ServerConfig(port=0, http_port=0, autocreate=True, agent=agent)


async def ask(house, method: str, path: str, body: str | None = None, **headers: str):
    """Status, headers and body of a request; ``_`` in a header's name is a hyphen."""

    def work():
        connection = http.client.HTTPConnection(house.server.http_address, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()

    return await asyncio.to_thread(work)


async def press(house, operation, **headers: str) -> tuple[int, str]:
    heads = {"content_type": "application/json"} | headers
    body = operation if isinstance(operation, str) else json.dumps(operation)
    status, _, text = await ask(house, "POST", "/operate", body, **heads)
    return status, text


async def events(house, query: str, wanted: int) -> list[tuple[str, dict]]:
    """The first events of a stream."""
    reader, writer = await asyncio.open_connection(*house.server.http_address.split(":"))
    writer.write(f"GET /events{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    text = ""
    async with asyncio.timeout(60):
        while len(found := re.findall(r"event: (\w+)\ndata: (.*)\n\n", text)) < wanted:
            text += (await reader.read(65536)).decode()
    writer.close()
    return [(kind, json.loads(data)) for kind, data in found]


async def test_the_page_is_all_there_and_loads_nothing_else(serve):
    house = await serve(config=config())
    for path in FILES:
        status, headers, text = await ask(house, "GET", path)
        assert status == 200, path
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path
    page = (await ask(house, "GET", "/"))[2]
    assert not re.search(r"<script(?! type=\"module\" src=)|<style|\sstyle=|\son\w+=", page)
    assert "unsafe" not in POLICY
    imported = re.findall(r'from "\./(\S+)"', "".join(map(read, ("page.mjs", "charts.mjs"))))
    assert {f"/{name}" for name in imported} < FILES.keys()
    assert (await ask(house, "GET", "/app.py"))[0] == 404


def read(name: str) -> str:
    return (files("agentd") / "server" / "http" / "page" / name).read_text()


async def test_events_tell_of_the_daemon_an_agent_and_its_past(serve):
    house = await serve(config=config())
    peer = await house.peer()
    await peer.hello()
    for kind in (FIRST, MID, TERMINATED):
        await peer.step([kind], reward=[2.0])
    await house.server.progress.look(at_end=True)

    told = await events(house, "?agent=a", 3)

    assert [kind for kind, _ in told] == ["state", "agent", "points"]
    (_, state), (_, agent), (_, points) = told
    assert state["may_operate"]
    assert state["agents"]["a"]["frames"] == 3
    assert state["latency"]["frames"][-1] == 3
    assert agent["checkpoints"] == []
    assert agent["clients"] == [
        {"client": "test", "role": "train", "streams": 4, "frames": 3, "connected": True}
    ]
    assert points["whole"]
    assert points["columns"]["train.mean"][-1] == 4.0
    assert (await events(house, "?agent=nobody", 2))[1][1]["error"].startswith("there is no agent")


async def test_buttons_do_operations(serve):
    house = await serve(config=config())
    await (await house.peer()).hello()
    status, text = await press(house, SAVE)
    saved = json.loads(text)
    assert (status, saved["type"]) == (200, "saved")
    (_, agent) = (await events(house, "?agent=a", 2))[1]
    (checkpoint,) = agent["checkpoints"]
    assert (checkpoint["name"], checkpoint["kept"]) == (saved["checkpoint"], True)
    assert checkpoint["time"] > 1.6e9
    load = {"type": "load", "agent": "a", "checkpoint": saved["checkpoint"]}
    assert (await press(house, load))[0] == 200
    status, text = await press(house, load | {"checkpoint": "000009-000000000001"})
    assert (status, json.loads(text)["code"]) == (404, "UNKNOWN_CHECKPOINT")
    status, text = await press(house, SAVE | {"agent": "../a"})
    assert (status, json.loads(text)["field"]) == (404, "agent")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://localhost:8000"}, 403),  # another page of this machine
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"host": "evil.example"}, 421),
        ({"content_type": "text/plain"}, 400),  # what a form can send
        ({"sec_fetch_site": "same-origin"}, 200),
        ({}, 200),
    ],
)
async def test_only_the_own_page_may_press(serve, headers, status):
    house = await serve(config=config())
    await (await house.peer()).hello()
    assert (await press(house, SAVE, **headers))[0] == status
    own = f"http://{house.server.http_address}"
    assert (await press(house, SAVE, origin=own))[0] == 200


@pytest.mark.parametrize(("token", "status"), [(None, 401), (ACT, 403), (ADMIN, 200)])
async def test_an_operator_shows_a_token(serve, token, status):
    tokens = Tokens([(Grant.ACT, ACT), (Grant.ADMIN, ADMIN)])
    house = await serve(config=config(), tokens=tokens)
    await (await house.peer()).hello(token=ACT, role="eval")
    headers = {} if token is None else {"authorization": f"Bearer {token}"}

    assert (await press(house, SAVE, **headers))[0] == status
    assert (await ask(house, "GET", "/events"))[0] == 401


@pytest.mark.parametrize(
    "body",
    ["", "[]", '{"type": "delete", "agent": "a"}', '{"type": "save"}', "x" * 5000],
)
async def test_what_is_no_such_operation_is_refused(serve, body):
    house = await serve(config=config())
    status, text = await press(house, body)
    told = json.loads(text)
    assert (status, told["code"], told["field"]) == (400, "BAD_MESSAGE", "body")


async def test_streams_of_events_are_bounded(serve, monkeypatch):
    monkeypatch.setattr("agentd.server.http.page_routes.MOST_PAGES", 1)
    monkeypatch.setattr("agentd.server.http.app.REQUEST_S", 0.2)
    house = await serve(config=config())
    reader, writer = await asyncio.open_connection(*house.server.http_address.split(":"))
    writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"event: state")
    assert (await ask(house, "GET", "/events"))[0] == 503
    await reader.readuntil(b"event: state")  # it outlives what other requests have
    writer.close()
    async with asyncio.timeout(20):
        while house.server.stats is None or (await first_status(house)) != 200:
            await asyncio.sleep(0.1)


async def first_status(house) -> int:
    """The status of one more stream."""
    reader, writer = await asyncio.open_connection(*house.server.http_address.split(":"))
    writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


def point(time: float, mean: float | None = None, **log: float) -> ProgressPoint:
    train = mean if mean is None else EpisodeSummary(2, mean, 0.5, mean, mean, 9.0, 2, 1)
    return ProgressPoint(time=time, steps=int(10 * time), train=train, log=log)


def test_the_past_is_told_whole_and_then_what_is_new():
    past, points = _Past(), [point(1.0, 3.0), point(2.0)]
    assert past.news([]) is None
    told = past.news(points)
    assert told == {"whole": True, "columns": columns(points)}
    assert told["columns"]["train.mean"] == [3.0, None]
    assert told["columns"]["train.success"] == [0.5, None]
    assert past.news(points) is None
    points.append(point(3.0, lap_s=41.5))
    assert past.news(points)["columns"]["log.lap_s"] == [41.5]
    joined = [points[0].join(points[1]), points[2].join(point(4.0))]
    assert past.news(joined)["whole"], "points were joined"
    assert past.news([]) == {"whole": True, "columns": {}}, "the agent begins anew"


def test_trends_and_spreads_are_told_right(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = tmp_path / "check.mjs"
    page = files("agentd") / "server" / "http" / "page"
    script.write_text(f"""
        import {{ Past }} from "{page}/past.mjs";
        import {{ describeTrend, pool, show, span }} from "{page}/words.mjs";
        const past = new Past();
        const columns = {{ time: [1, 2], steps: [10, 20], updates: [0, 5], return_mean: [null, 7],
          "train.ended": [20, null], "train.mean": [1, null], "train.std": [0, null],
          "train.low": [1, null], "train.high": [1, null] }};
        past.take({{ whole: true, columns }});
        past.take({{ whole: false, columns: {{ time: [3], steps: [40], updates: [9], "log.x": [1],
          "train.ended": [20], "train.mean": [5], "train.std": [0],
          "train.low": [5], "train.high": [5] }} }});
        console.log(JSON.stringify([
          past.length, past.columns["log.x"], past.returnAt(4), past.returnAt(5),
          past.rate("updates", "steps"), past.returns("train"), pool(past.summaries("train")),
          describeTrend(past.summaries("train")), describeTrend([]), show(1234.5), span(7300),
        ]));""")
    out = json.loads(subprocess.run([node, script], capture_output=True, check=True).stdout)
    assert out[:5] == [3, [None, None, 1], None, 7, [None, 0.5, 0.2]]
    assert out[5] == {"mean": [1, None, 5], "low": [1, None, 5], "high": [1, None, 5]}
    assert out[6] == {"ended": 40, "mean": 3, "std": 2}
    assert out[7] == "Return 5 ± 0 in the last 20 episodes, up from 1 in the 20 before."
    assert out[8] == "No training episode has ended yet."
    assert out[9:] == ["1,235", "2 h"]
