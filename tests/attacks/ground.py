"""Ground: the assignment on which attacks are tried. It is real, but has few tests and short budgets.

An attack can reach the same as in the whole assignment, but faster: its code, the folder with the solution and the
hidden tests, the wall. A whole suite would only repeat this, and give each endless loop more time.
"""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

from attacks.corpus import ATTACKS
from autograder.suite import task_of
from autograder.topic import Topic, read_topic

COURSE = Path(__file__).parents[2]
#: tasks of an assignment that are kept: those that attacks name, then the first others; more if attacks name more
_TASKS = 4
#: CPU seconds that a test may use; torch's first call of many functions takes some of them
_SECONDS, _TORCH_SECONDS = 0.4, 0.8
_TESTS = 2  #: tests of each task that are kept in each of the two files; and also these
_KEPT = ("test_a_gradient_comes_back",)
#: tests that train, or build networks of a hundred million weights
_HEAVY = (
    "alexnet",
    "vgg",
    "resnet",
    "papers",
    "digits",
    "unseen",
    "epoch",
    "small_images",
    "seed",
    "every_parameter",
)

#: one more test of assignment 04: a gradient that the judge asks for, through the student's network
_GRADIENT = '''

@pytest.mark.task("small_cnn")
def test_a_gradient_comes_back_from_the_network(student, rng):
    """The gradient tells how the scores move when the image moves."""
    torch.manual_seed(0)
    model = student.SmallCNN().double().eval()
    image = torch.tensor(rng.normal(size=(1, 1, 8, 8)), requires_grad=True)
    weights, step = torch.tensor(rng.normal(size=(1, 10))), torch.tensor(rng.normal(size=(1, 1, 8, 8)))

    (model(image) * weights).sum().backward()

    with torch.no_grad():
        up, down = ((model(image + h * step) * weights).sum().item() for h in (1e-6, -1e-6))
    expect.is_true(up != down, "SmallCNN: the scores do not depend on the image.")
    expect.close((image.grad * step).sum().item(), (up - down) / 2e-6, what="SmallCNN", rtol=1e-4, atol=1e-6)
'''


def make_ground(root: Path, topic_id: str) -> Topic:
    """Write the small assignment below `root`, as a course that every user of the host may read."""
    root.chmod(0o755)
    folder = root / "assignments" / topic_id
    shutil.copytree(COURSE / "assignments" / topic_id, folder)
    (root / "gradebook.db").write_bytes(b"marks")
    whole = read_topic(folder)
    tasks = tasks_of(whole)
    seconds = _TORCH_SECONDS if whole.needs_torch else _SECONDS
    manifest = folder / "topic.toml"
    head, *tables = re.split(r"(?m)^(?=\[tasks\.)", manifest.read_text(encoding="utf-8"))
    kept = [table for table in tables if re.match(r"\[tasks\.(\w+)", table)[1] in tasks]  # type: ignore[index]
    kept = [re.sub(r"(?m)^seconds = .*\n", "", table) for table in kept]
    kept = [table.replace("\n", f"\nseconds = {seconds}\n", 1) for table in kept]
    manifest.write_text(head + "".join(kept))
    (folder / "mistakes.toml").write_text("")  # an attack needs no hints
    topic = read_topic(folder)
    if "small_cnn" in tasks:
        with topic.public_tests_path.open("a", encoding="utf-8") as tests:
            tests.write(_GRADIENT)
    for path in (topic.public_tests_path, topic.hidden_tests_path):
        path.write_text(_shorten(path.read_text(encoding="utf-8"), tasks), encoding="utf-8")
    return topic


def tasks_of(topic: Topic) -> tuple[str, ...]:
    """Return the tasks that are kept of an assignment."""
    named = {attack.spoils for attack in ATTACKS if attack.topic_id == topic.id}
    others = [task.id for task in topic.tasks if task.id not in named and task.is_gradable]
    kept = {*named, *others[: max(_TASKS - len(named - {""}), 0)]}
    return tuple(task.id for task in topic.tasks if task.id in kept)


def _shorten(source: str, tasks: tuple[str, ...]) -> str:
    """Drop every test except the first few of these tasks."""
    lines = source.splitlines(keepends=True)
    left = dict.fromkeys(tasks, _TESTS)
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        task = task_of(node)
        if task in tasks and any(word in node.name for word in _KEPT):
            continue
        if left.get(task, 0) and not any(word in node.name for word in _HEAVY):
            left[task] -= 1
            continue
        first = min(decorator.lineno for decorator in node.decorator_list)
        for number in range(first - 1, node.end_lineno or 0):
            lines[number] = ""
    return "".join(lines)
