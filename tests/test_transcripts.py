"""Who answers as others did has the verdict that they had: never another, and nobody has one that is not sure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from examining import examine, outcomes
from factory import SOLUTION, make_course

from autograder.course import Course
from autograder.grading.examination import Examination
from autograder.sandbox import wire
from autograder.sandbox.faults import WorkerDied
from autograder.sandbox.ladder import choose
from autograder.sandbox.rungs import Limits
from autograder.sandbox.transcripts import NOT_THERE, THERE, Dialogue, Kind, Said, Transcripts
from autograder.sandbox.zygotes import Zygote
from autograder.topic import Topic

pytest_plugins = ["pytester"]

HIDDEN = '''
import time
import numpy as np
import pytest
from autograder import expect, probe

task = pytest.mark.task("double")
CALLS, ONCE = [], []

@task
def test_several_calls(student, rng):
    """What?"""
    for x in rng.integers(2, 9, size=4):
        expect.equal(student.double(int(x)), 2 * int(x), what="double")

@task
def test_what_is_asked_follows_from_the_answer(student):
    """What?"""
    assert student.double(student.double(3)) == 12

@task
def test_an_object(student):
    """What?"""
    first, second = student.Halver(), student.Halver()
    first.halve(4)
    assert (first.count, second.count, first is second) == (1, 0, False)

@task
def test_a_function_of_ours(student):
    """What?"""
    class Lazy(float):
        pass
    assert student.double(2.0) == 4.0
    apply(student, lambda x: student.double(x) + 1)

@probe
def apply(module, function):
    assert function(3) == 7

@task
def test_an_argument_in_place(student):
    """What?"""
    x = np.ones(3)
    student.double(x)
    assert x.sum() == 3

@task
def test_draws(student):
    """What?"""
    assert student.double(float(np.random.normal())) != 0

@task
def test_of_a_global_name(student):
    """What?"""
    before = student.FACTOR
    student.FACTOR = 5
    changed = student.double(1)
    student.FACTOR = before
    assert changed in (2, 3, 5)

@task
def test_without_a_word():
    """What?"""
    assert True

@task
def test_a_clock(student):
    """What?"""
    start = time.process_time()
    assert student.double(1) == 2 and time.process_time() >= start

@task
def test_that_counts_its_runs(student):
    """What?"""
    CALLS.append(student.double(1))
    assert student.double(len(CALLS)) == 2 * len(CALLS)

@task
def test_that_passes_once(student):
    """What?"""
    ONCE.append(student.double(1))
    assert len(ONCE) == 1, "no more"
'''
UNSTEADY = ("test_that_counts_its_runs", "test_that_passes_once")
ALWAYS_RUN = ("test_of_a_global_name", "test_a_clock")
DOUBLE = "return x * FACTOR"
SOURCES = {
    "the solution": SOLUTION,
    "other words": SOLUTION + "# mine\n",
    "another way": SOLUTION.replace(DOUBLE, "return x + x"),
    "wrong": SOLUTION.replace(DOUBLE, "return 3 * x"),
    "right for small numbers": SOLUTION.replace(DOUBLE, "return x * FACTOR if abs(x) < 5 else 0"),
    "wrong at the third call": SOLUTION.replace(
        "FACTOR = 2", "FACTOR = 2\nCALLS = []"
    ).replace(DOUBLE, "CALLS.append(x); return x * FACTOR if len(CALLS) != 3 else 0"),
    "an error": SOLUTION.replace(DOUBLE, "raise KeyError(x)"),
    "an error for large numbers": SOLUTION.replace(DOUBLE, "return x * FACTOR if x < 6 else {}[x]"),
    "an end for large numbers": SOLUTION.replace(DOUBLE, "return x * FACTOR if x < 6 else __import__('os')._exit(0)"),
    "a loop for large numbers": SOLUTION.replace(DOUBLE, "\n    while x > 5: pass\n    return x * FACTOR"),
    "one object for all": SOLUTION.replace(
        "class Halver:", "class Halver:\n    def __new__(cls, known=[]):\n"
        "        known[:] = known or [object.__new__(cls)]\n        return known[0]\n"
    ),
    "in place": SOLUTION.replace(DOUBLE, "\n    try: x *= 2\n    except TypeError: return 2 * x\n    return x"),
    "an object that can be called": SOLUTION + "\nclass Double:\n    __call__ = lambda self, x: 2 * x\ndouble = Double()\n",
    "under two names": SOLUTION + "\ntriple = Double = double\n",
    "nothing in it": "import nowhere",
    "does not import": "1 / 0",
    "nothing": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def topic(tmp_path_factory: pytest.TempPathFactory) -> Topic:
    course = make_course(
        tmp_path_factory.mktemp("course"), hidden=HIDDEN, manifest=("seconds = 2", "seconds = 0.3")
    )
    return course.topic("01_tiny")


@pytest.fixture(scope="module")
def zygote(topic: Topic) -> Iterator[Zygote]:
    with Zygote(choose(allow_unisolated=False), topic.packages, Limits(memory_mb=topic.memory)) as zygote:
        yield zygote


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tests whose own code runs, each time."""
    names: list[str] = []
    protocol = Examination.pytest_runtest_protocol

    def noted(examination: Examination, item: pytest.Item) -> bool | None:
        names.append(item.name)
        return protocol(examination, item)

    monkeypatch.setattr(Examination, "pytest_runtest_protocol", pytest.hookimpl(tryfirst=True)(noted))
    return names


