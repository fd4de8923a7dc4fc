"""What is said before any work is given to a cluster; none is needed to hear it."""

import subprocess
import sys
from typing import Any

import pytest

from agentd.cluster import probe
from agentd.cluster.seeds import pack_folder, run_command, unpack_folder
from agentd.cluster.session import Cluster, ClusterNode, TokenMissing, VersionsDiffer, connect
from agentd.errors import ExitCode, JobFailed, MissingInput, Unavailable, UsageError


class Asked(Cluster):
    """A cluster of one node that has said ``facts`` of itself, beside what is said here."""

    def __init__(self, host: str = "10.0.0.2", **facts: Any) -> None:
        self.heard: list[str] = []
        super().__init__(None, "10.0.0.1:6379", self.heard.append)
        said = probe.node_facts() | {"token": True} | facts
        self.node = ClusterNode("abcdef0123", host, {"CPU": 4.0}, said)

    def nodes(self) -> list[ClusterNode]:
        return [self.node]

    def probe(self) -> list[ClusterNode]:
        return self.nodes()


def test_nodes_that_are_alike_are_taken_and_niceness_is_told() -> None:
    Asked().require_same()
    nice = Asked(nice=15 + probe.node_facts()["nice"])
    nice.require_same()

    assert len(nice.heard) == 1
    assert "RAY_worker_niceness=0" in nice.heard[0]


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"agentd": "9.9.9"}, r"node 10\.0\.0\.2 \(abcdef\) has agentd 9\.9\.9, expected agentd "),
        ({"agentd": None}, "has no agentd, expected agentd "),
        ({"python": "3.10.1"}, r"has python 3\.10\.1, expected python 3"),
        ({"formats": {"checkpoint": 2}}, "writes formats {'checkpoint': 2}, expected"),
    ],
)
def test_a_node_that_differs_ends_it_with_78(facts: dict[str, Any], text: str) -> None:
    with pytest.raises(VersionsDiffer, match=text) as caught:
        Asked(**facts).require_same()

    assert caught.value.exit_code == ExitCode.CONFIG


def test_a_cluster_that_others_reach_wants_a_token() -> None:
    with pytest.raises(TokenMissing, match="asks for no token") as caught:
        Asked(token=False).require_same()
    trusted = Asked(token=False)
    trusted.insecure = True
    trusted.require_same()
    Asked("127.0.0.1", token=False).require_same()

    assert caught.value.exit_code == ExitCode.AUTH


def test_a_task_that_fits_on_no_node_is_refused() -> None:
    with pytest.raises(UsageError, match="a task takes 5 CPUs, and no node has more than 4"):
        Asked().require_cpus(5, "a task")


@pytest.mark.parametrize("address", ["nowhere", "host:", "host:99999", "ray://host:1", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="want auto, local or HOST:PORT"), connect(address):
        pass


def test_where_nothing_listens_it_is_said_at_once() -> None:
    with (
        pytest.raises(Unavailable, match=r"no Ray cluster at 127\.0\.0\.1:1: "),
        connect("127.0.0.1:1"),
    ):
        pass


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    with (
        pytest.raises(MissingInput, match="Ray, which is not installed") as caught,
        connect("local"),
    ):
        pass

    assert caught.value.hint == "pip install ray"


def test_nothing_else_loads_ray() -> None:
    code = (
        "import agentd.server, agentd.learner.process, agentd.cli.daemon.serve, "
        "agentd.cli.rl.train, "
        "agentd.cli.chess.prepare, agentd.cli.chess.train, agentd.cli.supervised.train, sys; "
        "print([m for m in sys.modules if m.split('.')[0] == 'ray' or 'agentd.cluster' in m])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == "[]"


def test_a_command_is_heard_and_its_end_is_an_error_with_its_code() -> None:
    said: list[str] = []
    python = [sys.executable, "-c"]
    code = "import sys; print('so'); print('a word', file=sys.stderr); print('far')"

    assert run_command([*python, code], said.append) == "so\nfar\n"
    assert said == ["a word"]
    with pytest.raises(JobFailed, match="no room") as caught:
        run_command(
            [*python, "import sys; print('agentd: no room', file=sys.stderr); exit(74)"], print
        )
    assert caught.value.exit_code == ExitCode.STORAGE


def test_a_folder_comes_home_whole_in_place_of_the_old_one(tmp_path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "deep" / "file").write_text("new")
    packed = pack_folder(tmp_path / "a")
    home = tmp_path / "home"
    home.mkdir()
    (home / "left").write_text("old")
    unpack_folder(packed, home)

    assert (home / "deep" / "file").read_text() == "new"
    assert not (home / "left").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "home"]
