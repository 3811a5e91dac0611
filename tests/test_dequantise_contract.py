"""What every dequantiser owes: q says its own density, p(x|z) sums to one, draws lie in their support."""

import math

import pytest
import torch
from dequantise_cases import BAYES, CELLS, EVERY, V, build, draws

from labkit.dequantise import TruncatedDequantiser, UniformDequantiser

over_every = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY.keys())
over_cells = pytest.mark.parametrize("make", CELLS.values(), ids=CELLS.keys())
over_bayes = pytest.mark.parametrize("make", BAYES.values(), ids=BAYES.keys())
over_precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@over_every
@over_precisions
def test_shapes_and_precision(make, dtype):
    code = build(make, dtype)
    for batch in [(), (0,), (1,), (3, 2)]:
        tokens = torch.randint(V, (*batch, 4), generator=generator())
        z, log_q, log_p = code.encode_and_score(tokens, generator())
        assert z.shape == (*batch, 4, code.dim) and log_q.shape == log_p.shape == batch
        assert code.decode_log_prob(z).shape == (*batch, 4, V) and code.in_support(z).shape == batch
        assert {z.dtype, log_q.dtype, log_p.dtype, code.decode_log_prob(z).dtype} == {dtype}


@over_every
def test_the_same_generator_gives_the_same_draw(make):
    code, tokens = build(make), torch.tensor([[0, 4, 1, 1]])
    first, again, other = (code.encode(tokens, generator(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        code.encode(tokens, generator())
        assert torch.equal(before, torch.get_rng_state())


@over_every
@over_precisions
def test_draws_are_finite_and_in_the_support_of_their_token(make, dtype):
    code = build(make, dtype)
    tokens, z, log_q = draws(code)
    assert z.isfinite().all() and log_q.isfinite().all()
    assert code.in_support(z).double().mean() > (0.999 if make in BAYES.values() else 0.9999)
    _, _, log_p = code.encode_and_score(tokens, generator())
    assert log_p.isfinite().all() and (log_p <= 1e-5).all() and (log_p > -5e3).all()  # not excluded


@over_every
def test_reading_back_is_a_distribution_everywhere(make):
    code = build(make)
    z = 3 * torch.randn(500, 4, code.dim, generator=generator(), dtype=torch.float64)
    for points in (z, 100 * z):
        log_p = code.decode_log_prob(points)
        assert log_p.exp().sum(-1).sub(1).abs().max() < 1e-12 and not log_p.isnan().any()


@over_cells
def test_cells_read_back_what_was_written(make):
    tokens, z, _ = draws(build(make, torch.float32))
    code = build(make, torch.float32)
    assert torch.equal(code.cell(z), tokens)
    assert torch.equal(code.decode_log_prob(z).argmax(-1), tokens)
    assert torch.equal(code.encode_and_score(tokens, generator())[2], torch.zeros(len(tokens)))


# One point of one token, in one or two dimensions, where a sum over a grid is the mass.
FLAT = {name: make for name, make in EVERY.items() if name not in ("argmax", "argmax, binary", "argmax, tokens alone")}


@pytest.mark.parametrize("make", FLAT.values(), ids=FLAT.keys())
def test_q_has_the_mass_that_its_log_density_says(make):
    """E_q[g/q] = ∫_supp g for a density g: 1 where the support is everything, and less where it is not."""
    code = build(make, noise=0.1)
    tokens = torch.full((40_000, 1), 3)
    with torch.no_grad():
        z, log_q = code.encode(tokens, generator())
        normal = torch.distributions.Normal(z.mean((0, 1)), 0.5 * z.std((0, 1)))
        ratio = (normal.log_prob(z).sum((-1, -2)) - log_q).exp()
        inside = code.decode_log_prob(normal.sample((40_000, 1))) if make in CELLS.values() else None
    if make in CELLS.values():
        expected = (inside.argmax(-1) == 3).double().mean()
    elif isinstance(code, TruncatedDequantiser):
        expected = code.supports(normal.sample((40_000, 1)))[..., 3].double().mean()
    else:
        expected = torch.tensor(1.0, dtype=torch.float64)
    error = ratio.std() / math.sqrt(len(ratio)) + 0.5 / math.sqrt(40_000)
    assert abs(ratio.mean() - expected) < 5 * error  # five standard errors: one failure in a million runs


@over_bayes
def test_bayes_rule_by_hand(make):
    code = build(make)
    tokens, z, log_q = draws(code, 50, positions=1)
    log_densities = code.log_densities(z)
    own = log_densities.gather(-1, tokens[..., None]).flatten()
    assert (own - log_q).abs().max() < 1e-8  # what z says of itself is what the draw said
    joint = (log_densities + code.logits).exp()
    assert (code.decode_log_prob(z).exp() - joint / joint.sum(-1, keepdim=True)).abs().max() < 1e-9
    _, _, log_p = code.encode_and_score(tokens, generator(7))
    same, _ = code.encode(tokens, generator(7))
    expected = code.decode_log_prob(same).gather(-1, tokens[..., None]).flatten()
    assert (log_p - expected).abs().max() < 1e-8


@over_every
@over_precisions
def test_gradients_reach_every_weight_and_are_finite(make, dtype):
    code = build(make, dtype)
    tokens = torch.arange(V).repeat(40)[:, None].expand(-1, 4)
    z, log_q, log_p = code.encode_and_score(tokens, generator(), edge=0.05)
    if type(code) is UniformDequantiser:
        assert not z.requires_grad
        return
    (z.square().mean() + (log_p - log_q).mean()).backward()
    for name, weight in code.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), name
        assert weight.grad.abs().max() > 0, name


@over_every
@pytest.mark.parametrize("size", [1, 2])
def test_vocabularies_of_one_and_two(make, size):
    code = build(make, size=size)
    tokens, z, log_q = draws(code, 100)
    assert log_q.isfinite().all() and code.decode_log_prob(z).shape[-1] == size
    if size == 1:
        assert code.encode_and_score(tokens, generator())[2].abs().max() < 1e-9


LARGE = {name: make for name, make in EVERY.items() if name != "argmax"}  # that one has V dimensions


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE.keys())
def test_a_vocabulary_of_fifty_thousand(make):
    code = make(50_000)
    tokens = torch.tensor([[0, 49_999, 25_000, 1]])
    with torch.no_grad():
        z, log_q, log_p = code.encode_and_score(tokens, generator())
        assert log_q.isfinite().all() and log_p.isfinite().all()
        if make in CELLS.values():
            assert torch.equal(code.cell(z), tokens)


@over_every
@pytest.mark.parametrize("token", [-1, V])
def test_a_token_outside_the_vocabulary_is_named(make, token):
    message = f"token {token} is outside the vocabulary; expected ids from 0 to 4"
    with pytest.raises(ValueError, match=message):
        make().encode(torch.tensor([[0, token, 1, 2]]))
    with pytest.raises(ValueError, match=message):
        make().encode_and_score(torch.tensor([[0, token, 1, 2]]))


@over_every
def test_points_of_another_width_are_refused(make):
    code = make()
    for call in (code.decode_log_prob, code.in_support):
        with pytest.raises(
            ValueError, match=rf"expected points of shape \(..., n, {code.dim}\); got shape \(3, 4, 9\)"
        ):
            call(torch.zeros(3, 4, 9))


@pytest.mark.parametrize("size, dim, base", [(5, 1, 5), (9, 2, 3), (10, 2, 4), (1, 3, 1), (2**15, 15, 2), (27, 3, 3)])
def test_as_few_cells_on_an_axis_as_hold_the_vocabulary(size, dim, base):
    assert UniformDequantiser(size, dim).base == base


def test_cells_too_narrow_for_their_precision_are_refused():
    tokens = torch.zeros(1, 1, dtype=torch.long)
    with pytest.raises(
        ValueError, match="10000000 cells on an axis are too narrow for torch.float32; .*than 1, or float64"
    ):
        UniformDequantiser(10_000_000, 1).encode(tokens)
    UniformDequantiser(10_000_000, 1).double().encode(tokens)
    UniformDequantiser(10_000_000, 2).encode(tokens)
    with pytest.raises(ValueError, match="64 dimensions are more than a code of 5 tokens can use"):
        UniformDequantiser(5, 64)
