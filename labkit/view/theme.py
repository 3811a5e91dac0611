"""One look for every picture: colours, marks and the plotly template."""

import plotly.graph_objects as go

# Okabe & Ito (2008), told apart by every kind of colour vision, in the order in which they stand out on the
# regions below; the shapes tell the modes apart without any colour.
MODE_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#F0E442")
MODE_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "pentagon")

# Cividis (Nuñez, Anderton & Renslow, 2018) from its dark to its light end, the light end on white paper:
# the regions of 50, 80, 95 and 99 %.
REGION_COLOURS = ("#123570", "#5b6470", "#b9b088", "#f3e7b2")
INK, MUTED, RULE, PAPER = "#1b2230", "#5a6372", "#dde1e8", "#ffffff"
POINT_COLOUR = "#D55E00"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

AXIS = dict(
    showgrid=False, zeroline=False, showline=True, linecolor=RULE, mirror=True, ticks="",
    tickfont=dict(size=13, color=MUTED), title=dict(font=dict(size=14, color=MUTED), standoff=10),
)  # fmt: skip
TEMPLATE = go.layout.Template(
    layout=dict(
        font=dict(family=FONT, size=14, color=INK),
        title=dict(font=dict(size=19), x=0.02, xanchor="left", y=0.965, yanchor="top"),
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        xaxis=AXIS,
        yaxis=AXIS,
        legend=dict(font=dict(size=13), bgcolor="rgba(255,255,255,0)", itemsizing="constant"),
        hoverlabel=dict(font=dict(size=13, family=FONT)),
        margin=dict(l=64, r=24, t=64, b=56),
    )
)  # fmt: skip

# The mode bar of plotly 7 offers to upload the figure to a server; nothing leaves this page.
MODEBAR = dict(remove=["sendChartToCloud", "lasso", "select"], orientation="h")


def cycle(values: tuple[str, ...], number: int) -> str:
    """The value for a mode's number, over again when there are more modes than values."""
    return values[number % len(values)]
