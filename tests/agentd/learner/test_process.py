"""The real learner process: exact, resumable after kill -9, obedient, quiet when idle."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd.engine.network.weights import join
from agentd.learner.pace import NO_DUE
from agentd.store import list_checkpoints, read_checkpoint


def state_of(folder: Path) -> tuple[dict[str, bytes], Any, Any]:
    """Everything that the newest checkpoint holds, comparable bit for bit."""
    found = read_checkpoint(folder / "checkpoints")
    assert found is not None
    arrays = {**found.weights, **{f"state/{k}": v for k, v in found.state.items()}}
    return (
        {name: array.tobytes() for name, array in arrays.items()},
        found.facts["learner"],
        found.facts["progress"],
    )


def run_through(agent: Any, rows: int) -> tuple[dict[str, bytes], Any, Any]:
    agent.run_through(rows)
    return state_of(agent.folder)


def test_same_seed_same_rows_give_bit_equal_state(make_agent, whole):
    held = state_of(whole.folder)

    assert run_through(make_agent("again"), whole.ring.head) == held
    assert run_through(make_agent("other", seed=1), whole.ring.head)[0] != held[0]


def test_the_pace_of_the_rows_changes_nothing(make_agent, whole):
    at_once = make_agent("at_once")
    at_once.feed(whole.ring.head)

    assert run_through(at_once, whole.ring.head) == state_of(whole.folder)


PQN = {
    "learner": "pqn",
    "pqn": {"minibatches": 2},
    "pace": {"train_every": 32, "updates": 6},
    "model": {"layers": ["normalize", {"dense": 16}, "layer_norm", "relu"]},
    "optimizer": {"name": "radam"},
}
STREAM_Q = {
    "learner": "stream_q",
    "pace": {"train_every": 16, "updates": 16},
    "model": {"layers": ["normalize", {"dense": {"units": 16, "init": "sparse"}}, "layer_norm"]},
}


@pytest.mark.parametrize("config", [{}, {"dqn": {"average": 16}}, {"learner": "supervised"}])
def test_400_updates_equal_200_and_kill_and_resume_and_200(make_agent, config):
    rows = 64 + 4 * 399
    whole = run_through(make_agent("whole", **config), rows)
    assert whole[1]["updates"] == 400

    cut = make_agent("cut", **config, checkpoint={"every_updates": 60})
    process = cut.start()
    cut.pace_through(process, 64 + 4 * 200)
    process.kill()
    resumed = cut.start()
    assert resumed.expect("ready")["step"] == 180
    cut.pace_through(resumed, rows)
    cut.wait_for(resumed, 399)
    resumed.stop()

    assert state_of(cut.folder) == whole


@pytest.mark.parametrize("learner", [{"pace": {"train_every": 16, "updates": 7}}, PQN, STREAM_Q])
def test_kills_at_random_moments_change_nothing(make_agent, learner):
    config = {**learner, "checkpoint": {"every_updates": 25}}
    whole = run_through(make_agent("whole", **config), 600)
    rng = np.random.default_rng(0)

    cut = make_agent("cut", **config)
    for rows in (200, 400):
        process = cut.start()
        process.expect("ready")
        cut.pace_through(process, rows)
        time.sleep(rng.uniform(0, 0.01))
        process.kill()

    assert run_through(cut, 600) == whole


def test_each_row_finds_the_publication_of_its_due_point_after_a_kill_too(make_agent):
    agent = make_agent(checkpoint={"every_updates": 20})
    first = agent.start()
    first.expect("ready")
    seen = {}
    for row in range(64, 320):
        due = agent.pace.required(row)
        agent.wait_for(first, due)
        weights, got, version = agent.weights(due)
        assert got == due
        assert version == due + 1
        seen[due] = weights
        agent.feed(row + 1)
        agent.wake(first)
        if row == 200:
            first.kill()
            first = agent.start()

    assert len(set(seen.values())) == len(seen) == agent.pace.required(319) + 2
    assert first.expect("ready")["step"] > 0


def test_end_of_stdin_ends_the_process_at_once_and_signals_do_not(make_agent):
    agent = make_agent()
    process = agent.start()
    process.expect("ready")
    process.popen.send_signal(signal.SIGINT)
    process.popen.send_signal(signal.SIGTERM)
    process.expect("saved", id=process.ask("save"))

    began = time.monotonic()
    process.popen.stdin.close()
    assert process.popen.wait(10) == 0
    assert time.monotonic() - began < 5
    process.popen.stdin = open(os.devnull, "rb")  # noqa: SIM115 - closed with the others


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_an_idle_learner_sleeps_and_wakes_with_or_without_a_notification(make_agent):
    agent = make_agent()
    process = agent.start()
    process.expect("ready")
    while agent.board.wake_at != 64:
        process.read(0.01)
    before = cpu_seconds(process.popen.pid)
    time.sleep(0.6)
    assert cpu_seconds(process.popen.pid) - before <= 0.05

    agent.feed(64)
    process.notify()
    agent.wait_for(process, 0, timeout=5)
    while agent.board.wake_at != 68:
        process.read(0.01)
    agent.feed(68)  # and no notification
    agent.wait_for(process, 1, timeout=5)


def test_notifications_are_sent_only_for_publications_that_are_waited_for(make_agent):
    agent = make_agent()
    process = agent.start()
    process.expect("ready")
    agent.feed(200)
    while agent.board.newest.due < agent.pace.reached(200):
        process.read(0.01)
    assert process.notifications == 0

    agent.ring.waiting[0] = 2 + 40
    agent.feed(64 + 4 * 40)
    process.notify()
    while process.notifications == 0:
        process.read(0.05)
    assert agent.board.newest.due == 40

    agent.feed(64 + 4 * 60)  # nobody waits any more, though the word was left as it is
    process.notify()
    while agent.board.newest.due < 60:
        process.read(0.01)
    assert process.notifications == 1


def test_a_free_learner_forgets_debt_and_makes_nobody_wait(make_agent):
    agent = make_agent(pace={"mode": "free", "max_backlog": 10})
    agent.feed(1200)
    process = agent.start()
    process.expect("ready")
    agent.wait_for(process, agent.pace.reached(1200))
    process.stop()

    learner, progress = state_of(agent.folder)[1:]
    assert learner["updates"] == 10
    assert progress == [agent.pace.reached(1200), 0]
    assert agent.board.stats()["dropped"] == agent.pace.reached(1200) - 9


def test_a_live_learner_makes_what_it_has_time_for_and_counts_a_row_once(make_agent):
    agent = make_agent(pace={"mode": "live", "max_updates_per_row": 4.0})
    agent.feed(63)
    process = agent.start()
    process.expect("ready")
    for row in range(64, 104):
        agent.feed(row)
        agent.wake(process)
        process.read(0.01)
    end = time.monotonic() + 20
    while agent.board.newest.due < 39:
        assert time.monotonic() < end, (agent.board.newest, agent.board.stats())
        process.read(0.01)
    made = process.expect("saved", id=process.ask("save"))["step"]
    assert 0 < made <= 4 * 40  # a busy machine forgets the rest
    stats = agent.board.stats()
    assert 0.25 <= stats["updates_per_row"] <= 4.0
    assert stats["rows_per_second"] > 0
    assert stats["possible_updates_per_second"] > 0
    assert min(stats["updates_owed"], stats["updates_forgotten"]) >= 0
    assert made + stats["updates_owed"] + stats["updates_forgotten"] <= 4 * 40
    process.stop()

    agent.feed(900)
    again = agent.start()
    assert again.expect("ready")["step"] == made
    agent.feed(901)
    agent.wake(again)
    end = time.monotonic() + 20
    while agent.board.newest.version <= made:
        assert time.monotonic() < end, (agent.board.newest, agent.board.stats())
        again.read(0.01)
    assert made < again.stop()["step"] <= made + 4 * (901 - 103)


@pytest.mark.parametrize("config", [{}, {"dqn": {"average": 16}}])
def test_save_names_a_checkpoint_that_is_there_and_load_goes_back_to_it(make_agent, config):
    agent = make_agent(**config)
    process = agent.start()
    process.expect("ready")
    agent.pace_through(process, 300)
    agent.wait_for(process, agent.pace.reached(300))
    saved = process.expect("saved", id=process.ask("save"))
    old = read_checkpoint(agent.folder / "checkpoints", saved["checkpoint"])
    assert saved["counters"][0] == 300
    assert old.step == saved["step"] == agent.pace.reached(300) + 1
    agent.pace_through(process, 600)
    agent.wait_for(process, agent.pace.reached(600))

    loaded = process.expect("loaded", id=process.ask("load", checkpoint=saved["checkpoint"]))
    assert loaded["step"] == saved["step"]
    weights, due, version = agent.weights()
    assert (due, version) == (agent.pace.reached(600), saved["step"])
    assert join(agent.network, old.weights).tobytes() == weights
    assert state_of(agent.folder)[0] == {
        **{name: array.tobytes() for name, array in old.weights.items()},
        **{f"state/{name}": array.tobytes() for name, array in old.state.items()},
    }

    agent.pace_through(process, 700)
    agent.wait_for(process, agent.pace.reached(700))
    process.kill()
    again = agent.start()
    assert again.expect("ready")["step"] == saved["step"]  # the loaded one is the newest


def test_unknown_and_damaged_checkpoints_are_refused_and_nothing_changes(make_agent):
    agent = make_agent()
    process = agent.start()
    process.expect("ready")
    agent.pace_through(process, 200)
    saved = process.expect("saved", id=process.ask("save"))["checkpoint"]
    with (agent.folder / "checkpoints" / saved / "weights.safetensors").open("r+b") as file:
        file.seek(200)
        file.write(b"\xff")

    for name in ("nothing", "../../etc", saved):
        refused = process.expect("refused", id=process.ask("load", checkpoint=name))
        assert refused["code"] == "UNKNOWN_CHECKPOINT"
    agent.pace_through(process, 300)


def test_frozen_is_kept_across_a_kill_and_missed_rows_are_not_made_up_for(make_agent):
    agent = make_agent()
    process = agent.start()
    process.expect("ready")
    agent.pace_through(process, 200)
    agent.wait_for(process, agent.pace.reached(200))
    assert process.expect("frozen", id=process.ask("freeze", on=True))["frozen"]
    agent.feed(400)
    process.kill()

    again = agent.start()
    ready = again.expect("ready")
    assert ready["frozen"]
    time.sleep(0.3)
    assert agent.weights()[2] == ready["step"] == agent.pace.reached(200) + 1
    assert not again.expect("thawed", id=again.ask("freeze", on=False))["frozen"]
    assert agent.weights()[1:] == (agent.pace.reached(400), ready["step"])
    agent.pace_through(again, 450)
    agent.wait_for(again, agent.pace.reached(450))
    missed = agent.pace.reached(400) - agent.pace.reached(200)
    assert agent.weights()[2] == agent.pace.reached(450) + 1 - missed


def test_diverging_training_pauses_with_finite_weights_until_told_to_go_on(make_agent):
    agent = make_agent(
        optimizer={"name": "sgd", "lr": 1e6}, loss="mse", dqn={"clip_norm": None, "gamma": 1.0}
    )
    agent.feed(2000)
    process = agent.start()
    event = process.expect("state", diverged=True)
    assert "10 non-finite" in event["note"]
    assert np.isfinite(np.frombuffer(agent.weights()[0], np.float32)).all()
    saved = process.expect("saved", id=process.ask("save"))
    found = read_checkpoint(agent.folder / "checkpoints", saved["checkpoint"])
    assert all(np.isfinite(array).all() for array in found.weights.values())
    process.kill()

    again = agent.start()
    assert again.expect("ready")["diverged"]
    assert not again.expect("thawed", id=again.ask("freeze", on=False))["diverged"]


def test_a_disk_that_refuses_degrades_training_and_stops_nothing(make_agent):
    agent = make_agent(checkpoint={"every_updates": 10})
    (agent.folder / "checkpoints").mkdir()
    process = agent.start()
    process.expect("ready")
    (agent.folder / "checkpoints").rmdir()
    (agent.folder / "checkpoints").write_bytes(b"in the way")
    agent.pace_through(process, 300)
    agent.wait_for(process, agent.pace.reached(300))
    assert process.expect("state", degraded=True)["note"].startswith("no checkpoint")
    refused = process.expect("refused", id=process.ask("save"))
    assert refused["code"] == "STORAGE_FAILED"
    refused = process.expect("refused", id=process.ask("freeze", on=True))
    assert not refused["frozen"]

    (agent.folder / "checkpoints").unlink()
    assert not process.expect("saved", id=process.ask("save"))["degraded"]
    agent.pace_through(process, 400)
    process.stop()


def test_a_damaged_checkpoint_is_passed_over_loudly_and_none_left_means_66(make_agent):
    agent = make_agent()
    process = agent.start()
    process.expect("ready")
    agent.pace_through(process, 200)
    process.expect("saved", id=process.ask("save"))
    agent.pace_through(process, 300)
    process.stop()
    folder = agent.folder / "checkpoints"
    newest, older = list_checkpoints(folder)
    (folder / newest / "state.safetensors").unlink()

    process = agent.start()
    ready = process.expect("ready")
    assert ready["checkpoint"] == older
    assert newest in ready["note"]
    process.kill()

    shutil.rmtree(folder / older)
    process = agent.start()
    assert "none of 1" in process.expect("failed")["message"]
    assert process.popen.wait(5) == 66


def test_kills_inside_a_checkpoint_lose_nothing_that_was_acknowledged(make_agent, whole):
    agent = make_agent(checkpoint={"every_updates": 10, "keep": 1})
    acknowledged = 0
    for nth, point in enumerate(
        ("wrote.weights.safetensors", "wrote.manifest.json", "synced", "renamed", "durable"), 1
    ):
        process = agent.start(AGENTD_FAILPOINT=f"checkpoint.{point}:{1 + nth % 2}")
        assert process.expect("ready")["step"] >= acknowledged
        agent.feed(whole.ring.head)
        process.notify()
        assert process.popen.wait(20) == -signal.SIGKILL
        process.read()
        steps = [event["step"] for event in process.events if event["event"] == "saved"]
        acknowledged = max([acknowledged, *steps])

    assert acknowledged > 0
    assert run_through(agent, whole.ring.head) == state_of(whole.folder)


def test_a_second_learner_waits_for_the_first_one_to_go(make_agent):
    agent = make_agent()
    first = agent.start()
    first.expect("ready")
    second = agent.start()
    time.sleep(0.7)
    second.read()
    assert second.events == []

    first.kill()
    second.expect("ready")


def test_a_ring_that_lost_its_rows_does_not_stop_learning_for_long(make_agent):
    agent = make_agent()
    process = agent.start()
    process.expect("ready")
    agent.pace_through(process, 500)
    process.stop()
    agent.lose_rows()

    process = agent.start()
    ready = process.expect("ready")
    assert "younger" in ready["note"]
    assert ready["due"] == NO_DUE
    agent.pace_through(process, 200)
    assert agent.weights()[2] > ready["step"]


def test_a_model_that_does_not_fit_its_checkpoint_ends_with_78(make_agent):
    agent = make_agent()
    process = agent.start()
    process.expect("ready")
    process.expect("saved", id=process.ask("save"))
    process.kill()
    agent.lose_rows(model={"layers": [{"dense": 9}]})

    process = agent.start()
    assert "another network" in process.expect("failed")["message"]
    assert process.popen.wait(5) == 78


def test_nothing_but_events_comes_out_of_stdout(make_agent):
    agent = make_agent()
    process = agent.start()
    process.expect("ready")
    assert process.expect("stopped", id=process.ask("stop", save=False))
    assert process.popen.wait(10) == 0
    assert process.popen.stdout.read() in (b"", None)
    assert list_checkpoints(agent.folder / "checkpoints") == []
    assert json.loads((agent.folder / "learner.lock").read_text())["pid"] == process.popen.pid


@pytest.mark.parametrize("mode", ["free", "paced"])
@pytest.mark.parametrize("lost", ["every checkpoint", "nothing"])
def test_published_weights_are_never_replaced_by_older_ones(make_agent, mode, lost):
    """Killed before its next checkpoint, a learner goes on from what the games have seen."""
    agent = make_agent(pace={"mode": mode}, checkpoint={"every_seconds": None})
    process = agent.start()
    process.expect("ready")
    agent.pace_through(process, 300)
    agent.wait_for(process, agent.pace.reached(300))
    process.kill()
    before = agent.board.newest
    assert before is not None
    weights = np.empty(agent.board.n_params, np.float32)
    agent.board.read_into(weights)
    if lost == "every checkpoint":
        shutil.rmtree(agent.folder / "checkpoints", ignore_errors=True)

    process = agent.start()
    ready = process.expect("ready")

    again = np.empty_like(weights)
    assert agent.board.read_into(again).version >= before.version
    if mode == "free":
        assert ready["step"] == before.version
        assert np.array_equal(again, weights)
        assert f"weights of version {before.version}" in ready["note"]
    process.stop()
