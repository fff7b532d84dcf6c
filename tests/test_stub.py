"""stub.py: what replaces a marked block, and which markers are refused."""

from __future__ import annotations

import ast
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograder.errors import AuthorError
from autograder.stub import refuse_markers, solution_lines, to_stub

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def stub_of(source: str) -> str:
    return to_stub(textwrap.dedent(source), "topic.py")


def test_a_whole_body_becomes_one_raise_and_all_else_is_kept():
    stub = stub_of('''\
        """Module."""
        import numpy as np

        LIMIT = 3


        def softmax(x: np.ndarray, *, axis: int = -1) -> np.ndarray:
            """Return probabilities."""
            ### BEGIN SOLUTION
            e = np.exp(x - x.max(axis=axis, keepdims=True))
            return e / e.sum(axis=axis, keepdims=True)
            ### END SOLUTION


        def given(x):
            return x
        ''')

    assert stub == textwrap.dedent('''\
        """Module."""
        import numpy as np

        LIMIT = 3


        def softmax(x: np.ndarray, *, axis: int = -1) -> np.ndarray:
            """Return probabilities."""
            raise NotImplementedError("softmax: not started")


        def given(x):
            return x
        ''')


def test_a_part_of_a_body_is_replaced_in_its_place():
    stub = stub_of("""\
        def f(x):
            N, D = x.shape
            ### BEGIN SOLUTION
            y = x + N
            ### END SOLUTION
            return y
        """)

    assert stub.split("\n")[1:4] == [
        "    N, D = x.shape",
        '    raise NotImplementedError("f: not started")',
        "    return y",
    ]


def test_the_message_holds_the_qualified_name():
    stub = stub_of("""\
        class Perceptron:
            def fit(self, X):
                ### BEGIN SOLUTION
                return X
                ### END SOLUTION

        def outer():
            async def inner():
                ### BEGIN SOLUTION
                return 1
                ### END SOLUTION
            return inner
        """)

    assert '"Perceptron.fit: not started"' in stub
    assert '"outer.inner: not started"' in stub


def test_a_block_inside_a_branch_is_replaced_there():
    stub = stub_of("""\
        def f(x):
            for i in x:
                if i:
                    ### BEGIN SOLUTION
                    return i
                    ### END SOLUTION
            return 0
        """)

    assert '            raise NotImplementedError("f: not started")' in stub


def test_a_generator_becomes_a_function_that_raises_when_called():
    namespace: dict = {}
    exec(
        stub_of("""\
            def batches(x):
                ### BEGIN SOLUTION
                yield x
                ### END SOLUTION
            """),
        namespace,
    )

    with pytest.raises(NotImplementedError, match=r"^batches: not started$"):
        namespace["batches"](3)


def test_constants_become_none_and_helpers_vanish():
    stub = stub_of("""\
        import math

        ### BEGIN SOLUTION
        SOBEL_X: list = [[1, 0, -1]]
        A, (B, *C) = 1, (2, 3, 4)
        if A:
            D = [E := 3]

        def helper(x):
            local = x
            return local
        ### END SOLUTION
        KEPT = 1
        """)

    assert stub == textwrap.dedent("""\
        import math

        SOBEL_X = None
        A = None
        B = None
        C = None
        D = None
        KEPT = 1
        """)


def test_helpers_that_vanish_leave_no_gap():
    stub = stub_of("""\
        A = 1


        ### BEGIN SOLUTION
        def helper(x):
            return x
        ### END SOLUTION


        B = 2
        """)

    assert stub == "A = 1\n\n\nB = 2\n"


def test_a_class_body_keeps_its_names_and_never_ends_up_empty():
    stub = stub_of("""\
        class Net:
            ### BEGIN SOLUTION
            def forward(self, x):
                return x
            ### END SOLUTION
            ### BEGIN SOLUTION
            def backward(self, x):
                return x
            ### END SOLUTION

        class Config:
            ### BEGIN SOLUTION
            rate = 0.1
            ### END SOLUTION
        """)
    namespace: dict = {}
    exec(stub, namespace)

    assert not hasattr(namespace["Net"], "forward")
    assert namespace["Config"].rate is None


