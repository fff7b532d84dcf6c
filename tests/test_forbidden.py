"""What a task forbids is absent when its tests run: no honest program loses points, and no cheat gets any."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from factory import make_course

from autograder.grading.intake.submission import Submission
from autograder.grading.mark.judge import Judge
from autograder.report import Report

MANIFEST = """\
title = "Tiny"
summary = "Double by hand, halve with torch, sum windows and clip without some of torch's functions."
module = "tiny"
objectives = ["say what doubling does"]
imports = ["numpy", "torch"]
memory = 2048

[tasks.double]
number = "1.1"
title = "Double"
names = ["double"]
points = 40
seconds = 5
forbid = ["torch"]

[tasks.halve]
number = "1.2"
title = "Halve"
names = ["halve"]
points = 20

[tasks.windows]
number = "1.3"
title = "Windows"
names = ["windows"]
points = 15
forbid = ["torch.nn.functional.conv2d", "torch.nn.Conv2d"]

[tasks.batch]
number = "1.4"
title = "Batch"
names = ["batch"]
points = 15
forbid = ["torch.utils.data.DataLoader", "torch.utils.data.default_collate", "torch.nn.utils"]
"""

SOLUTION = '''\
"""Four small tasks."""

from __future__ import annotations

import numpy as np
import torch


def double(x):
    """Return twice an array."""
    ### BEGIN SOLUTION
    return x + x
    ### END SOLUTION


def halve(x):
    """Return half of a tensor."""
    ### BEGIN SOLUTION
    return torch.div(x, 2)
    ### END SOLUTION


def windows(x):
    """Return the sum of each 2 x 2 window of an image, (H, W) tensor."""
    ### BEGIN SOLUTION
    return x[:-1, :-1] + x[1:, :-1] + x[:-1, 1:] + x[1:, 1:]
    ### END SOLUTION


def batch(tensors):
    """Stack a list of tensors."""
    ### BEGIN SOLUTION
    return torch.stack(tensors)
    ### END SOLUTION
'''

PUBLIC = '''\
import numpy as np
import pytest
import torch
from autograder import expect


@pytest.mark.task("double")
def test_double(student):
    """Twice a number is the number added to itself."""
    expect.close(student.double(np.array([1.0, 2.0])), np.array([2.0, 4.0]), what="double")


@pytest.mark.task("halve")
def test_halve(student):
    """Half of a number, added to itself, is the number."""
    expect.close(student.halve(torch.tensor([6.0])), torch.tensor([3.0]), what="halve")


@pytest.mark.task("windows")
def test_windows(student):
    """Each window is summed up."""
    expect.close(student.windows(torch.ones(3, 3)), 4 * torch.ones(2, 2), what="windows")


@pytest.mark.task("batch")
def test_batch(student):
    """Tensors are stacked."""
    expect.close(student.batch([torch.ones(2)] * 3), torch.ones(3, 2), what="batch")
'''

HIDDEN = '''\
import numpy as np
import pytest
import torch
from torch.nn import functional as F
from autograder import expect


@pytest.mark.task("double")
def test_double_hidden(student, rng):
    """Any array."""
    x = rng.normal(size=(3, 4))
    expect.close(student.double(x), torch.mul(torch.from_numpy(x), 2).numpy(), what="double")


@pytest.mark.task("halve")
def test_halve_hidden(student):
    """Half of a number, added to itself, is the number."""
    expect.close(student.halve(torch.tensor([4.0])), torch.tensor([2.0]), what="halve")


@pytest.mark.task("windows")
def test_windows_hidden(student, rng):
    """Each window is summed up."""
    x = torch.from_numpy(rng.normal(size=(5, 4)))
    expect.close(student.windows(x), F.conv2d(x[None, None], torch.ones(1, 1, 2, 2).double())[0, 0], what="windows")


@pytest.mark.task("batch")
def test_batch_hidden(student):
    """Tensors are stacked."""
    expect.close(student.batch([torch.zeros(2)] * 4), torch.zeros(4, 2), what="batch")
'''
POINTS = {"double": 40.0, "halve": 20.0, "windows": 15.0, "batch": 15.0}


@pytest.fixture(scope="module", params=["A", "B"])
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    topic = make_course(
        tmp_path_factory.mktemp("course"), manifest=MANIFEST, solution=SOLUTION, public=PUBLIC, hidden=HIDDEN,
        mistakes="",
    ).topic("01_tiny")  # fmt: skip
    with Judge(topic, seed=3, only=request.param) as judge:
        yield judge


def examined(judge: Judge, source: str) -> Report:
    return judge.examine(Submission("ada", "01_tiny", Path("ada"), textwrap.dedent(source).encode()))


def scores(report: Report) -> dict[str, float]:
    return {task.task: task.score for task in report.tasks}


def with_double(body: str) -> str:
    """The solution with this code instead of `double`."""
    return SOLUTION.replace("    return x + x\n", textwrap.indent(textwrap.dedent(body).strip("\n") + "\n", "    "))


def with_module(code: str) -> str:
    """The solution, followed by this code."""
    return SOLUTION + textwrap.dedent(code)


def test_a_tensor_for_code_without_torch_is_a_fault_of_the_test(tmp_path: Path) -> None:
    hidden = HIDDEN.replace("x = rng.normal(size=(3, 4))", "x = torch.ones(3, 4)", 1)
    topic = make_course(
        tmp_path, manifest=MANIFEST, solution=SOLUTION, public=PUBLIC, hidden=hidden, mistakes=""
    ).topic("01_tiny")

    with Judge(topic, seed=3) as judge:
        report = examined(judge, SOLUTION)

    assert report.status == "broken"
    assert [task.task for task in report.tasks if task.status == "broken"] == ["double"]


HONEST = {
    "a variable called F": with_double("F, C = x, 2\nreturn F * C"),
    "a parameter called torch": with_module("def double(torch): return torch + torch"),
    "a parameter called nn": with_module("def _twice(nn, functional=2): return nn * functional\ndef double(x): return _twice(x)"),
    "a look at the type": with_double("if isinstance(x, (torch.Tensor, list)) or torch.is_tensor(x): return None\nreturn 2 * x"),
    "a match of the type": with_double("match x:\n    case torch.Tensor(): return None\nreturn 2 * x"),
    "a dtype that is compared": with_double("return x * 3 if x.dtype == torch.float32 else x * 2"),
    "a seed that is set": with_double("torch.manual_seed(0)\nreturn 2 * x"),
    "no gradients": with_module("@torch.no_grad()\ndef double(x):\n    with torch.no_grad(): return 2 * x"),
    "a module full of torch": with_module("""
        import importlib
        import torch.nn as nn, torch.nn.functional as F, torch.optim.lr_scheduler
        from abc import ABC
        from dataclasses import dataclass
        from enum import Enum
        from typing import Generic, Optional, TypeVar
        from torch import Tensor, nn, optim
        from torch.nn.functional import *
        from torch.utils.data import DataLoader, Dataset
        functional = importlib.import_module("torch.nn.functional")
        DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(0)
        torch.backends.cudnn.deterministic = True
        assert tuple(int(part) for part in torch.__version__.split("+")[0].split(".")) > (1, 8)
        class Net(nn.Module):
            def __init__(self, width: int = 3, act=F.relu, dtype: torch.dtype = torch.float32):
                super().__init__()
                self.layer = nn.Linear(width, 2)
                self.act = act
            def forward(self, x: torch.Tensor | None) -> Tensor: return self.act(self.layer(x))
        class Deep(Net, ABC): pass
        T = TypeVar("T")
        class Box(nn.Module, Generic[T]): pass
        class Swish(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x): return x * torch.sigmoid(x)
        swish = Swish.apply
        class Rows(Dataset):
            def __init__(self, rows): self.rows = rows
            def __len__(self): return len(self.rows)
            def __getitem__(self, i): return self.rows[i], self.rows[i]
        @dataclass
        class Settings:
            device: torch.device = DEVICE
            weight: Optional[torch.Tensor] = None
        class Kind(Enum):
            SINGLE = torch.float32
            DOUBLE = torch.float64
        ACTIVATIONS = {"relu": relu, "tanh": nn.Tanh()}
        NET = Net()
        OPTIMIZER = optim.Adam(NET.parameters(), lr=0.1)
        for rows, others in DataLoader(Rows(torch.randn(8, 3)), batch_size=4):
            loss = F.mse_loss(NET(rows), others[:, :2])
            loss.backward()
            OPTIMIZER.step()
        first, second = torch.split(torch.randn(4, 2), 2)
        COUNT = sum(parameter.numel() for parameter in NET.parameters())
        print(f"{COUNT:,} {loss.item():.3f}")
        assert torch.allclose(halve(torch.ones(2)), torch.full((2,), 0.5))
        """),
    "a statement at the top that needs a value": with_module("""
        NAMES = ["a", "b", "c"]
        CHOSEN = [NAMES[int(i)] for i in torch.arange(3) + 0][-1] if len(torch.arange(3)) == 3 else NAMES[7]
        """),
    "torch that is tried and done without": with_double("""
        try:
            return torch.mul(torch.from_numpy(x), 2).numpy()
        except Exception:
            return 2 * x
        """),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_module_keeps_every_point(judge: Judge, name: str) -> None:
    report = examined(judge, HONEST[name])

    assert scores(report) == POINTS, [task.hint for task in report.tasks]


_BY_TORCH = "torch.mul(torch.from_numpy(x), 2).numpy()"
CHEATS = {
    "plainly": with_double(f"return {_BY_TORCH}"),
    "in except*": with_module(f"""
        try:
            raise ExceptionGroup("", [ValueError()])
        except* ValueError:
            def double(x): return {_BY_TORCH}
        """),
    "a walrus": with_module(f"if (double := lambda x: {_BY_TORCH}): pass"),
    "a thread": with_double(f"""
        import threading
        found = []
        thread = threading.Thread(target=lambda: found.append({_BY_TORCH}))
        thread.start(); thread.join()
        return found[0]
        """),
    "globals()": with_module(f"globals()['dou' + 'ble'] = lambda x: {_BY_TORCH}"),
    "sys.modules": with_double("import sys\ntorch = sys.modules['torch']\nreturn torch.mul(torch.from_numpy(x), 2).numpy()"),
    "a decorator": with_module(f"def _by(_f): return lambda x: {_BY_TORCH}\n@_by\ndef double(x): pass"),
    "class attributes": with_module("class _A:\n    m = torch.mul\n    f = torch.from_numpy\ndef double(x): return _A.m(_A.f(x), 2).numpy()"),
    "eval": with_double(f"return eval({_BY_TORCH!r})"),
    "partial": with_module("import functools\n_m = functools.partial(torch.mul, other=2)\ndef double(x): return _m(torch.from_numpy(x)).numpy()"),
    "torch.ops.aten": with_double("return torch.ops.aten.mul(torch.from_numpy(x), 2).numpy()"),
    "torch._C": with_double("return torch._C._VariableFunctions.mul(torch.from_numpy(x), 2).numpy()"),
    "a layer made at the import": with_module("_L = torch.nn.Linear(1, 1)\ndef double(x): return _L(torch.from_numpy(x)).numpy()"),
    "a module that was removed and imported again": with_double("""
        import importlib, sys
        sys.meta_path[:] = [finder for finder in sys.meta_path if "autograder" not in type(finder).__module__]
        for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]: del sys.modules[name]
        torch = importlib.import_module("torch")
        return torch.mul(torch.from_numpy(x), 2).numpy()
        """),
    "importlib from a path": with_double("""
        import glob, importlib.util, sys
        import numpy
        for root in [*sys.path, numpy.__path__[0] + "/.."]:
            for path in glob.glob(root + "/torch/__init__.py"):
                spec = importlib.util.spec_from_file_location("torch", path)
                torch = importlib.util.module_from_spec(spec); sys.modules["torch"] = torch
                spec.loader.exec_module(torch)
                return torch.mul(torch.from_numpy(x), 2).numpy()
        """),
    "another program": with_double("""
        import subprocess, sys
        out = subprocess.run([sys.executable, "-c", "import torch; print(2 * torch.ones(1))"], capture_output=True)
        return 2 * x if out.stdout else None
        """),
    "the stand-in told that it is being imported": with_double("""
        type(torch)
        world = torch._standing[0]
        world.is_importing = True
        return torch.mul(torch.from_numpy(x), 2).numpy()
        """),
    "a class of its own": with_module("class _D(torch.nn.Module):\n    def forward(self, x): return 2 * x\ndef double(x): return _D()(x)"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_earns_nothing_in_its_task_and_keeps_the_others(judge: Judge, name: str) -> None:
    report = examined(judge, CHEATS[name])

    assert scores(report) == POINTS | {"double": 0.0}, [task.hint for task in report.tasks]


WINDOWS = {
    "the function": "torch.nn.functional.conv2d(x[None, None], torch.ones(1, 1, 2, 2).to(x))[0, 0]",
    "its operator": "torch.ops.aten.conv2d(x[None, None], torch.ones(1, 1, 2, 2).to(x))[0, 0]",
    "a back end": "torch.mkldnn_convolution(x[None, None].float(), torch.ones(1, 1, 2, 2), None, (0, 0), (1, 1), (1, 1), 1)[0, 0]",
    "another back end": "torch._C._nn.slow_conv_dilated2d(x[None, None], torch.ones(1, 1, 2, 2).to(x), (2, 2))[0, 0]",
    "a tensor laid out for a back end": "torch.conv2d(x[None, None].float().to_mkldnn(), torch.ones(1, 1, 2, 2).to_mkldnn()).to_dense()[0, 0].to(x)",
    "a kernel for another device": "torch.library.get_kernel('aten::mkldnn_convolution', 'XLA').call_boxed(torch._C.DispatchKeySet(torch._C.DispatchKey.CPU), x[None, None].float(), torch.ones(1, 1, 2, 2), None, [0, 0], [1, 1], [1, 1], 1)[0, 0].to(x)",
    "a depth of one": "torch.conv3d(x[None, None, None], torch.ones(1, 1, 1, 2, 2).to(x))[0, 0, 0]",
    "torch._C": "torch._C._VariableFunctions.conv2d(x[None, None], torch.ones(1, 1, 2, 2).to(x))[0, 0]",
    "a layer made at the import": "_L.to(x)(x[None, None])[0, 0]",
    "a gradient": "torch.nn.grad.conv2d_weight(x[None, None].transpose(0, 1), (1, 1, x.shape[0] - 1, x.shape[1] - 1), torch.ones(1, 1, 2, 2).to(x))[0, 0]",
    "a script": "_S(x[None, None], torch.ones(1, 1, 2, 2).to(x))[0, 0]",
    "a thread": "_in_a_thread(lambda: torch.conv2d(x[None, None], torch.ones(1, 1, 2, 2).to(x))[0, 0])",
    "a module that is read again": "__import__('importlib').reload(torch.nn.functional).conv2d(x[None, None], torch.ones(1, 1, 2, 2).to(x))[0, 0]",
}
_BEFORE = """
import threading
class _Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 2, bias=False)
        torch.nn.init.ones_(self.conv.weight)
    def forward(self, x): return self.conv(x)
