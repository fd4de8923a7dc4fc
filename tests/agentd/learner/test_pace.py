"""Due points, against counting row by row."""

import pytest

from agentd.learner.pace import NO_DUE, Pace


@pytest.mark.parametrize("start", [1, 2, 5, 16])
@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_due_points_by_brute_force(start, every):
    pace = Pace(start, every)
    points = [start + k * every for k in range(100)]
    assert [pace.rows_at(k) for k in range(100)] == points

    for rows in range(80):
        reached = sum(point <= rows for point in points) - 1
        assert pace.reached(rows) == reached
        assert pace.required(rows) == sum(point <= rows - every for point in points) - 1
        assert pace.required(rows) == max(NO_DUE, reached - 1)  # the last one or the one before
