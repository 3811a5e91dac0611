"""Basins of attraction of a function on a grid, and their merging by persistence.

Seen as a landscape, a density has peaks, and between any two peaks a saddle: the highest pass on the best
path from one to the other. A peak is as significant as the drop from it to the pass, in nats of log p.

References:
    Edelsbrunner, Letscher & Zomorodian, Topological Persistence and Simplification (2002).
    Chazal, Guibas, Oudot & Skraba, Persistence-Based Clustering in Riemannian Manifolds (2013).
"""

import heapq
from typing import NamedTuple

import numpy as np


class Basins(NamedTuple):
    """What is left of a landscape once every place is attributed to its peak.

    Attributes:
        label: basin of each cell, the shape of the field.
        peak: flat index of each basin's highest cell, (B,).
        pairs: basins that touch, (E, 2), each pair once.
        saddle: height of the highest pass between the two of a pair, (E,).
    """

    label: np.ndarray
    peak: np.ndarray
    pairs: np.ndarray
    saddle: np.ndarray


NEIGHBOURS = [(di, dj) for di in (-1, 0, 1) for dj in (-1, 0, 1) if (di, dj) != (0, 0)]


class Cells(NamedTuple):
    """A smooth function inside each cell of a grid, seen from its values at the centres.

    Attributes:
        top: its highest value in the cell, (R1, R2).
        where: offset of that place from the centre, in cells, (R1, R2, 2).
        face: for each of the eight neighbours, the highest value on what the cell shares with it (an edge
            or a corner): how high a path can leave that way. From offset (i, j) to (R1, R2).
    """

    top: np.ndarray
    where: np.ndarray
    face: dict[tuple[int, int], np.ndarray]


def cell_heights(field: np.ndarray) -> Cells:
    """The heights of the cells of a grid from the values (R1, R2) of a smooth function at their centres.

    A ridge thinner than a cell, running across the grid at an angle, passes now near and now far from the
    centres: their values alone show a chain of false peaks along it. Peaks and passes are therefore read
    off the maximum over each cell of the second-order Taylor model (central differences over 3 x 3
    centres), which climbs along such a ridge as the ridge does.

    Border cells and cells beside an infinite value keep their own value.
    """
    best, where = field.copy(), np.zeros((*field.shape, 2))
    face = {neighbour: field.copy() for neighbour in NEIGHBOURS}
    if min(field.shape) < 3:
        return Cells(best, where, face)
    middle, (gx, gy), (gxx, gyy, gxy) = field[1:-1, 1:-1], *_derivatives(field)
    core_best, core_where = best[1:-1, 1:-1], where[1:-1, 1:-1]

    def consider(x, y):
        value = middle + gx * x + gy * y + (gxx * x * x + gyy * y * y) / 2 + gxy * x * y
        better = value > core_best  # false for NaN, so infinite neighbours change nothing
        core_best[better] = value[better]
        core_where[better, 0] = np.broadcast_to(x, better.shape)[better]
        core_where[better, 1] = np.broadcast_to(y, better.shape)[better]
        return np.where(np.isfinite(value), value, middle)

    def top_of_edge(slope, curvature):
        with np.errstate(divide="ignore", invalid="ignore"):
            inner = np.clip(-slope / curvature, -0.5, 0.5)
        return np.where(curvature < 0, inner, np.copysign(0.5, slope))

    with np.errstate(divide="ignore", invalid="ignore"):
        det = gxx * gyy - gxy * gxy
        x, y = (gxy * gy - gyy * gx) / det, (gxy * gx - gxx * gy) / det
        inside = (det > 0) & (gxx < 0) & (np.abs(x) <= 0.5) & (np.abs(y) <= 0.5)
        consider(np.where(inside, x, 0.0), np.where(inside, y, 0.0))
        for (i, j), height in face.items():
            x = i / 2 if i else top_of_edge(gx + gxy * j / 2, gxx)
            y = j / 2 if j else top_of_edge(gy + gxy * i / 2, gyy)
            height[1:-1, 1:-1] = consider(x, y)
    return Cells(best, where, face)


