"""zuko as an oracle: flows with the same weights give the same densities, draws and gradients.

Every layer is rebuilt by zuko from labkit's weights. What the two parametrise differently (the knots of a spline, the
bound on a log-scale) is written out here once more, in zuko's layout, and handed to zuko's own transforms: the
conditioners, masks, splines, log-determinants and their composition are theirs. All in float64.
"""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.distributions import Distribution

from labkit.flows import (
    Compose,
    Coupling,
    Elementwise,
    ElementwiseAffine,
    Flow,
    MaskedAutoregressive,
    RationalQuadraticSpline,
    Reverse,
    StandardNormal,
    inverse_rational_quadratic_spline,
    masked_autoregressive_flow,
    neural_spline_flow,
    rational_quadratic_spline,
)


def import_zuko():
    """zuko, with torch's checks of arguments as they were: importing it switches them off for everyone."""
    checks, described = Distribution._validate_args, Distribution.__dict__["arg_constraints"]
    try:
        return pytest.importorskip("zuko")
    finally:
        Distribution.set_default_validate_args(checks)
        Distribution.arg_constraints = described


zuko = import_zuko()

CLOSE = {"rtol": 1e-6, "atol": 1e-9}  # two formulas for one number; float64 leaves them some 1e-12 apart
SPLINE, AFFINE = RationalQuadraticSpline(bins=5, bound=3.0), ElementwiseAffine()
D, C, HIDDEN = 4, 3, (12, 24)  # widths that every degree of 4 features divides, with a context (4) and without (3)


@pytest.fixture(autouse=True)
def zuko_unchecked(monkeypatch):
    """zuko's distributions declare no constraints and cannot be built with checks on; off for these tests only."""
    monkeypatch.setattr(Distribution, "_validate_args", False)


def test_importing_zuko_left_the_checks_of_others_alone(monkeypatch):
    monkeypatch.undo()
    assert Distribution._validate_args
    with pytest.raises(ValueError, match="scale"):
        torch.distributions.Normal(0.0, -1.0)


# --- elementwise bijections, in zuko's layout: parameters last --------------------------------------------------------


def zuko_spline(widths, heights, slopes, spline=SPLINE):
    """The spline of the module docstring of labkit.flows.spline, from base to data, computed by zuko."""

    def knots(logits):
        shares = spline.min_bin + (1 - spline.bins * spline.min_bin) * logits.softmax(-1)
        inner = shares.cumsum(-1)[..., :-1]
        zero = torch.zeros_like(logits[..., :1])
        return spline.bound * (2 * torch.cat((zero, inner, zero + 1), -1) - 1)

    shift = math.log(math.exp(1 - spline.min_slope) - 1)
    inner = spline.min_slope + nn.functional.softplus(slopes + shift)
    one = torch.ones_like(slopes[..., :1])
    transform = zuko.transforms.MonotonicRQSTransform(widths, heights, slopes)
    transform.horizontal, transform.vertical = knots(widths), knots(heights)
    transform.derivatives = torch.cat((one, inner, one), -1)
    return transform


def zuko_affine(shift, raw, affine=AFFINE):
    transform = zuko.transforms.MonotonicAffineTransform(shift, raw)
    transform.log_scale = affine.max_log_scale * (raw / affine.max_log_scale).tanh()
    transform.scale = transform.log_scale.exp()
    return transform


def as_zuko(bijection):
    """What zuko calls univariate: the map from data to base by its parameters; and the parameters' shapes."""
    if isinstance(bijection, ElementwiseAffine):
        return {"univariate": lambda *phi: zuko_affine(*phi, bijection).inv, "shapes": [(), ()]}
    shapes = [(bijection.bins,), (bijection.bins,), (bijection.bins - 1,)]
    return {"univariate": lambda *phi: zuko_spline(*phi, bijection).inv, "shapes": shapes}


SPLINES = {
    "mild": (SPLINE, 1.0),
    "rough": (SPLINE, 4.0),
    "two bins": (RationalQuadraticSpline(bins=2, bound=1.0), 2.0),
    "sixteen bins, wide": (RationalQuadraticSpline(bins=16, bound=10.0), 2.0),
    "broad least bins": (RationalQuadraticSpline(bins=4, min_bin=0.1, min_slope=0.2), 3.0),
}


