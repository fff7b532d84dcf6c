"""A miniature assignment of two modules, with a data file, an image folder and a given helper: a shop and its till."""

from __future__ import annotations

import shutil
from pathlib import Path

from autograder.course import Course

ID = "01_shop"
ROOT = Path(__file__).resolve().parent.parent

FILES = {
    "topic.toml": """\
title = "A shop"
summary = "Read prices from a file, and add them up."
module = "shop"
also = ["till"]
files = ["data/prices.csv", "signs", "helpers.py"]
objectives = ["read a file", "import from a module of your own"]
imports = ["numpy"]
memory = 1024

[tasks.prices]
number = "1"
title = "Prices"
names = ["read_prices", "count_signs"]
points = 45

[tasks.till]
number = "2"
title = "The till"
names = ["total", "Till"]
points = 45
forbid = ["torch"]
""",
    "shop.py": '''\
"""A shop: what things cost, and how many signs it has."""

from __future__ import annotations

import os

from helpers import cents
from till import Till, total


def read_prices(path="data/prices.csv"):
    """Return the prices of a file: a dict from a thing's name to its price in cents (see helpers.cents).

    Each line of the file is a name, a comma and a price in euros.
    """
    ### BEGIN SOLUTION
    with open(path, encoding="utf-8") as lines:
        return {name: cents(price) for name, price in (line.split(",") for line in lines)}
    ### END SOLUTION


def count_signs(folder="signs"):
    """Return how many files are in a folder and in the folders in it."""
    ### BEGIN SOLUTION
    return sum(len(names) for _, _, names in os.walk(folder))
    ### END SOLUTION
''',
    "till.py": '''\
"""A till: it adds up what is bought."""

from __future__ import annotations

import numpy as np
from helpers import cents

### BEGIN SOLUTION
NOTHING = 0
### END SOLUTION


def total(prices):
    """Return the sum of a list of prices, a whole number of cents; 0 for none."""
    ### BEGIN SOLUTION
    the_sum_of_all = int(np.sum(prices, initial=NOTHING))
    return the_sum_of_all
    ### END SOLUTION


class Till:
    """Add up what is bought."""

    def __init__(self):
        self.prices = []

    def buy(self, euros):
        """Take in a price in euros, a text such as "1.50"; return the sum so far in cents."""
        ### BEGIN SOLUTION
        self.prices.append(cents(euros))
        return total(self.prices)
        ### END SOLUTION
''',
    "helpers.py": '''\
"""Given: how prices are written."""


def cents(euros):
    """Return a price in cents; `euros` is a text such as "1.50"."""
    return round(100 * float(euros))
''',
    "data/prices.csv": "apple,0.30\nbread,2.50\ncheese,4.99\n",
    "signs/open.txt": "open\n",
    "signs/door/closed.txt": "closed\n",
    "lesson.py": """\
# %% [markdown]
# # A shop

# %%
from autograder import attempt, check
import shop

# %%
with attempt():
    print(len(open("data/prices.csv").read()), shop.total([1, 2]))

# %% task="prices"
check("prices")

# %% task="till"
check("till")

# %% [markdown] question="why" points=10
# Why would anyone write two modules?
""",
    "test_shop.py": '''\
"""Public tests of the shop."""

import pytest
from autograder import expect
from helpers import cents


@pytest.mark.task("prices")
def test_bread_costs_two_fifty(student):
    """A price in euros becomes a price in cents."""
    expect.equal(student.read_prices()["bread"], cents("2.50"), what="read_prices: bread")


@pytest.mark.task("till")
def test_two_apples(student):
    """The till adds up."""
    expect.equal(student.total([30, 30]), 60, what="total")
''',
    "test_shop_hidden.py": '''\
"""Hidden tests of the shop."""

import pytest
from autograder import expect, probe


@pytest.mark.task("prices")
def test_every_price_is_read(student, reference):
    """Every line of the file gives a price."""
    with open("data/prices.csv", encoding="utf-8") as lines:
        names = [line.split(",")[0] for line in lines]
    expect.equal(student.read_prices(), reference.read_prices(), what="read_prices")
    expect.equal(sorted(student.read_prices()), sorted(names), what="read_prices: names")


@pytest.mark.task("prices")
def test_signs_in_all_folders_count(student):
    """Files in folders below the folder count as well."""
    expect.equal(student.count_signs(), 2, what="count_signs")


@probe
def bought(student, prices):
    till = student.Till()
    return [till.buy(price) for price in prices]


@pytest.mark.task("till")
def test_the_till_keeps_the_sum(student):
    """Each call of buy returns the sum of all prices so far."""
    expect.equal(bought(student, ["0.30", "2.50"]), [30, 280], what="Till.buy")


@pytest.mark.task("till")
def test_nothing_costs_nothing(student):
    """The sum of no prices is 0."""
    expect.equal(student.total([]), 0, what="total([])")
''',
    "mistakes.toml": """\
[[change]]
task = "till"
find = "    the_sum_of_all = int(np.sum(prices, initial=NOTHING))"

[[change.mistake]]
name = "the till forgets the first price"
replace = "    the_sum_of_all = int(np.sum(prices[1:], initial=NOTHING))"
hint = "All prices count, the first one too."

[[change.alternative]]
name = "a sum in plain Python"
replace = "    the_sum_of_all = sum(prices)"

[[change]]
task = "prices"
find = "    return sum(len(names) for _, _, names in os.walk(folder))"

[[change.mistake]]
name = "counts one folder alone"
replace = "    return len([name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name))])"
hint = "Folders may hold folders."
""",
}


def make_shop(root: Path, **changed: str | None) -> Course:
    """Write a course of this assignment below `root`; a changed file is given by its path with _ for / and ."""
    folder = root / "assignments" / ID
    for name, text in FILES.items():
        text = changed.get(name.replace("/", "_").replace(".", "_"), text)
        if text is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "nbgrader_config.py", root)
    return Course(root)
