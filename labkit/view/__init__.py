"""Pictures of densities: arrays first (`grids`), then figures (`plots`), a widget (`explorer`) or a page (`export`)."""

from labkit.view.cells import LineCells, line_cells, plot_line_cells, plot_support_sweep
from labkit.view.explorer import Explorer, TrainingRecorder, explore
from labkit.view.export import export_html
from labkit.view.grids import (
    DensityGrid,
    DensityLine,
    ModeLabel,
    Projection,
    WordPoint,
    density_grid,
    density_line,
    equal_scale,
    flow_lattice,
    picture_of,
    project,
    shared_limits,
)
from labkit.view.plots import (
    plot_comparison,
    plot_density,
    plot_flow_warp,
    plot_line,
    plot_modes_over_training,
)
from labkit.view.warps import Warp, plot_warp, warped_lattice

__all__ = [
    "DensityGrid", "DensityLine", "Explorer", "ModeLabel", "Projection", "TrainingRecorder", "WordPoint",
    "density_grid", "density_line", "equal_scale", "explore", "export_html", "flow_lattice", "picture_of",
    "plot_comparison", "plot_density", "plot_flow_warp", "plot_line", "plot_modes_over_training", "project",
    "shared_limits", "Warp", "plot_warp", "warped_lattice",
    "LineCells", "line_cells", "plot_line_cells", "plot_support_sweep",
]  # fmt: skip