def sharpness(field: np.ndarray) -> float:
    """How thin the mass of exp(field) lies, in cells: the mean of (cell width / spread)² under that mass.

    The spread at a place is that of the Gaussian with the same curvature of log p, across the ridge it lies
    on. Above 1, what lies between two centres cannot be told from their values.
    """
    if min(field.shape) < 3:
        f = field.ravel()
        with np.errstate(invalid="ignore"):
            curvature, height = 2 * f[1:-1] - f[2:] - f[:-2], f[1:-1]
    else:
        gxx, gyy, gxy = _derivatives(field)[1]
        with np.errstate(invalid="ignore"):
            curvature = np.hypot((gxx - gyy) / 2, gxy) - (gxx + gyy) / 2
        height = field[1:-1, 1:-1]
    mass = np.where(np.isfinite(curvature), np.exp(height - field.max()), 0.0)
    return float((mass * np.where(mass > 0, curvature, 0.0)).sum() / max(mass.sum(), 1e-300))


def _derivatives(f: np.ndarray) -> tuple[tuple, tuple]:
    """Central differences at the inner cells, per cell: (f_x, f_y) and (f_xx, f_yy, f_xy)."""
    south, north, west, east = (_shifted(f, *to) for to in [(1, 0), (-1, 0), (0, -1), (0, 1)])
    with np.errstate(invalid="ignore"):
        diagonal = _shifted(f, 1, 1) - _shifted(f, 1, -1) - _shifted(f, -1, 1) + _shifted(f, -1, -1)
        twice = 2 * f[1:-1, 1:-1]
        first = (south - north) / 2, (east - west) / 2
        return first, (south - twice + north, east - twice + west, diagonal / 4)


def watershed(field: np.ndarray, face: dict[tuple[int, int], np.ndarray] | None = None) -> Basins:
    """Basins of steepest ascent on a 2-D array over 8 neighbours (a 1-D landscape is one of width 1).

    Each cell points to the neighbour with the steepest rise; doubling the pointers' reach until nothing
    changes takes every cell to its peak. Equal values are ordered by position, so that a plateau has one
    peak. A pass is the highest step between two basins. A step is as high as the lower of its two cells or,
    given the faces of `cell_heights`, as what the two share. -inf is allowed (places of zero density); NaN
    is a ValueError.
    """
    if np.isnan(field).any():
        raise ValueError(f"log p is NaN in {np.isnan(field).sum()} of {field.size} cells of the grid.")
    rank = np.empty(field.size, dtype=np.int64)
    rank[np.argsort(field, axis=None, kind="stable")] = np.arange(field.size)
    rank = np.pad(rank.reshape(field.shape), 1, constant_values=-1)  # the border is never uphill
    height = np.pad(field, 1, mode="edge")
    index = np.pad(np.arange(field.size).reshape(field.shape), 1)
    own_rank = rank[1:-1, 1:-1]
    pointer, steepest = index[1:-1, 1:-1].copy(), np.full(field.shape, -np.inf)
    with np.errstate(invalid="ignore"):
        for di, dj in NEIGHBOURS:
            slope = (_shifted(height, di, dj) - field) / np.hypot(di, dj)
            slope = np.nan_to_num(slope, nan=0.0, posinf=np.finfo(field.dtype).max)  # -inf to -inf is level
            steeper = (_shifted(rank, di, dj) > own_rank) & (slope > steepest)
            steepest[steeper] = slope[steeper]
            pointer[steeper] = _shifted(index, di, dj)[steeper]
    pointer = pointer.ravel()
    while not np.array_equal(further := pointer[pointer], pointer):
        pointer = further
    peak, label = np.unique(pointer, return_inverse=True)
    label = label.reshape(field.shape)
    return Basins(label, peak, *_passes(face or dict.fromkeys(NEIGHBOURS, field), label, len(peak)))


