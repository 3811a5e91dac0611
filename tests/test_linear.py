"""Linear layers against the dense matrix that they stand for. Round trips and tails: tests/test_transforms.py."""

import pytest
import torch
from torch.func import jacrev

from labkit.flows.circulant import CirculantDiagonal
from labkit.flows.linear import DenseLinear, InvertibleConv1x1, LULinear, Orthogonal
from tests.cases_linear import ELSEWHERE, UNCONDITIONAL

EVERY = UNCONDITIONAL | ELSEWHERE


def over(cases):
    return pytest.mark.parametrize("make", cases.values(), ids=cases.keys())


def perturbed(make, dtype=torch.float64, size=0.5, seed=3):
    """The layer away from its start."""
    layer, generator = make().to(dtype), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.add_(size * torch.randn(weight.shape, generator=generator, dtype=torch.float64).to(dtype))
    return layer


def points(*shape, seed=4, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def shift(layer):
    """b over all features, also where channels share it."""
    zero = torch.zeros(layer.features, dtype=torch.float64)
    return layer.forward_and_log_det(zero)[0].detach()


@over(EVERY)
def test_forward_and_inverse_are_those_of_the_matrix(make):
    layer, u = perturbed(make), points(7, make().features)
    matrix, b = layer.matrix(), shift(layer)
    torch.testing.assert_close(layer(u), u @ matrix.mT + b, atol=1e-10, rtol=0)
    back = layer.inverse_and_log_det(u)[0]
    torch.testing.assert_close(back, torch.linalg.solve(matrix, (u - b).mT).mT, atol=1e-10, rtol=0)


@over(EVERY)
def test_log_det_is_that_of_the_matrix_at_every_point(make):
    layer = perturbed(make)
    expected = torch.linalg.slogdet(layer.matrix()).logabsdet
    torch.testing.assert_close(layer.log_abs_det(), expected, atol=1e-10, rtol=0)
    u = points(5, 2, layer.features)
    torch.testing.assert_close(layer.forward_and_log_det(u)[1], expected.expand(5, 2), atol=1e-10, rtol=0)
    torch.testing.assert_close(layer.inverse_and_log_det(u)[1], -expected.expand(5, 2), atol=1e-10, rtol=0)


@over(EVERY)
def test_gradients_are_those_of_the_matrix(make):
    """Of a loss through the inverse and the log-determinant, as training takes them."""
    layer, z = perturbed(make), points(9, make().features)
    weights = [weight for name, weight in layer.named_parameters() if not name.endswith("bias")]
    u, log_det = layer.inverse_and_log_det(z)
    ours = torch.autograd.grad((0.5 * u.square().sum(-1) - log_det).mean(), weights, materialize_grads=True)
    matrix = layer.matrix()
    u = torch.linalg.solve(matrix, (z - shift(layer)).mT).mT
    loss = 0.5 * u.square().sum(-1).mean() + torch.linalg.slogdet(matrix).logabsdet
    theirs = torch.autograd.grad(loss, weights, materialize_grads=True)
    for mine, other in zip(ours, theirs):
        torch.testing.assert_close(mine, other, atol=1e-8, rtol=1e-8)


@over(EVERY)
def test_the_bias_is_learned_or_absent(make):
    layer = make()
    has_bias = any(name.endswith("bias") for name, _ in layer.named_parameters())
    moved = (shift(perturbed(make)) != 0).any()
    assert moved == has_bias


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 5e-6)], ids=["float64", "float32"]
)
@pytest.mark.parametrize(("features", "reflections"), [(1, 2), (2, 2), (5, 3), (16, 16), (16, 40), (64, 64)])
def test_reflections_make_an_orthogonal_matrix(features, reflections, dtype, tolerance):
    layer = perturbed(lambda: Orthogonal(features, reflections), dtype, size=1.0)
    w, eye = layer.matrix(), torch.eye(features, dtype=dtype)
    torch.testing.assert_close(w @ w.mT, eye, atol=tolerance, rtol=0)
    assert abs(torch.linalg.det(w.double()) - (-1) ** reflections) < 10 * tolerance
    expected = eye
    for v in layer.vectors:
        expected = expected @ (eye - 2 * v[:, None] * v / v.square().sum())
    torch.testing.assert_close(w, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("features", [1, 2, 3, 6])
@pytest.mark.parametrize("reflections", [2, 4, 14])
def test_an_even_number_of_reflections_starts_as_the_identity(features, reflections):
    assert torch.equal(Orthogonal(features, reflections).matrix(), torch.eye(features))


def test_reflections_reach_every_rotation():
    """From the identity, by gradients: the tangent space there has all d (d − 1) / 2 dimensions after one step away."""
    layer = perturbed(lambda: Orthogonal(4))
    jacobian = jacrev(lambda v: torch.func.functional_call(layer, {"vectors": v}, (torch.eye(4).double(),)))(
        layer.vectors.detach()
    )
    assert torch.linalg.matrix_rank(jacobian.reshape(16, -1), rtol=1e-8) == 6


@pytest.mark.parametrize("size", [1, 2, 5, 20])
def test_a_triangular_layer_starts_where_it_is_told(size):
    matrix = points(size, size)
    layer = LULinear.from_matrix(matrix)
    assert layer.factors.dtype == torch.float64
    torch.testing.assert_close(layer.matrix(), matrix, atol=1e-12, rtol=0)
    torch.testing.assert_close(layer(points(3, size)), points(3, size) @ matrix.mT, atol=1e-12, rtol=0)


def test_a_triangular_layer_keeps_permutation_and_signs_in_a_checkpoint():
    saved = LULinear.from_matrix(torch.tensor([[0.0, 2.0], [-3.0, 1.0]]))
    fresh = LULinear(2)
    fresh.load_state_dict(saved.state_dict())
    assert torch.equal(fresh.matrix(), saved.matrix())


def test_positions_share_one_matrix():
    conv = perturbed(lambda: InvertibleConv1x1(channels=3, positions=4))
    u = points(6, 4, 3)
    z, log_det = conv.forward_and_log_det(u.reshape(6, 12))
    expected, at_one = conv.linear.forward_and_log_det(u)
    torch.testing.assert_close(z.reshape(6, 4, 3), expected)
    torch.testing.assert_close(log_det, 4 * at_one[:, 0])


def test_a_singular_dense_matrix_shows_in_its_log_det():
    layer = DenseLinear(2)
    torch.nn.init.ones_(layer.weight)
    assert layer.forward_and_log_det(torch.zeros(3, 2))[1].tolist() == [-torch.inf] * 3


WIDE = torch.zeros(5, 4)
ERRORS = {
    "points' width": (lambda: LULinear(3)(WIDE), r"LULinear expected points of shape \(\.\.\., 3\).*\(5, 4\)"),
    "width of all positions": (
        lambda: InvertibleConv1x1(2, 3).inverse_and_log_det(WIDE),
        r"InvertibleConv1x1 expected points of shape \(\.\.\., 6\); got shape \(5, 4\)",
    ),
    "no features": (lambda: DenseLinear(0), "features >= 1.*got 0"),
    "no reflection": (lambda: Orthogonal(3, 0), "at least one reflection; got reflections=0"),
    "no diagonal": (lambda: CirculantDiagonal(3, 0), "at least one diagonal factor; got diagonals=0"),
    "not square": (lambda: LULinear.from_matrix(WIDE), r"square matrix; got shape \(5, 4\)"),
    "singular": (lambda: LULinear.from_matrix(torch.ones(3, 3)), "invertible, finite matrix; got .*determinant 0"),
    "not a number": (lambda: LULinear.from_matrix(torch.full((2, 2), torch.nan)), "invertible.*determinant nan"),
    "no channels": (lambda: InvertibleConv1x1(0, 3), "channels >= 1 and positions >= 1; got 0 and 3"),
    "negative sizes": (lambda: InvertibleConv1x1(-2, -3), "got -2 and -3"),
    "channels that differ": (lambda: InvertibleConv1x1(2, 3, DenseLinear(4)), "over 2 channels; got one of 4"),
}


@pytest.mark.parametrize(("act", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_was_got_and_what_was_expected(act, message):
    with pytest.raises(ValueError, match=message):
        act()
