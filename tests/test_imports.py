"""Imports that a topic does not allow are found in the syntax tree, in any place."""

from __future__ import annotations

from autograder.imports import imports_outside

SOURCE = """
from __future__ import annotations
import math, os.path
import numpy as np
import torch.nn.functional as F
import torchvision
from scipy import special
from . import neighbour

def f():
    import pandas
    module = __import__("keras")
    return importlib.import_module("jax.numpy"), importlib.import_module("num" + "py")
"""


def test_every_import_outside_is_named_with_its_line():
    assert imports_outside(SOURCE, ["numpy", "torch"]) == [
        (6, "torchvision"),
        (7, "scipy"),
        (8, "."),
        (11, "pandas"),
        (12, "keras"),
        (13, "?"),
        (13, "jax.numpy"),
    ]


def test_a_package_allows_what_lies_in_it_and_a_part_allows_only_itself():
    source = "import torch.nn\nimport torch.optim\nfrom torch import nn\n"

    assert imports_outside(source, ["torch"]) == []
    assert imports_outside(source, ["torch.nn"]) == [(2, "torch.optim"), (3, "torch")]


def test_text_that_is_no_python_imports_nothing():
    assert imports_outside("import (", []) == []
    assert imports_outside("\0", []) == []
    assert imports_outside("(" * 100_000, []) == []
