"""What is said of a picture in plain words: titles, explanations, a summary for those who cannot see it."""

import math
from collections.abc import Sequence

from labkit.view.grids import DensityGrid, DensityLine, ModeLabel, WordPoint

COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DECIDED = 0.8  # of the mass in one region: the sentence has told which
BARELY = 1.5  # times: a valley less deep than that is hardly one
HIGHEST = math.log(1000)  # nats: of deeper valleys no more is said than that

NOTES = (
    "Left and right, up and down have no meaning of their own: a model finds its own coordinates, so compare the "
    "shapes in the small pictures, not the places. Nobody told the models about meanings: a region gathers sentences "
    "whose words predict each other, and it may be a meaning, a topic or a habit of grammar. Where a density has "
    "several modes, ask whether it has them again with another random seed, and whether a word with one meaning has one."
)  # fmt: skip


def percent(share: float) -> str:
    """A share as people read it.

    Example:
        >>> percent(0.617), percent(0.004), percent(0.998)
        ('62 %', '< 1 %', '> 99 %')
    """
    if 0 < share < 0.005 or 0.995 <= share < 1 - 1e-9:
        return "< 1 %" if share < 0.5 else "> 99 %"
    return f"{100 * share:.0f} %"


def counted(number: int, noun: str) -> str:
    """A number of things in words.

    Example:
        >>> counted(1, "region"), counted(2, "region"), counted(12, "region")
        ('one region', 'two regions', '12 regions')
    """
    name = COUNTS[number] if number < len(COUNTS) else str(number)
    return f"{name} {noun}" + "s" * (number != 1)


def headline(grid: DensityGrid, in_sentence: bool = False) -> str:
    """The point of a picture: how many regions a word covers, or what a sentence leaves of them.

    Example:
        >>> from labkit.view.grids import density_grid
        >>> from torch import eye, zeros
        >>> from torch.distributions import MultivariateNormal
        >>> grid = density_grid(MultivariateNormal(zeros(2), eye(2)), resolution=5)
        >>> headline(grid), headline(grid, in_sentence=True)
        ('One word, one region', 'In this sentence: still one region')
    """
    count = len(grid.modes)
    if not in_sentence:
        text = f"one word, {counted(count, 'region')}"
    elif count == 1:
        text = "in this sentence: still one region"
    else:
        top = max(mode.mass for mode in grid.modes)
        text = (
            f"in this sentence: {percent(top)} in one region" if top >= 0.8 else "in this sentence: undecided"
        )
    joint = ", " if in_sentence else ": "
    return f"{grid.word}{joint}{text}" if grid.word else text[0].upper() + text[1:]


def explanation(grid: DensityGrid) -> str:
    """How to read the picture of a word, and how far apart its regions are."""
    said = [
        f"Half of the probability of “{grid.word}” lies inside the darkest region, "
        f"{percent(max(grid.probs))} of it inside the palest."
    ]
    if len(grid.samples):
        said.append(
            f"Each mark is one of {len(grid.samples)} vectors drawn at random"
            + ("; its colour and shape say to which region it belongs." if len(grid.modes) > 1 else ".")
        )
    falls = [mode.drop for mode in grid.modes if math.isfinite(mode.drop)]
    if falls:
        said.append(_valley(min(falls), len(grid.modes)))
    elif len(grid.modes) == 1:
        said.append("A single region explains the sentences in which the word stands.")
    return " ".join(said)


def context_explanation(grid: DensityGrid, before: DensityGrid) -> str:
    """What a sentence does to the density of a word (Bayes' rule), region by region."""
    number = max(range(len(grid.modes)), key=lambda i: grid.modes[i].mass)
    now, then = grid.modes[number], before.modes[number]
    start = "Bayes’ rule moves the density when the word is read in a sentence: what explains the words around it gains. "
    if len(grid.modes) == 1:
        return start + "There is one region, and the density only narrows or shifts within it."
    return start + (
        f"The region of {', '.join(then.words[:3]) or 'mode ' + str(number + 1)} held {percent(then.mass)} of the "
        f"probability before; now it holds {percent(now.mass)}."
    )


def summary(grid: DensityGrid) -> str:
    """The picture in words: each region's mass, and the words that live there."""
    parts = [f"{percent(mode.mass)}{_of(mode)}" for mode in grid.modes]
    return f"Density of “{grid.word}”, {counted(len(grid.modes), 'region')}: {'; '.join(parts)}."


def caption(picture: DensityGrid | DensityLine | WordPoint) -> str:
    """What a small picture shows, in three words."""
    if isinstance(picture, WordPoint):
        return "one vector"
    return counted(len(picture.modes), "region")


def note(grids: Sequence[DensityGrid]) -> str:
    """What has to be said of pictures that leave coordinates out; "" if there are none."""
    shares = sorted({percent(grid.variance_explained) for grid in grids if grid.is_marginal})
    return f"a marginal: the plane holds {', '.join(shares)} of the variance" if shares else ""


def _of(mode: ModeLabel) -> str:
    return f" near {', '.join(mode.words[:4])}" if mode.words else ""


def _valley(drop: float, modes: int) -> str:
    """A drop of so many nats from the smaller peak to the pass, in words."""
    times = math.exp(min(drop, HIGHEST))
    if times < BARELY:
        return f"They are barely apart: on the path across the density keeps {percent(1 / times)} of the smaller peak."
    number = "more than 1,000" if drop >= HIGHEST else f"{times:.0f}" if times >= 10 else f"{times:.1f}"
    which, least = ("the two", "") if modes == 2 else ("any two", "at least ")
    return (
        f"Between {which} lies a valley: even on the best path across, the density is "
        f"{least if drop < HIGHEST else ''}{number} times lower than at the smaller peak."
    )
