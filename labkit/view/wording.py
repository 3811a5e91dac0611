"""What is said of a picture in plain words: titles, explanations, a summary for those who cannot see it."""

import math
from collections.abc import Sequence

from labkit.view.pictures import DensityGrid, DensityLine

COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
BARELY = 1.5  # times: a valley less deep than that is hardly one
DEEPEST = math.log(1000)  # nats: of deeper valleys no more is said than that

NOTES = (
    "Left and right, up and down have no meaning of their own: a model finds its own coordinates, so "
    "compare the shapes in the small pictures, not the places. Nobody told the models about meanings: a "
    "region gathers sentences whose words predict each other, and it may be a meaning, a topic or a habit "
    "of grammar. Where a density has several modes, ask whether it has them again with another random seed, "
    "and whether a word with one meaning has one."
)


def percent(mass: float) -> str:
    """A share as people read it.

    Example:
        >>> percent(0.617), percent(0.004), percent(0.998)
        ('62 %', '< 1 %', '> 99 %')
    """
    if 0 < mass < 0.005 or 0.995 <= mass < 1 - 1e-9:
        return "< 1 %" if mass < 0.5 else "> 99 %"
    return f"{100 * mass:.0f} %"


def share(mass: float) -> str:
    """A share as one says it in a sentence.

    Example:
        >>> share(0.617), share(0.998)
        ('62 %', 'over 99 %')
    """
    return percent(mass).replace("< ", "under ").replace("> ", "over ")


def counted(number: int, noun: str) -> str:
    """A number of things in words.

    Example:
        >>> counted(1, "region"), counted(2, "region"), counted(12, "region")
        ('one region', 'two regions', '12 regions')
    """
    name = COUNTS[number] if number < len(COUNTS) else str(number)
    return f"{name} {noun}" + "s" * (number != 1)


def headline(grid: DensityGrid | DensityLine) -> str:
    """The point of a picture: how many regions a word covers.

    Example:
        >>> import torch
        >>> from labkit.view.grids import density_grid
        >>> normal = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
        >>> headline(density_grid(normal, resolution=5))
        'one word, one region'
    """
    text = f"one word, {counted(len(grid.modes), 'region')}"
    return f"{grid.word}: {text}" if grid.word else text


def context_headline(grid: DensityGrid | DensityLine) -> str:
    """The point of a picture of a word in a sentence: where the density gathers."""
    top = max(grid.modes, key=lambda mode: mode.mass)
    place = f" near “{top.words[0]}”" if top.words else " in one region"
    where = "still one region" if len(grid.modes) == 1 else share(top.mass) + place
    return f"{grid.word}, in this sentence: {where}"


def explanation(grid: DensityGrid | DensityLine) -> str:
    """How to read the picture of a word, and how far apart its regions are."""
    several = len(grid.modes) > 1
    said = [
        f"Half of the probability of “{grid.word}” lies inside the darkest region, "
        f"{percent(max(grid.probs))} of it inside the palest."
    ]
    if len(grid.samples):
        belongs = "; its colour and shape say to which region it belongs" if several else ""
        said.append(f"Each mark is one of {len(grid.samples)} vectors drawn at random{belongs}.")
    if several:
        said.append(_valley(min(mode.drop for mode in grid.modes), len(grid.modes)))
    else:
        said.append("The model gives the word a single region.")
    return " ".join(said)


def context_explanation(grid: DensityGrid | DensityLine, before: DensityGrid | DensityLine) -> str:
    """What a sentence does to the density of a word, region by region; the grids share their modes."""
    rule = (
        "Bayes’ rule moves the density when the word is read in a sentence: places that explain the words "
        "around it gain. "
    )
    if len(grid.modes) == 1:
        return rule + "There is one region, and the density only narrows or shifts within it."
    number = max(range(len(grid.modes)), key=lambda i: grid.modes[i].mass)
    now, then = grid.modes[number], before.modes[number]
    name = ", ".join(then.words[:3]) or f"mode {number + 1}"
    held = f"held {share(then.mass)} of the probability before; now it holds {share(now.mass)}."
    return f"{rule}The region of {name} {held}"


def summary(word: str, context: str, modes: Sequence[dict]) -> str:
    """A picture in words, for those who cannot see it: each region's mass, and the words that live there.

    Example:
        >>> summary("bank", "", [{"mass": 0.63, "words": ["money"]}, {"mass": 0.37, "words": []}])
        'Density of “bank”, two regions: 63 % near money; 37 %.'
    """
    parts = [share(m["mass"]) + (f" near {', '.join(m['words'][:4])}" if m["words"] else "") for m in modes]
    read = f" read in “{context}”" if context else ""
    return f"Density of “{word}”{read}, {counted(len(modes), 'region')}: {'; '.join(parts)}."


def note(grids: Sequence[DensityGrid]) -> str:
    """What has to be said of pictures that leave coordinates out; "" if there are none."""
    shares = sorted({percent(grid.variance_explained) for grid in grids if grid.is_marginal})
    return f"a marginal: the plane holds {', '.join(shares)} of the variance" if shares else ""


def _valley(drop: float, modes: int) -> str:
    """A drop of so many nats from the smaller peak to the pass, in words."""
    times = math.exp(min(drop, DEEPEST))
    if times < BARELY:
        kept = f"on the path across the density keeps {share(1 / times)} of the smaller peak"
        return f"The regions are barely apart: {kept}."
    number = "more than 1,000" if drop >= DEEPEST else f"{times:.0f}" if times >= 10 else f"{times:.1f}"
    pair, least = ("the two", "") if modes == 2 else ("any two", "at least ")
    least = "" if drop >= DEEPEST else least
    path = "even on the best path across, the density is"
    return f"Between {pair} lies a valley: {path} {least}{number} times lower than at the smaller peak."
