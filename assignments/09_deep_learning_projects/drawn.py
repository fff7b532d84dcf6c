"""Drawn data: two series and a table, as long as you like and different for each seed. Given to you.

seasonal(n, seed)      a wave of twelve steps, with noise that is slow to change; mostly linear
population(n, seed)    animals that have too many children when they are few; one step is a curve, not a line
table(n, seed)         measurements in different units, and a label of three classes
write_table(path, ...) the same as a CSV file
"""

from __future__ import annotations

import numpy as np


def seasonal(n, seed=0):
    """Draw a series of n values around 50: two waves, of 12 and of 6 steps, and noise in which each value follows the
    one before it.

    Returns:
        (n,) float64
    """
    rng = np.random.default_rng(seed)
    first, second = rng.uniform(0, 2 * np.pi, size=2)
    noise = np.zeros(n + 50)
    for t in range(1, n + 50):
        noise[t] = 0.7 * noise[t - 1] + 2 * rng.normal()
    t = np.arange(n)
    return 50 + 8 * np.sin(2 * np.pi * t / 12 + first) + 3 * np.sin(2 * np.pi * t / 6 + second) + noise[50:]


def population(n, seed=0):
    """Draw the size of a population in n years (Ricker's model): many this year means few in the next one.

        next = now * exp(2.9 * (1 - now / 100) + a little noise)

    Returns:
        (n,) float64, above 0
    """
    rng = np.random.default_rng(seed)
    now, sizes = 100 * rng.uniform(0.5, 1.5), []
    for _ in range(n + 50):
        now = now * np.exp(2.9 * (1 - now / 100) + 0.03 * rng.normal())
        sizes.append(now)
    return np.array(sizes[50:])


COLUMNS = ("height", "weight", "income", "offset", "noise")
CLASSES = ("inner", "outer", "side")


def table(n, seed=0):
    """Draw n rows of five measurements in very different units, and a class for each row.

    Height and weight decide between "inner" and "outer" (a disc and a ring around it), income decides "side".

    Returns:
        x: (n, 5) float64, the columns are COLUMNS
        labels: a list of n texts, each of them in CLASSES
    """
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, size=n, p=[0.4, 0.35, 0.25])
    angle = rng.uniform(0, 2 * np.pi, size=n)
    radius = np.where(kind == 0, rng.uniform(0, 1, size=n), rng.uniform(1.4, 2.4, size=n))
    radius = np.where(kind == 2, rng.uniform(0, 2.4, size=n), radius)
    income = 30_000 + 4_000 * rng.normal(size=n) + 30_000 * (kind == 2)
    x = np.column_stack([
        1.7 + 0.1 * radius * np.cos(angle),
        70_000 + 9_000 * radius * np.sin(angle),
        income,
        1e-3 * (5 + rng.normal(size=n)),
        rng.normal(size=n),
    ])  # fmt: skip
    return x, [CLASSES[number] for number in kind]


def write_table(path, x, labels, columns=COLUMNS, target="target"):
    """Write rows as a CSV file: a header, then one line for each row, the label last."""
    lines = [",".join([*columns, target])]
    lines += [",".join([*(repr(float(cell)) for cell in row), label]) for row, label in zip(x, labels, strict=True)]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
