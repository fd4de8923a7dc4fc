"""The files of docs/deploy fit the daemon and each other, and what can run of them runs."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentd.auth import Grant, Tokens
from agentd.config import ServerConfig, resolve

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "docs/deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE: Any = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
UNIT = (DEPLOY / "agentd.service").read_text()
DEFAULTS = ServerConfig()


def start(data: Path, scrape: Path) -> str:
    """Run the image's entrypoint before a command, and return what the command printed."""
    command = [DEPLOY / "entrypoint", sys.executable, "-c", "print('ran')"]
    environ = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    environ |= {"AGENTD_DATA_DIR": str(data), "SCRAPE_DIR": str(scrape)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_start_makes_tokens_that_the_daemon_takes(tmp_path: Path) -> None:
    data, scrape = tmp_path / "data", tmp_path / "scrape"
    data.mkdir()
    scrape.mkdir()
    assert start(data, scrape) == "ran\n"
    first = (data / "token").read_text()
    start(data, scrape)
    assert (data / "token").read_text() == first
    assert stat.S_IMODE((data / "token").stat().st_mode) == 0o600
    tokens = Tokens.from_file(data / "token")
    secrets = dict(line.split() for line in first.splitlines())
    grants = {name: tokens.grant(secret) for name, secret in secrets.items()}
    assert grants == {"admin": Grant.ADMIN, "learn": Grant.LEARN, "act": Grant.ACT}
    assert (scrape / "token").read_text().strip() == secrets["act"]


def test_without_a_folder_for_the_scraper_only_the_daemons_tokens_are_made(tmp_path: Path) -> None:
    start(tmp_path, tmp_path / "none")

    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_the_images_configuration_is_accepted(tmp_path: Path) -> None:
    start(tmp_path, tmp_path / "none")
    (line,) = re.findall(r"^ENV (.*)$", DOCKERFILE, re.M)
    environ = dict(word.split("=") for word in line.split())
    assert environ["AGENTD_DATA_DIR"] == re.findall(r"^VOLUME (.*)$", DOCKERFILE, re.M)[0]
    environ |= COMPOSE["services"]["agentd"]["environment"]

    config = resolve(None, {}, environ | {"AGENTD_DATA_DIR": str(tmp_path)}).config

    assert (config.host, config.autocreate) == ("0.0.0.0", True)
    scraped = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"][0]
    (target,) = scraped["static_configs"][0]["targets"]
    assert target == f"{config.web.hosts[0]}:{DEFAULTS.http_port}"
    assert f"EXPOSE {DEFAULTS.port} {DEFAULTS.http_port}\n" in DOCKERFILE


def test_the_image_is_built_of_files_that_are_there() -> None:
    name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    copied = re.findall(r"^COPY (?:--\S+ )?(\S+)", DOCKERFILE, re.M)

    assert [path for path in copied if not (ROOT / path).exists()] == []
    volumes = [volume for made in COMPOSE["services"].values() for volume in made["volumes"]]
    mounted = [volume.split(":")[0] for volume in volumes if volume.startswith(".")]
    assert [path for path in mounted if not (DEPLOY / path).is_file()] == []
    assert f"'{name}[web]'" in DOCKERFILE
    assert re.search(r"^USER agentd$", DOCKERFILE, re.M)


def test_time_to_stop_is_longer_than_draining_takes() -> None:
    (pods,) = (
        record["spec"]["template"]["spec"]
        for record in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
        if record["kind"] == "StatefulSet"
    )
    grace = COMPOSE["services"]["agentd"]["stop_grace_period"]
    (unit,) = re.findall(r"^TimeoutStopSec=(\d+)s$", UNIT, re.M)

    times = [int(grace.removesuffix("s")), pods["terminationGracePeriodSeconds"], int(unit)]
    assert min(times) > DEFAULTS.limits.drain_s + 1


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "agentd.service"
    unit.write_text(UNIT.replace("/opt/agentd/bin/agentd", sys.executable))

    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60
    )

    assert "agentd.service" not in done.stderr
    assert done.returncode == 0, done.stderr


def test_the_balancer_takes_its_configuration(tmp_path: Path) -> None:
    haproxy = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if haproxy is None:
        pytest.skip("haproxy is not installed")
    text = (DEPLOY / "haproxy.cfg").read_text()
    here = re.sub(r"agentd-\d\.agentd:", "127.0.0.1:", text)
    (tmp_path / "haproxy.cfg").write_text(here)
    command = [haproxy, "-c", "-f", str(tmp_path / "haproxy.cfg")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"check port {DEFAULTS.http_port}" in text
    assert f"expire {DEFAULTS.limits.resume_s:.0f}s" in text


def test_replicas_in_a_cluster_differ_from_one_daemon_in_what_they_say() -> None:
    one, many = (
        {
            f"{record['kind']} {record['metadata']['name']}": record
            for record in yaml.safe_load_all((DEPLOY / name).read_text())
        }
        for name in ("kubernetes.yaml", "kubernetes-replicas.yaml")
    )
    alone, replica = (
        each["StatefulSet agentd"]["spec"]["template"]["spec"] for each in (one, many)
    )
    assert alone["securityContext"] == replica["securityContext"]
    for key in ("ports", "startupProbe", "livenessProbe", "readinessProbe", "securityContext"):
        assert alone["containers"][0][key] == replica["containers"][0][key]
    config = yaml.safe_load(many["ConfigMap agentd"]["data"]["agentd.yaml"])
    assert resolve(None, config).config.agents["bot"].follow is not None


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_sigterm_drains_a_daemon_that_is_process_1(tmp_path: Path) -> None:
    alone = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare: this machine gives no namespace of processes")
    serve = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--no-http"]
    command = [*alone, *serve, "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"listening on")
        (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(first), signal.SIGTERM)
        said = process.stderr.read()
        assert process.wait(60) == 0, said
    assert b"draining" in said
