"""What crosses the wall, and how it looks on the other side: every value behaves as in one process."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autograder.faults import StudentError
from autograder.grading.run.proxy import Examinee, Student
from autograder.probe import probe
from autograder.sandbox.ladder import climb
from autograder.sandbox.outside.ends import Ended, ImportFailed, LimitExceeded, ProtocolBroken, WorkerDied
from autograder.sandbox.outside.zygotes import Zygote, _open_folders
from autograder.sandbox.rungs.launch import Limits

Open = Callable[..., Student]


@pytest.fixture(scope="module", params=["A", "B", "D"])
def zygote(request: pytest.FixtureRequest) -> Iterator[Zygote]:
    if request.param != "D" and not climb(request.param).holds:
        pytest.skip(climb(request.param).reason)
    with Zygote(request.param, ("numpy", "autograder"), Limits(memory_mb=1024)) as zygote:
        yield zygote


@pytest.fixture
def examinees() -> Iterator[list[Examinee]]:
    opened: list[Examinee] = []
    yield opened
    for examinee in opened:
        examinee.close()


@pytest.fixture
def open_module(zygote: Zygote, examinees: list[Examinee]) -> Open:
    """Load a module's text behind the wall and return it as a test sees it."""

    def load(source: str, *, seconds: float = 5.0, imports: tuple[str, ...] = ("numpy",)) -> Student:
        examinee = Examinee(zygote, module="answer", source=textwrap.dedent(source).encode(), imports=imports)
        examinees.append(examinee)
        examinee.start("task", seconds)
        return Student(examinee)

    return load


def test_what_is_drawn_without_a_seed_is_the_same_in_every_examination(open_module: Open) -> None:
    source = "import numpy as np\ndef draw(): return [float(np.random.default_rng().random()) for _ in range(3)]"

    def drawn(seed: int) -> list[float]:
        student = open_module(source)
        examinee = object.__getattribute__(student, "_examinee")
        examinee.seed(seed)
        return list(student.draw())

    first, again, other = drawn(1), drawn(1), drawn(2)

    assert first == again
    assert len({*first, *other}) == 6


VALUES = [
    None, True, 0, -1, 2**62, 2**200, -(2**70), 0.5, float("inf"), 1 + 2j, "text", "é\0", b"bytes", [], (), {},
    [1, [2, (3,)]], {"a": [1], 2: None}, {1, 2}, frozenset({"x"}), slice(1, None, 2), Ellipsis, np.dtype("float32"),
    np.float32, np.float64(0.25), np.int8(-3), np.bool_(True),
]  # fmt: skip


def test_plain_values_come_back_as_they_went(open_module: Open) -> None:
    student = open_module("def echo(x): return [x, type(x).__name__]")

    for value in VALUES:
        back, name = student.echo(value)
        assert type(back) is type(value), value
        assert back == value
        assert name == type(value).__name__


ARRAYS = {
    "float64": np.arange(6.0).reshape(2, 3),
    "float32": np.float32([[1.5]]),
    "bool": np.array([True, False]),
    "text": np.array(["a", "bcd"]),
    "zero-dimensional": np.array(3.0),
    "empty": np.empty((0, 3)),
    "nan": np.array([np.nan, -0.0]),
    "Fortran order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "every other column": np.arange(12.0).reshape(3, 4)[:, ::2],
    "transposed": np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1),
    "backwards": np.arange(5)[::-1],
    "big-endian": np.arange(3, dtype=">i4"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_keeps_its_values_dtype_and_layout(open_module: Open, name: str) -> None:
    student = open_module(
        """
        def look(x): return x + 0 if x.dtype.kind != "U" and x.dtype.kind != "b" else x.copy()
        def layout(x): return x.flags.c_contiguous, x.flags.f_contiguous, x.flags.writeable
        """
    )
    array = ARRAYS[name]

    back = student.look(array)

    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)
    assert student.layout(array) == (array.flags.c_contiguous, array.flags.f_contiguous, True)


