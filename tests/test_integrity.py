"""What a module's text says about how it was written."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from factory import make_course

from autograder.course import Course
from autograder.grading.integrity import complaints, forbidden_calls, text_of
from autograder.topic import Topic

COURSE = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import ctypes", "Line 1 imports ctypes"),
        ("from gc import get_objects", "Line 1 imports gc"),
        ("import sys\nsys._getframe()", "Line 2 uses _getframe"),
        ("exec('1')", "Line 1 uses exec"),
        (f"W = '{'x' * 5000}'", "a literal of 5000 characters"),
        (f"W = {list(range(1500))}", "a list of 1500 numbers"),
        (f"W = {[list(range(100))] * 15}", "lists 1500 numbers or texts"),
        (f"LABELS = '{'0123456789' * 179}'", "1790 characters of text without spaces"),
        (
            f"LABELS = [{', '.join(repr('0123456789' * 8) for _ in range(15))}]",
            "1200 characters of text without",
        ),
        (f"LABELS = 0x{'1234567890abcdef' * 100}", "1600 characters of text without spaces"),
    ],
)
def test_what_no_task_needs_is_a_complaint(source: str, words: str) -> None:
    assert any(words in complaint for complaint in complaints(source.encode()))


@pytest.mark.parametrize("source", ["model.eval()", "def f(:", "x = 1", "'\\d'"])
def test_honest_code_is_left_in_peace(source: str) -> None:
    assert list(complaints(source.encode())) == []


def forbidden(folder: Path, source: str, *calls: str) -> dict[str, str]:
    """What a module is found to use if both tasks of the tiny topic forbid these calls."""
    topic = make_course(folder).topic("01_tiny")
    tasks = tuple(replace(task, forbid=calls or ("torch.nn.functional.conv2d",)) for task in topic.tasks)
    return forbidden_calls(source.encode(), replace(topic, tasks=tasks))


HIDING_PLACES = [
    "import torch\ndef double(x): return torch.nn.functional.conv2d(x)",
    "import torch.nn.functional as F\ndef double(x): return F.conv2d(x)",
    "from torch.nn.functional import conv2d as c\ndef double(x): return c(x)",
    "from torch.nn import functional as G\ndef double(x): return G.conv2d(x)",
    "from torch import nn\ndouble = nn.functional.conv2d",
    "def double(x):\n    from torch.nn.functional import conv2d\n    return conv2d(x)",
    "from torch.nn.functional import *\ndef double(x): return conv2d(x)",
    "import torch\nf = torch.nn.functional.conv2d\ndef double(x): return f(x)",
    "import torch\nF = torch.nn.functional\nG = F\ndef double(x): return G.conv2d(x)",
    "import torch\na, b = 1, torch.nn\ndef double(x): return b.functional.conv2d(x)",
    "import torch\ndef _f(x): return torch.nn.functional.conv2d(x)\ndef _g(x): return _f(x)\ndef double(x): return _g(x)",
    "import torch\ndef double(x): return getattr(torch.nn.functional, 'conv' + '2d')(x)",
    "import torch\ndef double(x): return getattr(getattr(torch.nn, 'functional'), f'conv2d')(x)",
    "import torch\ndef double(x): return getattr(torch.nn.functional, ''.join(['conv', '2d']))(x)",
    "import torch\ndef double(x): return vars(torch.nn.functional)['conv2d'](x)",
    "import torch\ndef double(x): return torch.nn.functional.__dict__['conv2d'](x)",
    "import importlib\ndef double(x): return importlib.import_module('torch.nn.functional').conv2d(x)",
    "def double(x): return __import__('torch').nn.functional.conv2d(x)",
    "def double(x): return __import__('torch.nn.functional', fromlist=['x']).conv2d(x)",
    "import sys\ndef double(x): return sys.modules['torch.nn.functional'].conv2d(x)",
    "import torch, operator\ndef double(x): return operator.attrgetter('nn.functional.conv2d')(torch)(x)",
    "import torch\ndef double(x): return torch.ops.aten.conv2d(x)",
    "import torch\ndef double(x): return torch._C._nn.slow_conv3d(x)",
    "import torch\ndef double(x, f=torch.nn.functional.conv2d): return f(x)",
    "import torch\ndef _run(lib, x): return lib.conv2d(x)\ndef double(x): return _run(torch.nn.functional, x)",
    "import torch\nclass _Lib:\n    def __init__(self): self.lib = torch.nn.functional\n    def go(self, x):\n"
    "        return self.lib.conv2d(x)\ndef double(x): return _Lib().go(x)",
    "import torch\nclass _Tools: pass\n_Tools.go = torch.nn.functional.conv2d\ndef double(x): return _Tools.go(x)",
    "import torch\n_kept = []\n_kept.append(torch.nn.functional.conv2d)\ndef double(x): return _kept[0](x)",
    "import torch\n_kept = {'f': torch.nn.functional.conv2d}\ndef double(x): return _kept['f'](x)",
    "import torch, functools\n_f = functools.partial(torch.nn.functional.conv2d)\ndef double(x): return _f(x)",
    "import torch\n_f = torch.nn.functional.conv2d\ndef double(x): return globals()['_f'](x)",
    "import torch\ndef _start():\n    global _f\n    _f = torch.nn.functional.conv2d\ndef double(x): return _f(x)",
    "import torch\nfor _f in [torch.nn.functional.conv2d]: pass\ndef double(x): return _f(x)",
    "import torch\ntry:\n    _f = torch.nn.functional.conv2d\nexcept Exception: pass\ndef double(x): return _f(x)",
    "import torch\nif True:\n    def double(x): return torch.nn.functional.conv2d(x)",
    "import torch\ndef double(x):\n    return (lambda y: torch.nn.functional.conv2d(y))(x)",
    "import torch\ndef double(x):\n    if (F := torch.nn.functional): return F.conv2d(x)",
    "import torch\n@torch.nn.functional.conv2d\ndef double(x): return x",
    "from torch.nn.functional import conv2d as double",
    "import torch\nclass _C(torch.nn.modules.conv.Conv2d): pass\ndef double(x): return _C(x)",
    "import sys\ndef double(x): return sys.modules.get('torch.nn.functional').conv2d(x)",
    "import torch\ndef double(x): return vars(torch.nn.functional).get('conv2d')(x)",
    "import pkgutil\ndef double(x): return pkgutil.resolve_name('torch.nn.functional:conv2d')(x)",
    "import torch, inspect\ndef double(x): return inspect.getattr_static(torch.nn.functional, 'conv2d')(x)",
    "import torch\ndef _lib(): return torch.nn.functional\ndef double(x): return _lib().conv2d(x)",
    "import torch\n_lib = lambda: torch.nn.functional\ndef double(x): return _lib().conv2d(x)",
    "import torch, contextlib as c\ndef double(x):\n    with c.nullcontext(torch.nn.functional) as F: return F.conv2d(x)",
    "def double(x): return 2 * x\nfrom torch.nn.functional import conv2d as double",
    "class _A:\n    from torch.nn.functional import conv2d as c\ndouble = _A.c",
    "def _start():\n    global double\n    from torch.nn.functional import conv2d as double\n_start()",
    "# coding: utf-7\n# +AAo-from torch.nn.functional import conv2d as double\n",
    "import torch\n_f = torch\n_f = _f.nn\n_f = _f.functional\n_f = _f.conv2d\ndef double(x): return _f(x)",
]


@pytest.mark.parametrize("source", HIDING_PLACES)
def test_a_forbidden_call_is_found_under_every_name(tmp_path: Path, source: str) -> None:
    found = forbidden(tmp_path, source)

    assert list(found) == ["double"]
    assert " may not be used here (line " in found["double"]


@pytest.mark.parametrize(
    "source",
    [
        "import torch\nglobals()['double'] = torch.nn.functional.conv2d",
        "import sys, torch\nsetattr(sys.modules[__name__], 'double', torch.nn.functional.conv2d)",
    ],
)
def test_what_is_put_into_the_module_by_a_text_may_be_any_function(tmp_path: Path, source: str) -> None:
    assert list(forbidden(tmp_path, source)) == ["double", "halve"]


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ndef double(x): return 2 * x\ndef _try(x): return torch.nn.functional.conv2d(x)",
        "import torch\ndef double(x): return 2 * x\nprint(torch.nn.functional.conv2d(1))",
        "import torch\ndef double(x): return 2 * x\nif __name__ == '__main__':\n    y = torch.nn.functional.conv2d(1)",
        "import torch\ndef double(x: torch.nn.functional.conv2d) -> torch.nn.functional.conv2d: return 2 * x",
        "from torch.nn import functional as F\ndef double(x): return F.conv1d(x)",
        "from torch.nn import functional as F\ndef double(x):\n    conv = 2\n    return conv * x\n"
        "def conv(x): return F.conv2d(x)",
        "def double(x):\n    'Not torch.nn.functional.conv2d.'\n    return 2 * x",
        "class F: conv2d = 1\ndef double(x): return F.conv2d * x",
        "from torch.nn.functional import conv2d as double\ndef double(x): return 2 * x",
    ],
)
def test_a_forbidden_call_elsewhere_costs_nothing(tmp_path: Path, source: str) -> None:
    assert forbidden(tmp_path, source) == {}


def test_a_whole_library_can_be_forbidden_but_for_its_types(tmp_path: Path) -> None:
    source = "import torch\ndef double(x):\n    assert not isinstance(x, torch.Tensor)\n    return 2 * x\n"

    assert forbidden(tmp_path / "a", source, "torch") == {}
    assert (
        "torch.add may not be used here (line 4: return"
        in (forbidden(tmp_path / "b", source.replace("2 * x", "torch.add(x, x)"), "torch")["double"])
    )


def test_a_call_costs_each_task_that_reaches_it(tmp_path: Path) -> None:
    source = "import torch\ndef _f(x): return torch.add(x, x)\ndef double(x): return _f(x)\nclass Halver:\n    f = _f\n"

    assert set(forbidden(tmp_path, source, "torch")) == {"double", "halve"}


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ndouble = torch\n" + "".join(f"double = double.a{n}\n" for n in range(40)),
        "".join(f"def f{n}(): return f{n + 1}()\n" for n in range(20_000)) + "double = f0",
    ],
    ids=["a name that stands for 2**40", "a chain of 20,000 functions"],
)
def test_a_text_takes_no_more_time_than_its_length_asks_for(tmp_path: Path, source: str) -> None:
    started = time.process_time()

    assert forbidden(tmp_path, source) == {}
    assert time.process_time() - started < 20


def test_another_encoding_is_a_complaint_and_its_lines_are_counted_as_python_does(tmp_path: Path) -> None:
    source = "# coding: unicode_escape\n#" + "\\n" * 50 + "from torch import conv2d as double"

    found = forbidden(tmp_path, source, "torch.conv2d")

    assert found["double"].endswith("(line 52: from torch import conv2d as double)")
    assert any("written in unicode_escape" in complaint for complaint in complaints(source.encode()))
    assert list(complaints(b"# coding: no-such\n")) == []
    assert text_of(b"# coding: idna\n\xff") == "# coding: idna\n\N{REPLACEMENT CHARACTER}"


def test_a_text_that_is_too_deep_to_be_followed_is_a_complaint(tmp_path: Path) -> None:
    source = f"def double(x): return {' + '.join('x' * 2000)}"

    assert forbidden(tmp_path, source) == {}
    assert any("nests more than 200 levels" in complaint for complaint in complaints(source.encode()))


@pytest.mark.parametrize(
    "topic",
    [topic for topic in Course(COURSE).topics() if any(task.forbid for task in topic.tasks)],
    ids=lambda topic: topic.id,
)
def test_no_right_answer_of_the_course_uses_what_its_task_forbids(topic: Topic) -> None:
    solution = topic.solution_path.read_text(encoding="utf-8")
    answers = [solution, *(solution.replace(edit.find, edit.replace) for edit in topic.alternatives)]

    assert [forbidden_calls(answer.encode(), topic) for answer in answers] == [{}] * len(answers)
