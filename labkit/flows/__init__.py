"""Normalizing flows: transforms of a base density. Nothing in here knows of words.

`transforms.py` states the contract; the files after it in this list build on those before.
"""

from labkit.flows.affine import ElementwiseAffine
from labkit.flows.base import DiagonalNormal, StandardNormal
from labkit.flows.coupling import Coupling, Elementwise
from labkit.flows.flow import Flow, FlowDistribution, neural_spline_flow
from labkit.flows.spline import (
    RationalQuadraticSpline,
    inverse_rational_quadratic_spline,
    rational_quadratic_spline,
)
from labkit.flows.transforms import Compose, ElementwiseBijection, Permutation, Reverse, Transform

__all__ = [
    "Compose",
    "Coupling",
    "DiagonalNormal",
    "Elementwise",
    "ElementwiseAffine",
    "ElementwiseBijection",
    "Flow",
    "FlowDistribution",
    "Permutation",
    "RationalQuadraticSpline",
    "Reverse",
    "StandardNormal",
    "Transform",
    "inverse_rational_quadratic_spline",
    "neural_spline_flow",
    "rational_quadratic_spline",
]
