"""Confidence intervals and correlations that the four tests share."""

from collections.abc import Callable

import numpy as np
from scipy.stats import norm, rankdata

RESAMPLES = 1000
LEVEL = 0.95


def bootstrap_interval(
    statistic: Callable[..., float], *columns: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float, float]:
    """statistic(*columns) and its 95 % interval, by the percentiles of it on rows drawn with replacement.

    Arguments:
        statistic: of columns of equal length n, to a number; a resample on which it is NaN is left out.
        columns: (n, ...) each.

    Raises:
        ValueError: columns of different length, or fewer than three rows.

    References:
        Efron & Tibshirani, An introduction to the bootstrap (1993), chapter 13.

    Example:
        >>> value, low, high = bootstrap_interval(np.mean, np.arange(100.0))
        >>> value, low < 49.5 < high
        (49.5, True)
    """
    columns = [np.asarray(column) for column in columns]
    sizes = {len(column) for column in columns}
    if len(sizes) != 1 or min(sizes) < 3:
        raise ValueError(f"got columns of length {sorted(sizes)}; expected one length, 3 at least")
    rng, n = np.random.default_rng(seed), sizes.pop()
    rows = rng.integers(n, size=(resamples, n))
    drawn = np.array([statistic(*(column[chosen] for column in columns)) for chosen in rows])
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if len(drawn) else (np.nan, np.nan)
    return float(statistic(*columns)), float(low), float(high)


def labelled(name: str, found: tuple[float, float, float]) -> dict[str, float]:
    """A figure and its interval as three columns: name, name_low, name_high."""
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's ρ, the correlation of the ranks; NaN where one of them is constant."""
    return _correlation(rankdata(x), rankdata(y))


def partial_rank_correlation(x: np.ndarray, y: np.ndarray, control: np.ndarray) -> float:
    """Spearman's ρ of x and y with `control` held fixed: the correlation of the ranks' residuals.

    Both ranks are regressed on the rank of the control, linearly; for log frequency that is the rank of frequency.

    References:
        Kim, ppcor: an R package for a fast calculation to semi-partial correlation coefficients (2015), eq. 2.

    Example:
        >>> control = np.arange(200.0)
        >>> round(partial_rank_correlation(control + 1, 2 * control, np.random.default_rng(0).permutation(200)), 2)
        1.0
    """
    ranks = [rankdata(column) for column in (x, y, control)]
    design = np.stack([np.ones(len(ranks[2])), ranks[2]], 1)
    residual = [r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in ranks[:2]]
    return _correlation(*residual)


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r; NaN where one of them is constant."""
    return _correlation(np.asarray(x, float), np.asarray(y, float))


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 1e-9 * len(x) else float("nan")


def proportion_interval(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of n independent cases."""
    z = norm.ppf((1 + LEVEL) / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float(middle - half), float(middle + half)
