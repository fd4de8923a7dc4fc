"""A replay ring after its writer was killed, and after the power went."""

import subprocess
import sys

from agentd.memory import mapped_file as mapped

FIRST, MID = range(2)

KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
from agentd.memory.layout import RingLayout
from agentd.memory.replay_ring import ReplayRing

path, broken = Path(sys.argv[1]), sys.argv[2] == "broken"
N, CAPACITY, SLACK = 50, 400, 200

def open_it():
    return ReplayRing.open(path, RingLayout(64, 3, 1, "s"), CAPACITY, slack=SLACK)

def write(ring):
    ring.reopen(0, N, session=1)
    stream = np.arange(N)
    while True:
        at = ring.head + np.arange(N)
        kind = np.where(at // N % 7 == 0, 0, np.where(at // N % 7 == 6, 2, 1)).astype(np.uint8)
        obs = at[:, None].astype(np.int64).repeat(8, axis=1).view(np.uint8)
        if broken:
            head = ring._counters.head
            ring._file.commit.write(ring._counters._replace(head=head + N))
        ring.append(obs, None, np.zeros((N, 1), np.int32), np.ones(N, np.float32), kind, 0, stream,
                    1, int(at[0]) // N + 1, 0)

rng, head = random.Random(1), 0
for kill in range(60):
    pid = os.fork()
    if pid == 0:
        write(open_it())
    time.sleep(rng.uniform(0.003, 0.015))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    ring = open_it()
    assert ring.head >= head and ring.head % N == 0, (kill, head, ring.head)
    head = ring.head
    at = np.arange(ring.oldest, head)
    slot, column = at % ring.physical, ring.columns
    frame = at // N % 7
    np.testing.assert_array_equal(column["obs"][slot].view(np.int64), at[:, None].repeat(8, 1))
    np.testing.assert_array_equal(column["seq"][slot], at // N + 1)
    linked = (frame != 6) & (at + N < head)
    np.testing.assert_array_equal(column["next"][slot], np.where(linked, at + N, -1))
    counters = ring.counters
    frames = np.arange(head // N) % 7
    assert counters.env_steps == N * int((frames != 6).sum()), kill
    assert counters.episodes == N * int((frames == 6).sum()), kill
    assert counters.return_sum == 6.0 * counters.episodes, kill
    assert ring.last_seqs() == ({1: head // N} if head else {}), kill
print(head)
"""


def kill_writers(path, how):
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(path), how], capture_output=True, text=True, timeout=100
    )


def test_sixty_killed_writers_leave_the_old_or_the_new_state(small_ring):
    done = kill_writers(small_ring.path, "sound")

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 60 * 50


def test_the_kill_test_notices_a_commit_before_the_rows(small_ring):
    done = kill_writers(small_ring.path, "broken")

    assert "AssertionError" in done.stderr


def reboot(monkeypatch):
    monkeypatch.setattr(mapped, "boot_id", lambda: b"another boot".ljust(36))


def test_after_power_loss_the_ring_is_as_it_was_when_it_was_synced(small_ring, rows, monkeypatch):
    ring = small_ring.open()
    for step in range(5):
        ring.append(**rows([FIRST if step == 0 else MID] * 2, [0, 1], [1.0, 1.0]))
        if step == 2:
            durable = ring.counters
            ring.mark_durable(durable)

    reboot(monkeypatch)
    ring = small_ring.open()
    assert ring.counters == durable
    assert ring.columns["next"][:6].tolist() == [2, 3, 4, 5, -1, -1]
    assert ring.append(**rows([FIRST], [0])) == 6


def test_after_power_loss_rows_that_were_written_over_or_are_odd_do_not_count(
    small_ring, rows, monkeypatch
):
    ring = small_ring.open(capacity=16, slack=16)
    for _ in range(8):
        ring.append(**rows([FIRST] * 4, [0, 1, 2, 3]))
    ring.mark_durable(ring.counters)
    for _ in range(3):
        ring.append(**rows([FIRST] * 4, [0, 1, 2, 3]))
    assert ring.head == 44  # and 8 more may have been on their way: slots of rows below 20
    reboot(monkeypatch)
    ring = small_ring.open(capacity=16, slack=16)
    assert (ring.head, ring.oldest) == (32, 20)

    ring.columns["kind"][25] = 77
    monkeypatch.setattr(mapped, "boot_id", lambda: b"a third boot".ljust(36))
    ring = small_ring.open(capacity=16, slack=16)
    assert ring.oldest == ring.head == 32


def test_a_ring_that_was_closed_cleanly_survives_a_reboot(small_ring, rows, monkeypatch):
    ring = small_ring.open()
    ring.append(**rows([FIRST] * 3, [0, 1, 2]))
    ring.close()
    reboot(monkeypatch)

    assert small_ring.open().head == 3
