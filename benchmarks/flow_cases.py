"""The cases of `flows.py`: a flow, the points and contexts it is asked about, and the libraries that build it.

All rivals of a case have the same transforms, the same conditioners (widths, activation) and hence the same number of
parameters, which is checked before anything is timed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import flow_rivals as rivals
import torch
from flow_rivals import BINS, BOUND, Rival, Sizes
from torch import Tensor

from labkit.flows import ElementwiseAffine, RationalQuadraticSpline

SPLINE, AFFINE = RationalQuadraticSpline(BINS, BOUND), ElementwiseAffine()


class Product(NamedTuple):
    """A linear layer: (rows, inputs) times (inputs, outputs); the first of a network has no gradient to hand back."""

    rows: int
    inputs: int
    outputs: int
    first: bool


@dataclass(frozen=True)
class Case:
    """A flow, and what is asked of it.

    Arguments:
        about: a line for the reader.
        sizes: of the flow, the same for every library.
        batch: points; each has a context of its own, unless `shared_context` gives one to all.
        rivals: from a library's name to the function that builds its flow.
        directions: of "log_prob", "backward" (forward and backward of the mean negative log_prob), "sample" and
            "grid" (log_prob where the points are those of a grid, and a library may make use of that).
        parameters_per_feature: of the elementwise bijection.
        autoregressive: whether a transform moves all features, not half of them.
        standardised: whether an affine map of the context alone meets the data first.
        calls: calls in a row that make one figure.
    """

    about: str
    sizes: Sizes
    batch: int
    rivals: dict[str, Callable[[Sizes], Rival]]
    directions: tuple[str, ...]
    parameters_per_feature: int = SPLINE.parameters_per_feature
    autoregressive: bool = False
    standardised: bool = False
    shared_context: bool = False
    calls: int = 1

    def tiny(self) -> "Case":
        """The same at sizes that show nothing but that it runs."""
        sizes = Sizes(min(self.sizes.features, 4), 3, (8, 8), 2)
        return replace(self, sizes=sizes, batch=9)

    def points_and_context(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Points (batch, d), most of them well within the splines' square, and contexts (batch, c) or (c,)."""
        d, c = self.sizes.features, self.sizes.context_features
        if self.shared_context:  # the points of a grid in the plane
            axis = torch.linspace(-4, 4, math.isqrt(self.batch))
            return torch.cartesian_prod(axis, axis), torch.randn(c, generator=generator)
        return torch.randn(self.batch, d, generator=generator), torch.randn(self.batch, c, generator=generator)

    def products(self) -> list["Product"]:
        """Every matrix product without which the conditioners cannot do."""
        d, c, rows = self.sizes.features, self.sizes.context_features, self.batch
        kept, moved = (d, d) if self.autoregressive else (d // 2, d - d // 2)
        widths = (*self.sizes.hidden, self.parameters_per_feature * moved)
        if self.shared_context:  # its part of the first layer is the same for all points
            first = [Product(rows, kept, widths[0], True), Product(1, c, widths[0], True)]
        else:
            first = [Product(rows, kept + c, widths[0], True)]
        wanted = self.sizes.layers * (first + [Product(rows, a, b, False) for a, b in pairwise(widths)])
        if self.standardised:
            widths = (c, *self.sizes.hidden, AFFINE.parameters_per_feature * d)
            rows = 1 if self.shared_context else rows
            wanted += [Product(rows, a, b, i == 0) for i, (a, b) in enumerate(pairwise(widths))]
        return wanted


COUPLINGS = {
    "labkit": rivals.labkit_couplings,
    "zuko": rivals.zuko_couplings,
    "nflows": rivals.nflows_couplings,
    "normflows": rivals.normflows_couplings,
}
WORD = {"labkit": rivals.labkit_word, "zuko": rivals.zuko_word}

CASES = {
    "spline": Case(
        "spline couplings",
        Sizes(16, 64, (128, 128), layers=6),
        4096, COUPLINGS, ("log_prob", "backward", "sample"),
    ),
    "maf": Case(
        "masked autoregressive flow, affine",
        Sizes(16, 64, (128, 128), layers=3),
        4096,
        {
            "labkit": partial(rivals.labkit_autoregressive, bijection=AFFINE),
            "zuko": partial(rivals.zuko_autoregressive, spline=False),
        },
        ("log_prob", "backward", "sample"), AFFINE.parameters_per_feature, autoregressive=True,
    ),
    "ar_spline": Case(
        "masked autoregressive flow, splines",
        Sizes(16, 64, (128, 128), layers=3),
        4096,
        {
            "labkit": partial(rivals.labkit_autoregressive, bijection=SPLINE),
            "zuko": partial(rivals.zuko_autoregressive, spline=True),
        },
        ("sample",), autoregressive=True,
    ),
    "grid": Case(
        "one word on a grid of 200 × 200",
        Sizes(2, 32, (64, 64), layers=2),
        40_000, WORD, ("log_prob", "grid"), standardised=True, shared_context=True,
    ),
    "notebook": Case(
        "a training step of 256 words in the plane",
        Sizes(2, 32, (64, 64), layers=2),
        256, WORD, ("backward",), standardised=True, calls=5,
    ),
}  # fmt: skip


def build(case: Case, library: str, generator: torch.Generator, device: torch.device) -> Rival:
    """The library's flow, its weights drawn alike whatever the library's habit: a fresh one may be the identity."""
    rival = case.rivals[library](case.sizes)
    with torch.no_grad():
        for parameter in rival.module.parameters():
            bound = parameter.shape[-1] ** -0.5
            parameter.copy_(bound * (2 * torch.rand(parameter.shape, generator=generator) - 1))
    rival.module.to(device)
    return rival


def question(rival: Rival, direction: str, points: Tensor, context: Tensor) -> Callable[[], Tensor]:
    """What is timed: a function without arguments that asks the rival once."""

    def log_prob() -> Tensor:
        with torch.no_grad():
            return rival.log_prob(points, context)

    def sample() -> Tensor:
        with torch.no_grad():
            return rival.sample(context)

    def grid() -> Tensor:
        with torch.no_grad():
            return rival.on_axes(axes, context)

    # Of a grid's points, the axes: one coordinate changes with every point, the other with every row.
    axes = (points[:: math.isqrt(len(points)), 0], points[: math.isqrt(len(points)), 1])

    parameters = list(rival.module.parameters())

    def backward() -> Tensor:
        for parameter in parameters:
            parameter.grad = None
        loss = -rival.log_prob(points, context).mean()
        loss.backward()
        return loss

    on_grid = grid if rival.on_axes else log_prob
    asked = {"log_prob": log_prob, "sample": sample, "backward": backward, "grid": on_grid}[direction]
    return rivals.unchecked(asked) if rival.unchecked else asked


def floor(case: Case, direction: str, generator: torch.Generator, device: torch.device) -> Callable[[], None]:
    """The bare matrix products of the conditioners: no activation, no bias, no spline, no autograd.

    "backward" adds the gradients of every weight, and of every input but those of a first layer. "sample" is taken to
    cost one pass, autoregressive or not, and masked weights are multiplied like others.
    """
    products = []
    for rows, inputs, outputs, first in case.products():
        shapes = (rows, inputs), (outputs, inputs), (rows, outputs)
        x, weight, gradient = (torch.randn(shape, generator=generator).to(device) for shape in shapes)
        products.append((x, weight.T))
        if direction == "backward":
            products += [(gradient.T, x)] if first else [(gradient.T, x), (gradient, weight)]

    def multiply() -> None:
        for a, b in products:
            torch.mm(a, b)

    return multiply