def test_a_decorated_helper_vanishes_with_its_decorator():
    stub = stub_of("""\
        import functools
        ### BEGIN SOLUTION
        @functools.cache
        def helper():
            return 1
        ### END SOLUTION
        """)

    assert "cache" not in stub


def test_texts_over_several_lines_may_stand_in_a_block():
    stub = stub_of('''\
        def f():
            ### BEGIN SOLUTION
            text = f"""
        {1}
        """
            return text
            ### END SOLUTION
        ''')

    assert stub == 'def f():\n    raise NotImplementedError("f: not started")\n'


def test_windows_line_ends_give_the_same_stub():
    source = f"def f():\n    {BEGIN}\n    return 1\n    {END}\n"

    assert to_stub(source.replace("\n", "\r\n"), "topic.py") == to_stub(source, "topic.py")


def test_solution_lines_are_those_between_the_markers():
    source = f"A = 1\ndef f():\n    {BEGIN}\n    b = 2\n\n    return b\n    {END}\n"

    assert solution_lines(source, "topic.py") == ((4, "    b = 2"), (6, "    return b"))


@pytest.mark.parametrize(
    "line",
    [
        "### begin solution",
        "### Begin Solution",
        "## BEGIN SOLUTION",
        "#### BEGIN SOLUTION",
        "# BEGIN SOLUTION",
        "###BEGIN SOLUTION",
        "###  BEGIN SOLUTION",
        "### BEGIN  SOLUTION",
        "### BEGIN SOLUTION ",
        "### BEGIN SOLUTION softmax",
        "### BEGIN SOLUTION:",
        "### BEGIN SOLUTON",
        "### BEGIN SOLUTIONS",
        "### BEGN SOLUTION",
        "### BEGINSOLUTION",
        "### BEGIN_SOLUTION",
        "### BEGIN ANSWER",
        "### BEGIN HIDDEN TESTS",
        "### END HIDDEN TESTS",
        "### BEGIN MARK SCHEME",
        "### SOLUTION BEGIN",
        "### SOLUTION",
        "# the answer ends here: end solution",
        "x = 1  ### BEGIN SOLUTION",
        "x = 1  # SOLUTION",
        "x = '### BEGIN SOLUTION'",
        "x = '''\n### END SOLUTION'''",
    ],
)
def test_whatever_resembles_a_marker_is_refused(line):
    place = 2 + line.count("\n")
    with pytest.raises(AuthorError, match=rf"^topic\.py:{place}: .*(marker|marks nothing)"):
        to_stub(f"y = 0\n{line}\n{BEGIN}\nz = 1\n{END}\n", "topic.py")


