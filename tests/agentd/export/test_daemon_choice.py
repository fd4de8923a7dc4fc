"""What a running daemon chooses, the exported files of its agents choose too."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentd.cli.weights.against_daemon import ask_daemon
from agentd.export.cfile import c_file
from agentd.export.onnxfile import onnx_file
from agentd.export.run import build_c, run_c, run_js, run_onnx
from agentd.export.script import js_file
from agentd.learner.begin import write_first_checkpoint
from agentd.rl.daemon import Daemon
from agentd.server.agents.stored import StoredAgents
from agentd.store import set_frozen

from . import nets

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon whose agents are still to be written into its data directory."""
    with Daemon(tmp_path / "data") as daemon:
        yield daemon


def write(daemon: Daemon, case: nets.Case) -> None:
    """Make a case an agent of the daemon's, one that does not learn."""
    stored, name = StoredAgents(daemon.data_dir / "agents"), case.policy.name
    stored.make_root()
    folder = stored.folder(name)
    write_first_checkpoint(folder / "checkpoints", case.config, case.schema, case.flat)
    stored.bind(name, case.schema)
    stored.write_config(name, case.config)
    set_frozen(folder, True)


def compared(daemon: Daemon, case: nets.Case, folder: Path) -> tuple[str, bool]:
    """How C, JavaScript and ONNX agree with the daemon, in words, and whether they all do."""
    write(daemon, case)
    given = case.policy.name, case.config, case.schema
    probe = ask_daemon(f"{daemon.host}:{daemon.port}", given, case.probe, 0)
    policy = case.policy
    found = {"c": run_c(build_c([policy], [c_file(policy)], folder), policy, probe)}
    if shutil.which("node"):
        found["js"] = run_js(policy, js_file(policy), probe, folder)
    if nets.has_onnx():
        found["onnx"] = run_onnx(policy, onnx_file(policy), probe)
    parts = [f"{form} {a.same}+{a.ties} {a.worst:.1e}" for form, a in found.items()]
    said = f"{policy.name}: {', '.join(parts)} of {len(probe.raw)}"
    return said, all(each.holds(small=False) for each in found.values())


def test_exports_choose_as_the_daemon(daemon: Daemon, tmp_path: Path) -> None:
    for name in ("stacked", "joint", "decoupled"):
        said, holds = compared(daemon, nets.net_case(name, 100), tmp_path)
        assert holds, said


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_ten_thousand_states_of_every_preset_and_net(daemon: Daemon, tmp_path: Path) -> None:
    states = 10_000
    cases = [*(nets.net_case(name, states) for name in nets.NETS), *nets.preset_cases(states)]
    bad = []
    for case in cases:
        said, holds = compared(daemon, case, tmp_path)
        print(said, flush=True)
        if not holds:
            bad.append(said)
    assert not bad
