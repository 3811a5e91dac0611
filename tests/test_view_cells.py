"""Cells of a line: areas and supports agree with the dequantisers that they show, and figures draw those arrays."""

import math

import numpy as np
import pytest
import torch

from labkit.dequantise import (
    BinaryArgmaxDequantiser,
    CategoricalDequantiser,
    TruncatedDequantiser,
    UniformDequantiser,
    VariationalDequantiser,
)
from labkit.flows import StandardLogistic
from labkit.view.cells import line_cells, plot_line_cells, plot_support_sweep

SHARES = [0.4, 0.3, 0.2, 0.1]
WIDE = (-20.0, 20.0)
CODES = {
    "uniform": lambda: UniformDequantiser(4),
    "variational": lambda: VariationalDequantiser(4),
    "argmax": lambda: BinaryArgmaxDequantiser(2),
    "categorical": lambda: CategoricalDequantiser(4, 1),
    "categorical, flows": lambda: CategoricalDequantiser.with_flows(4, 1),
    "truncated": lambda: TruncatedDequantiser(4, 1),
    "truncated, flows": lambda: TruncatedDequantiser.with_flows(4, 1),
}


def built(name):
    torch.manual_seed(0)
    return CODES[name]()


def shares(code):
    return SHARES if code.vocabulary_size == 4 else [0.7, 0.3]


def quantile_cells():
    """TRUFL with supports that are a standard logistic's quantiles, in order, of widths SHARES."""
    code = TruncatedDequantiser(4, 1, spread=0.0, scale=1.0)
    high = torch.tensor(SHARES).cumsum(0)[:, None].clamp(max=1)
    return code.set_bounds(torch.cat([torch.zeros(1, 1), high[:-1]]), high)


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_area_under_a_token_is_its_share(name, dtype):
    code = built(name).to(dtype)
    cells = line_cells(code, shares(code), draws=8000)
    assert (np.diff(cells.z, axis=1) >= 0).all()
    # Draws leave out 1/8,000 of a token on either side; the trapezoid rule between them errs by less.
    areas = np.trapezoid(cells.density, cells.z, axis=1)
    np.testing.assert_allclose(areas, shares(code), rtol=0.01)


@pytest.mark.parametrize("name", CODES)
def test_draws_lie_where_their_token_can_be(name):
    code = built(name)
    cells = line_cells(code, shares(code), limits=WIDE, places=8001)
    step = cells.line[1] - cells.line[0]
    for x, z in enumerate(cells.z):
        (low, high), *more = cells.supports(x)
        assert not more and low - step <= z[0] and z[-1] <= high + step


def test_supports_are_the_bounds_where_these_are_known():
    cells = line_cells(quantile_cells(), SHARES, limits=WIDE, places=8001)
    inner = [math.log(p / (1 - p)) for p in (0.4, 0.7, 0.9)]
    found = [end for x in range(4) for end in cells.supports(x)[0]]
    np.testing.assert_allclose(found[1:-1], np.repeat(inner, 2), atol=0.01)
    assert found[0] < -13 and found[-1] > 13  # they end at quantiles of some units of rounding


def test_a_support_in_pieces_is_told_in_pieces():
    cells = line_cells(UniformDequantiser(4), SHARES, places=5, limits=(-2.0, 2.0))
    cells.inside[0] = [True, False, True, True, False]
    assert cells.supports(0) == [(-2.0, -2.0), (0.0, 1.0)]


def test_where_supports_are_the_prior_s_quantiles_hills_and_prior_coincide():
    cells = line_cells(quantile_cells(), SHARES, StandardLogistic(1)())
    heights = np.interp(cells.z, cells.line, cells.prior)
    inner = np.abs(cells.z) < 6
    np.testing.assert_allclose(cells.density[inner], heights[inner], rtol=1e-3)


