"""Systems of sense induction word by word, and one less another on the same seeds and words."""

import math

import numpy as np
import pandas as pd

from labkit.evaluate.claims import bootstrap_interval
from labkit.evaluate.systems import BASELINE, CONTEXTUAL, TRIVIAL

# Beside the yardstick of its kind: what a system has to be compared with because it shares its vectors or places.
ALSO = {"occurrences": ("informed-given",), "occurrences-modes": ("occurrences-places",)}


def yardsticks(system: str) -> tuple[str, ...]:
    """k-means with the true number given, on the skip-gram's context means or on the encoder's vectors; and `ALSO`."""
    own = ("contextual-given", "contextual-both-given") if system in CONTEXTUAL else (BASELINE,)
    return tuple(name for name in own + ALSO.get(system, ()) if name != system and system not in TRIVIAL)


def by_word(cells: list[dict]) -> pd.DataFrame:
    """ARI of each system (a row) on each word (a column): the mean over seeds."""
    return _aris(cells).groupby(level="system", sort=False).mean()


def ahead(cells: list[dict], words: list[str] | None = None) -> pd.DataFrame:
    """Macro ARI of each system less that of a yardstick with the same seed.

    Arguments:
        words: over these alone; None for all.

    Returns:
        A row a system and yardstick: `mean`, `sem` and `size` over seeds; `low` and `high`, the 95 % interval over
        words (bootstrap of the differences, each a mean over seeds), missing for fewer than three words.

    Raises:
        KeyError: words that no cell has.
    """
    aris = _aris(cells)
    aris = aris if words is None else aris[words]
    rows = []
    for system in dict.fromkeys(aris.index.get_level_values("system")):
        for yardstick in yardsticks(system):
            if yardstick not in aris.index.get_level_values("system"):
                continue
            difference = (aris.loc[system] - aris.loc[yardstick]).dropna(how="all")
            if not len(difference):
                continue  # no seed in common
            over_seeds, over_words = difference.mean(axis=1), difference.mean().dropna()
            enough = len(over_words) > 2
            low, high = bootstrap_interval(np.mean, over_words.to_numpy())[1:] if enough else (math.nan, math.nan)
            rows.append({"system": system, "yardstick": yardstick, "mean": over_seeds.mean(), "sem": over_seeds.sem(),
                         "size": len(over_seeds), "low": low, "high": high})  # fmt: skip
    columns = ["system", "yardstick", "mean", "sem", "size", "low", "high"]
    return pd.DataFrame(rows, columns=columns).set_index(["system", "yardstick"])


def markdown(cells: list[dict], untouched: list[str]) -> list[str]:
    """`ahead` and `by_word` as Markdown; `untouched` words, which chose no setting, have a column of their own."""
    columns = ["macro ARI ahead, paired", "over seeds", "over words, 95 %"] + ["untouched words"] * bool(untouched)
    lines = [_row(columns), "|---" * len(columns) + "|"]
    apart = ahead(cells, untouched) if untouched else None
    for pair, row in ahead(cells).iterrows():
        interval = "–" if pd.isna(row.low) else f"[{row.low:.3f}, {row.high:.3f}]"
        figures = [" before ".join(pair), f"{_with_error(row)}, {int(row['size'])} seed(s)", interval]
        if apart is not None:
            figures.append(_with_error(apart.loc[pair]) if pair in apart.index else "–")
        lines.append(_row(figures))
    table = by_word(cells)
    lines += ["", _row(["ARI, mean of seeds", *table.columns]), "|---" + "|---:" * len(table.columns) + "|"]
    lines += [_row([system, *(f"{ari:.2f}" for ari in row)]) for system, row in table.iterrows()]
    return lines


def _aris(cells: list[dict]) -> pd.DataFrame:
    """A row a system and seed, a column a word."""
    rows = {(cell["system"], cell["seed"]): {word: row["ari"] for word, row in cell["words"].items()} for cell in cells}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["system", "seed"]).astype(float)


def _with_error(row: pd.Series) -> str:
    return f"{row['mean']:+.3f}" + (f" ± {row['sem']:.3f}" if row["size"] > 1 else "")


def _row(parts: list[str]) -> str:
    return f"| {' | '.join(parts)} |"
