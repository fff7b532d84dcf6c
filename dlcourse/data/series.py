"""Series of numbers over time: one that is drawn from a seed, and two real ones that statsmodels carries.

All are regular in time and without gaps, oldest value first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def waves(n: int, seed: int | Sequence[int]) -> Array:
    """Draw a series that can be forecast, but not perfectly: two cycles, one of which drifts, and noise.

    The same n and seed always draw the same series.

    Args:
        n: how many values, 1 or above
        seed: which series: an int, 0 or above, or several of them

    Returns:
        (n,) float64, most of it between -2 and 2

    Raises:
        ValueError: n below 1
    """
    if n < 1:
        raise ValueError(f"waves: n is {n}; ask for at least one value")
    rng = np.random.default_rng(seed=seed)
    phase = rng.uniform(0.0, 2.0 * np.pi, size=2)
    drift = np.cumsum(rng.normal(scale=0.05, size=n))
    t = np.arange(n)
    slow = np.sin(2.0 * np.pi * t / 24.0 + phase[0])
    quick = 0.5 * np.sin(2.0 * np.pi * t / 7.0 + phase[1] + drift)
    series: Array = slow + quick + rng.normal(scale=0.2, size=n)
    return series


def sunspots() -> tuple[npt.NDArray[np.int64], Array]:
    """Return the yearly number of sunspots from 1700 to 2008 (statsmodels; SIDC, Royal Observatory of Belgium).

    Returns:
        years, (309,) int64
        mean number of sunspots in each year, (309,) float64

    Raises:
        ModuleNotFoundError: statsmodels is not installed
    """
    table = _statsmodels("sunspots").sunspots.load_pandas().data
    return table["YEAR"].to_numpy().astype(np.int64), table["SUNACTIVITY"].to_numpy().astype(np.float64)


def co2() -> tuple[Array, Array]:
    """Return the carbon dioxide in the air over Mauna Loa, month by month (statsmodels; Keeling and Whorf, 2004).

    The weekly record of March 1958 to December 2001 is averaged over each month; the five months without
    any measurement are filled in along a straight line.

    Returns:
        time, (526,) float64, in years: 1958.0 is the beginning of January 1958
        parts per million by volume, (526,) float64

    Raises:
        ModuleNotFoundError: statsmodels is not installed
    """
    weekly = _statsmodels("co2").co2.load_pandas().data["co2"]
    monthly = weekly.resample("MS").mean().interpolate()
    time = monthly.index.year + (monthly.index.month - 1) / 12.0
    return time.to_numpy().astype(np.float64), monthly.to_numpy().astype(np.float64)


def _statsmodels(name: str) -> Any:
    try:
        from statsmodels import datasets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{name}: statsmodels is not installed; run pip install 'autograder[lessons]'", name=error.name
        ) from error
    return datasets