def test_a_read_only_argument_is_read_only_there(open_module: Open) -> None:
    student = open_module("def change(x): x[0] = 9")
    x = np.zeros(3)
    x.flags.writeable = False

    with pytest.raises(ValueError, match="read-only"):
        student.change(x)


def test_what_is_changed_in_place_is_written_back(open_module: Open) -> None:
    student = open_module(
        """
        def step(params, grads, state, log):
            for p, g in zip(params, grads):
                p -= 0.5 * g
            state["t"] = state.get("t", 0) + 1
            log.append("stepped")
            params[1] = params[1] * 10
        """
    )
    params = [np.ones(3), np.ones((2, 2), order="F")]
    first, grads, state, log = params[0], [np.ones(3), np.ones((2, 2))], {}, []

    student.step(params, grads, state, log)

    assert params[0] is first
    np.testing.assert_array_equal(first, [0.5] * 3)
    np.testing.assert_array_equal(params[1], np.full((2, 2), 5.0))
    np.testing.assert_array_equal(grads[0], np.ones(3))
    assert (state, log) == ({"t": 1}, ["stepped"])


def test_inputs_left_alone_stay_the_same_objects_with_the_same_bits(open_module: Open) -> None:
    student = open_module("def double(x): return 2 * x")
    x = np.array([np.nan, 1.0])
    before = x.tobytes()

    student.double(x)

    assert x.tobytes() == before


def test_an_output_that_is_an_argument_comes_back_as_that_object(open_module: Open) -> None:
    student = open_module(
        """
        def same(x): return x
        def cache(x, w): return x @ w, (x, w)
        def view(x): return x.reshape(-1)[1:]
        def copy(x): return x.copy()
        """
    )
    x, w = np.arange(6.0).reshape(2, 3), np.ones((3, 2))

    _, kept = student.cache(x, w)

    assert student.same(x) is x
    assert kept[0] is x
    assert kept[1] is w
    assert np.shares_memory(student.view(x), x)
    np.testing.assert_array_equal(student.view(x), [1, 2, 3, 4, 5])
    assert not np.shares_memory(student.copy(x), x)


def test_one_array_given_twice_is_one_array_there(open_module: Open) -> None:
    student = open_module("def same(a, b): return a is b")
    x = np.zeros(2)

    assert student.same(x, x)
    assert not student.same(x, x.copy())


def test_a_generator_goes_on_where_the_other_side_stopped(open_module: Open) -> None:
    student = open_module("def draw(rng): return rng.normal(size=3)")
    here, there = np.random.default_rng(5), np.random.default_rng(5)

    drawn = [student.draw(there), student.draw(there)]

    np.testing.assert_array_equal(drawn, [here.normal(size=3), here.normal(size=3)])
    assert there.bit_generator.state == here.bit_generator.state


@pytest.mark.parametrize("kind", ["MT19937", "Philox", "SFC64", "PCG64DXSM"])
def test_every_bit_generator_crosses(open_module: Open, kind: str) -> None:
    student = open_module("def draw(rng): return rng.integers(1 << 40, size=3)")
    make = getattr(np.random, kind)

    drawn = student.draw(np.random.Generator(make(1)))

    np.testing.assert_array_equal(drawn, np.random.Generator(make(1)).integers(1 << 40, size=3))


def test_callbacks_run_here_and_may_ask_there_again(open_module: Open) -> None:
    student = open_module(
        """
        def descend(f, df, x, steps):
            path = [x.copy()]
            for _ in range(steps):
                x = x - 0.1 * df(x)
                path.append(x)
            return path, [f(p) for p in path]
        def square(x): return float((x * x).sum())
        """
    )
    seen = []

    def df(x: Any) -> Any:
        seen.append(x)
        return 2 * x

    path, values = student.descend(lambda x: student.square(x), df, np.array([1.0, 2.0]), 3)

    assert len(seen) == 3
    np.testing.assert_allclose(path[1], [0.8, 1.6])
    assert values[0] == 5.0