@pytest.mark.parametrize("changes", [None, {"": []}], ids=["free", "protected"])
def test_the_marks_are_those_of_who_remembers_nothing(
    pytester: pytest.Pytester, topic: Topic, zygote: Zygote, changes: dict[str, list[str]] | None
) -> None:
    texts = tuple(SOURCES.values())
    _, alone = examine(pytester, topic, zygote, texts, changes=changes, is_remembering=False)

    _, said = examine(pytester, topic, zygote, texts * 4, changes=changes)

    for number, answer in enumerate(said):
        alike = without(UNSTEADY, answer), without(UNSTEADY, alone[number % len(texts)])
        assert alike[0] == alike[1]
    assert said[-1]["unsteady"] == sorted(UNSTEADY)


def without(tests: tuple[str, ...], answer: dict[str, Any]) -> dict[str, Any]:
    """Return an examination's answer without some tests."""
    return answer | {
        "unsteady": [],
        "results": [result for result in answer["results"] if result["test"] not in tests],
    }


def test_a_real_assignment_has_the_same_marks(pytester: pytest.Pytester) -> None:
    topic = Course(Path(__file__).resolve().parent.parent).topic("01_neural_network_basics")
    solution = topic.solution_path.read_text(encoding="utf-8")
    edits = (*topic.alternatives[::9], *topic.mistakes[::17])
    texts = (solution, *(solution.replace(edit.find, edit.replace) for edit in edits))
    with Zygote(choose(allow_unisolated=False), topic.packages, Limits(memory_mb=topic.memory)) as zygote:
        _, alone = examine(pytester, topic, zygote, texts, is_remembering=False)
        _, said = examine(pytester, topic, zygote, texts * 3)

    assert len(texts) > 12
    assert said == list(alone) * 3


def test_who_answers_as_two_others_did_is_not_judged_anew(
    pytester: pytest.Pytester, topic: Topic, zygote: Zygote, ran: list[str]
) -> None:
    _, said = examine(pytester, topic, zygote, (SOLUTION, SOURCES["other words"], SOURCES["another way"]))

    assert {name: ran.count(name) for name in ran} == {
        name: 3 if name in ALWAYS_RUN else 2 for name in outcomes(said)[0] if name not in UNSTEADY
    } | dict.fromkeys(UNSTEADY, 3) | {"test_that_counts_its_runs": 4}


def test_another_seed_is_another_test(
    pytester: pytest.Pytester, topic: Topic, zygote: Zygote, ran: list[str]
) -> None:
    examine(pytester, topic, zygote, (SOLUTION,), seeds=(1, 2, 3))

    assert ran.count("test_several_calls") == 3


