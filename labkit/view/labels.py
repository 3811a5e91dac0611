"""Where to write on a picture: labels beside their modes, off each other and off what there is to see."""

import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

NARROW, BROAD = set("iIjl.,:;'|!()[] ftr"), set("mwMW@%<>=+~…—")
SCAN = 44  # places tried along an axis of the frame


def text_width(text: str, size: float) -> float:
    """About how wide a text is in a sans-serif of this size, in its unit; rather too wide than too narrow."""
    share = 0.0
    for character in text:
        if unicodedata.east_asian_width(character) in "WF":
            share += 1.05
        elif character in NARROW:
            share += 0.37
        else:
            share += 0.92 if character in BROAD else 0.7 if character.isupper() else 0.6
    return share * size


def wrapped(words: Sequence[str], size: float, width: float, most: int = 5, lines: int = 2) -> list[str]:
    """The first words, joined by commas, in at most so many lines of at most this width.

    A single word that is too wide is shortened; what finds no room is left out.

    Example:
        >>> wrapped(["river", "water", "grass", "shore", "boat", "fish"], size=10, width=80)
        ['river, water,', 'grass, shore']
    """
    rows: list[str] = []
    for number, word in enumerate(words[:most]):
        while text_width(word, size) > width and len(word) > 2:
            word = word[:-2] + "…"
        longer = f"{rows[-1]}, {word}" if rows else word
        if not number:
            rows.append(word)
        elif text_width(longer + ",", size) <= width:
            rows[-1] = longer
        elif len(rows) < lines:
            rows[-1] += ","
            rows.append(word)
        else:
            break
    return rows


def place_labels(
    anchors: Float[np.ndarray, "m 2"],
    sizes: Float[np.ndarray, "m 2"],
    frame: tuple[float, float],
    avoid: Float[np.ndarray, "n 2"],
    gap: float = 8.0,
) -> Float[np.ndarray, "m 2"]:
    """Centres (M, 2) of labels of given (width, height) in a frame (width, height), all in one unit.

    One after the other, each label goes to the cheapest place of a fine raster: near its anchor, over few
    of the points to avoid (one of them costs as much as a 100th of the frame's diagonal), and, as far as
    there is room, off other labels, off every anchor, and off the lines that lead from labels to anchors.
    """
    width, height = frame
    diagonal = np.hypot(width, height)
    placed: list[tuple[np.ndarray, np.ndarray]] = []
    leads = np.empty((0, 2))
    share = np.linspace(0, 1, 24)[:, None]
    for anchor, size in zip(anchors, sizes, strict=True):
        half = np.minimum(size / 2, np.array(frame) / 2)
        x, y = (np.linspace(h + gap, s - h - gap, SCAN) for h, s in zip(half, (width, height), strict=True))
        spots = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        away = np.hypot(*(np.maximum(np.abs(spots - anchor) - half, 0)).T)
        cost = away + diagonal / 100 * _covered(spots, half + gap / 2, avoid)
        cost += diagonal * _covered(spots, half + gap, anchors)
        cost += diagonal * _covered(spots, half + gap / 2, leads)
        for centre, other in placed:
            overlaps = (np.abs(spots - centre) < half + other + gap).all(1)
            lead = anchor + share[:, None] * (spots - anchor)  # (24, S, 2)
            crosses = (np.abs(lead - centre) < other).all(-1).any(0)
            cost += 100 * diagonal * overlaps + diagonal * crosses
        best = spots[cost.argmin()]
        placed.append((best, half))
        leads = np.concatenate([leads, anchor + share * (best - anchor)])
    return np.array([centre for centre, _ in placed]).reshape(-1, 2)


def _covered(spots: np.ndarray, half: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How many of the points (N, 2) a box of this half-size covers at each spot (S, 2) -> (S,)."""
    if not len(points):
        return np.zeros(len(spots))
    return (np.abs(spots[:, None] - points) < half).all(-1).sum(1)