@pytest.mark.parametrize(
    "line",
    [
        "# the beginning of the loop",
        "# begin with the last step",
        "# hidden units, then the end of the sequence",
        "# the solution is unique",
        "# (N, T, H): hidden states",
        "# at the end, the hidden state",
        "text = 'the end of the hidden answer'",
    ],
)
def test_plain_comments_are_left_alone(line):
    assert line in to_stub(f"{line}\n{BEGIN}\nz = 1\n{END}\n", "topic.py")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("A = 1\n", r"topic\.py:1: no solution is marked; put"),
        (f"A = 1\n{END}\n", r"topic\.py:2: END without BEGIN; add '### BEGIN SOLUTION' above it"),
        (f"A = 1\n{BEGIN}\nB = 2\n", r"topic\.py:2: BEGIN without END; add '### END SOLUTION'"),
        (f"{BEGIN}\nA = 1\n{BEGIN}\nB = 2\n{END}\n", r"topic\.py:3: BEGIN inside the block begun on line 1"),
        (f"A = 1\n{BEGIN}\n\n{END}\n", r"topic\.py:2: the block is empty"),
        (f"A = 1\n{BEGIN}\n# nothing\n{END}\n", r"topic\.py:2: the block is empty"),
        (f"def f():\n    {BEGIN}\n    pass\n    {END}\n", r"topic\.py:2: the block is empty"),
        (
            f"def f():\n{BEGIN}\n    return 1\n{END}\n",
            r"topic\.py:2: BEGIN is indented by 0, the code below it by 4",
        ),
        (
            f"def f():\n    {BEGIN}\n    return 1\n{END}\n",
            r"topic\.py:4: END is indented by 0, its BEGIN on line 2",
        ),
        (
            f"def f():\n    {BEGIN}\n    return 1\nA = 1\n    {END}\n",
            r"topic\.py:4: this line is indented less",
        ),
        (f"A = [\n{BEGIN}\n1,\n{END}\n]\n", r"topic\.py:2: the block is empty"),
        (f"A = [\n{BEGIN}\n1]\nB = 2\n{END}\n", r"topic\.py:2: the block cuts the statement of line 1"),
        (f"{BEGIN}\nA = 1\nB = [\n{END}\n2]\n", r"topic\.py:1: the block cuts the statement of line 3"),
        (
            f"def f(x):\n    if x:\n        {BEGIN}\n        y = 1\n    else:\n        y = 2\n        {END}",
            r"topic\.py:5: this line is indented less",
        ),
        (
            f'def f():\n    {BEGIN}\n    """Doc."""\n    return 1\n    {END}\n',
            r"topic\.py:2: the docstring is inside",
        ),
        ("def f(:\n", r"topic\.py:1: not Python"),
        ("A = '\0'\n", r"topic\.py:1: not Python"),
        (
            f"def f():\n    n = 0\n    def g():\n        nonlocal n\n        n = 1\n    return g\n"
            f"def h():\n    {BEGIN}\n    m = 0\n    {END}\n    def g():\n        nonlocal m\n",
            r"topic\.py:8: what is left of the file does not compile",
        ),
    ],
)
def test_a_broken_block_is_refused_with_its_line_and_a_cure(source, message):
    with pytest.raises(AuthorError, match=f"^{message}"):
        to_stub(source, "topic.py")


def test_files_that_are_handed_out_as_they_are_hold_no_marker():
    refuse_markers("# the end of the hidden layer\n", "lesson.py")

    with pytest.raises(AuthorError, match=r"^lesson\.py:2: '# ### BEGIN SOLUTION' holds a solution marker"):
        refuse_markers("# text\n# ### BEGIN SOLUTION\n", "lesson.py")


STATEMENTS = st.sampled_from(
    [
        "a{n} = {n}",
        "print({n})",
        "for i{n} in range(3):\n    b{n} = i{n}",
        "if {n}:\n    c{n} = 1\nelse:\n    d{n} = 2",
        "def g{n}(x):\n    return x + {n}",
        "class K{n}:\n    e{n} = {n}",
        's{n} = """\ntext {n}\n"""',
        "# note {n}\nh{n} = 0",
    ]
)


@given(
    parts=st.lists(st.tuples(STATEMENTS, st.booleans()), min_size=1, max_size=8),
    where=st.sampled_from(["module", "function", "method"]),
)
def test_any_blocks_leave_a_stub_that_compiles_and_keeps_just_what_is_outside(parts, where):
    indent = {"module": 0, "function": 1, "method": 2}[where]
    lines = {"module": [], "function": ["def f():"], "method": ["class C:", "    def f(self):"]}[where]
    kept, secret = list(lines), []
    for number, (template, is_marked) in enumerate([*parts, ("last = {n}", True)]):
        statement = textwrap.indent(template.replace("{n}", str(1000 + number)), "    " * indent)
        pad = "    " * indent
        lines += [f"{pad}{BEGIN}", statement, f"{pad}{END}"] if is_marked else [statement]
        (secret if is_marked else kept).extend(statement.split("\n"))

    stub = to_stub("\n".join(lines) + "\n", "topic.py")

    ast.parse(stub)
    assert [line for line in stub.split("\n") if line in kept] == kept
    assert not {line.strip() for line in secret if "10" in line} & {line.strip() for line in stub.split("\n")}
    assert (" = None" in stub) == (where == "module")
    assert ("NotImplementedError" in stub) == (where != "module")
