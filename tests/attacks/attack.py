"""An attack: a student's module with some hostile lines.

An attack is added to the stub of an assignment, and then deserves no points. Or it is added to the solution and spoils
one task, and then deserves the points of the others. `_everywhere(f)` replaces every function and class that the attack
may spoil by f. `{tests}`, `{solution}` and `{course}` are the best paths that a thief could guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from autograder.stub import to_stub
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


@cache
def _stub(solution: str, where: str) -> str:
    """Make the stub once for all attacks that begin with it."""
    return to_stub(solution, where)


@dataclass(frozen=True)
class Attack:
    """One hostile submission."""

    name: str
    family: int
    tries: str  #: its aim, in words
    code: str
    spoils: str = ""  #: the task of the solution that it replaces; "" for the stub
    topic_id: str = "01_neural_network_basics"
    claims: tuple[str, ...] = ()  #: the names of that task that it replaces; () for all of them

    def source(self, topic: Topic) -> str:
        """Return the module."""
        solution = topic.solution_path.read_text(encoding="utf-8")
        if self.spoils:
            text, names = solution, topic.task(self.spoils).names
        else:
            text = _stub(solution, str(topic.solution_path))
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

    def honest_part(self, topic: Topic) -> str:
        """Return the module whose mark the attack deserves: the parts that it replaces are not written."""
        solution = topic.solution_path.read_text(encoding="utf-8")
        if not self.spoils:
            return _stub(solution, str(topic.solution_path))
        lines = [
            f"def {name}(*_, **__): raise NotImplementedError" for name in self.claims or topic.task(self.spoils).names
        ]
        return "\n".join([solution, *lines, ""])


def each(family: int, spoils: str, *attacks: tuple[str, str, str], **more: str) -> tuple[Attack, ...]:
    """Return the attacks of one family that spoil the same task, from triples of name, aim and code."""
    return tuple(Attack(name, family, tries, code, spoils, **more) for name, tries, code in attacks)