# --- by itself -------------------------------------------------------------------------------------------------------


NONCE = b"8 bytes."
TEST = ("test_it", None)


def said(words: str, kind: Kind = "request") -> Said:
    return Said(kind, words.encode())


def frame(*tree: Any, nonce: bytes = NONCE, body: bytes = b"") -> wire.Frame:
    return wire.Frame(memoryview(wire.pack([nonce, *tree, [], None])), memoryview(body))


ANSWER = frame("ok", 1)


def dialogue_of(transcripts: Transcripts, *steps: tuple[Said, wire.Frame]) -> Dialogue:
    dialogue = transcripts.dialogue(TEST)
    assert dialogue is not None
    for words, answer in steps:
        dialogue.note(words, answer)
    return dialogue


@pytest.fixture
def transcripts() -> Transcripts:
    """Two runs of one test that asked "a?" and "b?", and passed."""
    found = Transcripts()
    for _ in range(2):
        steps = (said("a?"), ANSWER), (said("b?"), ANSWER)
        assert found.keep(dialogue_of(found, *steps), "passed")
    return found


def walk(transcripts: Transcripts, *answers: wire.Frame | WorkerDied, nonce: bytes = NONCE) -> Dialogue:
    dialogue = transcripts.dialogue(TEST)
    assert dialogue is not None
    for answer in answers:
        assert dialogue.known is not None
        dialogue.went(dialogue.known, nonce, answer)
    return dialogue


def test_the_same_answers_lead_to_the_same_verdict(transcripts: Transcripts) -> None:
    assert walk(transcripts, ANSWER, ANSWER).verdict == "passed"
    assert walk(transcripts, ANSWER).verdict is None


@pytest.mark.parametrize(
    "answer",
    [
        frame("ok", 2),
        frame("error", 1),
        frame("callback", 1),
        frame("ok", 1, body=b"x"),
        frame("ok", 1, nonce=b"another."),
        frame("ok", 1, nonce=b"shorter"),
        wire.Frame(memoryview(bytes(ANSWER.header)[:-1]), memoryview(bytes(ANSWER.header)[-1:])),
        wire.Frame(memoryview(b""), memoryview(bytes(ANSWER.header))),
        wire.Frame(memoryview(b""), memoryview(b"")),
    ],
    ids=["value", "status", "kind", "body", "nonce", "length", "cut elsewhere", "all body", "nothing"],
)
def test_any_other_answer_leads_to_none(transcripts: Transcripts, answer: wire.Frame) -> None:
    dialogue = walk(transcripts, answer)

    assert (dialogue.known, dialogue.verdict) == (None, None)
    assert dialogue.say_again(said("a?")) == NONCE
    assert dialogue.hear_again() is answer
    assert dialogue.is_replayed


def test_one_run_proves_nothing() -> None:
    transcripts = Transcripts()
    transcripts.keep(dialogue_of(transcripts, (said("a?"), ANSWER)), "passed")

    assert walk(transcripts, ANSWER).verdict is None


def test_an_answer_in_other_bytes_is_never_kept() -> None:
    """An array of five can be written in three ways: what lies behind the nonce would be read from elsewhere."""
    transcripts = Transcripts()
    longer = wire.Frame(memoryview(b"\xdc\x00\x05" + bytes(ANSWER.header)[1:]), memoryview(b""))
    for _ in range(3):
        transcripts.keep(dialogue_of(transcripts, (said("a?"), longer)), "passed")

    dialogue = transcripts.dialogue(TEST)
    assert dialogue is not None
    assert dialogue.known is None