_L = _Net()
_SEEN = _L(torch.zeros(1, 1, 3, 3))
assert _SEEN.shape == (1, 1, 2, 2) and _SEEN.requires_grad
_S = torch.jit.trace(lambda x, w: torch.conv2d(x, w), (torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2)))
def _in_a_thread(f):
    found = []
    thread = threading.Thread(target=lambda: found.append(f()))
    thread.start(); thread.join()
    return found[0]
"""


@pytest.mark.parametrize("name", WINDOWS)
def test_a_forbidden_operator_is_trapped_wherever_it_is_called(judge: Judge, name: str) -> None:
    report = examined(judge, SOLUTION + _BEFORE + f"def windows(x): return {WINDOWS[name]}\n")

    assert scores(report) == POINTS | {"windows": 0.0}, [task.hint for task in report.tasks]


def test_a_module_may_convolve_where_its_tasks_do_not_forbid_it(judge: Judge) -> None:
    source = SOLUTION + _BEFORE + "def halve(x): return _L.conv(x.expand(1, 1, 2, 2)).flatten().detach() / 8"

    assert scores(examined(judge, source)) == POINTS


BATCHES = {
    "the function": "torch.utils.data.default_collate(tensors)",
    "its home": "torch.utils.data._utils.collate.default_collate(tensors)",
    "what it calls": "torch.utils.data._utils.collate.collate(tensors, collate_fn_map=torch.utils.data._utils.collate.default_collate_fn_map)",
    "a loader": "next(iter(torch.utils.data.DataLoader(tensors, batch_size=len(tensors))))",
    "a subclass": "next(iter(_Loader(tensors, batch_size=len(tensors))))",
    "an alias": "_collate(tensors)",
    "a partial": "__import__('functools').partial(_collate)(tensors)",
    "a whole package": "torch.stack(tensors) if torch.nn.utils.parameters_to_vector(tensors) is not None else None",
    "the file, read again": "_read_again('torch.utils.data._utils.collate').default_collate(tensors)",
}
_BEFORE_BATCH = """
import importlib.util, sys
from torch.utils.data import DataLoader, default_collate as _collate
class _Loader(DataLoader): pass
for _rows in DataLoader(torch.ones(4, 2), batch_size=2): pass
assert _rows.shape == (2, 2)
def _read_again(name):
    spec = importlib.util.spec_from_file_location("again", sys.modules[name].__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
"""


@pytest.mark.parametrize("name", BATCHES)
def test_a_forbidden_function_is_trapped_under_every_name(judge: Judge, name: str) -> None:
    report = examined(judge, SOLUTION + _BEFORE_BATCH + f"def batch(tensors): return {BATCHES[name]}\n")

    assert scores(report) == POINTS | {"batch": 0.0}, [task.hint for task in report.tasks]


def test_the_sentence_names_function_line_and_cure(judge: Judge) -> None:
    report = examined(judge, CHEATS["plainly"])

    hint = next(task.hint for task in report.tasks if task.task == "double")
    assert hint == (
        "double uses torch.from_numpy (line 12 of tiny.py: `return torch.mul(torch.from_numpy(x), 2).numpy()`), "
        "which this task does not allow: write it with NumPy."
    )


def test_a_class_of_the_package_is_named_where_it_begins(judge: Judge) -> None:
    source = with_module("class double(torch.nn.Module):\n    def __new__(cls, x): return super().__new__(cls)\n")

    hint = next(task.hint for task in examined(judge, source).tasks if task.task == "double")

    assert "uses torch.nn.Module (line " in hint
