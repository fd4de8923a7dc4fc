"""Health, metrics and the page; S2: no route forgets the token."""

import asyncio
import json
import ssl
import subprocess
import urllib.error
import urllib.request

import msgspec
import pytest

from agentd.auth import Grant, Tokens
from agentd.config import ServerConfig, TlsConfig
from agentd.protocol import messages as m

pytest.importorskip("starlette", reason="needs agentd[web]")
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


async def test_health_metrics_and_stats_tell_what_was_played(serve):
    house = await serve(config=config())
    peer = await house.peer()
    await peer.hello()
    await peer.step([FIRST] * 4)

    assert await get(house, "/livez") == (200, "alive\n")
    assert await get(house, "/readyz") == (200, "ready\n")
    status, metrics = await get(house, "/metrics")
    assert status == 200
    assert 'agentd_agent_env_steps_total{agent="a"} 4.0' in metrics
    assert "agentd_act_latency_seconds_count 1.0" in metrics
    assert "agentd_loop_lag_seconds_count" in metrics
    batches = 'agentd_agent_batch_rows_bucket{agent="a",le='
    assert batches + '"2"} 0.0' in metrics
    assert batches + '"4"} 1.0' in metrics
    for gauge in ("queued_frames", "policy_lag", "version"):
        assert f'agentd_agent_{gauge}{{agent="a"}} 0.0' in metrics
    stats = json.loads((await get(house, "/stats"))[1])
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
    house.server._draining = False


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
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-keyout", str(key), "-out", str(cert), "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    try:
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl to make a certificate with")
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
