import numpy as np
import pytest

from labkit.view.contours import outlines, simplified

X = np.linspace(-3, 3, 121)
R = np.hypot(X, X[:, None])


def area(ring):
    x, y = ring.T
    return 0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))


FIELDS = {  # field, level, the areas of its outlines; those of holes are negative
    "disc": (-R, -2.0, [4 * np.pi]),
    "ring": (-np.abs(R - 2), -0.5, [6.25 * np.pi, -2.25 * np.pi]),
    "two discs": (-np.hypot(np.abs(X) - 1.5, X[:, None]), -1.0, [np.pi, np.pi]),
    "cut off by the border": (np.broadcast_to(X, (121, 121)), 0.0, [18.0]),
    "everything": (np.zeros((121, 121)), -1.0, [36.0]),
    "nothing": (np.zeros((121, 121)), 1.0, []),
    "-inf outside": (np.where(R < 2, 0.0, -np.inf), -1.0, [4 * np.pi]),
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_areas(name):
    field, level, expected = FIELDS[name]
    found = [area(ring) for ring in outlines(field, X, X, level)]
    assert sorted(found) == pytest.approx(sorted(expected), rel=0.03)  # a wall lies somewhere between nodes


def test_a_checkerboard_is_decided_by_the_middle_and_closed():
    field = np.array([[1.0, -1.0], [-1.0, 1.0]])
    grid = np.array([0.0, 1.0])
    assert len(outlines(field + 0.1, grid, grid, 0.0)) == 1
    assert len(outlines(field - 0.1, grid, grid, 0.0)) == 2


def test_random_fields_give_closed_rings(seed):
    field = np.random.default_rng(seed).normal(size=(40, 30))
    rings = outlines(field, np.arange(30.0), np.arange(40.0), 0.0)
    steps = [np.hypot(*(ring - np.roll(ring, 1, axis=0)).T).max() for ring in rings]
    assert len(rings) > 20 and max(steps) < np.sqrt(2) + 1e-9


@pytest.mark.parametrize("tolerance", [0.001, 0.01, 0.1])
def test_a_simplified_ring_stays_within_tolerance(tolerance):
    (ring,) = outlines(-R, X, X, -2.0)
    short = simplified(ring, tolerance)
    assert len(short) < len(ring) and abs(area(short) - area(ring)) < 4 * np.pi * tolerance


def test_nan_has_no_outline():
    with pytest.raises(ValueError, match="2 NaN values"):
        outlines(np.array([[np.nan, 1.0], [np.nan, 1.0]]), X[:2], X[:2], 0.0)
