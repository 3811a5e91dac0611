"""Outlines of regions {z : f(z) >= level} as closed polygons, with as few points as one would miss."""

import numpy as np
from jaxtyping import Float

# Per corner pattern (1 = lower left, 2 = lower right, 4 = upper right, 8 = upper left): from which side of
# the cell to which the outline runs, with the region on its left. The middle decides about patterns 5 and 10.
BOTTOM, RIGHT, TOP, LEFT = range(4)
CROSSINGS = {
    1: [(BOTTOM, LEFT)], 2: [(RIGHT, BOTTOM)], 3: [(RIGHT, LEFT)], 4: [(TOP, RIGHT)],
    6: [(TOP, BOTTOM)], 7: [(TOP, LEFT)], 8: [(LEFT, TOP)], 9: [(BOTTOM, TOP)],
    11: [(RIGHT, TOP)], 12: [(LEFT, RIGHT)], 13: [(BOTTOM, RIGHT)], 14: [(LEFT, BOTTOM)],
}  # fmt: skip
SADDLES = {  # the middle is inside, the middle is outside
    5: ([(BOTTOM, RIGHT), (TOP, LEFT)], [(BOTTOM, LEFT), (TOP, RIGHT)]),
    10: ([(LEFT, BOTTOM), (RIGHT, TOP)], [(RIGHT, BOTTOM), (LEFT, TOP)]),
}


def outlines(
    field: Float[np.ndarray, "rows cols"],
    x: Float[np.ndarray, " cols"],
    y: Float[np.ndarray, " rows"],
    level: float,
) -> list[Float[np.ndarray, "points 2"]]:
    """Closed polygons around {field >= level}, interpolated between the nodes: marching squares.

    Polygons run anticlockwise around the region and clockwise around its holes, longest first, and close
    along the border where the region is cut off. field may be -inf, not NaN.

    References:
        Lorensen & Cline, Marching Cubes (1987), in two dimensions.

    Example:
        >>> x = np.linspace(-2, 2, 81)
        >>> (disc,) = outlines(-np.hypot(x, x[:, None]), x, x, -1.0)
        >>> bool(np.abs(np.hypot(*disc.T) - 1).max() < 1e-3)
        True
    """
    if np.isnan(field).any():
        raise ValueError(f"A field with {np.isnan(field).sum()} NaN values has no outlines.")
    height = np.clip(field - level, -50.0, 50.0)  # finite, so that crossings can be interpolated
    height = np.where(height == 0, 1e-12, height)
    height = np.pad(height, 1, constant_values=-50.0)
    x, y = np.pad(x, 1, mode="edge"), np.pad(y, 1, mode="edge")
    following = _segments(height)
    place = _crossings(height, x, y)
    rings = []
    while following:
        start, edge = following.popitem()
        ring = [start]
        while edge != start:
            ring.append(edge)
            edge = following.pop(edge)
        rings.append(place(np.array(ring)))
    return sorted(rings, key=len, reverse=True)


def _segments(height: np.ndarray) -> dict[int, int]:
    """The outline's pieces, from one crossed side of a cell to the next; sides are numbered row by row."""
    rows, cols = height.shape
    inside = height > 0
    pattern = inside[:-1, :-1] + 2 * inside[:-1, 1:] + 4 * inside[1:, 1:] + 8 * inside[1:, :-1]
    middle = height[:-1, :-1] + height[:-1, 1:] + height[1:, 1:] + height[1:, :-1] > 0
    upright = rows * (cols - 1)  # level sides come first, upright ones after them

    def side(which: int, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        if which in (BOTTOM, TOP):
            return (i + (which == TOP)) * (cols - 1) + j
        return upright + i * cols + j + (which == RIGHT)

    following: dict[int, int] = {}
    cases = [(pattern == code, pieces) for code, pieces in CROSSINGS.items()]
    for code, (joined, apart) in SADDLES.items():
        cases += [((pattern == code) & middle, joined), ((pattern == code) & ~middle, apart)]
    for where, pieces in cases:
        i, j = np.nonzero(where)
        for start, end in pieces:
            following.update(zip(side(start, i, j).tolist(), side(end, i, j).tolist(), strict=True))
    return following


def _crossings(height: np.ndarray, x: np.ndarray, y: np.ndarray):
    """The function from numbers of sides (N,) to the places (N, 2) at which the outline crosses them."""
    rows, cols = height.shape
    upright = rows * (cols - 1)

    def place(sides: np.ndarray) -> np.ndarray:
        level = sides < upright
        i, j = np.where(level, np.divmod(sides, cols - 1), np.divmod(sides - upright, cols))
        i2, j2 = i + ~level, j + level
        share = height[i, j] / (height[i, j] - height[i2, j2])
        return np.stack([x[j] + share * (x[j2] - x[j]), y[i] + share * (y[i2] - y[i])], axis=-1)

    return place


def simplified(ring: Float[np.ndarray, "points 2"], tolerance: float) -> Float[np.ndarray, "fewer 2"]:
    """The closed polygon with those points left out that lie within `tolerance` of the line without them.

    References:
        Douglas & Peucker, Algorithms for the Reduction of the Number of Points (1973).
    """
    if len(ring) < 4:
        return ring
    far = int(np.hypot(*(ring - ring[0]).T).argmax())
    closed = np.concatenate([ring, ring[:1]])
    keep = np.zeros(len(closed), dtype=bool)
    keep[[0, far, -1]] = True
    pending = [(0, far), (far, len(ring))]
    while pending:
        first, last = pending.pop()
        if last - first < 2:
            continue
        (dx, dy), offset = closed[last] - closed[first], closed[first + 1 : last] - closed[first]
        length = np.hypot(dx, dy)
        away = np.abs(offset @ (-dy, dx)) / length if length > 0 else np.hypot(*offset.T)
        worst = int(away.argmax())
        if away[worst] > tolerance:
            keep[middle := first + 1 + worst] = True
            pending += [(first, middle), (middle, last)]
    return closed[:-1][keep[:-1]]
