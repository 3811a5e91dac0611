"""Normalizing flows: transforms of a base density. Nothing in here knows of words.

Read in this order: `transforms.py`, the contract; `affine.py` and `spline.py`, elementwise bijections; `coupling.py`,
`autoregressive.py`, how they are conditioned; `base.py`; `flow.py`; then whatever the work needs.
"""

from labkit.flows.affine import ElementwiseAffine
from labkit.flows.autoregressive import MaskedAutoregressive
from labkit.flows.base import IndependentFeatures, StandardLogistic, StandardNormal, UniformBox
from labkit.flows.circulant import CirculantDiagonal, circulant
from labkit.flows.circular import CircularSpline, wrapped
from labkit.flows.coupling import Coupling, Elementwise
from labkit.flows.flow import Flow, FlowDistribution, masked_autoregressive_flow, neural_spline_flow
from labkit.flows.gaussian import DiagonalNormal, GaussianMixture, GaussianMixtureBase
from labkit.flows.injective import InjectiveDistribution, InjectiveFlow, InjectiveMap, Pad
from labkit.flows.injective_gradient import RelevantDimensions, log_det_surrogate, rectangular_loss
from labkit.flows.interop import AsTorchTransform, FromTorchTransform
from labkit.flows.linear import DenseLinear, InvertibleConv1x1, LinearTransform, LULinear, Orthogonal
from labkit.flows.mixture import MixtureCDF
from labkit.flows.rosenblatt import MixtureRosenblatt
from labkit.flows.spline import (
    RationalQuadraticSpline,
    inverse_rational_quadratic_spline,
    rational_quadratic_spline,
)
from labkit.flows.squash import Inverse, Logit, Sigmoid, Softplus
from labkit.flows.transforms import Compose, ElementwiseBijection, Permutation, Reverse, Transform
from labkit.flows.truncated import TruncatedLogistic, TruncatedLogisticBase, TruncatedNormal, TruncatedNormalBase

__all__ = [
    "AsTorchTransform",
    "CirculantDiagonal",
    "CircularSpline",
    "Compose",
    "Coupling",
    "DenseLinear",
    "DiagonalNormal",
    "Elementwise",
    "ElementwiseAffine",
    "ElementwiseBijection",
    "Flow",
    "FlowDistribution",
    "FromTorchTransform",
    "GaussianMixture",
    "GaussianMixtureBase",
    "IndependentFeatures",
    "InjectiveDistribution",
    "InjectiveFlow",
    "InjectiveMap",
    "Inverse",
    "InvertibleConv1x1",
    "LULinear",
    "LinearTransform",
    "Logit",
    "MaskedAutoregressive",
    "MixtureCDF",
    "MixtureRosenblatt",
    "Orthogonal",
    "Pad",
    "Permutation",
    "RationalQuadraticSpline",
    "RelevantDimensions",
    "Reverse",
    "Sigmoid",
    "Softplus",
    "StandardLogistic",
    "StandardNormal",
    "Transform",
    "TruncatedLogistic",
    "TruncatedLogisticBase",
    "TruncatedNormal",
    "TruncatedNormalBase",
    "UniformBox",
    "circulant",
    "inverse_rational_quadratic_spline",
    "log_det_surrogate",
    "masked_autoregressive_flow",
    "neural_spline_flow",
    "rational_quadratic_spline",
    "rectangular_loss",
    "wrapped",
]
