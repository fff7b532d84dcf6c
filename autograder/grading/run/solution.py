"""Solution: the fixture `reference` in the examiner's process, imported again for each submission."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType

from autograder.errors import AutograderError
from autograder.given import modules_among
from autograder.topic import Topic


def load_solution(topic: Topic) -> ModuleType:
    """Import a topic's solution under a special name; its further modules are imported again too."""
    for name in (*topic.also, *modules_among(topic.files)):
        sys.modules.pop(name, None)
    spec = importlib.util.spec_from_file_location(f"reference_{topic.module}", topic.solution_path)
    if spec is None or spec.loader is None:
        raise AutograderError(f"{topic.solution_path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # a dataclass looks for its own module there
    exec(_code_of(str(topic.solution_path)), vars(module))
    return module


@cache
def _code_of(path: str) -> CodeType:
    return compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)
