"""The ground on which attacks are tried: a real assignment, cut down to a few tests and short budgets.

What an attack can reach is the same as in the whole assignment, only sooner: its code, its folder with the solution and
the hidden tests, the wall. A whole suite would only repeat it, and give each endless loop more time.
"""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

from autograder.suite import task_of
from autograder.topic import Topic, read_topic

COURSE = Path(__file__).parents[2]
#: the tasks that are kept of an assignment, and the CPU seconds that a test of each may use
GROUNDS = {
    "01_neural_network_basics": (("activations", "mlp_forward", "init_params", "predict"), 0.4),
    "02_backpropagation_training": (("losses", "numerical_gradient", "train"), 0.4),
    "05_advanced_cnn_techniques": (("freezing", "batch_norm", "boxes"), 0.8),
    "03_frameworks_tensorflow_pytorch": (
        ("training_loop", "data_loading", "custom_autograd", "checkpoints", "keras_model"),
        0.8,
    ),
    "06_recurrent_networks": (("gru_step", "gradients_through_time", "text"), 0.8),
    "04_convolutional_networks": (("conv2d_forward", "filters", "architectures", "small_cnn"), 0.8),
}
_TESTS = 2  #: kept of each task, of the public file and of the hidden one; and all of these besides
_KEPT = ("test_a_gradient_comes_back", "written_with_numpy")
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
    """Write the small assignment below `root`, as a course that anybody on the host may read."""
    root.chmod(0o755)
    folder = root / "assignments" / topic_id
    shutil.copytree(COURSE / "assignments" / topic_id, folder)
    (root / "gradebook.db").write_bytes(b"marks")
    tasks, seconds = GROUNDS[topic_id]
    manifest = folder / "topic.toml"
    head, *tables = re.split(r"(?m)^(?=\[tasks\.)", manifest.read_text(encoding="utf-8"))
    kept = [table for table in tables if re.match(r"\[tasks\.(\w+)", table)[1] in tasks]  # type: ignore[index]
    kept = [re.sub(r"(?m)^seconds = .*\n", "", table) for table in kept]
    kept = [table.replace("\n", f"\nseconds = {seconds}\n", 1) for table in kept]
    manifest.write_text(head + "".join(kept))
    (folder / "mistakes.toml").write_text("")  # hints are no part of an attack
    topic = read_topic(folder)
    if "small_cnn" in tasks:
        with topic.public_tests_path.open("a", encoding="utf-8") as tests:
            tests.write(_GRADIENT)
    for path in (topic.public_tests_path, topic.hidden_tests_path):
        path.write_text(_shorten(path.read_text(encoding="utf-8"), tasks), encoding="utf-8")
    return topic


def _shorten(source: str, tasks: tuple[str, ...]) -> str:
    """Drop every test but the first few of these tasks."""
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
