"""A density on a grid's axes: the numbers of log_prob at all points, with the networks asked less often."""

import pytest
import torch

from labkit.density.grid import Grid, log_prob_on, log_prob_on_grid
from labkit.flows import (
    Compose,
    Coupling,
    Elementwise,
    ElementwiseAffine,
    Flow,
    LULinear,
    MaskedAutoregressive,
    Permutation,
    RationalQuadraticSpline,
    Reverse,
    StandardNormal,
    neural_spline_flow,
)

CONTEXT = 3
SPLINE, HIDDEN = RationalQuadraticSpline(4, 3.0), (8,)


def flow_of(*parts):
    return Flow(Compose(parts), StandardNormal(parts[0].features))


FLOWS = {
    "1-d": lambda: neural_spline_flow(1, CONTEXT, hidden=HIDDEN),
    "2-d": lambda: neural_spline_flow(2, CONTEXT, layers=3, hidden=HIDDEN),
    "3-d": lambda: neural_spline_flow(3, CONTEXT, layers=3, hidden=HIDDEN),
    "no context": lambda: neural_spline_flow(2, hidden=HIDDEN),
    "autoregressive": lambda: flow_of(MaskedAutoregressive(SPLINE, 2, CONTEXT, HIDDEN)),
    "permuted": lambda: flow_of(
        Coupling(SPLINE, 3, CONTEXT, HIDDEN), Permutation([2, 0, 1]), Coupling(SPLINE, 3, CONTEXT, HIDDEN)
    ),
    "linear in between": lambda: flow_of(
        Elementwise(ElementwiseAffine(), 2), LULinear(2), Reverse(2), Coupling(SPLINE, 2, CONTEXT, HIDDEN)
    ),
}


def density_of(make):
    flow, g = make(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in flow.parameters():
            weight.copy_(0.5 * torch.randn(weight.shape, generator=g))
    context = torch.randn(CONTEXT, generator=g).double() if flow.context_features else None
    return flow.double()(context)


@pytest.mark.parametrize("make", FLOWS.values(), ids=FLOWS.keys())
def test_on_axes_it_is_the_log_prob_of_all_points(make):
    density = density_of(make)
    axes = [torch.linspace(-4, 4 + i, 5 + i, dtype=torch.float64) for i in range(*density.event_shape)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    on_axes = density.log_prob_on_axes(*axes)
    assert on_axes.shape == points.shape[:-1]
    torch.testing.assert_close(on_axes, density.log_prob(points))


@pytest.mark.parametrize("chunk", [7, 40, 10_000])
def test_a_grid_goes_through_its_axes_in_bounded_pieces(chunk):
    density = density_of(FLOWS["2-d"])
    grid = Grid(torch.tensor([-3.0, -4.0]).double(), torch.tensor([3.0, 5.0]).double(), (9, 12))
    torch.testing.assert_close(log_prob_on_grid(density, grid, chunk), log_prob_on(density, grid.points))


def test_a_network_is_asked_once_for_each_value_of_its_coordinate():
    coupling, rows = Coupling(SPLINE, 2, CONTEXT, HIDDEN), []
    coupling.conditioner.from_points.register_forward_hook(lambda _, inputs, __: rows.append(inputs[0].numel()))
    Flow(coupling, StandardNormal(2))(torch.zeros(CONTEXT)).log_prob_on_axes(torch.zeros(50), torch.zeros(70))
    assert rows == [50]


def test_densities_in_a_batch_are_refused():
    flow = FLOWS["2-d"]()
    with pytest.raises(ValueError, match=r"2 axes \(n,\) and one density; got .* a batch of \(5,\)"):
        flow(torch.zeros(5, CONTEXT)).log_prob_on_axes(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match=r"2 axes \(n,\) and one density; got axes of shapes \[\(3,\)\]"):
        flow(torch.zeros(CONTEXT)).log_prob_on_axes(torch.zeros(3))
