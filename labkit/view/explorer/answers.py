"""Answers to the page: a header of plain JSON, and one block of bytes that holds all arrays."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from labkit.view.contours import outlines, simplified
from labkit.view.explorer.fields import PROBS, Field
from labkit.view.projection import Limits

SCALE = 16384  # of int16: places between −2 and 2 times the width of the frame
THINNED = 8.0  # by which a thinned outline may be off: half a pixel in a frame a thousand pixels wide
TYPES = {name: np.dtype(f"<{name}") for name in ("i2", "u1", "u2", "i4", "f4")}


@dataclass
class Block:
    """Arrays one behind the other, each at a multiple of four bytes.

    Example:
        >>> block = Block()
        >>> block.add("u1", np.array([1, 2, 3])), block.add("f4", np.zeros((2, 2)))
        (['u1', [3], 0], ['f4', [2, 2], 4])
        >>> len(block.bytes)
        20
    """

    parts: list[bytes] = field(default_factory=list)
    length: int = 0

    def add(self, kind: str, array: np.ndarray) -> list:
        """Where the array will be: [type, shape, first byte]."""
        raw = np.ascontiguousarray(array, dtype=TYPES[kind]).tobytes()
        raw += bytes(-len(raw) % 4)
        place = [kind, list(array.shape), self.length]
        self.parts.append(raw)
        self.length += len(raw)
        return place

    @property
    def bytes(self) -> bytes:
        """Everything added so far."""
        return b"".join(self.parts)


def placed(points: Float[np.ndarray, "n 2"], limits: Limits) -> np.ndarray:
    """Places as int16: 0 at the left or top edge of the frame, SCALE at the right or bottom one."""
    (left, right), (bottom, top) = limits
    share = (points - (left, top)) / (right - left, bottom - top)
    return np.rint(np.clip(share, -1.99, 1.99) * SCALE).astype(np.int16)


def regions(block: Block, seen: Field, limits: Limits, thin: bool = False) -> dict:
    """The outlines of the regions of 50, 80, 95 and 99 %, the largest first.

    `rings` holds (first point, number of the region) for each polygon; `thin` leaves out points that one would not
    miss, which takes longer to compute and much less to send.
    """
    rings, points, first = [], [], 0
    for number, level in enumerate(np.sort(seen.levels(PROBS))):
        for ring in _outlines(seen, level if np.isfinite(level) else float(seen.log_prob.min())):
            ring = placed(ring, limits)
            ring = simplified(ring.astype(float), THINNED) if thin else ring
            rings.append((first, number))
            points.append(ring)
            first += len(ring)
    return {
        "outline": block.add("i2", np.concatenate(points) if points else np.zeros((0, 2))),
        "rings": block.add("i4", np.array(rings).reshape(-1, 2)),
    }


def _outlines(seen: Field, level: float) -> list[np.ndarray]:
    """Polygons around {log p >= level}, looked for only where it is."""
    inside = seen.log_prob >= level
    (top, bottom), (left, right) = (
        (max(where[0] - 1, 0), where[-1] + 2) for where in (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    )
    x, y = seen.axes
    return outlines(seen.log_prob[top:bottom, left:right], x[left:right], y[top:bottom], level)


def curve(block: Block, seen: Field) -> dict:
    """A density on the line: its height at the nodes, and the heights at which regions begin, largest first."""
    return {
        "height": block.add("f4", np.exp(seen.log_prob)),
        "from": [float(seen.axes[0][0]), float(seen.axes[0][-1])],
        "steps": np.exp(np.sort(seen.levels(PROBS))).tolist(),
    }
