"""TRUFL's and argmax flows' supports: no draw outside, exact reading back, bounds that cannot cross, soft edges."""

import pytest
import torch
from torch.autograd.functional import jacobian

from labkit.dequantise import ArgmaxDequantiser, BinaryArgmaxDequantiser, TokenNoise, TruncatedDequantiser
from labkit.flows import Elementwise, ElementwiseAffine, Flow, StandardLogistic

DRAWS = 10_000_000
over_precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def wild(size=64, dim=2, seed=0):
    """Supports of every width from 1e-3 on, at every place, in float32."""
    code = TruncatedDequantiser(size, dim)
    with torch.no_grad():
        code.raw_width.copy_(8 * torch.randn(size, dim, generator=generator(seed)))
        code.raw_centre.copy_(8 * torch.randn(size, dim, generator=generator(seed + 1)))
    return code


def test_no_draw_is_outside_its_support():
    code = wild()
    low, high = code.bounds()
    assert (low > 0).all() and (high < 1).all() and (low < high).all()
    for start in range(0, DRAWS, 1_000_000):
        tokens = torch.randint(64, (min(1_000_000, DRAWS - start), 1), generator=generator(start))
        u = code.draw_quantiles(tokens, generator(start + 1))
        assert ((u >= low[tokens]) & (u <= high[tokens])).all()
        assert torch.logit(u).isfinite().all()


def affine_noise(dim):
    return TokenNoise(
        7, dim, 8, blocks=0, flow=Flow(Elementwise(ElementwiseAffine(), dim, 8, (8,)), StandardLogistic(dim))
    )


ARGMAX = {
    "full": lambda: ArgmaxDequantiser(7, affine_noise(7)),
    "binary": lambda: BinaryArgmaxDequantiser(7, affine_noise(3)),
}


@pytest.mark.parametrize("make", ARGMAX.values(), ids=ARGMAX.keys())
def test_no_draw_of_an_argmax_flow_is_outside_its_part(make):
    torch.manual_seed(0)
    code = make()
    with torch.no_grad():
        for weight in code.latent.flow.parameters():  # a latent that reaches far out
            weight.add_(2.0 * torch.randn(weight.shape, generator=generator()))
        for start in range(0, DRAWS, 100_000):
            tokens = torch.randint(7, (100_000, 1), generator=generator(start))
            assert torch.equal(code.cell(code.encode(tokens, generator(start + 1))[0]), tokens)


@pytest.mark.parametrize("make", ARGMAX.values(), ids=ARGMAX.keys())
@pytest.mark.parametrize("token", [0, 3, 6])
def test_argmax_flows_know_their_jacobian(make, token):
    code, tokens = make().double(), torch.tensor([[token]])

    def place(v):
        code.latent.forward = lambda tokens, generator: (v[None, None], v.new_zeros(1))
        return code.encode(tokens)

    v = torch.randn(code.dim, generator=generator(token), dtype=torch.float64)
    slopes = jacobian(lambda v: place(v)[0].flatten(), v)
    assert (place(v)[1] + torch.linalg.slogdet(slopes).logabsdet).abs().max() < 1e-10


