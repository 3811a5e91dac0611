"""TRUFL where the answer is known: one token, a logistic prior, and supports that are the prior's own quantiles."""

import math

import pytest
import torch

from labkit.dequantise import DequantisedDensity, TruncatedDequantiser
from labkit.flows import Elementwise, ElementwiseAffine, Flow, StandardLogistic

P = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
H = 1.6477  # bits, of P
over_precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def one_token(shrink=1.0, dtype=torch.float64):
    """Cells are the prior's own quantiles: widths P, each shrunk about its middle."""
    code = TruncatedDequantiser(4, 1, spread=0.0, scale=1.0).to(dtype)
    high, width = P.cumsum(0), P * shrink
    middle = high - P / 2
    low = (middle - width / 2).clamp(min=0)[:, None]
    code.set_bounds(low.to(dtype), (low + width[:, None]).clamp(max=1).to(dtype))
    prior = Flow(Elementwise(ElementwiseAffine(), 1), StandardLogistic(1)).to(dtype)
    return DequantisedDensity(code, prior).to(dtype)


def expected_bits(model, normaliser=None, draws=20_000):
    """Σ_x P(x) of the bound given x: over classes exactly, over z by draws (of which the value hardly depends)."""
    dtype = model.dequantiser.loc.dtype
    tokens = torch.arange(4)[:, None, None].expand(4, draws, 1)
    bits = model.elbo(tokens, generator(), normaliser)
    return tuple(float((P.to(dtype) * figure.mean(-1)).sum()) for figure in bits)


@over_precisions
def test_cells_that_are_the_priors_quantiles_cost_the_entropy(dtype):
    raw, corrected = expected_bits(one_token(dtype=dtype))
    assert raw == pytest.approx(H, abs=1e-3 if dtype == torch.float32 else 1e-4)
    assert corrected == raw


@over_precisions
def test_shrunk_cells_lose_log_z_and_the_correction_gives_it_back(dtype):
    model = one_token(0.8, dtype)
    normaliser = model.estimate_normaliser(100_000, generator(1))
    # Z = .8; the standard deviation of the share of 100,000 draws is .0013
    assert normaliser.acceptance == pytest.approx(0.8, abs=0.01)
    assert normaliser.standard_error == pytest.approx(math.sqrt(0.2 / (0.8 * 100_000)), rel=0.05)
    raw, corrected = expected_bits(model, normaliser)
    assert raw == pytest.approx(1.9697, abs=1e-3 if dtype == torch.float32 else 1e-4)
    # four standard errors of log Z, in bits
    assert corrected == pytest.approx(H, abs=4 * normaliser.standard_error / math.log(2) + 1e-3)


def test_rejection_draws_from_the_renormalised_prior():
    model = one_token(0.8)
    drawn = model.sample(40_000, generator(2))
    assert drawn.tokens.shape == (40_000, 1) and drawn.acceptance == pytest.approx(0.8, abs=0.01)
    assert drawn.tries > 40_000
    shares = torch.bincount(drawn.tokens.flatten(), minlength=4) / 40_000
    assert (shares - P).abs().max() < 0.0125  # five standard deviations of a share of one half


def test_tries_are_bounded():
    model = one_token(0.05)
    drawn = model.sample(100, generator(), max_tries=300)
    assert drawn.tries == 300 and 0 < len(drawn.tokens) < 100
    assert drawn.acceptance == pytest.approx(len(drawn.tokens) / 300)
    assert len(model.sample(100, generator(), reject=False).tokens) == 100


def test_z_belongs_to_the_whole_sequence():
    """Two positions tied by the prior: both in or both out, so that Z is that of one token and not its square."""
    code = one_token(0.8).dequantiser

    class Tied(torch.nn.Module):
        features, context_features = 2, 0

        def forward(self, validate_args=None):
            return self

        def sample(self, shape, generator=None):
            z = StandardLogistic(1).double()().sample(shape, generator=generator)
            return z.expand(-1, 2)

    normaliser = DequantisedDensity.estimate_normaliser(model_with(code, Tied()), 50_000, generator(3))
    assert normaliser.acceptance == pytest.approx(0.8, abs=0.01)


def model_with(code, prior):
    model = DequantisedDensity(code, Flow(Elementwise(ElementwiseAffine(), 2), StandardLogistic(2)).double())
    model.prior = prior
    return model


def test_nothing_inside_says_so():
    code = TruncatedDequantiser(2, 1, spread=0.0)
    with torch.no_grad():
        code.loc.fill_(1e4)
    prior = Flow(Elementwise(ElementwiseAffine(), 1), StandardLogistic(1))
    normaliser = DequantisedDensity(code, prior).estimate_normaliser(100, generator())
    assert normaliser == (-math.inf, math.inf, 0.0, 100)
    assert len(DequantisedDensity(code, prior).sample(3, generator(), max_tries=10).tokens) == 0