def test_a_callback_may_ask_for_one_array_and_return_another(open_module: Open) -> None:
    student = open_module("def double(x): return 2 * x\ndef ask(f): return f()")

    back = student.ask(lambda: np.array([1.0, 2.0, 3.0]) + student.double(np.array([9.0, 9.0, 9.0])))

    np.testing.assert_array_equal(back, [19.0, 20.0, 21.0])


def test_one_function_under_two_names_may_change_only_what_both_may(
    open_module: Open, examinees: list[Examinee]
) -> None:
    student = open_module("def look(x): x[...] = 0\nstep = look")
    x, y = np.ones(2), np.ones(2)
    examinees[0].changes.begin(frozenset({"step:0"}))

    student.step(x)
    student.look(y)

    assert (x.tolist(), y.tolist()) == ([0, 0], [1, 1])
    assert examinees[0].changes.arguments == {"step:0", "look:0"}


def test_an_empty_array_whose_sum_would_fill_the_memory_is_refused(open_module: Open) -> None:
    student = open_module("import numpy as np\ndef f(): return np.empty((0, 1 << 39))")

    with pytest.raises(ProtocolBroken, match="an impossible shape"):
        student.f()


def test_an_exception_of_a_callback_reaches_the_student_and_comes_back(open_module: Open) -> None:
    student = open_module(
        """
        def careful(f):
            try:
                f()
            except ZeroDivisionError as error:
                return "caught " + str(error)
        def careless(f): f()
        """
    )

    def fail() -> None:
        raise ZeroDivisionError("nothing to share")

    assert student.careful(fail) == "caught nothing to share"
    with pytest.raises(ZeroDivisionError):
        student.careless(fail)


def test_an_argument_that_is_perturbed_is_seen_perturbed_by_the_callback(open_module: Open) -> None:
    student = open_module(
        """
        def slope(f, x, h):
            old = x[0]
            x[0] = old + h; up = f(x)
            x[0] = old - h; down = f(x)
            x[0] = old
            return (up - down) / (2 * h)
        """
    )
    x = np.array([3.0])

    assert student.slope(lambda v: float(v[0] ** 2), x, 1e-3) == pytest.approx(6.0)
    assert x[0] == 3.0


def test_objects_stay_there_and_behave_as_if_they_were_here(open_module: Open) -> None:
    student = open_module(
        """
        class Vector:
            size = 2
            def __init__(self, *items): self.items = list(items)
            def __len__(self): return len(self.items)
            def __iter__(self): return iter(self.items)
            def __getitem__(self, i): return self.items[i]
            def __setitem__(self, i, value): self.items[i] = value
            def __contains__(self, x): return x in self.items
            def __add__(self, other): return Vector(*[a + b for a, b in zip(self.items, getattr(other, "items", [other] * 9))])
            __radd__ = __add__
            def __matmul__(self, other): return sum(a * b for a, b in zip(self.items, other.items))
            def __neg__(self): return Vector(*[-a for a in self.items])
            def __enter__(self): self.open = True; return self
            def __exit__(self, *error): self.open = False
            def __bool__(self): return bool(self.items)
        def is_vector(v): return type(v) is Vector
        """
    )
    v = student.Vector(1, 2)

    assert len(v) == 2
    assert list(v) == [1, 2]
    assert v[1] == 2
    assert 2 in v
    assert 5 not in v
    assert (v + v).items == [2, 4]
    assert (10 + v).items == [11, 12]
    assert v @ v == 5
    assert (-v)[0] == -1
    v[0] = 7
    v.label = "mine"
    assert (v.items, v.label, v.size) == ([7, 2], "mine", 2)
    with v as inside:
        assert inside is v
        assert v.open
    assert not v.open
    assert student.is_vector(v)
    assert bool(v)
    assert not student.Vector()
    assert student.Vector is student.Vector


def test_a_generator_of_the_students_is_drawn_one_by_one(open_module: Open) -> None:
    student = open_module(
        """
        def count():
            n = 0
            while True:
                yield n
                n += 1
        """
    )
    numbers = student.count()

    assert [next(numbers) for _ in range(3)] == [0, 1, 2]
    assert next(iter(numbers)) == 3


