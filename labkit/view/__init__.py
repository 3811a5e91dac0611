"""Pictures of densities: arrays first (`grids`), then figures (`plots`) or one offline page (`export`)."""

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

__all__ = [
    "DensityGrid", "DensityLine", "ModeLabel", "Projection", "WordPoint", "density_grid", "density_line",
    "equal_scale", "export_html", "flow_lattice", "picture_of", "plot_comparison", "plot_density",
    "plot_flow_warp", "plot_line", "plot_modes_over_training", "project", "shared_limits",
]  # fmt: skip
