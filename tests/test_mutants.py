"""mutants.py and mutations.py: which mutants are made, where none is made, and whose tests must kill them."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from factory import SOLUTION, make_topic

from autograder.authoring.mutants import Mutant, mutants

Make = Callable[[str], list[Mutant]]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """The mutants of the tiny topic if this is the body of `double`."""

    def make(body: str) -> list[Mutant]:
        old = "doubled_at_last = _secret_helper(x)\n    return doubled_at_last"
        topic = make_topic(tmp_path, solution=(old, body))
        lines = topic.solution_path.read_text(encoding="utf-8").split("\n")
        first, last = (lines.index(line) for line in ("def double(x):", "class Halver:"))
        return [mutant for mutant in mutants(topic) if first < mutant.line <= last]

    return make


def becomes(found: list[Mutant], kind: str) -> set[str]:
    """The last line of `double` in each mutant of one kind."""
    return {mutant.replace.split("\n")[-1].strip() for mutant in found if mutant.kind == kind}


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        ("return x < 5", "comparison", {"return x <= 5", "return x >= 5"}),
        ("return x  not  in y", "comparison", {"return x  in y"}),
        ("return (x + 5) * y", "arithmetic", {"return (x - 5) * y", "return (x + 5) / y"}),
        (
            "return (x + 5) * y",
            "operand dropped",
            {"return (x) * y", "return (5) * y", "return (x + 5)", "return y"},
        ),
        ("x += 5", "arithmetic", {"x -= 5", "x = 5"}),
        ("return f(x, 0)", "constant", {"return f(x, 1)"}),
        ("return f(x, 7)", "constant", {"return f(x, 8)", "return f(x, 6)"}),
        ("return f(x, 0.5)", "constant", {"return f(x, 1.0)"}),
        ("return f(x, True)", "constant", {"return f(x, False)"}),
        ("return x.sum(axis=0, keepdims=True)", "keyword dropped", {"return x.sum(keepdims=True)", "return x.sum(axis=0)"}),
        ("return x.sum(axis=0)", "constant", {"return x.sum(axis=1)"}),
        ("return x.sum()", "other function", {"return x.mean()"}),
        ("return max(x)", "other function", {"return min(x)"}),
        ("return range(n)", "off by one", {"return range(n + 1)", "return range(n - 1)", "return range(1, n)"}),
        ("return x[i : i + k]", "off by one", {"return x[i + 1 : i + k]", "return x[i - 1 : i + k]", "return x[i : (i + k) + 1]", "return x[i : (i + k) - 1]"}),
        ("return -x", "sign", {"return x"}),
        ("return not x", "sign", {"return x"}),
        ("return x and y", "boolean operator", {"return x or y"}),
        ("return f(x, y)", "arguments swapped", {"return f(y, x)"}),
        ("return x, y", "returned order", {"return y, x"}),
        ("return x.copy()", "copy dropped", {"return x"}),
        ("return x.T", "transpose dropped", {"return x"}),
        ("return np.sqrt(x)", "call dropped", {"return x"}),
        ("x.append(5)", "statement dropped", {"pass"}),
        ("return x if y else z", "condition", {"return x if True else z", "return x if False else z"}),
    ],
)  # fmt: skip
def test_a_rule_makes_its_slips(made: Make, body: str, kind: str, expected: set[str]) -> None:
    assert becomes(made(body), kind) == expected


@pytest.mark.parametrize(
    "body",
    [
        'raise ValueError(f"{x + 1} is above {3}")',
        '"""A text, 1 < 2."""',
        "return zip(x, y, strict=True)",
        "return x.reshape(n, -1) if not x else y",
        "return np.maximum(x, y)",
    ],
)
def test_no_slip_is_made_where_no_test_looks(made: Make, body: str) -> None:
    kinds = {mutant.kind for mutant in made(body)}

    assert kinds.isdisjoint({"constant", "comparison", "arithmetic"})
    if "maximum" in body:
        assert "arguments swapped" not in kinds


def test_only_what_stands_between_markers_is_changed(tmp_path: Path) -> None:
    topic = make_topic(tmp_path)
    lines = SOLUTION.split("\n")

    assert {lines[mutant.line - 1].strip() for mutant in mutants(topic)} == {
        "FACTOR = 2",
        "return x * FACTOR",
        "self.count += 1",
        "return x / 2",
    }


def test_a_mutant_is_python_and_no_two_are_the_same(tmp_path: Path) -> None:
    found = mutants(make_topic(tmp_path))

    codes = [ast.dump(ast.parse(mutant.text)) for mutant in found]
    assert len(set(codes)) == len(codes) > 10
    assert ast.dump(ast.parse(SOLUTION)) not in codes


def test_find_and_replace_make_the_mutant(tmp_path: Path) -> None:
    body = "if x:\n        return x + 1\n    elif x > 3:\n        return x + 1\n    return 0"
    topic = make_topic(tmp_path, solution=("return doubled_at_last", body))
    text = topic.solution_path.read_text(encoding="utf-8")

    for mutant in mutants(topic):
        assert text.count(mutant.find) == 1
        assert text.replace(mutant.find, mutant.replace) == mutant.text


def test_a_helper_belongs_to_the_tasks_that_use_it(tmp_path: Path) -> None:
    shared = SOLUTION.replace("return x / 2", "return _secret_helper(x) / 4")
    unused = SOLUTION.replace("return doubled_at_last", "return x + x").replace(
        "doubled_at_last = _secret_helper(x)", "pass"
    )

    def tasks_of_the_helper(solution: str) -> set[tuple[str, ...]]:
        found = mutants(make_topic(tmp_path, solution=solution))
        return {mutant.tasks for mutant in found if "x * FACTOR" in mutant.find}

    assert tasks_of_the_helper(SOLUTION) == {("double",)}
    assert tasks_of_the_helper(shared) == {("double", "halve")}
    assert tasks_of_the_helper(unused) == {("double", "halve")}


def test_letters_beyond_ascii_move_no_slip(made: Make) -> None:
    assert becomes(made('return f("žluťoučký", x + 1)'), "arithmetic") == {'return f("žluťoučký", x - 1)'}
