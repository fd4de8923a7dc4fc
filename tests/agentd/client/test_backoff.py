from __future__ import annotations

import random
from itertools import islice

from agentd.client.backoff import Patience, delays


def test_delays_are_jittered_below_a_limit_that_doubles_up_to_the_longest():
    many = [list(islice(delays(random.Random(seed), 0.1, 1.0), 8)) for seed in range(200)]

    for k, limit in enumerate((0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0)):
        column = [row[k] for row in many]
        assert all(0 <= delay < limit for delay in column)
        assert max(column) > 0.9 * limit
        assert min(column) < 0.1 * limit


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_patience_ends_after_its_seconds_and_begins_again_when_things_go_well():
    clock = Clock()
    patience = Patience(10.0, random.Random(1), clock)

    assert patience.next_delay() is not None
    clock.now += 11
    assert patience.next_delay() is None

    patience.restore()
    delay = patience.next_delay()

    assert delay is not None
    assert delay < 0.05


def test_patience_waits_as_long_as_it_is_asked_to():
    patience = Patience(10.0, random.Random(1), Clock())

    assert patience.next_delay(at_least=3.0) == 3.0
    assert patience.next_delay(at_least=30.0) is None


def test_no_patience_means_no_second_try():
    assert Patience(0.0, random.Random(1), Clock()).next_delay() is None