def test_a_name_that_is_bound_again_is_the_new_thing(open_module: Open) -> None:
    student = open_module(
        """
        def first(): return 1
        def second():
            global first
            first = lambda: 2
        def third(ask):
            global first
            first = lambda: 3
            return ask()
        """
    )
    before = student.first

    student.second()

    assert (before(), student.first(), student.first is before) == (1, 2, False)
    assert student.third(lambda: student.first()) == 3


@pytest.mark.parametrize("threads", [2, 8])
def test_threads_call_a_function_of_the_test(open_module: Open, threads: int) -> None:
    student = open_module(
        """
        import threading
        def each(function, count):
            found = {}
            def work(n): found[n] = [function(n, k) for k in range(20)]
            threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            return found
        def double(x): return 2 * x
        """
    )

    assert student.each(lambda n, k: n * k, threads) == {n: [n * k for k in range(20)] for n in range(threads)}
    assert student.each(lambda n, k: student.double(n) + k, threads) == {
        n: [2 * n + k for k in range(20)] for n in range(threads)
    }


def test_threads_may_call_within_what_the_test_calls_within_a_call(open_module: Open) -> None:
    student = open_module(
        """
        import threading
        def both(function, *args):
            found = []
            threads = [threading.Thread(target=lambda: found.append(function(*args))) for _ in range(2)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            return sorted(found)
        """
    )

    def deeper(depth: int) -> int:
        return 1 if not depth else sum(student.both(deeper, depth - 1))

    assert student.both(deeper, 1) == [2, 2]


def test_a_thread_that_outlives_its_call_waits_for_the_next_one(open_module: Open) -> None:
    student = open_module(
        """
        import threading, time
        heard = []
        def begin(function):
            def work():
                time.sleep(0.05)
                heard.append(function())
            threading.Thread(target=work).start()
        def wait():
            end = time.monotonic() + 30
            while not heard and time.monotonic() < end: time.sleep(0.01)
            return heard
        """
    )
    student.begin(lambda: "called")
    time.sleep(0.2)

    assert student.wait() == ["called"]


def test_an_error_of_a_function_called_by_a_thread_is_the_threads(open_module: Open) -> None:
    student = open_module(
        """
        import threading
        def ask(function):
            said = []
            def work():
                try: function()
                except KeyError as error: said.append(error.args[0])
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            return said
        """
    )

    def fails() -> None:
        raise KeyError("mine")

    assert student.ask(fails) == ["'mine'"]


def test_exceptions_arrive_as_their_builtin_class_with_line_and_text(open_module: Open) -> None:
    student = open_module(
        """
        class ShapeError(ValueError): pass
        def fail(x):
            raise ShapeError(f"bad {x}")
        def unknown(): return {}["key"]
        """
    )

    with pytest.raises(ValueError, match="bad 3") as caught:
        student.fail(3)
    with pytest.raises(KeyError):
        student.unknown()

    error = caught.value
    assert isinstance(error, StudentError)
    assert (error.type_name, error.function, error.line) == ("ShapeError", "fail", 4)
    assert error.text == 'raise ShapeError(f"bad {x}")'


def test_a_missing_name_is_an_attribute_error(open_module: Open) -> None:
    student = open_module("x = 1")

    assert not hasattr(student, "softmax")
    assert student.x == 1


@probe
def square_there(student, x, scale=1):  # type: ignore[no-untyped-def]
    return np.square(student.double(x)) * scale


def test_a_probe_runs_beside_the_module(open_module: Open) -> None:
    student = open_module("def double(x): return 2 * x")

    np.testing.assert_array_equal(square_there(student, np.arange(3), scale=2), [0, 8, 32])