@pytest.mark.parametrize(("spline", "spread"), SPLINES.values(), ids=SPLINES.keys())
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_a_spline_is_zukos_with_the_same_knots_and_slopes(spline, spread, direction, seed):
    generator = torch.Generator().manual_seed(seed)
    params = spread * torch.randn(spline.parameters_per_feature, 500, generator=generator, dtype=torch.float64)
    reach = torch.rand(500, generator=generator, dtype=torch.float64)
    points = spline.bound * (3 * reach - 1.5)  # a third of them in the tails
    K = spline.bins

    def labkits(points, params):
        return getattr(spline, direction)(points, params)

    def functions(points, params):
        function = rational_quadratic_spline if direction == "forward" else inverse_rational_quadratic_spline
        return function(points, params, spline.bound, spline.min_bin, spline.min_slope)

    def zukos(points, params):
        transform = zuko_spline(*params.T.split((K, K, K - 1), -1), spline)
        return (transform if direction == "forward" else transform.inv).call_and_ladj(points)

    expected = value_and_gradients(zukos, points, params, generator)
    for ours in (labkits, functions):
        torch.testing.assert_close(value_and_gradients(ours, points, params, generator), expected, **CLOSE)


def value_and_gradients(function, points, params, generator):
    """Value, log-derivative and the gradients of a random combination of them."""
    points, params = points.clone().requires_grad_(), params.clone().requires_grad_()
    value, log_slope = function(points, params)
    a, b = torch.randn(2, len(value), generator=generator.manual_seed(1), dtype=value.dtype)
    return value, log_slope, *torch.autograd.grad((a * value + b * log_slope).sum(), (points, params))


# --- layers -----------------------------------------------------------------------------------------------------------


def outputs_by_feature(tensor, bijection):
    """Rows of a last layer from labkit's order (parameter, feature) to zuko's (feature, parameter)."""
    return tensor.unflatten(0, (bijection.parameters_per_feature, -1)).transpose(0, 1).flatten(0, 1)


def copy_weights(network, weights, biases):
    linears = [module for module in network.modules() if isinstance(module, nn.Linear | zuko.nn.Linear)]
    assert len(linears) == len(weights) == len(biases)
    with torch.no_grad():
        for linear, weight, bias in zip(linears, weights, biases):
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)


def copy_context_mlp(network, mlp, bijection):
    """A ContextMLP keeps the two halves of its first layer apart; zuko's has them side by side."""
    halves = [half for half in (mlp.from_points, mlp.from_context) if half is not None]
    linears = [*mlp.between, mlp.last]
    weights = [torch.cat([half.weight for half in halves], 1), *(linear.weight for linear in linears)]
    biases = [halves[0].bias, *(linear.bias for linear in linears)]
    weights[-1], biases[-1] = (outputs_by_feature(last[-1], bijection) for last in (weights, biases))
    copy_weights(network, weights, biases)


def copy_masked_mlp(network, mlp, bijection, reverse):
    """zuko deals degrees to units in turns, labkit sorts units by degree: weights move with their units.

    Weights under labkit's masks are copied as well, and are as wild as the others: zuko's own masks have to hide them.
    """
    lowest = 0 if mlp.from_context is not None else 1
    period = mlp.features - lowest
    features = torch.arange(mlp.features).flip(0) if reverse else torch.arange(mlp.features)
    orders = [features]
    orders += [(torch.arange(layer.out_features) % period).argsort(stable=True) for layer in mlp.layers[:-1]]
    weights, biases = [], []
    for layer, columns, rows in zip(mlp.layers, orders, [*orders[1:], None]):
        weight, bias = layer.weight, layer.bias
        if rows is None:
            weight, bias = (outputs_by_feature(part, bijection) for part in (weight, bias))
            rows = features[:, None] * bijection.parameters_per_feature
            rows = (rows + torch.arange(bijection.parameters_per_feature)).flatten()
        # Labkit's unit number k is zuko's unit number rows[k].
        weights.append(weight[rows.argsort()][:, columns.argsort()])
        biases.append(bias[rows.argsort()])
    if mlp.from_context is not None:
        weights[0] = torch.cat((weights[0], mlp.from_context.weight[orders[1].argsort()]), 1)
    copy_weights(network, weights, biases)


def as_zuko_layer(layer, reverse):
    """zuko's layer with the same weights; `reverse` says that the features reach labkit's in reverse."""
    activation = {nn.functional.silu: nn.SiLU, torch.relu: nn.ReLU}[layer.conditioner.activation]
    options = as_zuko(layer.bijection) | {"activation": activation, "hidden_features": HIDDEN}
    sizes = (layer.features, layer.context_features)
    if isinstance(layer, Coupling):
        kept = torch.arange(layer.features) < layer.features // 2
        theirs = zuko.flows.coupling.GeneralCouplingTransform(*sizes, kept ^ layer.swap, **options)
    elif isinstance(layer, Elementwise):
        theirs = zuko.flows.gaussianization.ElementWiseTransform(*sizes, **options)
    elif isinstance(layer, MaskedAutoregressive):
        order = torch.arange(layer.features)
        order = order.flip(0) if reverse else order
        theirs = zuko.flows.autoregressive.MaskedAutoregressiveTransform(*sizes, order=order, **options)
    theirs.double()
    if isinstance(layer, MaskedAutoregressive):
        copy_masked_mlp(theirs.hyper, layer.conditioner, layer.bijection, reverse)
    else:
        copy_context_mlp(theirs.hyper, layer.conditioner, layer.bijection)
    return theirs


