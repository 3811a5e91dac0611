"""Warped lattices: the arrays agree with the transform that they show, and the figure draws those arrays."""

import math

import numpy as np
import pytest
import torch

from labkit.flows import DiagonalNormal
from labkit.flows.affine import ElementwiseAffine
from labkit.flows.coupling import Coupling, Elementwise
from labkit.flows.linear import DenseLinear
from labkit.flows.squash import Sigmoid
from labkit.flows.transforms import Reverse
from labkit.view.grids import PROBS
from labkit.view.warps import WIDEST, plot_warp, warped_lattice

MATRIX = torch.tensor([[1.0, 0.5], [0.0, 2.0]])


def linear(matrix=MATRIX):
    layer = DenseLinear(2)
    with torch.no_grad():
        layer.weight.copy_(matrix)
    return layer


def small(transform, **settings):
    return warped_lattice(transform, **{"lines": 3, "nodes": 21, "resolution": 81} | settings)


def test_the_lines_are_the_base_s_lines_carried_over():
    warp = small(linear())
    assert warp.before.shape == warp.after.shape == (6, 21, 2)
    np.testing.assert_allclose(warp.after, warp.before @ MATRIX.numpy().T, atol=1e-5)


def test_the_density_is_that_of_the_transform():
    warp = small(linear())
    covariance = MATRIX @ MATRIX.T
    nodes = torch.as_tensor(np.stack(np.meshgrid(warp.density.x, warp.density.y), -1), dtype=torch.float32)
    normal = torch.distributions.MultivariateNormal(torch.zeros(2), covariance)
    np.testing.assert_allclose(warp.density.log_prob, normal.log_prob(nodes).numpy(), atol=1e-4)
    assert warp.density.mass_check == pytest.approx(1, abs=0.01)
    # In the plane the region of share P ends where log p has fallen by −log(1 − P); 4,000 samples place it.
    falls = normal.log_prob(torch.zeros(2)).item() - warp.density.levels
    np.testing.assert_allclose(falls, [-math.log(1 - p) for p in PROBS], rtol=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_context_and_a_base_are_handed_on(dtype):
    transform = Elementwise(ElementwiseAffine(), 2, 3, (8,)).to(dtype)
    with torch.no_grad():
        transform.conditioner.last.weight.fill_(0.1)
    context = torch.ones(3, dtype=dtype)
    base = DiagonalNormal(torch.full((2,), 5.0, dtype=dtype), torch.ones(2, dtype=dtype))
    warp = small(transform, context=context, base=base)
    expected = transform(torch.as_tensor(warp.before).to(dtype), context).detach().numpy()
    np.testing.assert_allclose(warp.after, expected, rtol=1e-6)
    centre = transform(torch.full((2,), 5.0, dtype=dtype), context).detach().numpy()
    (left, right), (bottom, top) = warp.limits
    assert left < centre[0] < right and bottom < centre[1] < top
    with pytest.raises(ValueError, match="expected a context"):
        small(transform)


def test_the_same_seed_gives_the_same_arrays_and_the_transform_is_left_as_it_is():
    transform = Coupling(ElementwiseAffine(), 2, hidden=(8,))
    before = {name: weight.clone() for name, weight in transform.state_dict().items()}
    one, two = small(transform, seed=3), small(transform, seed=3)
    np.testing.assert_array_equal(one.density.levels, two.density.levels)
    assert (one.density.levels != small(transform, seed=4).density.levels).any()
    assert all(torch.equal(before[name], weight) for name, weight in transform.state_dict().items())
    assert all(weight.grad is None for weight in transform.parameters())


def test_a_box_is_drawn_with_its_outside():
    warp = small(Sigmoid(2), limits=((-0.5, 1.5), (-0.5, 1.5)))
    inside = (warp.density.x > 0) & (warp.density.x < 1)
    assert np.isneginf(warp.density.log_prob[~inside]).all()
    assert np.isfinite(warp.density.log_prob[np.ix_(inside, inside)]).all()
    assert warp.density.mass_check == pytest.approx(1, abs=0.01)
    bands = plot_warp(warp).data[-1 - len(PROBS)]
    assert bands.type == "contour" and np.isfinite(np.asarray(bands.z)).all()


def test_the_figure_has_paper_above_density_for_every_transform_in_one_scale():
    warps = [small(linear()), small(Reverse(2)), small(linear(3 * torch.eye(2)))]
    figure = plot_warp(warps, ["shear", "swap < turn", "wide"])
    lines = [trace for trace in figure.data if trace.type == "scatter" and trace.mode == "lines"]
    assert len(lines) == 3 * 6 and sum(trace.type == "contour" for trace in figure.data) == 3
    np.testing.assert_allclose(np.stack([lines[6].x, lines[6].y], -1), warps[1].after[0])
    assert [note.text for note in figure.layout.annotations] == ["shear", "swap &lt; turn", "wide"]
    assert len({tuple(axis.range) for axis in figure.select_xaxes()}) == 1
    (left, right), (bottom, top) = figure.layout.xaxis.range, figure.layout.yaxis.range
    assert right - left == pytest.approx(top - bottom)
    for warp in warps:
        assert left <= warp.limits[0][0] and warp.limits[1][1] <= top
    assert sum(bool(trace.showlegend) for trace in lines) == 2


@pytest.mark.parametrize("count", [1, 3, 5])
def test_panels_are_square_and_the_figure_fits_a_notebook(count):
    figure = plot_warp([small(Reverse(2))] * count, ["swap"] * count)
    margin = figure.layout.margin
    inner = figure.layout.width - margin.l - margin.r, figure.layout.height - margin.t - margin.b
    wide, high = ((axis.domain[1] - axis.domain[0]) * side for axis, side in zip(
        (figure.layout.xaxis, figure.layout.yaxis), inner))  # fmt: skip
    assert wide == pytest.approx(high, abs=1)
    assert figure.layout.width <= WIDEST


def test_limits_of_one_s_own_are_kept():
    figure = plot_warp(small(Reverse(2)), limits=((-1, 1), (-2, 2)))
    assert tuple(figure.layout.xaxis.range) == (-1, 1) and tuple(figure.layout.yaxis2.range) == (-2, 2)


ERRORS = {
    "another width": (lambda: warped_lattice(Reverse(3)), "a transform of 2 features; got 3"),
    "no warp": (lambda: plot_warp([], []), "one title for each; got 0 and 0"),
    "titles": (lambda: plot_warp([small(Reverse(2))], ["a", "b"]), "one title for each; got 1 and 2"),
}


@pytest.mark.parametrize(("act", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_was_got_and_what_was_expected(act, message):
    with pytest.raises(ValueError, match=message):
        act()