def test_a_package_that_is_not_offered_costs_only_what_uses_it(open_module: Open) -> None:
    student = open_module(
        """
        import matplotlib.pyplot as plt
        from torch import nn
        import numpy as np
        def fine(x): return np.exp(x)
        def plots(x): plt.plot(x)
        def layers(): return nn.Linear(2, 3)
        """
    )

    assert student.fine(np.zeros(1))[0] == 1.0
    with pytest.raises(ImportError, match=r"matplotlib\.pyplot\.plot is not offered in this assignment: use NumPy"):
        student.plots(1)
    with pytest.raises(ImportError, match=r"torch\.nn\.Linear is not offered"):
        student.layers()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def f(:", "not valid Python"),
        ("raise RuntimeError('at import')", "RuntimeError: at import"),
        ("import os\nos._exit(0)", "ended the process"),
        ("import sys\nsys.exit()", "ended|ends"),
        ("import time\ntime.sleep(100)", "waited for too long"),
    ],
)
def test_a_module_that_cannot_be_imported_says_why(open_module: Open, source: str, words: str) -> None:
    student = open_module(source)

    with pytest.raises(ImportFailed, match=words):
        _ = student.anything


def test_files_and_threads_of_the_module_are_used_as_at_home(open_module: Open, zygote: Zygote) -> None:
    source = """
        import asyncio, fcntl, getpass, os, pathlib, shelve, shutil, sqlite3, tarfile, tempfile
        from multiprocessing.pool import ThreadPool

        async def late():
            await asyncio.sleep(0.001)
            return await asyncio.to_thread(os.getpid)

        def locked(path):
            with open(path, "r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)

        def shelved(path):
            with shelve.open(path) as shelf:
                shelf["a"] = 1

        def in_a_database(path):
            with sqlite3.connect(path) as database:
                database.execute("create table one (x)")

        def packed(path, folder):
            with tarfile.open(path, "w:gz") as file:
                file.add(folder, "x")
            with tarfile.open(path) as file:
                file.extractall(path + "un")

        def pooled():
            with ThreadPool(2) as pool:
                assert pool.map(abs, [-1, 2]) == [1, 2]

        def failures():
            folder = tempfile.mkdtemp()
            path = os.path.join(folder, "a")
            pathlib.Path(path).write_text("text")
            tries = {
                "copy": lambda: shutil.copy(path, path + "1"),
                "copy2": lambda: shutil.copy2(path, path + "2"),
                "copytree": lambda: shutil.copytree(folder, folder + "x"),
                "move": lambda: shutil.move(folder + "x", folder + "y"),
                "touch": lambda: (pathlib.Path(path).touch(), os.utime(path, (1e9, 1e9))),
                "chmod": lambda: pathlib.Path(path).chmod(0o600),
                "symlink": lambda: pathlib.Path(path + "3").symlink_to("a"),
                "link": lambda: os.link(path, path + "4"),
                "archive": lambda: shutil.make_archive(folder + "z", "zip", folder),
                "tar": lambda: packed(folder + ".tar.gz", folder),
                "lock": lambda: locked(path),
                "shelf": lambda: shelved(path + "5"),
                "database": lambda: in_a_database(path + "6"),
                "asyncio": lambda: asyncio.run(late()),
                "user": getpass.getuser,
                "pool": pooled,
            }
            found = []
            for name, attempt in tries.items():
                try:
                    attempt()
                except Exception as error:
                    found.append(f"{name}: {error!r}")
            return found
    """
    failures = open_module(source).failures()

    # without namespaces, the folder of semaphores is shared with all processes of the machine, so it stays closed
    assert [text for text in failures if zygote.isolation != "B" or not text.startswith("pool")] == []


