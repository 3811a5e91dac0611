import ast
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import labkit.view
from labkit.view import (
    density_grid,
    plot_comparison,
    plot_density,
    plot_flow_warp,
    plot_line,
    plot_modes_over_training,
    project,
)
from labkit.view.grids import flow_lattice
from labkit.view.labels import text_width
from labkit.view.panels import LABEL
from labkit.view.theme import TEMPLATE
from tests.test_view_fakes import FakeDensity, FakeModel, fake_models


@pytest.fixture(scope="module")
def bank():
    return density_grid(FakeModel("StochasticEmbedding")["bank"], resolution=61, n_samples=800)


def of_type(figure, kind):
    return [trace for trace in figure.data if trace.type == kind]


def marks(figure):
    return [t for t in of_type(figure, "scatter") if t.mode == "markers" and t.x is not None and len(t.x) > 3]


def ranges(figure):
    return {tuple(axis.range) for axis in figure.select_xaxes()}, {
        tuple(axis.range) for axis in figure.select_yaxes()
    }


def label_boxes(figure):
    """(left, top, right, bottom) of each label in px from the top left of the panel, for one panel."""
    margin, (x0, x1), (y0, y1) = figure.layout.margin, figure.layout.xaxis.range, figure.layout.yaxis.range
    width = figure.layout.width - margin.l - margin.r
    height = figure.layout.height - margin.t - margin.b
    for note in figure.layout.annotations:
        lines = note.text.replace("<b>", "").replace("</b>", "").split("<br>")
        x = (note.x - x0) / (x1 - x0) * width + note.ax
        y = (y1 - note.y) / (y1 - y0) * height + note.ay
        half = max(text_width(line, LABEL) for line in lines) / 2 + 5, 1.3 * LABEL * len(lines) / 2 + 4
        inside = x - half[0] >= 0 and x + half[0] <= width and y - half[1] >= 0 and y + half[1] <= height
        yield (x - half[0], y - half[1], x + half[0], y + half[1]), inside


@pytest.mark.parametrize("word", ["bank", "spring", "tuesday"])
def test_labels_say_mass_and_words_overlap_nothing_and_stay_inside(word):
    figure = plot_density(density_grid(FakeModel("StochasticEmbedding")[word], resolution=61))
    boxes = list(label_boxes(figure))
    assert all(inside for _, inside in boxes)
    for i, (a, _) in enumerate(boxes):
        for b, _ in boxes[:i]:
            assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
    for note in figure.layout.annotations:
        head, *words = note.text.split("<br>")
        assert head.startswith("<b>") and " %" in head
        assert 4 <= len(", ".join(words).replace(",,", ",").split(", ")) <= 5


def test_marks_differ_in_colour_and_in_shape_and_are_at_most_500(bank):
    groups = marks(plot_density(bank))
    assert len(groups) == 2 and sum(len(t.x) for t in groups) == 500
    assert len({t.marker.color for t in groups}) == len({t.marker.symbol for t in groups}) == 2


def test_regions_begin_at_the_levels(bank):
    (contour,) = of_type(plot_density(bank), "contour")
    bands = np.array(contour.z)
    for number, level in enumerate(np.sort(bank.levels), start=1):
        assert np.array_equal(bands >= number, bank.log_prob >= level)
    assert (contour.contours.start, contour.contours.end, contour.contours.size) == (1, 4, 1)


def test_the_legend_names_every_region_and_the_vector(bank):
    figure = plot_density(bank, point=(0.4, -0.2))
    names = [trace.name for trace in figure.data if trace.showlegend is not False and trace.type == "scatter"]
    shares = [f"{share} % of the probability" for share in (50, 80, 95, 99)]
    assert names == [*shares, "a sample, by mode", "deterministic vector"]
    (cross,) = [t for t in of_type(figure, "scatter") if t.marker.symbol == "x" and t.x[0] is not None]
    assert (cross.x[0], cross.y[0]) == (0.4, -0.2)


def test_a_unit_is_as_long_upwards_as_sideways(bank):
    figure = plot_density(bank)
    size = figure.layout
    width, height = (size.width - size.margin.l - size.margin.r, size.height - size.margin.t - size.margin.b)
    (x0, x1), (y0, y1) = figure.layout.xaxis.range, figure.layout.yaxis.range
    assert (x1 - x0) / width == pytest.approx((y1 - y0) / height)


