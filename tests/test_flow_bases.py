"""Base densities: mass, draws, tails and gradients, and a Flow on each of them."""

import math

import pytest
import torch
from scipy.stats import kstest

from labkit.flows import Flow, GaussianMixtureBase, Reverse, StandardLogistic, UniformBox
from labkit.flows.truncated import TruncatedLogisticBase, TruncatedNormalBase

INF = float("inf")
over_precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def mixture():
    base = GaussianMixtureBase(2, components=3, generator=generator(3))
    with torch.no_grad():
        base.logits.copy_(torch.tensor([0.0, 1.0, -1.0]))
        base.loc.mul_(2.0)
        base.log_scale.copy_(0.5 * torch.randn(3, 2, generator=generator(4)))
    return base


BASES = {
    "standard logistic": lambda: StandardLogistic(2),
    "uniform on a torus": lambda: UniformBox([-math.pi] * 2, [math.pi] * 2),
    "uniform on a box": lambda: UniformBox([0.0, -3.0], [0.5, 2.0]),
    "mixture of three": mixture,
    "mixture of one": lambda: GaussianMixtureBase(2, components=1),
    "truncated normal": lambda: TruncatedNormalBase(2, [-1.0, 2.0], [INF, 3.0]),
    "truncated logistic": lambda: TruncatedLogisticBase(2, -1.0, [1.5, 4.0]),
}
over_bases = pytest.mark.parametrize("make", BASES.values(), ids=BASES.keys())


def grid(points, half_width):
    """Midpoints of a grid along one axis."""
    step = 2 * half_width / points
    return torch.arange(points, dtype=torch.float64) * step + step / 2 - half_width


@over_bases
@over_precisions
def test_bases_have_mass_one_and_draws_that_follow_it(make, dtype):
    p, axis = make().double()(), grid(1000, 25.0)
    with torch.no_grad():
        mass = p.log_prob(torch.cartesian_prod(axis, axis)).exp().reshape(1000, 1000) * 0.05**2
    # Edges of a box cut cells of 0.05: 3 % of the narrowest box's mass, along either axis.
    assert mass.sum().item() == pytest.approx(1.0, abs=0.05)
    draws = make().to(dtype)().sample((4000,), generator=generator(1))
    assert draws.dtype == dtype and make().to(dtype)().log_prob(draws).isfinite().all()
    for i, marginal in enumerate((mass.sum(1), mass.sum(0))):
        # both at the upper ends of the cells
        share = (draws[:, i, None].double() <= axis + 0.025).double().mean(0)
        # 28 marginals: a right sampler stays within 0.03 + the cut of cells with probability above 0.99.
        assert (share - marginal.cumsum(0) / marginal.sum()).abs().max() < 0.031 + 0.05


@over_bases
def test_a_flow_can_stand_on_every_base(make):
    base = make()
    flow = Flow(Reverse(2), base)
    z = flow().sample((5, 3), generator=generator(2))
    assert z.shape == (5, 3, 2) and torch.equal(z, flow().sample((5, 3), generator=generator(2)))
    torch.testing.assert_close(flow().log_prob(z), base().log_prob(z.flip(-1)))
    assert flow().sample((0,)).shape == (0, 2) and flow().log_prob(z[:0]).shape == (0, 3)
    assert flow().expand((4,)).sample((3,)).shape == (3, 4, 2)
    assert base().expand((4,)).sample((3,)).shape == (3, 4, 2)
    assert base().expand((4,)).log_prob(z[:, :1]).shape == (5, 4)
    learned = {"logits", "loc", "log_scale"} if isinstance(base, GaussianMixtureBase) else set()
    assert set(base.state_dict()) == learned


def test_logistic_tails_and_draws():
    p = StandardLogistic(1)()
    x = torch.tensor([[-300.0], [0.0], [300.0]], requires_grad=True)
    log_prob = p.log_prob(x)
    assert log_prob.tolist() == pytest.approx([-300.0, -math.log(4), -300.0], rel=1e-6)
    log_prob.sum().backward()
    assert x.grad.flatten().tolist() == pytest.approx([1.0, 0.0, -1.0])
    draws = p.sample((100_000,), generator=generator()).flatten()
    assert kstest(draws.numpy(), "logistic").pvalue > 0.01