def test_argmax_leaves_no_tie_where_the_drop_is_lost_to_rounding():
    class Far(torch.nn.Module):
        def forward(self, tokens, generator):
            v = torch.tensor([-3e4, 1e3, 0.0]).expand(*tokens.shape, 3)
            return v, v.new_zeros(tokens.shape[:-1])

    code = ArgmaxDequantiser(3)
    code.latent = Far()
    tokens = torch.tensor([[0], [1], [2]])
    z, log_q = code.encode(tokens)
    assert torch.equal(z.argmax(-1), tokens) and ((z == z.max(-1, keepdim=True).values).sum(-1) == 1).all()
    assert log_q.isfinite().all()
    binary = BinaryArgmaxDequantiser(8)
    binary.latent = Far()
    assert torch.equal(binary.cell(binary.encode(torch.tensor([[0], [5], [7]]))[0]), torch.tensor([[0], [5], [7]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_disjoint_supports_read_back_without_loss(dtype):
    code = TruncatedDequantiser(10, 2, spread=0.0).to(dtype)
    side = torch.arange(10, dtype=dtype) / 10
    low = torch.stack((side, torch.full_like(side, 0.2)), -1)
    code.set_bounds(low, low + 0.09)
    tokens = torch.randint(10, (100_000, 1), generator=generator())
    with torch.no_grad():
        z, _, log_p = code.encode_and_score(tokens, generator(1))
        read = code.decode_log_prob(z)
        assert torch.equal(read.argmax(-1), tokens)
        assert log_p.abs().max() == 0  # exactly: no other token shares the point
        assert (code.supports(z).sum(-1) <= 1).all()


def test_outside_every_support_the_nearest_token_is_read():
    code = TruncatedDequantiser(3, 1, spread=0.0, scale=0.1)
    with torch.no_grad():
        code.loc.copy_(torch.tensor([[-2.0], [0.0], [2.0]]))
    z = torch.tensor([[-1.6], [0.5], [50.0]])
    assert not code.supports(z).any() and not code.in_support(z)
    assert code.decode_log_prob(z).argmax(-1).tolist() == [0, 1, 2]
    assert code.decode_log_prob(z).exp().sum(-1).tolist() == pytest.approx([1.0] * 3)


# --- Bounds and edges ------------------------------------------------------------------------------------------


def test_set_bounds_puts_them_where_they_are_said():
    low = torch.tensor([[0.0], [0.25], [0.999]], dtype=torch.float64)
    high = torch.tensor([[1.0], [0.26], [1.0]], dtype=torch.float64)
    a, b = TruncatedDequantiser(3, 1, min_width=1e-4).double().set_bounds(low, high).bounds()
    assert (a - low).abs().max() < 1e-12 and (b - high).abs().max() < 1e-12
    code = TruncatedDequantiser(1, 1)
    with pytest.raises(ValueError, match=r"expected 0 <= low, low \+ 0.001 < high <= 1; got low=tensor"):
        code.set_bounds(torch.tensor([[0.5]]), torch.tensor([[0.5]]))
    for min_width, width in [(0.0, 0.5), (0.5, 0.5), (0.1, 1.0)]:
        with pytest.raises(ValueError, match="expected 0 < min_width < width < 1; got"):
            TruncatedDequantiser(2, 1, min_width=min_width, width=width)


def test_bounds_cannot_cross_or_vanish_however_wild_the_weights():
    code = TruncatedDequantiser(1000, 1)
    with torch.no_grad():
        code.raw_width.copy_(torch.linspace(-500, 500, 1000)[:, None])
        code.raw_centre.copy_(1e3 * torch.randn(1000, 1, generator=generator()))
    a, b = code.bounds()
    assert ((a > 0) & (b < 1) & (b - a > 0.99 * code.min_width)).all()


def overlapping(low, edge, draws=200_001):
    """−log p(x|z) of the first of two overlapping tokens, averaged over its support; `low` is an edge of the second."""
    code = TruncatedDequantiser(2, 1, spread=0.0, scale=1.0).double()
    low_and_high = torch.tensor([[0.1, 0.6], [0.4, 0.9]], dtype=torch.float64)
    code.set_bounds(low_and_high[:, :1], low_and_high[:, 1:])
    start = (code.raw_centre.detach()[1] + low).requires_grad_()
    raw = torch.stack((code.raw_centre.detach()[0], start))
    # midpoints instead of draws: the average is then an integral
    epsilon = (torch.arange(draws, dtype=torch.float64) + 0.5) / draws
    tokens = torch.zeros(draws, 1, dtype=torch.long)
    code.draw_quantiles = lambda tokens, generator: (0.1 + 0.5 * epsilon)[:, None, None]
    log_p = torch.func.functional_call(_Score(code), {"code.raw_centre": raw}, (tokens, edge))
    return -log_p.mean(), start


class _Score(torch.nn.Module):
    def __init__(self, code):
        super().__init__()
        self.code = code

    def forward(self, tokens, edge):
        return self.code.encode_and_score(tokens, None, edge)[2]


def slope_of_the_hard_value(step=0.01):
    return (overlapping(step, 0.0)[0] - overlapping(-step, 0.0)[0]).item() / (2 * step)


def test_soft_edges_have_the_right_gradient_where_hard_ones_do_not():
    truth = slope_of_the_hard_value()
    gaps = {}
    for edge in (0.0, 0.05, 0.02, 0.005):
        value, start = overlapping(0.0, edge)
        (gradient,) = torch.autograd.grad(value, start, allow_unused=True, materialize_grads=True)
        gaps[edge] = abs(gradient.item() - truth)
    assert gaps[0.0] > 0.5 * abs(truth)  # the hard edge's own gradient misses what the edge adds by moving
    assert gaps[0.05] > gaps[0.02] > gaps[0.005] and gaps[0.005] < 0.05 * abs(truth)


def test_soft_edges_tend_to_hard_ones():
    hard = overlapping(0.0, 0.0)[0].item()
    gaps = [abs(overlapping(0.0, edge)[0].item() - hard) for edge in (0.1, 0.05, 0.02, 0.005, 0.001)]
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 0.01


@over_precisions
@pytest.mark.parametrize("edge", [0.0, 0.05, 0.001])
def test_gradients_are_finite_at_the_edges(dtype, edge):
    code = wild(8, 2).to(dtype)
    low, high = code.bounds()
    for quantiles in (low, high):
        code.draw_quantiles = lambda tokens, generator, quantiles=quantiles: quantiles[tokens]
        z, log_q, log_p = code.encode_and_score(torch.arange(8)[:, None], None, edge)
        weights = [weight for weight in code.parameters()]
        gradients = torch.autograd.grad(
            (z.sum() + log_q.sum() + log_p.sum()), weights, allow_unused=True, retain_graph=True
        )
        assert all(gradient.isfinite().all() for gradient in gradients if gradient is not None)
        assert log_p.isfinite().all()
