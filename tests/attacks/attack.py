"""An attack: a student's module with a few lines too many.

An attack stands on the stub of an assignment (then it deserves nothing) or on the solution with one task spoilt (then
it deserves the other tasks). `_everywhere(f)` puts f in the place of every function and class that it may spoil.
`{tests}`, `{solution}` and `{course}` are the paths that a thief would guess at best.
"""

from __future__ import annotations

from dataclasses import dataclass

from autograder.authoring.stub import to_stub
from autograder.topic import Topic

FAMILIES = {
    1: "ending early, using up",
    2: "forging results",
    3: "tampering with the framework",
    4: "shadowing",
    5: "reading secrets",
    6: "fooling comparisons",
    7: "the answer from elsewhere",
    8: "metadata",
}


@dataclass(frozen=True)
class Attack:
    """One hostile submission."""

    name: str
    family: int
    tries: str  #: what it is after, in words
    code: str
    spoils: str = ""  #: the task that it stands in for on the solution; "" for the stub
    topic_id: str = "01_neural_network_basics"

    def source(self, topic: Topic) -> str:
        """Return the module."""
        solution = topic.solution_path.read_text(encoding="utf-8")
        if self.spoils:
            text, names = solution, topic.task(self.spoils).names
        else:
            text = to_stub(solution, str(topic.solution_path))
            names = tuple(name for task in topic.tasks for name in task.names)
        code = self.code.strip("\n")
        for key, path in (
            ("{tests}", topic.hidden_tests_path),
            ("{solution}", topic.solution_path),
            ("{course}", topic.folder.parent.parent),
        ):
            code = code.replace(key, str(path))
        everywhere = (
            f"\n\n_NAMES = {names!r}\n\n\ndef _everywhere(f):\n    for _name in _NAMES:\n"
            "        globals()[_name] = f\n\n\n"
        )
        return f"{text}{everywhere}{code}\n"

    def deserves(self, topic: Topic) -> float:
        """Return the points of its honest part."""
        return topic.points - topic.task(self.spoils).points if self.spoils else 0.0


def each(family: int, spoils: str, *attacks: tuple[str, str, str], **more: str) -> tuple[Attack, ...]:
    """Return the attacks of one family that spoil the same task, from triples of name, aim and code."""
    return tuple(Attack(name, family, tries, code, spoils, **more) for name, tries, code in attacks)
