"""The named transforms on R^d that every property of tests/test_transforms.py is asked of."""

import cases_linear
import cases_mixture
import cases_sequence
import torch
from torch.distributions.transforms import AffineTransform

from labkit.flows import (
    Compose,
    Coupling,
    Elementwise,
    ElementwiseAffine,
    FromTorchTransform,
    MaskedAutoregressive,
    Permutation,
    RationalQuadraticSpline,
    Reverse,
    masked_autoregressive_flow,
    neural_spline_flow,
)

CONTEXT = 3  # width of every context in this file
SPLINE, AFFINE, HIDDEN = RationalQuadraticSpline(bins=5, bound=3.0), ElementwiseAffine(), (8, 8)


def alternating(bijection, features, context_features):
    halves = [Coupling(bijection, features, context_features, HIDDEN, swap) for swap in (False, True)]
    return Compose(halves)


CONDITIONAL = {
    "elementwise affine": lambda: Elementwise(AFFINE, 2, CONTEXT, HIDDEN),
    "elementwise spline, 1-d": lambda: Elementwise(SPLINE, 1, CONTEXT, HIDDEN),
    "elementwise spline, 3-d": lambda: Elementwise(SPLINE, 3, CONTEXT, HIDDEN),
    "affine couplings": lambda: alternating(AFFINE, 2, CONTEXT),
    "spline couplings, 2-d": lambda: alternating(SPLINE, 2, CONTEXT),
    "spline couplings, 5-d": lambda: alternating(SPLINE, 5, CONTEXT),
    "affine autoregressive, 4-d": lambda: MaskedAutoregressive(AFFINE, 4, CONTEXT, HIDDEN),
    "spline autoregressive, 1-d": lambda: MaskedAutoregressive(SPLINE, 1, CONTEXT, HIDDEN),
    "spline autoregressive, 3-d": lambda: MaskedAutoregressive(SPLINE, 3, CONTEXT, HIDDEN),
    "masked autoregressive flow": lambda: masked_autoregressive_flow(3, CONTEXT, 3, SPLINE, HIDDEN).transform,
    "neural spline flow, 1-d": lambda: neural_spline_flow(1, CONTEXT, layers=2, hidden=HIDDEN).transform,
    "neural spline flow, 2-d": lambda: neural_spline_flow(2, CONTEXT, layers=3, hidden=HIDDEN).transform,
}
UNCONDITIONAL = {
    "constant affine": lambda: Elementwise(AFFINE, 2),
    "constant spline": lambda: Elementwise(SPLINE, 2),
    "one coupling": lambda: Coupling(SPLINE, 3, hidden=HIDDEN),
    "one swapped coupling": lambda: Coupling(SPLINE, 3, hidden=HIDDEN, swap=True),
    "one autoregressive layer": lambda: MaskedAutoregressive(SPLINE, 3, hidden=HIDDEN),
    "one autoregressive feature": lambda: MaskedAutoregressive(SPLINE, 1, hidden=HIDDEN),
    "reverse, affine, coupling": lambda: Compose(
        [Reverse(2), Elementwise(AFFINE, 2), Coupling(SPLINE, 2, 0, HIDDEN)]
    ),
}
FIXED = {
    "permutation": lambda: Permutation([2, 0, 1]),
    "reverse": lambda: Reverse(4),
    "one of torch's": lambda: FromTorchTransform(AffineTransform(torch.tensor([1.0, 0.0]), 2.0), 2),
}
CONDITIONAL |= cases_mixture.CONDITIONAL | cases_sequence.CONDITIONAL
UNCONDITIONAL |= cases_mixture.UNCONDITIONAL | cases_linear.UNCONDITIONAL | cases_sequence.UNCONDITIONAL
LEARNED = CONDITIONAL | UNCONDITIONAL
EVERY = LEARNED | FIXED | cases_linear.ELSEWHERE