def test_the_same_seed_gives_the_same_arrays_and_weights_stay():
    code = built("variational")
    before = {name: weight.clone() for name, weight in code.state_dict().items()}
    one, two, other = (line_cells(code, SHARES, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.z, two.z)
    assert (one.z != other.z).any()
    assert all(torch.equal(before[name], weight) for name, weight in code.state_dict().items())


def test_rows_show_hills_bars_and_prior():
    codes = [built("uniform"), built("argmax")]
    rows = [line_cells(code, shares(code), StandardLogistic(1)()) for code in codes]
    figure = plot_line_cells(rows, ["even <", "a bit"], names=["a", "b", "c", "d"])
    assert [note.text for note in figure.layout.annotations] == ["even &lt;", "a bit"]
    assert len(figure.data) == (1 + 4 + 4) + (1 + 2 + 2)
    hills = [trace for trace in figure.data if trace.fill == "tozeroy"]
    np.testing.assert_allclose(hills[1].y[1:-1], rows[0].density[1])
    assert all(hill.y[0] == hill.y[-1] == 0 for hill in hills)
    bars = [trace for trace in figure.data if trace.line.width == 7]
    assert all(max(y for y in bar.y) < 0 for bar in bars) and len({bar.y[0] for bar in bars[:4]}) == 4
    low, high = figure.layout.yaxis.range
    assert low < min(bar.y[0] for bar in bars[:4]) and high > rows[0].density.max()
    assert [trace.name for trace in figure.data if trace.showlegend] == ["prior p(z)", "a", "b", "c", "d"]


def sweep(shown=-1):
    values = [1.0, 2.0, 4.0]
    cells = []
    for value in values:
        code = quantile_cells()
        a, b = code.bounds()
        code.set_bounds(a + 0.01 * value, b - 0.01 * value)
        cells.append(line_cells(code, SHARES, StandardLogistic(1)(), draws=200))
    return plot_support_sweep(values, cells, ["one", "two", "three"], shown=shown), cells


@pytest.mark.parametrize("shown", [0, 1, -1])
def test_every_step_of_the_slider_redraws_what_stands_above_and_the_mark(shown):
    figure, cells = sweep(shown)
    steps = figure.layout.sliders[0].steps
    assert figure.layout.sliders[0].active == shown % 3 and [step.label for step in steps] == ["1", "2", "4"]
    for number, step in enumerate(steps):
        data, words, moving = step.args
        assert len(data["x"]) == len(data["y"]) == len(moving) == 4 + 4 + 1
        np.testing.assert_allclose(data["y"][0][1:-1], cells[number].density[0])
        assert words == {"annotations[0].text": ["one", "two", "three"][number]}
        assert data["y"][-1] == [[1.0, 2.0, 4.0][number]] * 2
    args = steps[shown % 3].args
    for x, y, place in zip(args[0]["x"], args[0]["y"], args[2], strict=True):
        np.testing.assert_array_equal(np.asarray(figure.data[place].x), np.asarray(x))
        np.testing.assert_array_equal(np.asarray(figure.data[place].y), np.asarray(y))
    assert figure.layout.annotations[0].text == ["one", "two", "three"][shown]


def test_the_map_holds_every_support_at_every_value():
    figure, cells = sweep()
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    assert len(bands) == 4
    for x, band in enumerate(bands):
        low, high = zip(*(one.supports(x)[0] for one in cells), strict=True)
        np.testing.assert_allclose(band.x, [*low, *high[::-1]])
        np.testing.assert_allclose(band.y, [1, 2, 4, 4, 2, 1])


def test_a_token_that_is_never_in_the_picture_has_no_band():
    cells = line_cells(quantile_cells(), SHARES, limits=(-0.3, 0.5))
    assert cells.supports(0) == []
    bands = [trace for trace in plot_support_sweep([1, 2], [cells, cells], ["", ""]).data if trace.fill == "toself"]
    assert [len(band.x) for band in bands] == [0, 4, 0, 0]


uniform = UniformDequantiser(4)
ERRORS = {
    "a plane": (lambda: line_cells(UniformDequantiser(4, 2), SHARES), "with dim=1; got dim=2"),
    "too few shares": (lambda: line_cells(uniform, [1.0]), "expected 4 shares that sum to 1; got"),
    "shares of another sum": (lambda: line_cells(uniform, [0.4, 0.4, 0.4, 0.4]), "that sum to 1; got"),
    "no rows": (lambda: plot_line_cells([], []), "one title for each; got 0 and 0"),
    "titles": (lambda: plot_line_cells([line_cells(uniform, SHARES)], ["a", "b"]), "got 1 and 2"),
    "one value": (lambda: plot_support_sweep([1.0], [line_cells(uniform, SHARES)], [""]), "at least two positive"),
    "notes": (lambda: plot_support_sweep([1.0, 2.0], [line_cells(uniform, SHARES)] * 2, [""]), "2 cells and 1 notes"),
    "a value of 0": (
        lambda: plot_support_sweep([0, 1], [line_cells(uniform, SHARES)] * 2, ["", ""]),
        "got values=.0, 1.",
    ),
    "values that fall": (lambda: plot_support_sweep([2, 1], [line_cells(uniform, SHARES)] * 2, ["", ""]), "increasing"),
}


@pytest.mark.parametrize(("act", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_was_got_and_what_was_expected(act, message):
    with pytest.raises(ValueError, match=message):
        act()
