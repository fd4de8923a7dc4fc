"""Health, metrics and the page; S2: no route forgets the token."""

import asyncio
import contextlib
import json
import re
import ssl
import subprocess
import urllib.error
import urllib.request
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from agentd.auth import Grant, Tokens
from agentd.config import ServerConfig, TlsConfig, WebConfig
from agentd.errors import ExitCode
from agentd.protocol import messages as m
from agentd.server.peers.tls import TlsFileError, tls_context

pytest.importorskip("starlette", reason="pip install starlette uvicorn prometheus-client")
FIRST = 0
TOKEN = "t" * 16


def config(**changes) -> ServerConfig:
    return ServerConfig(port=0, http_port=0, autocreate=True, **changes)


async def get(house, path: str, token: str | None = None) -> tuple[int, str]:
    """Status and body of a GET."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://{house.server.http_address}{path}", headers=headers)

    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(ask)


async def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-keyout", str(key), "-out", str(cert), "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    try:
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl to make a certificate with")
    return cert, key


async def test_health_metrics_and_stats_tell_what_was_played(serve):
    house = await serve(config=config())
    peer = await house.peer()
    await peer.hello(protocol=(1, 2))
    await peer.say(m.Log(values={"lap_s": 41.5}))
    await peer.step([FIRST] * 4)

    assert await get(house, "/livez") == (200, "alive\n")
    assert await get(house, "/readyz") == (200, "ready\n")
    status, metrics = await get(house, "/metrics")
    assert status == 200
    assert 'agentd_agent_env_steps_total{agent="a"} 4.0' in metrics
    assert "agentd_act_latency_seconds_count 1.0" in metrics
    assert "agentd_loop_lag_seconds_count" in metrics
    batches = 'agentd_agent_batch_rows_bucket{agent="a",le='
    assert batches + '"2.0"} 0.0' in metrics
    assert batches + '"4.0"} 1.0' in metrics
    for gauge in ("queued_frames", "policy_lag_updates", "weights_version"):
        assert f'agentd_agent_{gauge}{{agent="a"}} 0.0' in metrics
    assert 'agentd_agent_log{agent="a",name="lap_s"} 41.5' in metrics
    assert 'agentd_agent_log_dropped_total{agent="a"} 0.0' in metrics
    stats = json.loads((await get(house, "/stats"))[1])
    assert stats["agents"]["a"]["log"] == {"lap_s": 41.5}
    assert stats["server"]["connections"] == 1
    assert stats["agents"]["a"]["frames"] == 1
    status, page = await get(house, "/")
    assert (status, "<title>agentd</title>" in page) == (200, True)


@pytest.mark.parametrize("path", ["/metrics", "/stats"])
@pytest.mark.parametrize(("token", "status"), [(None, 401), ("x" * 16, 401), (TOKEN, 200)])
async def test_what_tells_of_agents_needs_a_token(serve, path, token, status):
    house = await serve(config=config(), tokens=Tokens([(Grant.ACT, TOKEN)]))
    assert (await get(house, path, token))[0] == status


async def test_readiness_ends_with_draining(serve):
    house = await serve(config=config())
    app_status = await get(house, "/readyz")
    house.server.connections.draining = True
    assert (app_status[0], (await get(house, "/readyz"))[0]) == (200, 503)
    house.server.connections.draining = False


async def test_a_unix_socket_is_a_door_too(serve, tmp_path):
    path = str(tmp_path / "agentd.sock")
    house = await serve(config=msgspec.structs.replace(config(), unix=path, http_port=None))
    reader, writer = await asyncio.open_unix_connection(path)
    peer = type(await house.peer())(reader, writer)

    welcome = await peer.hello()

    assert isinstance(welcome, m.Welcome)
    assert isinstance(await peer.step([FIRST]), m.ActReply)
    await peer.close()


async def test_tls_serves_who_trusts_the_certificate(serve, tmp_path):
    cert, key = await certificate(tmp_path)
    tls = TlsConfig(cert=str(cert), key=str(key))
    house = await serve(config=msgspec.structs.replace(config(), tls=tls, http_port=None))
    context = ssl.create_default_context(cafile=str(cert))
    reader, writer = await asyncio.open_connection(
        house.host, house.port, ssl=context, server_hostname="localhost"
    )
    peer_class = type(await house.peer())
    peer = peer_class(reader, writer)

    assert isinstance(await peer.hello(), m.Welcome)
    assert isinstance(await peer.step([FIRST]), m.ActReply)
    await peer.close()


async def ask_as(house, host: str) -> int:
    """The status of /stats for a request that names ``host``."""
    address, port = house.server.http_address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(address, int(port))
    writer.write(f"GET /stats HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


async def test_a_foreign_name_for_the_daemon_is_refused(serve):
    """A page elsewhere may let its own name point here (DNS rebinding)."""
    house = await serve(config=config(web=WebConfig(hosts=("metrics.example",))))
    statuses = {
        host: await ask_as(house, host)
        for host in ("evil.example", "127.0.0.1", "localhost:7332", "[::1]:7332", "metrics.example")
    }
    assert statuses == {
        "evil.example": 421,
        "127.0.0.1": 200,
        "localhost:7332": 200,
        "[::1]:7332": 200,
        "metrics.example": 200,
    }


async def test_a_page_of_another_site_is_refused(serve):
    house = await serve(config=config(web=WebConfig(origins=("https://game.example",))))

    def status(origin: str) -> int:
        request = urllib.request.Request(f"http://{house.server.http_address}/livez")
        request.add_header("Origin", origin)
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.status
        except urllib.error.HTTPError as refused:
            return refused.code

    origins = ("https://evil.example", "null", "https://game.example", "http://localhost:8000")
    assert [await asyncio.to_thread(status, origin) for origin in origins] == [403, 403, 200, 200]


async def test_both_ports_bring_the_javascript_client_to_pages_that_may_come(serve):
    house = await serve(config=config(web=WebConfig(origins=("https://game.example",))))
    module = files("agentd").joinpath("sdk", "javascript", "agentd.mjs").read_text()

    def fetch(address: str, origin: str) -> tuple[str, str, str]:
        request = urllib.request.Request(f"http://{address}/agentd.js")
        request.add_header("Origin", origin)
        with urllib.request.urlopen(request, timeout=10) as reply:
            allowed = reply.headers["Access-Control-Allow-Origin"]
            return reply.headers.get_content_type(), allowed, reply.read().decode()

    for address in (f"{house.host}:{house.port}", house.server.http_address):
        for origin in ("https://game.example", "http://127.0.0.1:8000"):
            found = await asyncio.to_thread(fetch, address, origin)
            assert found == ("text/javascript", origin, module)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            await asyncio.to_thread(fetch, address, "https://evil.example")


async def test_half_requests_are_cut_off_in_time(serve, monkeypatch):
    monkeypatch.setattr("agentd.server.http.app.REQUEST_S", 0.3)
    house = await serve(config=config())
    address, port = house.server.http_address.rsplit(":", 1)
    halves = [await asyncio.open_connection(address, int(port)) for _ in range(20)]
    for _, writer in halves:
        writer.write(b"GET /livez HTTP/1.1\r\nHo")
    async with asyncio.timeout(5):
        for reader, writer in halves:
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
    assert await get(house, "/livez") == (200, "alive\n")


async def test_http_stands_under_the_tls_of_the_game_port(serve, tmp_path):
    cert, key = await certificate(tmp_path)
    tls = TlsConfig(cert=str(cert), key=str(key), client_ca=str(cert))
    house = await serve(config=config(tls=tls))
    context = ssl.create_default_context(cafile=str(cert))
    url = f"https://localhost:{house.server.http_address.rsplit(':', 1)[1]}/livez"

    def status(context: ssl.SSLContext) -> int:
        with urllib.request.urlopen(url, timeout=10, context=context) as reply:
            return reply.status

    with pytest.raises((urllib.error.URLError, ConnectionError)):
        await asyncio.to_thread(status, context)  # no certificate of ours
    context.load_cert_chain(cert, key)
    assert await asyncio.to_thread(status, context) == 200


@pytest.mark.parametrize("wrong", ["missing", "no PEM", "another key"])
async def test_a_wrong_tls_file_is_named(tmp_path, wrong):
    cert, key = await certificate(tmp_path)
    match wrong:
        case "missing":
            key.unlink()
        case "no PEM":
            key.write_bytes(b"nothing")
        case "another key":
            (tmp_path / "b").mkdir()
            _, key = await certificate(tmp_path / "b")
    with pytest.raises(TlsFileError, match=re.escape(str(key))) as caught:
        tls_context(TlsConfig(cert=str(cert), key=str(key)))
    assert caught.value.exit_code == ExitCode.CONFIG