def test_a_reply_to_the_outer_of_two_requests_is_not_one_to_the_inner() -> None:
    transcripts = Transcripts()
    steps = (said("a?"), frame("callback", 1)), (said("b?"), ANSWER), (said("c", "answer"), ANSWER)
    for _ in range(2):
        transcripts.keep(dialogue_of(transcripts, *steps), "passed")
    inner, outer = b"inner...", b"outer..."

    dialogue = transcripts.dialogue(TEST)
    assert dialogue is not None
    for (words, _), nonce, answer in zip(
        steps,
        (outer, inner, b""),
        (frame("callback", 1, nonce=outer), frame("ok", 1, nonce=inner), frame("ok", 1, nonce=outer)),
        strict=True,
    ):
        assert dialogue.known == words
        dialogue.went(words, nonce, answer)
    assert dialogue.verdict == "passed"

    dialogue = transcripts.dialogue(TEST)
    assert dialogue is not None
    dialogue.went(steps[0][0], outer, frame("callback", 1, nonce=outer))
    dialogue.went(steps[1][0], inner, frame("ok", 1, nonce=outer))
    assert dialogue.known is None


def test_the_end_of_a_worker_is_heard_again(transcripts: Transcripts) -> None:
    end = WorkerDied("it died")
    dialogue = walk(transcripts, ANSWER, end)
    dialogue.say_again(said("a?"))
    dialogue.hear_again()
    dialogue.say_again(said("b?"))

    with pytest.raises(WorkerDied):
        dialogue.hear_again()
    assert dialogue.is_replayed


def test_a_test_that_says_something_else_is_found_out(transcripts: Transcripts) -> None:
    dialogue = walk(transcripts, frame("ok", 2))

    assert dialogue.say_again(said("z?")) is None
    assert (dialogue.differs, dialogue.is_replayed) == (True, True)


def test_a_test_that_says_less_is_found_out(transcripts: Transcripts) -> None:
    dialogue = walk(transcripts, ANSWER, frame("ok", 2))
    dialogue.say_again(said("a?"))
    dialogue.hear_again()

    assert not dialogue.is_replayed


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        (((said("a?"), ANSWER), (said("b?"), ANSWER)), "failed"),
        (((said("a?"), ANSWER),), "passed"),
        (((said("a?"), ANSWER), (said("z?"), ANSWER)), "passed"),
        (((said("a?"), ANSWER), (said("b?"), ANSWER), (said("c?"), ANSWER)), "passed"),
    ],
    ids=["another verdict", "less", "other words", "more"],
)
def test_what_came_out_otherwise_is_said(
    transcripts: Transcripts, steps: tuple[tuple[Said, wire.Frame], ...], verdict: str
) -> None:
    assert not transcripts.keep(dialogue_of(transcripts, *steps), verdict)


def test_a_forgotten_test_stays_forgotten(transcripts: Transcripts) -> None:
    transcripts.forget(TEST)

    assert transcripts.dialogue(TEST) is None


def test_what_the_import_left_decides_what_is_said() -> None:
    transcripts = Transcripts()
    look = said("double", "look")
    for found, words in ((THERE, "call"), (NOT_THERE, "get"), (THERE, "call")):
        dialogue = transcripts.dialogue(TEST)
        assert dialogue is not None
        dialogue.note(look, found)
        dialogue.note(said(words), ANSWER)
        assert transcripts.keep(dialogue, "passed")

    dialogue = transcripts.dialogue(TEST)
    assert dialogue is not None
    assert dialogue.known == look
    dialogue.went(look, b"", NOT_THERE)
    assert dialogue.known == said("get")


def test_what_is_kept_has_an_end() -> None:
    """However many and large the answers: a class of a thousand does not fill the memory."""
    transcripts = Transcripts()
    large = Said("request", bytes(200_000))

    def keep(test: int) -> Dialogue | None:
        dialogue = transcripts.dialogue((str(test), None))
        assert dialogue is not None
        dialogue.note(large, ANSWER)
        assert transcripts.keep(dialogue, "passed")
        return transcripts.dialogue((str(test), None))

    kept = [keep(test) for test in range(1000)]

    assert 10 < sum(dialogue is not None and dialogue.known is not None for dialogue in kept) < 200
    assert keep(0).first.after  # type: ignore[union-attr]


def test_a_test_with_much_to_say_is_not_kept() -> None:
    transcripts = Transcripts()
    for _ in range(2):
        assert transcripts.keep(dialogue_of(transcripts, (Said("request", bytes(2 << 20)), ANSWER)), "passed")

    assert transcripts.dialogue(TEST).known is None  # type: ignore[union-attr]
