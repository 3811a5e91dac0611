"""The transformer conditioner: equivariance, positions, causality; and the flows over sequences and sets made of it."""

import cases_sequence
import pytest
import torch
from torch.autograd.functional import jacobian

from labkit.dequantise.sequence import PerPosition, TransformerCoupling
from labkit.flows import ElementwiseAffine, LULinear
from labkit.networks.transformer import SoftBins, Transformer

LAYERS = cases_sequence.CONDITIONAL | cases_sequence.UNCONDITIONAL
over_layers = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
over_flows = pytest.mark.parametrize("make", cases_sequence.FLOWS.values(), ids=cases_sequence.FLOWS.keys())
over_precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def moved(module, dtype=torch.float64, size=0.2):
    """Away from its start, so that layers that begin with zeros count too."""
    module = module.to(dtype)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(size * torch.randn(weight.shape, generator=generator(weight.numel()), dtype=dtype))
    return module


def points(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


# --- The network -----------------------------------------------------------------------------------------------


def test_a_set_has_no_order_and_a_sequence_has():
    x, order = points(7, 5, 2), torch.tensor([3, 0, 4, 2, 1])
    as_set = moved(Transformer(2, 3, 8, heads=2, blocks=2, bins=5))
    assert (as_set(x[:, order]) - as_set(x)[:, order]).abs().max() < 1e-12
    as_sequence = moved(Transformer(2, 3, 8, heads=2, positions=5))
    assert (as_sequence(x[:, order]) - as_sequence(x)[:, order]).abs().max() > 1e-3


@pytest.mark.parametrize("causal", [False, True])
def test_which_rows_see_which_points(causal):
    network = moved(Transformer(2, 3, 8, heads=2, positions=4, causal=causal), size=0.5)
    seen = jacobian(network, points(4, 2)).abs().sum((1, 3)) > 1e-12  # rows by points
    assert torch.equal(seen, torch.ones(4, 4).tril().bool() if causal else torch.ones(4, 4).bool())


def test_outputs_first_are_the_same_numbers():
    network = moved(Transformer(2, 3, 8, heads=2, context_features=4, bins=4))
    x, context = points(6, 7, 5, 2), points(7, 4)
    first = network.outputs_first(x, context)
    assert first.shape == (3, 6, 7, 5) and first.is_contiguous()
    assert (first.movedim(0, -1) - network(x, context)).abs().max() < 1e-12


@over_precisions
def test_batches_of_one_of_none_and_without_batch(dtype):
    network = moved(Transformer(2, 3, 8, heads=2), dtype)
    x = points(6, 5, 2, dtype=dtype)
    assert network(x).dtype == dtype
    assert network(x[:0]).shape == (0, 5, 3)
    assert torch.allclose(network(x[2]), network(x)[2], atol=1e-5)
    assert torch.allclose(network(x[2:3]), network(x)[2:3], atol=1e-5)


def test_zero_init_and_attention_by_hand():
    assert Transformer(2, 3, zero_init=True)(points(6, 5, 2, dtype=torch.float32)).abs().max() == 0
    attention = moved(Transformer(2, 3, 8, heads=2, blocks=1)).blocks[0].attention
    h = points(5, 8)
    q, k, v = attention.queries_keys_values(h).reshape(5, 3, 2, 4).unbind(1)
    heads = [torch.softmax(q[:, i] @ k[:, i].T / 2, -1) @ v[:, i] for i in range(2)]
    assert (attention(h) - attention.out(torch.cat(heads, -1))).abs().max() < 1e-12


def test_soft_bins_say_where_a_coordinate_lies():
    bins = SoftBins(bins=9, bound=4.0).double()
    assert torch.equal(bins(bins.centres[:, None]).argmax(-1), torch.arange(9))
    assert bins(torch.tensor([[1e6, -1e6]], dtype=torch.float64)).abs().max() == 0
    for bad in ({"bins": 1}, {"bound": 0.0}):
        with pytest.raises(ValueError, match="expected bins >= 2 and bound > 0; got"):
            SoftBins(**bad)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="expected a width that 3 heads divide; got width=8"):
        Transformer(2, 3, 8, heads=3)
    network = Transformer(2, 3, 8, heads=2, positions=4, context_features=2)
    with pytest.raises(ValueError, match=r"expected points of shape \(..., n, 2\); got shape \(5, 3\)"):
        network(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="expected at most 4 positions; got 5"):
        network(torch.zeros(5, 2), torch.zeros(2))
    with pytest.raises(ValueError, match=r"expected a context of shape \(..., 2\); got None"):
        network(torch.zeros(4, 2))
    with pytest.raises(ValueError, match="TransformerCoupling expected dim >= 2, .* got dim=1"):
        TransformerCoupling(ElementwiseAffine(), 4, 1)


# --- Layers and flows ------------------------------------------------------------------------------------------


@over_layers
def test_layers_invert_and_know_their_determinant(make):
    layer = moved(make())
    context = points(3, seed=1) if layer.context_features else None
    u = points(layer.features)
    z, log_det = layer.forward_and_log_det(u, context)
    back, back_det = layer.inverse_and_log_det(z, context)
    assert (back - u).abs().max() < 1e-7 and (log_det + back_det).abs() < 1e-7
    slopes = jacobian(lambda z: layer.inverse_and_log_det(z, context)[0], z)
    assert (torch.linalg.slogdet(slopes).logabsdet - back_det).abs() < 1e-8


@over_flows
@over_precisions
def test_flows_draw_what_they_say(make, dtype):
    torch.manual_seed(0)
    flow = moved(make(), dtype, 0.1)
    with torch.no_grad():
        z, log_prob = flow().rsample_and_log_prob((500,), generator=generator())
        again = flow().log_prob(z)
    assert z.dtype == dtype and (again - log_prob).abs().max() < (1e-8 if dtype == torch.float64 else 2e-2)


@over_flows
def test_gradients_are_finite_far_out(make):
    flow = moved(make(), torch.float32, 0.1)
    z = (1e4 * torch.randn(20, flow.features, generator=generator())).requires_grad_()
    flow().log_prob(z).sum().backward()
    assert z.grad.isfinite().all() and all(weight.grad.isfinite().all() for weight in flow.parameters())


def test_the_density_of_a_set_does_not_change_when_it_is_permuted():
    as_set, as_sequence = (moved(cases_sequence.FLOWS[name](), size=0.2) for name in ("set", "sequence"))
    z = points(20, 3, 2)
    other = z[:, [2, 0, 1]]
    with torch.no_grad():
        assert (as_set().log_prob(z.flatten(1)) - as_set().log_prob(other.flatten(1))).abs().max() < 1e-10
        gap = as_sequence().log_prob(z.flatten(1)) - as_sequence().log_prob(other.flatten(1))
        assert gap.abs().max() > 1e-3


def test_a_position_of_an_autoregressive_layer_sees_those_before_it():
    layer = moved(cases_sequence.UNCONDITIONAL["one autoregressive transformer layer"](), size=0.5)
    slopes = jacobian(lambda z: layer.inverse_and_log_det(z)[0], points(4))
    assert slopes.triu(1).abs().max() == 0
    assert (slopes.tril(-1)[slopes.tril(-1) != 0]).numel() == 6


def test_per_position_sums_over_positions():
    layer = PerPosition(LULinear.from_matrix(torch.tensor([[2.0, 1.0], [0.0, 3.0]])), positions=4)
    assert layer.forward_and_log_det(torch.zeros(5, 8))[1].tolist() == pytest.approx([4 * 1.791759] * 5, rel=1e-5)