def _passes(face: dict, label: np.ndarray, n_basins: int) -> tuple[np.ndarray, np.ndarray]:
    """Touching basins (E, 2) and the height of the highest step between them (E,)."""
    keys, heights = [], []
    rows, columns = label.shape
    for di, dj in [(0, 1), (1, 0), (1, 1), (1, -1)]:
        here = (slice(0, rows - di), slice(max(0, -dj), columns - max(0, dj)))
        there = (slice(di, rows), slice(max(0, dj), columns - max(0, -dj)))
        a, b = label[here], label[there]
        border = a != b
        a, b = a[border], b[border]
        keys.append(np.minimum(a, b) * n_basins + np.maximum(a, b))
        heights.append(np.minimum(face[di, dj][here][border], face[-di, -dj][there][border]))
    keys, heights = np.concatenate(keys), np.concatenate(heights)
    key, which = np.unique(keys, return_inverse=True)
    saddle = np.full(len(key), -np.inf)
    np.maximum.at(saddle, which, heights)
    return np.stack([key // n_basins, key % n_basins], axis=1), saddle


def _shifted(array: np.ndarray, di: int, dj: int) -> np.ndarray:
    """The array seen from the neighbour (di, dj) of each inner cell."""
    rows, columns = array.shape
    return array[1 + di : rows - 1 + di, 1 + dj : columns - 1 + dj]


def merge_basins(
    height: np.ndarray, mass: np.ndarray, pairs: np.ndarray, saddle: np.ndarray, drop: float, min_mass: float
) -> tuple[np.ndarray, np.ndarray]:
    """Merge basins until each that is left has mass >= min_mass and a drop > `drop` to every neighbour.

    The drop between two basins is min(height_a, height_b) - saddle_ab. The pair with the smallest one
    merges first, the lower peak into the higher: this is merging by persistence, and the passes that are
    left stay those of the best (minimax) paths. Then the lightest basin under min_mass joins the neighbour
    behind its highest pass, which keeps its own peak, and so on in turn.

    Arguments:
        height, mass: of each basin, (B,).
        pairs, saddle: neighbours (E, 2) and the pass between them (E,); they must connect all basins.

    Returns the survivor each basin went into, (B,), and the passes between any two survivors along the
    best path over all others, (B, B), -inf where a basin did not survive.
    """
    passes: list[dict[int, float]] = [{} for _ in height]
    queue: list[tuple[float, int, int, float]] = []
    mass, alive = mass.tolist(), set(range(len(height)))
    owner = np.arange(len(height))

    def connect(a: int, b: int, level: float) -> None:
        passes[a][b] = passes[b][a] = level
        low, high = (a, b) if (height[a], a) < (height[b], b) else (b, a)
        fall = height[low] - level if height[low] > -np.inf else 0.0
        heapq.heappush(queue, (fall, low, high, level))

    def absorb(child: int, into: int) -> None:
        owner[owner == child] = into
        mass[into] += mass[child]
        alive.discard(child)
        for other, level in passes[child].items():
            del passes[other][child]
            if other != into and level > passes[into].get(other, -np.inf):
                connect(into, other, level)
        passes[child] = {}

    for (a, b), level in zip(pairs.tolist(), saddle.tolist(), strict=True):
        connect(a, b, level)
    while True:
        while queue and queue[0][0] <= drop:
            _, low, high, level = heapq.heappop(queue)
            if passes[low].get(high) == level:  # else one of the two has merged, or a higher pass was found
                absorb(low, high)
        lightest = min(alive, key=lambda i: (mass[i], i))
        if len(alive) == 1 or mass[lightest] >= min_mass:
            return owner, _minimax(passes, len(height))
        absorb(lightest, max(passes[lightest], key=passes[lightest].get))


def _minimax(passes: list[dict[int, float]], n: int) -> np.ndarray:
    """The highest pass on the best path between any two basins (Floyd-Warshall over max and min)."""
    best = np.full((n, n), -np.inf)
    for a, row in enumerate(passes):
        for b, level in row.items():
            best[a, b] = level
    for via in (a for a, row in enumerate(passes) if row):
        best = np.maximum(best, np.minimum(best[:, via, None], best[None, via, :]))
    return best