@pytest.fixture(scope="module")
def figures(bank):
    line = FakeDensity("bank", [[-1.5], [1.3]], [[0.5], [0.4]], [0.45, 0.55])
    lattice = flow_lattice(nodes=11)
    return {
        "density": plot_density(bank),
        "comparison": plot_comparison([model["bank"] for model in fake_models()], list("abcd"), title="t"),
        "line": plot_line(line, point=0.1),
        "training": plot_modes_over_training([(0, bank), (10, bank), (2000, bank)]),
        "warp": plot_flow_warp(lattice, lattice**3),
    }


@pytest.mark.parametrize("name", ["density", "comparison", "line", "training", "warp"])
def test_every_figure_is_flat_legible_white_and_keeps_to_itself(name, figures):
    figure = figures[name]
    text = figure.to_json()
    assert json.loads(text)["layout"]["modebar"]["remove"].count("sendChartToCloud") == 1
    assert not {"surface", "scatter3d", "mesh3d"} & {trace.type for trace in figure.data}
    assert figure.layout.template.layout.plot_bgcolor == TEMPLATE.layout.plot_bgcolor == "#ffffff"
    sizes = [value for key, value in walk(json.loads(text)) if key == "font" and "size" in value]
    assert min(font["size"] for font in sizes) >= 13
    assert "http" not in text


def walk(node):
    if isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def test_compared_pictures_share_limits_and_colours(figures, bank):
    figure = figures["comparison"]
    (x,), (y,) = ranges(figure)
    contours = of_type(figure, "contour")
    assert len(contours) == 3 and len({(t.zmin, t.zmax, str(t.colorscale)) for t in contours}) == 1
    assert x[1] - x[0] == pytest.approx(y[1] - y[0])  # the panels are squares
    assert [note.text for note in figure.layout.annotations[:4]] == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="one title for each picture; got 1 and 2"):
        plot_comparison([bank], ["a", "b"])


def test_a_line_shades_its_regions_and_labels_its_modes(figures):
    figure = figures["line"]
    filled = [trace for trace in figure.data if trace.fill == "tozeroy"]
    assert [trace.name for trace in filled] == ["99 %", "95 %", "80 %", "50 %"]
    assert len(figure.layout.annotations) == 2 and all(inside for _, inside in label_boxes(figure))


def test_training_shows_the_mass_of_modes_at_every_step(figures):
    bars = of_type(figures["training"], "bar")
    assert [bar.name for bar in bars] == ["heaviest mode", "second mode"]
    assert np.array([bar.y for bar in bars]).sum(0) == pytest.approx(1, abs=0.02)
    assert list(bars[0].x) == ["0", "10", "2,000"]
    with pytest.raises(ValueError, match="at least one"):
        plot_modes_over_training([])


def test_a_warp_needs_two_lattices_of_one_shape(figures):
    assert len(figures["warp"].data) == 2 * len(flow_lattice())
    with pytest.raises(ValueError, match=r"one shape \(L, N, 2\); got \(2, 3, 2\), \(2, 4, 2\)"):
        plot_flow_warp(np.zeros((2, 3, 2)), np.zeros((2, 4, 2)))


def test_a_marginal_says_so():
    density = FakeModel("StochasticEmbedding", extra=2)["bank"]
    grid = density_grid(density, resolution=41, basis=project([density]))
    assert "a marginal: the plane holds" in plot_density(grid).layout.xaxis.title.text


def test_a_word_that_looks_like_markup_is_shown_as_text():
    hostile = FakeDensity("<b>x</b>", [[0.0, 0.0]], [[1.0, 1.0]], [1.0])
    assert plot_density(hostile).layout.title.text.startswith("“&lt;b&gt;x&lt;/b&gt;”")


def test_wrong_pictures_name_the_right_function(bank):
    with pytest.raises(ValueError, match="use plot_line"):
        plot_density(FakeDensity("bank", [[0.0]], [[1.0]], [1.0]))
    with pytest.raises(ValueError, match="use plot_density"):
        plot_line(bank)
    with pytest.raises(ValueError, match="2 coordinates; got 3"):
        plot_density(bank, point=torch.zeros(3), limits=bank.limits)


def test_plots_compute_no_density():
    room = Path(labkit.view.__file__).parent
    for name in ("plots", "panels", "labels", "theme"):
        tree = ast.parse((room / f"{name}.py").read_text("utf-8"))
        modules = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        modules |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not any(module.startswith(("torch", "labkit.density")) for module in modules), name