def as_zuko_flow(flow):
    """From data to base, as zuko composes. An even number of `Reverse` in all leaves no permutation over."""
    layers, reverse = [], False
    for part in reversed(flow.transform.transforms):
        if isinstance(part, Reverse):
            reverse = not reverse
        else:
            layers.append(as_zuko_layer(part, reverse))
    assert not reverse
    loc = torch.zeros(flow.features, dtype=torch.float64)
    base = zuko.lazy.UnconditionalDistribution(zuko.distributions.DiagNormal, loc, loc + 1, buffer=True)
    return zuko.lazy.Flow(layers, base)


def couplings(bijection, features=D, context_features=C, activation=nn.functional.silu):
    parts = [
        Coupling(bijection, features, context_features, HIDDEN, swap=i % 2 == 1, activation=activation)
        for i in range(3)
    ]
    return Flow(Compose(parts), StandardNormal(features))


maf = partial(masked_autoregressive_flow, layers=3, hidden=HIDDEN)
FLOWS = {
    "spline couplings": lambda: couplings(SPLINE),
    "spline couplings, five features": lambda: couplings(SPLINE, features=5),
    "spline couplings without a context": lambda: couplings(SPLINE, context_features=0),
    "spline couplings, another activation": lambda: couplings(SPLINE, activation=torch.relu),
    "affine couplings": lambda: couplings(AFFINE),
    "the flow of a word": lambda: neural_spline_flow(2, C, layers=3, hidden=HIDDEN),
    "masked autoregressive, affine": lambda: maf(D, C),
    "masked autoregressive, affine, without a context": lambda: maf(D),
    "masked autoregressive, spline": lambda: maf(D, C, bijection=SPLINE),
}


def wild(flow, seed):
    """The flow in float64 with every weight drawn: a fresh one would be the identity."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in flow.double().parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return flow


def pair_and_points(make, seed, context_shape=(7,)):
    flow = wild(make(), seed)
    generator = torch.Generator().manual_seed(seed)
    points = 2 * torch.randn(50, 7, flow.features, generator=generator, dtype=torch.float64)
    if not flow.context_features:
        return flow, as_zuko_flow(flow), points, None
    context = torch.randn(*context_shape, flow.context_features, generator=generator, dtype=torch.float64)
    return flow, as_zuko_flow(flow), points, context


@pytest.mark.parametrize("make", FLOWS.values(), ids=FLOWS.keys())
def test_log_prob_is_zukos(make, seed):
    flow, theirs, points, context = pair_and_points(make, seed)
    expected = theirs(context).log_prob(points)
    torch.testing.assert_close(flow(context).log_prob(points), expected, **CLOSE)


@pytest.mark.parametrize("make", FLOWS.values(), ids=FLOWS.keys())
def test_base_points_are_carried_where_zuko_carries_them(make, seed):
    flow, theirs, u, context = pair_and_points(make, seed)
    z, log_det = flow.transform.forward_and_log_det(u, context)
    expected, expected_log_det = theirs(context).transform.inv.call_and_ladj(u)
    torch.testing.assert_close(z, expected, **CLOSE)
    torch.testing.assert_close(log_det, expected_log_det, **CLOSE)


@pytest.mark.parametrize("make", FLOWS.values(), ids=FLOWS.keys())
def test_gradients_of_log_prob_are_zukos(make, seed):
    flow, theirs, points, context = pair_and_points(make, seed)
    asked = [tensor.requires_grad_() for tensor in (points, context) if tensor is not None]
    expected = torch.autograd.grad(theirs(context).log_prob(points).sum(), asked)
    torch.testing.assert_close(torch.autograd.grad(flow(context).log_prob(points).sum(), asked), expected, **CLOSE)


def test_one_context_for_all_points_is_zukos_expanded(seed):
    flow, theirs, points, context = pair_and_points(FLOWS["the flow of a word"], seed, context_shape=())
    expected = theirs(context.expand(50, 7, C)).log_prob(points)
    torch.testing.assert_close(flow(context).log_prob(points), expected, **CLOSE)