def test_modes_and_times_of_other_files_stay(open_module: Open, zygote: Zygote, tmp_path: Path) -> None:
    """On rung B the worker may be the teacher's own user, and Landlock limits neither call to the scratch folder."""
    if zygote.isolation == "D":
        pytest.skip("without isolation, nothing is protected")
    theirs = tmp_path / "gradebook.db"
    theirs.write_text("marks")
    before = theirs.stat()
    source = """
        import os

        def attack(path):
            for change in (os.chmod, lambda path, mode: os.utime(path, (mode, mode))):
                try:
                    change(path, 0)
                except OSError:
                    pass
    """

    open_module(source).attack(str(theirs))

    assert (theirs.stat().st_mode, theirs.stat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


def test_a_mode_is_set_only_where_no_other_file_can_be_reached(open_module: Open, zygote: Zygote) -> None:
    """On rung B even the worker's own file keeps its mode: whose file it is does not decide, so no other one changes."""
    source = """
        import os

        def changed():
            open("own", "w").close()
            before = os.stat("own").st_mode
            os.chmod("own", 0o400)
            return os.stat("own").st_mode != before
    """

    assert open_module(source).changed() is (zygote.isolation != "B")


def test_closed_folders_are_opened_before_they_are_deleted_and_no_link_is_followed(tmp_path: Path) -> None:
    scratch, other = tmp_path / "scratch", tmp_path / "other"
    for folder in (scratch / "one" / "two", other):
        folder.mkdir(parents=True)
    (scratch / "one" / "two").chmod(0)
    (scratch / "one").chmod(0)
    (scratch / "link").symlink_to(other)
    other.chmod(0o555)

    _open_folders(str(scratch))

    assert [path.stat().st_mode & 0o777 for path in (scratch / "one", scratch / "one" / "two", other)] == [
        0o700, 0o700, 0o555,
    ]  # fmt: skip


def test_a_module_that_prints_a_flood_is_not_held_up_by_it(open_module: Open) -> None:
    student = open_module("for _ in range(1000): print('x' * 10_000)\ndef f(): print('y'); return 1")

    assert student.f() == 1


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("import os; os._exit(0)", WorkerDied, "ended the process"),
        ("import ctypes; ctypes.string_at(0)", WorkerDied, "segmentation fault"),
        ("while True: pass", LimitExceeded, "more than 1 s of CPU time"),
        ("import time; time.sleep(60)", LimitExceeded, "waited for too long"),
        ("import os; os.write(3, b'x' * 64); return 1", ProtocolBroken, "answered with"),
    ],
)
def test_the_end_of_a_worker_is_a_sentence(open_module: Open, body: str, kind: type[Ended], words: str) -> None:
    student = open_module(f"def f():\n    {body}", seconds=1.0)

    with pytest.raises(kind, match=words):
        student.f()


def test_after_a_death_the_next_test_gets_a_fresh_worker(open_module: Open, examinees: list[Examinee]) -> None:
    student = open_module("import os\ncount = 0\ndef die(): os._exit(1)\ndef live(): return 7")
    student.count = 5
    with pytest.raises(WorkerDied):
        student.die()
    with pytest.raises(WorkerDied):
        student.live()

    examinees[0].start("task", 5)

    assert student.live() == 7
    assert student.count == 0


def test_a_worker_shares_our_core_until_it_takes_long(open_module: Open, examinees: list[Examinee]) -> None:
    everywhere = os.sched_getaffinity(0)
    student = open_module("import time\ndef wait(seconds): time.sleep(seconds)")
    worker = examinees[0].session().process

    student.wait(0)
    shared = os.sched_getaffinity(0), os.sched_getaffinity(worker.pid)
    student.wait(0.7)
    apart = os.sched_getaffinity(0), os.sched_getaffinity(worker.pid)
    examinees[0].start("task", 1.0)
    again = os.sched_getaffinity(0)
    examinees[0].close()

    assert shared[0] == shared[1]
    assert len(shared[0]) == 1
    assert apart == (everywhere, everywhere)
    assert len(again) == 1
    assert os.sched_getaffinity(0) == everywhere


def test_a_handle_of_a_worker_that_died_is_lost_with_a_sentence(open_module: Open, examinees: list[Examinee]) -> None:
    student = open_module("import os\nclass A: pass\ndef die(): os._exit(1)\ndef take(a): return 1")
    a = student.A()
    with pytest.raises(WorkerDied):
        student.die()
    examinees[0].start("task", 5)

    with pytest.raises(WorkerDied, match="of an earlier step is lost"):
        student.take(a)


def test_freed_handles_do_not_pile_up(open_module: Open) -> None:
    student = open_module(
        """
        import gc
        class A: pass
        def alive(): return sum(type(o) is A for o in gc.get_objects())
        """
    )
    for _ in range(50):
        student.A()

    assert student.alive() <= 2
