"""Watershed, passes and merging on landscapes small enough to work out by hand."""

import time

import numpy as np
import pytest
import torch

from labkit.density.basins import cell_heights, merge_basins, sharpness, watershed


def landscape(values):
    return np.array(values, dtype=float)


CASES = {  # heights; highest cell of each basin; height of each pass
    "one slope": ([[1, 2, 3]], [2], []),
    "two peaks": ([[3, 1, 4]], [0, 2], [1]),
    "two peaks, the way around is higher": ([[5, 0, 6], [4, 3, 4]], [0, 2], [3]),
    "diagonal pass": ([[9, 0], [0, 8]], [0], []),
    "plateau": ([[1, 1, 1], [1, 1, 1]], [5], []),
    "zero density between": ([[3, -np.inf, 4]], [0, 2], [-np.inf]),
    "zero density all around": ([[-np.inf] * 3, [-np.inf, 0, -np.inf], [-np.inf] * 3], [4], []),
}


@pytest.mark.parametrize("values, peaks, passes", CASES.values(), ids=CASES)
def test_watershed(values, peaks, passes):
    basins = watershed(landscape(values))
    assert basins.peak.tolist() == peaks
    assert basins.saddle.tolist() == passes
    assert basins.label.ravel()[basins.peak].tolist() == list(range(len(peaks)))


def test_watershed_of_a_column_is_that_of_a_row():
    heights = np.random.default_rng(0).normal(size=50)
    row, column = watershed(heights[None]), watershed(heights[:, None])
    assert (row.peak == column.peak).all() and (row.saddle == column.saddle).all()


def test_nan_is_an_error():
    with pytest.raises(ValueError, match="NaN in 1 of 3 cells"):
        watershed(landscape([[0, np.nan, 1]]))


def minimax(field, a, b):
    """The highest pass between two cells, by flooding: raise the water until they part."""
    from scipy.ndimage import label

    for level in np.unique(field)[::-1]:
        lake, _ = label(field >= level, np.ones((3, 3)))
        if lake.ravel()[a] == lake.ravel()[b] != 0:
            return level
    return -np.inf


def test_passes_after_merging_are_minimax_paths():
    field = np.random.default_rng(1).normal(size=(12, 12))
    basins = watershed(field)
    height = field.ravel()[basins.peak]
    mass = np.full(len(height), 1 / len(height))
    for drop in (0.0, 0.5, 1.0):
        owner, passes = merge_basins(height, mass, basins.pairs, basins.saddle, drop, 0.0)
        left = sorted(set(owner.tolist()))
        for i in left:
            for j in left:
                if i < j:
                    assert passes[i, j] == minimax(field, basins.peak[i], basins.peak[j])
                    assert min(height[i], height[j]) - passes[i, j] > drop


def test_merging_order_is_by_persistence():
    # a ripple (1) between two summits: it goes to the one behind its higher pass, before any mass is asked
    height, pairs, saddle = landscape([5, 3, 4]), np.array([[0, 1], [1, 2]]), landscape([2.0, 2.8])
    owner, passes = merge_basins(height, np.array([0.5, 0.2, 0.3]), pairs, saddle, 0.5, 0.0)
    assert owner.tolist() == [0, 2, 2] and passes[0, 2] == 2.0
    owner, _ = merge_basins(height, np.array([0.5, 0.2, 0.3]), pairs, saddle, 0.0, 0.25)
    assert owner.tolist() == [0, 2, 2]
    owner, _ = merge_basins(height, np.array([0.5, 0.2, 0.3]), pairs, saddle, 0.0, 0.6)
    assert len(set(owner.tolist())) == 1


def test_the_maximum_in_a_cell_of_a_quadratic_is_exact():
    x, y = np.meshgrid(np.arange(7.0), np.arange(7.0), indexing="ij")
    u, v = x - 3.3, y - 2.8
    best, where, _ = cell_heights(-(2 * u * u + v * v + u * v))
    assert best[3, 3] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(where[3, 3], [0.3, -0.2], atol=1e-12)
    dense = np.linspace(-0.5, 0.5, 201)
    for i, j in [(2, 2), (4, 1), (5, 5)]:
        du, dv = np.meshgrid(i - 3.3 + dense, j - 2.8 + dense, indexing="ij")
        assert best[i, j] == pytest.approx(-(2 * du * du + dv * dv + du * dv).min(), abs=1e-4)


def test_what_two_cells_share_has_one_height():
    x, y = np.meshgrid(np.arange(7.0), np.arange(7.0), indexing="ij")
    cells = cell_heights(2 * (x - 3.5) ** 2 - 3 * (y - 2.8) ** 2)
    assert cells.face[1, 0][3, 3] == pytest.approx(0, abs=1e-12)  # the saddle itself, at (3.5, 2.8)
    assert cells.top[3, 3] == pytest.approx(2)
    for (i, j), face in cells.face.items():
        np.testing.assert_allclose(face[2:5, 2:5], cells.face[-i, -j][2 + i : 5 + i, 2 + j : 5 + j])


@pytest.mark.parametrize("spread", [0.5, 1.0, 3.0])
def test_sharpness_of_a_gaussian_is_its_inverse_variance_in_cells(spread):
    x = np.arange(-20.0, 21.0)
    assert sharpness(-0.5 * (x[:, None] / spread) ** 2) == pytest.approx(spread**-2)
    ridge = np.broadcast_to(-0.5 * (x[:, None] / spread) ** 2, (41, 41))
    assert sharpness(ridge) == pytest.approx(spread**-2)


def test_a_search_is_fast_enough_for_thousands_of_words():
    """14,641 cells with dozens of basins; a generous bound, since machines differ."""
    x = torch.linspace(-4, 4, 121, dtype=torch.float64)
    field = (-0.5 * (x[:, None] ** 2 + x**2) + (5 * x[:, None]).sin() * (5 * x).sin()).numpy()
    start = time.perf_counter()
    for _ in range(5):
        cells = cell_heights(field)
        basins = watershed(cells.top, cells.face)
        mass = np.bincount(basins.label.ravel(), np.exp(field).ravel())
        merge_basins(cells.top.ravel()[basins.peak], mass, basins.pairs, basins.saddle, 0.02, 0.05)
    assert (time.perf_counter() - start) / 5 < 0.2
