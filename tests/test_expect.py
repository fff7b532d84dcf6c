"""The assertions of every assignment: what they accept, what they refuse, and their messages."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest

from autograder import expect
from autograder.expect import Mismatch
from autograder.faults import Quality

RNG = np.random.default_rng(0)


def sentence(check, *args, **kwargs):
    """What the student reads when the check refuses."""
    with pytest.raises(Mismatch) as caught:
        check(*args, **kwargs)
    assert str(caught.value) == caught.value.sentence
    return caught.value.sentence


class Liar(np.ndarray):
    """An array that claims to be equal to everything."""

    def __eq__(self, other):
        return np.ones(self.shape, dtype=bool)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return np.zeros(self.shape)


class Chameleon:
    """An object that is no array, but gives NumPy all that it asks for."""

    shape, dtype, ndim = (2,), np.dtype(float), 1

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    def __array__(self, dtype=None, copy=None):
        return np.array([1.0, 2.0])

    def __float__(self):
        return 1.0


class TestClose:
    def test_a_wrong_shape_is_said_with_the_hint(self):
        said = sentence(
            expect.close,
            np.zeros((2, 4, 6, 8)),
            np.zeros((2, 4, 3, 4)),
            "conv2d",
            hint="did you forget the stride?",
        )

        assert said == ("conv2d: wrong shape. Got (2, 4, 6, 8), expected (2, 4, 3, 4): did you forget the stride?")

    def test_a_wrong_value_is_said_with_its_place_and_the_largest_difference(self):
        got = np.array([[0.25, 0.75], [0.5, 0.5], [0.5, 0.25]])
        want = np.array([[0.25, 0.75], [0.4, 0.6], [0.731, 0.269]])

        said = sentence(expect.close, got, want, "softmax")

        assert said == ("softmax: wrong value at [2, 0]. Got 0.5, expected 0.731 (largest difference 0.231).")

    @pytest.mark.parametrize(
        ("got", "fault"),
        [
            (None, "wrong type. Got None, expected a NumPy array: is there a return?"),
            ([1.0, 2.0], "wrong type. Got a list, expected a NumPy array."),
            (1.0, "wrong type. Got a float, expected a NumPy array."),
            (np.ones((2, 1)), "wrong number of axes. Got (2, 1), expected (2,)."),
            (np.ones(1), "wrong shape. Got (1,), expected (2,)."),
            (np.ones(2, dtype=int), "wrong dtype. Got int64, expected float."),
            (np.ones(2, dtype=bool), "wrong dtype. Got bool, expected float."),
            (np.ones(2, dtype=complex), "wrong dtype. Got complex128, expected float."),
            (np.array([1.0, 2.0], dtype=object), "wrong dtype. Got object entries, expected numbers."),
            (np.array(["1", "2"]), "wrong dtype. Got str32 entries, expected numbers."),
            (
                np.array([np.nan, 2.0]),
                "not finite at [0]. Got nan, expected a finite number (1 of 2 entries).",
            ),
            (
                np.array([1.0, np.inf]),
                "not finite at [1]. Got inf, expected a finite number (1 of 2 entries).",
            ),
            (np.array([1.0, 2.1]), "wrong value at [1]. Got 2.1, expected 2 (largest difference 0.1)."),
        ],
    )
    def test_the_first_fault_is_the_one_that_is_said(self, got, fault):
        assert sentence(expect.close, got, np.array([1.0, 2.0]), "f") == f"f: {fault}"

    @pytest.mark.parametrize(
        "got",
        [
            np.array([1.0, 2.0]).view(Liar),
            Chameleon(),
            np.ma.masked_array([1.0, 2.0], mask=[True, True]),
            np.array([1.0, 2.0]).view(np.recarray),
            SimpleNamespace(shape=(2,)),
        ],
        ids=["liar", "chameleon", "masked", "record", "namespace"],
    )
    def test_nothing_but_an_array_itself_is_taken_for_one(self, got):
        assert "wrong type" in sentence(expect.close, got, np.array([1.0, 2.0]), "f")

    @pytest.mark.filterwarnings("ignore:the matrix subclass")
    def test_a_matrix_is_refused(self):
        assert "a matrix" in sentence(expect.close, np.asmatrix(np.ones((2, 2))), np.ones((2, 2)), "f")

    @pytest.mark.parametrize("got", [1.0, 1, np.float64(1), np.float32(1), np.int64(1), np.array(1.0)])
    def test_a_number_may_come_as_python_or_numpy_has_it(self, got):
        expect.close(got, 1.0, "loss")

    @pytest.mark.parametrize(
        ("got", "fault"),
        [
            (True, "wrong dtype. Got bool, expected float."),
            (np.array([1.0]), "wrong number of axes. Got (1,), expected a single number, shape ()."),
            ([1.0], "wrong type. Got a list, expected a number."),
            ("1.0", "wrong type. Got a str, expected a number."),
            (1.5, "wrong value. Got 1.5, expected 1."),
            (float("nan"), "not finite. Got nan, expected a finite number."),
            (10**400, "not finite. Got inf, expected a finite number."),
        ],
    )
    def test_anything_else_is_no_number(self, got, fault):
        assert sentence(expect.close, got, 1.0, "loss") == f"loss: {fault}"

    def test_a_class_that_only_derives_from_float_is_refused(self):
        class Sly(float):
            def __sub__(self, other):
                return 0.0

        assert "a Sly" in sentence(expect.close, Sly(3), 1.0, "loss")

    def test_a_class_cannot_lie_about_its_name(self):
        class Meta(type):
            __name__ = property(lambda cls: "float")

        class Odd(metaclass=Meta):
            pass

        assert "an Odd" in sentence(expect.close, Odd(), 1.0, "loss")

    def test_python_ints_in_what_is_wanted_take_floats_and_ints(self):
        expect.close(np.array([1.0, 2.0]), [1, 2], "f")
        expect.close(np.array([1, 2]), [1, 2], "f")
        expect.close(2.0, 2, "f")

    def test_nan_is_right_only_where_it_is_wanted(self):
        expect.close(np.array([np.nan, 1.0]), np.array([np.nan, 1.0]), "f")
        said = sentence(expect.close, np.array([0.0, 1.0]), np.array([np.nan, 1.0]), "f")

        assert said == "f: wrong value at [0]. Got 0, expected nan (largest difference inf)."

    def test_an_infinity_is_right_only_where_that_infinity_is_wanted(self):
        want = np.array([np.inf, -np.inf, 1.0])
        expect.close(want.copy(), want, "f")

        assert "at [0]. Got 5" in sentence(expect.close, np.array([5.0, -np.inf, 1.0]), want, "f")
        assert "at [0]. Got -inf" in sentence(expect.close, np.array([-np.inf, -np.inf, 1]), want, "f")

    def test_the_tolerance_is_atol_plus_rtol_times_what_is_wanted(self):
        want = np.array([0.0, 100.0])
        expect.close(np.array([0.009, 101.0]), want, "f", rtol=0.01, atol=0.01)

        assert "at [0]" in sentence(expect.close, np.array([0.011, 100.0]), want, "f", rtol=0.01, atol=0.01)
        assert "at [1]" in sentence(expect.close, np.array([0.0, 101.1]), want, "f", rtol=0.01, atol=0.01)

    def test_empty_arrays_are_equal_only_in_equal_shapes(self):
        expect.close(np.zeros((0, 3)), np.zeros((0, 3)), "f")

        assert "wrong shape" in sentence(expect.close, np.zeros((3, 0)), np.zeros((0, 3)), "f")

    def test_bools_are_compared_with_bools(self):
        expect.close(np.array([True, False]), np.array([True, False]), "f")

        assert "at [1]" in sentence(expect.close, np.array([True, True]), np.array([True, False]), "f")

    def test_a_dtype_that_is_asked_for_is_exact(self):
        expect.close(np.ones(2, np.float32), np.ones(2), "f", dtype=np.float32)

        said = sentence(expect.close, np.ones(2), np.ones(2), "f", dtype="float32")
        assert said == "f: wrong dtype. Got float64, expected float32."

    def test_lists_pass_where_they_are_invited(self):
        expect.close([[1.0, 2.0]], np.array([[1.0, 2.0]]), "f", lists=True)

        assert "wrong shape" in sentence(expect.close, [[1.0]], np.array([[1.0, 2.0]]), "f", lists=True)
        assert "rows of one length" in sentence(expect.close, [[1.0], [1, 2.0]], np.ones((2, 2)), "f", lists=True)
        assert "of other things" in sentence(expect.close, [Chameleon()], np.ones(1), "f", lists=True)

    def test_numbers_that_differ_never_read_the_same(self):
        said = sentence(expect.close, np.array([1.00000001]), np.array([1.0]), "f", rtol=0, atol=0)

        assert "Got 1.00000001, expected 1 " in said

    def test_strange_layouts_are_read_right(self):
        want = RNG.normal(size=(4, 6))

        expect.close(np.asfortranarray(want), want, "f")
        expect.close(np.repeat(want, 2, axis=1)[:, ::2], want, "f")

    def test_a_big_array_is_cheap(self):
        want = RNG.normal(size=(1000, 2000))
        started = time.process_time()

        expect.close(want.copy(), want, "f")

        assert time.process_time() - started < 4

    def test_an_author_who_wants_no_numbers_is_told(self):
        with pytest.raises(TypeError, match="pass an array, a tensor or a number"):
            expect.close(1, "1", "f")


class TestTensors:
    @pytest.fixture(autouse=True)
    def _torch(self):
        self.torch = pytest.importorskip("torch")

    def test_a_tensor_is_compared_with_a_tensor(self):
        want = self.torch.tensor([[1.0, 2.0]])
        expect.close(want.clone().requires_grad_(), want, "f")
        expect.close(self.torch.nn.Parameter(want.clone()), want, "f")
        expect.close(want.T.contiguous().T, want, "f")

        said = sentence(expect.close, want + 1, want, "f")
        assert said == "f: wrong value at [0, 0]. Got 2, expected 1 (largest difference 1)."

    def test_arrays_and_tensors_are_not_the_same_thing(self):
        want = self.torch.ones(2)

        assert "Got a NumPy array, expected a torch tensor" in sentence(expect.close, np.ones(2), want, "f")
        assert "Got a torch tensor, expected a NumPy array" in sentence(expect.close, want, np.ones(2), "f")

    def test_a_subclass_that_lies_is_refused(self):
        class Liar(self.torch.Tensor):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                return True

        got = self.torch.ones(2).as_subclass(Liar)

        assert "a Liar (a special kind of torch tensor)" in sentence(expect.close, got, self.torch.zeros(2), "f")

    def test_a_tensor_without_entries_is_refused(self):
        want = self.torch.eye(2)

        assert "cannot be read" in sentence(expect.close, want.to_sparse(), want, "f")
        assert "cannot be read" in sentence(expect.close, want.to("meta"), want, "f")

    def test_dtypes_are_named_alike(self):
        expect.dtype(self.torch.ones(2), np.float32, "f")
        expect.dtype(np.ones(2), self.torch.float64, "f")
        expect.close(self.torch.ones(2, dtype=self.torch.bfloat16), self.torch.ones(2), "f")

        said = sentence(expect.dtype, self.torch.ones(2).half(), self.torch.float32, "f")
        assert said == "f: wrong dtype. Got float16, expected float32."

    def test_changes_and_shared_memory_are_seen_in_tensors(self):
        x = self.torch.arange(6.0).reshape(2, 3)
        before = x.clone()
        expect.unchanged(x, before, "f")
        expect.no_alias(x.clone(), x, "f")
        assert "shares its memory" in sentence(expect.no_alias, x[0], x, "f")

        x[1, 2] = 7

        assert sentence(expect.unchanged, x, before, "f") == (
            "f: changed its input at [1, 2]. Got 7, expected 5: work on a copy"
        )

    def test_a_gradient_of_tensors_is_checked(self):
        x, cotangent = (
            self.torch.randn(3, dtype=self.torch.float64),
            self.torch.randn(3, dtype=self.torch.float64),
        )

        expect.gradient(lambda x: x**3, x, 3 * x**2 * cotangent, cotangent, "cube")

    def test_a_size_counts_as_a_tuple(self):
        expect.equal(self.torch.ones(2, 3).shape, (2, 3), "f")


class TestEqual:
    @pytest.mark.parametrize(
        "value",
        [3, True, "a", None, 2.5, (1, 2), [1, [2, "x"]], {"a": 1, (1, 2): [None]}, {1, 2}, np.arange(3)],
        ids=str,
    )
    def test_a_value_equals_itself(self, value):
        expect.equal(value, value, "f")

    @pytest.mark.parametrize(
        ("got", "want", "fault"),
        [
            (4, 3, "wrong value. Got 4, expected 3."),
            (3.0, 3, "wrong type. Got a float, expected an int."),
            (1, True, "wrong type. Got an int, expected a bool."),
            ([1, 2], (1, 2), "wrong type. Got a list, expected a tuple."),
            ((1, 2), (1, 2, 3), "wrong length. Got 2, expected 3."),
            ({"a": [1, 2]}, {"a": [1, 3]}, "wrong value at ['a'][1]. Got 2, expected 3."),
            ({"b": 1}, {"a": 1}, "wrong keys. Got ['b'], expected ['a']."),
            (None, "a", "wrong type. Got None, expected a str: is there a return?"),
            (np.array([1, 5, 3]), np.array([1, 2, 3]),
             "wrong value at [1]. Got 5, expected 2 (1 of 3 entries differ)."),
            (np.array([1.0]), np.array([1]), "wrong dtype. Got float64, expected int."),
        ],
    )  # fmt: skip
    def test_what_differs_is_said_with_its_place(self, got, want, fault):
        assert sentence(expect.equal, got, want, "f") == f"f: {fault}"

    def test_subclasses_and_liars_are_refused(self):
        class Text(str):
            def __eq__(self, other):
                return True

            def __hash__(self):
                return hash("a")

        Pair = namedtuple("Pair", "a b")

        assert "a Text" in sentence(expect.equal, Text("b"), "a", "f")
        assert "a Pair" in sentence(expect.equal, Pair(1, 2), (1, 2), "f")
        assert "a Chameleon" in sentence(expect.equal, [Chameleon()], [1], "f")
        assert "wrong keys" in sentence(expect.equal, {Text("a"): 1}, {"a": 1}, "f")
        assert "a set of other things" in sentence(expect.equal, {2, Text("b")}, {2, "a"}, "f")


class TestTheOthers:
    def test_shape_and_dtype_and_finite(self):
        expect.shape(np.ones((2, 3)), (2, 3), "f")
        expect.shape(1.0, (), "f")
        expect.finite(np.ones(3), "f")

        assert sentence(expect.shape, np.ones(3), (3, 1), "f") == (
            "f: wrong number of axes. Got (3,), expected (3, 1)."
        )
        assert "an array of numbers" in sentence(expect.shape, [1, 2], (2,), "f")
        assert "not finite at [0]. Got nan" in sentence(expect.finite, np.array([np.nan]), "f")

    def test_a_number_is_between_its_bounds(self):
        expect.between(np.float32(0.5), 0, 1, "loss")
        expect.between(np.array(0.5), 0.5, 0.5, "loss")

        assert sentence(expect.between, 1.5, 0, 1, "loss") == (
            "loss: out of range. Got 1.5, expected a number from 0 to 1."
        )
        assert "not finite" in sentence(expect.between, float("nan"), 0, 1, "loss")
        assert "a single number" in sentence(expect.between, np.ones(1), 0, 1, "loss")

    def test_only_true_itself_is_true(self):
        expect.is_true(np.bool_(True), "no")

        for claim in (False, 1, "yes", Chameleon(), np.array(True)):
            assert sentence(expect.is_true, claim, "f: no.") == "f: no."

    def test_an_input_is_unchanged_bit_for_bit(self):
        before = np.array([[0.0, np.nan], [1.0, 2.0]])
        expect.unchanged(before.copy(), before, "f")
        expect.unchanged({"w": [before.copy(), 3]}, {"w": [before, 3]}, "f")

        now = before.copy()
        now[1, 0] = 9
        assert "at [1, 0]. Got 9, expected 1" in sentence(expect.unchanged, now, before, "f")
        assert "other bits" in sentence(expect.unchanged, -before * [[1, 1], [-1, -1]], before, "f")
        assert "shape" in sentence(expect.unchanged, before.ravel(), before, "f")
        assert "dtype" in sentence(expect.unchanged, before.astype(np.float32), before, "f")
        assert "keys" in sentence(expect.unchanged, {"w": 1, "b": 2}, {"b": 2, "w": 1}, "f")

    def test_an_output_has_memory_of_its_own(self):
        x = np.ones((2, 3))
        expect.no_alias(x.copy(), x, "f")

        assert "is the input itself" in sentence(expect.no_alias, x, x, "f")
        assert "shares its memory" in sentence(expect.no_alias, x.T[1:], x, "f")

    def test_accuracy_counts_right_answers_in_exact_shapes(self):
        labels = np.array([0, 1, 2, 3])
        expect.accuracy(np.array([0, 1, 2, 0], dtype=np.int32), labels, 0.75, "predict")

        assert sentence(expect.accuracy, np.array([0, 0, 0, 0]), labels, 0.9, "predict") == (
            "predict: too few right answers. Got 0.25, expected at least 0.9 (1 of 4 right)."
        )
        assert "wrong number of axes" in sentence(expect.accuracy, labels[:, None], labels, 0.5, "predict")
        assert "one class each" in sentence(expect.accuracy, labels * 1.0, labels, 0.5, "predict")

    def test_an_error_must_be_of_its_kind_and_say_why(self):
        with expect.refused(ValueError, "f", match="shape"):
            raise ValueError("bad shape")

        def refused(error, **kwargs):
            with expect.refused(ValueError, "f", **kwargs):
                if error:
                    raise error

        assert sentence(refused, None) == "f: no error. Got a result, expected ValueError."
        assert sentence(refused, KeyError("x")) == ("f: wrong kind of error. Got KeyError ('x'), expected ValueError.")
        assert "Got 'no', expected 'shape' in it" in sentence(refused, ValueError("no"), match="shape")

    def test_a_stub_does_not_pass_for_an_error(self):
        with pytest.raises(NotImplementedError), expect.refused((RuntimeError, Exception), "f"):
            raise NotImplementedError("f: not started")


class TestGradient:
    x = RNG.normal(size=(3, 4))
    cotangent = RNG.normal(size=(3, 4))

    def test_a_right_gradient_passes_by_entries_and_by_directions(self):
        got = np.cos(self.x) * self.cotangent

        expect.gradient(np.sin, self.x, got, self.cotangent, "sin_backward")
        expect.gradient(np.sin, self.x, got, self.cotangent, "f", entries=3, rng=np.random.default_rng(1))

    def test_a_wrong_one_fails_by_entries_and_by_directions(self):
        got = np.cos(self.x) * self.cotangent
        got[1, 2] += 0.5

        said = sentence(expect.gradient, np.sin, self.x, got, self.cotangent, "sin_backward")
        assert "sin_backward: wrong gradient at [1, 2]." in said
        assert "(largest difference 0.5)." in said
        assert "along a random direction" in sentence(
            expect.gradient, np.sin, self.x, got, self.cotangent, "f", entries=3, rng=np.random.default_rng(1)
        )

    def test_a_constant_is_consistent_only_with_a_forward_that_is_checked(self):
        said = sentence(expect.gradient, lambda x: x.sum(), self.x, self.x * 0, self.cotangent, "f")

        assert said.startswith("f (the value before its gradient): wrong type. Got a NumPy float64")

    def test_a_forward_in_single_precision_is_named_as_the_cause(self):
        said = sentence(expect.gradient, lambda x: x.astype(np.float32), self.x, self.cotangent, self.cotangent, "f")

        assert said == "f (the value before its gradient): wrong dtype. Got float32, expected float64."

    def test_the_shape_comes_before_the_value(self):
        said = sentence(expect.gradient, np.sin, self.x, self.x.sum(0), self.cotangent, "f")

        assert said == "f: wrong number of axes. Got (4,), expected (3, 4)."

    def test_a_function_that_changes_its_argument_does_no_harm(self):
        def doubled(x):
            x *= 2
            return x

        expect.gradient(doubled, self.x, 2 * self.cotangent, self.cotangent, "f")

    def test_random_directions_need_a_generator(self):
        with pytest.raises(TypeError, match="pass rng="):
            expect.gradient(np.sin, self.x, self.x, self.cotangent, "f", entries=2)


def test_no_torch_is_imported_for_the_sake_of_numpy():
    code = (
        "import sys, numpy as np\nfrom autograder import expect\n"
        "expect.close(np.ones(2), np.ones(2), 'f')\nprint('torch' in sys.modules)"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "False"


class TestBounds:
    @pytest.mark.parametrize("number", [0.1 + 0.7 + 0.1, np.float32(0.9), 0.9])
    def test_a_bound_is_met_by_what_only_rounding_takes_away(self, number):
        assert float(number) <= 0.9000001
        expect.between(number, 0.9, 1.0, what="share")
        expect.at_least(number, 0.9, what="share")
        expect.between(1 - float(number), 0.0, 0.1, what="rest")
        expect.at_most(1 - float(number), 0.1, what="rest")

    def test_a_share_of_right_answers_is_met_so_too(self):
        labels = np.zeros(100, dtype=int)
        predicted = np.where(np.arange(100) < 7, 0, 1)

        assert 0.07 * 100 > 7
        expect.accuracy(predicted, labels, 0.07, what="guess")

    @pytest.mark.parametrize(("number", "low", "high"), [(0.8999, 0.9, 1.0), (1.001, 0.9, 1.0), (-0.001, 0, 1)])
    def test_what_is_beyond_is_beyond(self, number, low, high):
        with pytest.raises(Mismatch, match="out of range"):
            expect.between(number, low, high, what="share")


class TestQualities:
    def test_a_quality_that_is_missed_says_both_numbers(self):
        with pytest.raises(Mismatch, match=r"train: too little. Got 0.74, expected at least 0.85") as caught:
            expect.at_least(0.74, 0.83, what="train", asked=0.85)

        assert caught.value.quality == Quality(0.74, 0.85)

    def test_the_other_way_round(self):
        with pytest.raises(Mismatch, match=r"error: too much. Got 0.5, expected at most 0.3") as caught:
            expect.at_most(0.5, 0.3, what="error")

        assert caught.value.quality == Quality(0.5, 0.3, is_floor=False)

    def test_an_accuracy_is_one(self):
        with pytest.raises(Mismatch) as caught:
            expect.accuracy(np.array([0, 1, 1, 1]), np.zeros(4, dtype=int), 0.8, what="train", asked=0.85)

        assert caught.value.quality == Quality(0.25, 0.85)

    @pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, None, "1", [1.0]])
    def test_what_is_no_number_has_none(self, number):
        with pytest.raises(Mismatch) as caught:
            expect.at_least(number, 0.5, what="train")

        assert caught.value.quality is None


class TestKinks:
    """A central difference may reach across a kink, although the function and its gradient are right."""

    @pytest.mark.parametrize("distance", [2e-6, -2e-6, 8e-6])
    def test_a_right_gradient_beside_a_kink_passes(self, distance):
        x = np.array([distance, 1.0, -1.0])

        expect.gradient(
            lambda v: np.maximum(v, 0.0),
            x,
            (x > 0) * np.array([1.0, 2.0, 3.0]),
            np.array([1.0, 2.0, 3.0]),
            what="relu",
        )

    def test_along_random_directions_too(self):
        x = np.array([2e-6, 1.0, -1.0])
        right = (x > 0) * np.array([1.0, 2.0, 3.0])

        expect.gradient(lambda v: np.maximum(v, 0.0), x, right, np.array([1.0, 2.0, 3.0]), what="relu",
                        entries=5, rng=np.random.default_rng(0))  # fmt: skip

    def test_a_wrong_one_does_not(self):
        x = np.array([2e-6, 1.0, -1.0])

        with pytest.raises(Mismatch, match="wrong gradient"):
            expect.gradient(lambda v: np.maximum(v, 0.0), x, np.array([0.5, 1.0, 0.0]), np.ones(3), what="relu")
