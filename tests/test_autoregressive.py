"""Masked autoregressive layers: who sees whom, and the walk feature by feature against the whole pass."""

import pytest
import torch
from torch.func import jacrev, vmap

from labkit.flows import ElementwiseAffine, MaskedAutoregressive, RationalQuadraticSpline, masked_autoregressive_flow
from labkit.networks import MaskedMLP

CONTEXT = 3


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def perturbed(module, seed=1):
    g = generator(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(0.4 * torch.randn(weight.shape, generator=g))
    return module.double()


MLPS = {
    "with a context": lambda: MaskedMLP(5, CONTEXT, (16, 16), 2),
    "without": lambda: MaskedMLP(5, 0, (16, 16), 2),
    "one hidden layer": lambda: MaskedMLP(5, CONTEXT, (5,), 2),
    "widths that differ": lambda: MaskedMLP(5, CONTEXT, (32, 7, 11), 2),
    "one feature": lambda: MaskedMLP(1, CONTEXT, (4,), 2),
}


def over(cases):
    return pytest.mark.parametrize("make", cases.values(), ids=cases.keys())


@over(MLPS)
def test_a_feature_sees_all_before_it_and_none_after(make):
    mlp = perturbed(make())
    d = mlp.features
    x = torch.randn(20, d, generator=generator(), dtype=torch.float64)
    context = torch.randn(20, CONTEXT, generator=generator(), dtype=torch.float64)
    context = context if mlp.from_context is not None else None
    jacobian = jacrev(lambda x: mlp(x, context).abs().sum((0, 2)))(x)  # (d, 20, d)
    seen = jacobian.abs().amax(1) > 0
    assert (seen == torch.ones(d, d).tril(-1).bool()).all()
    if context is not None:
        of_context = jacrev(lambda c: mlp(x, c).abs().sum((0, 2)))(context).abs().amax(1)
        assert (of_context > 1e-6).all()


@over(MLPS)
@pytest.mark.parametrize("gradients", [False, True], ids=["no gradient", "gradient"])
def test_the_walk_gives_what_the_pass_gives(make, gradients):
    mlp = perturbed(make())
    x = torch.randn(7, 4, mlp.features, generator=generator(), dtype=torch.float64)
    context = torch.randn(4, CONTEXT, generator=generator(), dtype=torch.float64)  # shared by the 7
    context = context if mlp.from_context is not None else None
    with torch.set_grad_enabled(gradients):
        steps = mlp.steps((7, 4), context)
        walked = [steps.next(x[..., i - 1] if i else None) for i in range(mlp.features)]
    torch.testing.assert_close(torch.stack(walked, 1), mlp(x, context))


@pytest.mark.parametrize("bijection", [ElementwiseAffine(), RationalQuadraticSpline(4, 3.0)], ids=["affine", "spline"])
def test_gradients_flow_through_sampling(bijection):
    layer = perturbed(MaskedAutoregressive(bijection, 3, CONTEXT, (8, 8)))
    u = torch.randn(5, 3, generator=generator(), dtype=torch.float64, requires_grad=True)
    context = torch.randn(CONTEXT, generator=generator(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer.forward_and_log_det, (u, context))


def test_each_unit_is_evaluated_once_on_the_walk():
    evaluated = []

    def counting(x):
        evaluated.append(x.shape[0])
        return torch.relu(x)

    mlp = MaskedMLP(6, CONTEXT, (24, 18), 2, activation=counting)
    steps = mlp.steps((10,), torch.zeros(CONTEXT))
    for i in range(6):
        steps.next(torch.zeros(10) if i else None)
    assert sum(evaluated) == 24 + 18


def test_the_jacobian_is_triangular():
    layer = perturbed(MaskedAutoregressive(RationalQuadraticSpline(4, 3.0), 4, CONTEXT, (8, 8)))
    z = torch.randn(10, 4, generator=generator(), dtype=torch.float64)
    c = torch.randn(10, CONTEXT, generator=generator(), dtype=torch.float64)
    jacobian = vmap(jacrev(lambda z, c: layer.inverse_and_log_det(z, c)[0]))(z, c)
    assert (jacobian.triu(1) == 0).all() and (jacobian.diagonal(dim1=1, dim2=2) > 0).all()


def test_a_learned_flow_finds_a_dependence():
    # x₂ ~ N(sin 2x₁, 0.5²): entropy 2.1447 nats; the Gaussian of the same moments has 2.64.
    g = generator(3)
    flow = masked_autoregressive_flow(2, layers=2, bijection=RationalQuadraticSpline(), hidden=(32, 32))
    optimiser = torch.optim.Adam(flow.parameters(), lr=5e-3)

    def draw(n):
        x = torch.randn(n, generator=g)
        return torch.stack((x, (2 * x).sin() + 0.5 * torch.randn(n, generator=g)), -1)

    for _ in range(300):
        loss = -flow().log_prob(draw(256)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        nats = -flow().log_prob(draw(20_000))
    optimum, error = 1.4189 + 0.7258, nats.std().item() / 20_000**0.5
    assert optimum - 4 * error < nats.mean().item() < optimum + 0.1


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: MaskedMLP(5, 2, (), 3), r"at least one hidden width.*got hidden=\(\)"),
        (lambda: MaskedMLP(5, 2, (16, 4), 3), r"at least 5 units.*5 features; got hidden=\(16, 4\)"),
        (lambda: MaskedAutoregressive(ElementwiseAffine(), 3, 2, (8,))(torch.zeros(4, 3)), "context of .*got None"),
    ],
    ids=["no hidden layer", "too few units", "no context"],
)
def test_errors_say_what_was_got_and_what_was_expected(act, message):
    with pytest.raises(ValueError, match=message):
        act()
