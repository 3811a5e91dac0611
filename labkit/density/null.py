"""How large a drop between two modes must be before it is not just the noise of a fit.

A flow fitted to few points of one Gaussian often shows two modes. How deep the pass between them then
is depends on the number of points and on the flow, not on the data: so fit the same flow to data known
to have one mode, and ask of a word's modes that they be further apart than 95 or 99 % of those.
"""

import json
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from labkit.density.modes import find_modes


def null_drops(
    fit: Callable[[Tensor], Sequence[Distribution]],
    n: int,
    replicates: int,
    k: int = 2,
    seed: int = 0,
    min_mass: float = 0.05,
) -> Float[Tensor, "replicates"]:
    """Drops (replicates,), ascending, of the second mode in fits to n points of one standard Gaussian.

    Arguments:
        fit: points (replicates, n, k) -> one fitted density over R^k for each replicate.
        n: points in a replicate, as many as a word has occurrences.
        min_mass: least mass of a mode; use the value that will be used for the words.

    A replicate with one mode counts as a drop of 0 nats. Drops are those of `Modes.separation`.

    References:
        Silverman, Using Kernel Density Estimates to Investigate Multimodality (1981): calibration on
        refits to a distribution with one mode.

    Example:
        >>> from torch.distributions import MultivariateNormal
        >>> def fit(points):
        ...     return [MultivariateNormal(p.mean(0), p.T.cov()) for p in points]
        >>> null_drops(fit, n=50, replicates=3).tolist()
        [0.0, 0.0, 0.0]
    """
    if n < 1 or replicates < 1:
        raise ValueError(f"Expected at least one replicate of at least one point; got {replicates} of {n}.")
    points = torch.randn(replicates, n, k, generator=torch.Generator().manual_seed(seed))
    densities = fit(points)
    if len(densities) != replicates:
        raise ValueError(
            f"fit must return one density for each of {replicates} replicates; got {len(densities)}."
        )
    drops = [find_modes(density, min_mass=min_mass).separation for density in densities]
    return torch.tensor(sorted(drops))


def null_threshold(drops: Float[Tensor, "replicates"], level: float = 0.95) -> float:
    """The drop (nats) that one more fit to one-mode data exceeds with probability at most 1 - level.

    It is the ⌈level (R + 1)⌉-th smallest of the R drops, which makes that bound exact for every R, since
    the new drop is equally likely to take any place among the old ones. R = 19 is the least for 95 %.

    References:
        Davison & Hinkley, Bootstrap Methods and Their Application (1997), section 4.2.

    Example:
        >>> round(null_threshold(torch.arange(1, 101) / 100), 2)
        0.96
    """
    place = math.ceil(level * (len(drops) + 1) - 1e-9)
    if not 0 < level < 1 or place > len(drops):
        raise ValueError(
            f"A level of {level} needs at least {math.ceil(level / max(1 - level, 1e-9) - 1e-9)} replicates "
            f"(and to lie in (0, 1)); got {len(drops)}."
        )
    return drops.sort().values[place - 1].item()


@dataclass(frozen=True)
class NullTable:
    """Thresholds tabulated over the number of points n: call it with an n to look one up.

    Linear in log n between two tabulated sizes, constant beyond the ends.

    Attributes:
        sizes: numbers of points, ascending.
        thresholds: the least significant drop for each, nats.
        level: the share of one-mode fits that stays below.
        min_mass: the least mass of a mode for which this holds.
        settings: what was fitted, and how; for the record.

    Example:
        >>> table = NullTable((100, 10_000), (0.5, 0.1))
        >>> [round(table(n), 2) for n in (10, 100, 1000, 1_000_000)]
        [0.5, 0.5, 0.3, 0.1]
    """

    sizes: Sequence[int]
    thresholds: Sequence[float]
    level: float = 0.95
    min_mass: float = 0.05
    settings: dict = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "sizes", tuple(self.sizes))
        object.__setattr__(self, "thresholds", tuple(self.thresholds))
        ascending = all(a < b for a, b in zip(self.sizes, self.sizes[1:], strict=False))
        if not self.sizes or len(self.sizes) != len(self.thresholds) or not ascending or self.sizes[0] < 1:
            raise ValueError(
                "Expected as many thresholds as sizes, at least one, sizes positive and ascending; got sizes "
                f"{self.sizes} and thresholds {self.thresholds}."
            )

    def __call__(self, n: float) -> float:
        """The threshold for n points, nats."""
        if not n > 0:
            raise ValueError(f"Expected a positive number of points; got {n}.")
        right = bisect_right(self.sizes, n)
        if right == 0 or right == len(self.sizes):
            return self.thresholds[max(right - 1, 0)]
        low, high = (math.log(size) for size in self.sizes[right - 1 : right + 1])
        share = (math.log(n) - low) / (high - low)
        return (1 - share) * self.thresholds[right - 1] + share * self.thresholds[right]

    def save(self, path: str | Path) -> None:
        """Write the table as JSON."""
        Path(path).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "NullTable":
        """Read a table that `save` wrote."""
        try:
            return cls(**json.loads(Path(path).read_text(encoding="utf-8")))
        except (TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{path} is not a NullTable's JSON ({error}); write one with NullTable.save."
            ) from error