def test_uniform_box_ends_where_it_says():
    p = UniformBox([-math.pi, 1e6], [math.pi, 1e6 + 1])()
    inside, high = torch.tensor([-math.pi, 1e6]), torch.tensor([math.pi, 1e6])
    x = torch.stack([inside, high, inside + 100.0, torch.tensor([INF, 1e6])]).requires_grad_()
    assert p.log_prob(x).tolist() == pytest.approx([-math.log(2 * math.pi), -INF, -INF, -INF])
    torch.logaddexp(p.log_prob(x), torch.zeros(4)).sum().backward()
    assert (x.grad == 0).all()
    # 16 float32 numbers in [10⁶, 10⁶ + 1): low + (high − low) u would round up to high now and then
    assert p.support.check(p.sample((100_000,), generator=generator())).all()
    exact = UniformBox(*(torch.tensor([x], dtype=torch.float64) for x in (-math.pi, math.pi)))
    assert exact.high.item() == math.pi


def test_mixture_is_the_weighted_sum_and_learns_through_log_prob_only():
    base = mixture().double()
    x = torch.randn(4, 2, generator=generator(), dtype=torch.float64)
    parts = torch.distributions.Normal(base.loc, base.log_scale.exp()).log_prob(x[:, None]).sum(-1).exp()
    torch.testing.assert_close(base().log_prob(x).exp(), parts @ base.logits.softmax(-1))
    base().log_prob(x).sum().backward()
    assert all(weight.grad.abs().min() > 0 for weight in base.parameters())
    base.zero_grad()
    base().rsample((100,), generator=generator()).sum().backward()
    assert base.logits.grad is None and base.loc.grad.abs().min() > 0 and base.log_scale.grad.abs().min() > 0


def test_mixture_draws_each_component_as_often_as_it_weighs():
    base = GaussianMixtureBase(1, components=3)
    with torch.no_grad():
        base.logits.copy_(torch.tensor([0.5, 0.3, 0.2]).log())
        base.loc.copy_(torch.tensor([[-100.0], [0.0], [100.0]]))
    draws = base().sample((20_000,), generator=generator())
    shares = [(draws < -50).double().mean(), (draws.abs() < 50).double().mean(), (draws > 50).double().mean()]
    # four standard deviations of a share of 20 000 draws
    assert [share.item() for share in shares] == pytest.approx([0.5, 0.3, 0.2], abs=0.014)


def test_mixture_of_one_is_the_standard_normal_and_means_repeat_with_their_generator():
    x = torch.randn(5, 2, generator=generator())
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(-1)
    torch.testing.assert_close(GaussianMixtureBase(2, 1)().log_prob(x), normal)
    a, b = (GaussianMixtureBase(2, 4, generator=generator(7)).loc for _ in range(2))
    assert torch.equal(a, b)


ERRORS = {
    "logistic's features": (lambda: StandardLogistic(0), "features >= 1; got 0"),
    "box without bounds": (lambda: UniformBox([], []), "features >= 1; got 0"),
    "box's bounds": (lambda: UniformBox([0.0], [0.0]), r"low < high .* low=\[0.0\] and high=\[0.0\]"),
    "unequal bounds": (lambda: UniformBox([0.0], [1.0, 2.0]), r"shapes \(1,\) and \(2,\)"),
    "infinite box": (lambda: UniformBox([0.0], [INF]), r"finite bounds; got low=\[0.0\] and high=\[inf\]"),
    "mixture of none": (lambda: GaussianMixtureBase(2, 0), "components >= 1; got 2 and 0"),
}


@pytest.mark.parametrize(("act", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_was_got_and_what_was_expected(act, message):
    with pytest.raises(ValueError, match=message):
        act()
