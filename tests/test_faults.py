"""One sentence for each thing that can go wrong in a student's code."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import numpy
import pytest

from autograder.expect import works
from autograder.explain import explain, explain_import
from autograder.faults import Fault, Mismatch, StudentError, is_students, plain
from autograder.sandbox.outside.ends import student_error

SOURCE = """\
import numpy as np


def softmax(x):
    return helper(x)


def helper(x):
    raise ValueError("shapes (3,4) and (3,)")


def lost():
    return np.no_such_function(1)


def endless(n):
    return endless(n + 1)


def leave():
    raise SystemExit(0)


class Trap(Exception):
    def __str__(self):
        raise RuntimeError


def trap():
    raise Trap
"""


@pytest.fixture
def student(tmp_path) -> ModuleType:
    path = tmp_path / "basics.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("basics", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def raised(function, *args) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        function(*args)
    return caught.value


def fault_of(function, *args) -> Fault:
    return explain(raised(function, *args), module="basics")


def test_a_stub_is_not_started():
    error = NotImplementedError("Perceptron.fit: not started")

    assert explain(error, module="basics") == Fault("not_started", "Perceptron.fit: not started yet.")


def test_another_not_implemented_error_is_the_students_own():
    assert explain(NotImplementedError("later"), module="basics").kind != "not_started"


def test_a_mismatch_is_its_sentence():
    assert explain(Mismatch("f: no."), module="basics") == Fault("mismatch", "f: no.")


def test_an_exception_is_named_with_the_function_and_the_line(student):
    assert fault_of(student.softmax, 1) == Fault(
        "raised",
        "helper raised ValueError: shapes (3,4) and (3,) "
        '(line 9 of basics.py: `raise ValueError("shapes (3,4) and (3,)")`).',
        error="ValueError",
        function="helper",
    )


def test_a_name_that_numpy_lacks_is_no_missing_name_of_the_stub(student):
    assert fault_of(student.lost).kind == "raised"


def test_a_recursion_without_end_is_said_without_its_thousand_frames(student):
    said = fault_of(student.endless, 0).sentence

    assert said == "endless calls itself without end (line 17 of basics.py: `return endless(n + 1)`)."


def test_a_call_of_sys_exit_is_a_fault(student):
    assert fault_of(student.leave).sentence.startswith("leave ended the program with sys.exit() (line 21")


def test_an_exception_whose_text_fails_is_named_all_the_same(student):
    assert fault_of(student.trap).sentence == "trap raised Trap (line 30 of basics.py: `raise Trap`)."


def test_an_error_without_a_line_of_the_students_does_not_say_that_their_code_raised_it():
    fault = explain(raised(lambda: 1 / 0), module="basics")

    said = "The test could not go on with what your code gave it: ZeroDivisionError: division by zero."
    assert (fault.kind, fault.sentence) == ("unusable", said)


def test_an_error_of_a_probes_own_line_does_not_say_so_either():
    assert explain(student_error(["KeyError", ["KeyError"], "'loss'", "", 0, ""]), module="basics").kind == "unusable"


def test_an_answer_that_has_too_few_parts_is_a_wrong_answer():
    def apart(answer):
        def run():
            h, cache = answer
            return h, cache

        return explain(raised(run), module="basics")

    rest = ": read what the docstring says under Returns."
    assert (apart((1,)).kind, apart((1,)).sentence) == ("mismatch", f"The test expects 2 values and got 1{rest}")
    assert apart((1, 2, 3)).sentence == f"The test expects 2 values and got more{rest}"
    assert apart(1.5).sentence == f"The test expects several values and got a single float{rest}"
    assert apart(None).sentence == "The test expects several values and got None: is a return missing?"
    paired = explain(raised(lambda: list(zip([1], [1, 2], strict=True))), module="basics")
    assert paired.sentence == f"The test expects another number of values than it got{rest}"


def test_a_missing_entry_and_a_single_number_are_said_in_words():
    rest = "read what the docstring"
    key, single = (
        explain(raised(lambda: {}["loss"]), module="basics"),
        explain(raised(lambda: len(1.5)), module="basics"),
    )

    assert key.sentence == f"The test asks for the entry 'loss', and your code gave none: {rest} names."
    assert single.sentence == f"The test needs several values and got a single float: {rest} says under Returns."
    assert explain(raised(lambda: list(1.5)), module="basics").sentence == single.sentence


def test_a_use_that_a_test_names_is_named_in_the_sentence():
    def used(run, hint=""):
        def block():
            with works("the model after replace_head", hint):
                return run()

        return explain(raised(block), module="basics")

    assert (used(lambda: 1 / 0).kind, used(lambda: 1 / 0).sentence) == (
        "mismatch",
        "the model after replace_head ends with ZeroDivisionError: division by zero.",
    )
    assert used(lambda: {}["x"], "name it").sentence == "the model after replace_head ends with KeyError: 'x': name it"
    assert used(lambda: None.head).sentence == "the model after replace_head: the test got None: is a return missing?"


def test_an_error_of_the_students_own_line_stays_theirs_in_a_named_use(student):
    def block():
        with works("softmax"):
            student.softmax([1.0])

    assert explain(raised(block), module="basics").kind == "raised"


def test_the_verdict_of_a_test_stays_its_own_in_a_named_use():
    def block():
        with works("softmax"):
            raise Mismatch("softmax: wrong shape.")

    assert explain(raised(block), module="basics").sentence == "softmax: wrong shape."


def test_an_assertion_of_a_test_is_its_verdict():
    def check():
        raise AssertionError("not so")

    assert explain(raised(check), module="basics").kind == "mismatch"
    assert explain(raised(pytest.fail, "not so"), module="basics").kind == "mismatch"


def test_a_worker_without_memory_is_over_a_budget_wherever_it_was_raised():
    error = student_error(["MemoryError", ["MemoryError"], "", "", 0, ""])

    assert (explain(error, module="basics").kind, explain(error, module="basics").cause) == (
        "raised",
        "memory",
    )


@pytest.mark.parametrize(
    ("name", "told"), [("IndexError", "IndexError"), ("Secret3141", ""), ("Exception", ""), ("KeyError2", "")]
)
def test_only_a_class_of_a_closed_list_is_named(name, told):
    assert explain(student_error([name, ["Exception"], "x", "f", 3, "f()"]), module="basics").error == told


@pytest.mark.parametrize("use", [lambda: None.shape, lambda: None + 1, lambda: next(iter(None)), lambda: len(None)])
def test_a_result_of_none_that_the_test_goes_on_with_is_asked_for(use):
    said = explain(raised(use), module="basics").sentence

    assert said.startswith("The test got None and cannot go on with it: is a return missing? (")


def test_a_product_that_does_not_fit_is_said_without_numpys_notation(student):
    said = explain(raised(lambda: numpy.ones((2, 3)) @ numpy.ones((2, 3))), module="basics").sentence

    assert said.endswith("ValueError: matmul: the inner sizes do not fit (size 2 is different from 3).")


def test_an_attribute_that_the_students_object_lacks_is_named():
    class Perceptron:
        pass

    said = explain(raised(lambda: Perceptron().converged), module="basics").sentence

    assert said == ("Perceptron has no attribute 'converged', which the test asks for: read what its docstring names.")


def test_a_missing_name_is_said_with_one_that_is_close(tmp_path):
    test_file = tmp_path / "test_basics.py"
    test_file.write_text("def ask(student): return student.softmax\n")
    names: dict[str, object] = {}
    exec(compile(test_file.read_text(), str(test_file), "exec"), names)
    module = ModuleType("basics")
    module.soft_max = abs

    assert explain(raised(names["ask"], module), module="basics") == Fault(
        "missing_name",
        "softmax: not found in basics.py. There is soft_max. Did you rename it? Keep the names of the stub.",
    )


class FromTheJudge(StudentError, AttributeError):
    pass


def remote(**fields) -> StudentError:
    error = FromTheJudge(fields["message"])
    for name, value in fields.items():
        setattr(error, name, value)
    return error


def test_a_missing_name_is_known_from_the_other_side_of_the_wall():
    error = remote(type_name="AttributeError", message="module 'basics' has no attribute 'softmax'")

    assert explain(error, module="basics").kind == "missing_name"
    assert explain(error, module="basics").sentence.startswith("softmax: not found in basics.py.")


def test_a_stub_is_known_from_the_other_side_of_the_wall():
    class Remote(StudentError, NotImplementedError):
        pass

    error = Remote("conv2d: not started")
    error.message = "conv2d: not started"

    assert explain(error, module="basics") == Fault("not_started", "conv2d: not started yet.")


def test_an_exception_from_the_other_side_reads_as_one_from_this_side():
    error = remote(type_name="ShapeError", message="no", function="conv2d", line=41, text="    raise ShapeError('no')")

    assert explain(error, module="basics").sentence == (
        "conv2d raised ShapeError: no (line 41 of basics.py: `raise ShapeError('no')`)."
    )
    assert is_students(error, "basics")


def test_a_limit_says_its_own_sentence():
    class Limit(BaseException):
        fault_kind = "limit"

    assert explain(Limit("softmax ran for more than 10 CPU seconds."), module="basics") == Fault(
        "limit", "softmax ran for more than 10 CPU seconds."
    )


def test_a_kind_that_a_student_invents_is_not_believed():
    class Sly(Exception):
        fault_kind = "passed"

    assert explain(Sly("x"), module="basics").kind == "unusable"


def test_a_syntax_error_is_said_with_its_line(tmp_path):
    path = tmp_path / "basics.py"
    error = raised(lambda: compile("x = 1\ndef f(:\n    pass\n", str(path), "exec"))

    assert explain_import(error, module="basics") == Fault(
        "import_failed",
        "basics.py is not valid Python {}.{}: invalid syntax (line 2 of basics.py: `def f(:`).".format(
            *sys.version_info
        ),
    )


def test_an_import_that_raises_or_ends_the_program_is_said_so(student):
    said = explain_import(raised(student.softmax, 1), module="basics").sentence
    assert said.startswith("basics.py cannot be imported. It raised ValueError: shapes")

    said = explain_import(raised(student.leave), module="basics").sentence
    assert said == ("basics.py ends the program when it is imported (line 21 of basics.py: `raise SystemExit(0)`).")


def test_a_tower_of_accents_stays_on_its_line():
    assert plain("e" + "\u0301" * 400 + " Việt Nam") == "e\u0301\u0301 Việt Nam"


def test_text_of_a_student_is_made_harmless():
    assert plain("\x1b[31mred\x1b[0m \x1b]0;title\x07 and\r\nover\tthe\x00 rest\u202e") == ("red and over the� rest�")
    assert len(plain("x" * 10_000_000)) == 500
    assert plain("word " * 500).endswith(" ...")


def test_an_authors_error_in_a_fixture_is_not_the_students():
    assert not is_students(KeyError("x"), "basics")


def test_an_address_in_memory_is_nobodys_business():
    assert plain("<method sum of an array at 0x7fafd1870e70> is 6 at 0x5") == ("<method sum of an array> is 6 at 0x5")
