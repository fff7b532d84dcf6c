"""Reason: why nbgrader's API says that something failed, in one line."""

from __future__ import annotations

import re
from typing import Any

_LAST = re.compile(r"[\w.]*(Error|Exception|Entry|Interrupt|Exit)(: |$)")  #: the last line of a traceback
_EMPTY = "Please see the"  #: how nbgrader refers to its log


def reason(result: dict[str, Any]) -> str:
    """Return the last line of the most useful traceback; nbgrader's own may only refer to its log.

    Args:
        result: what a method of `NbGraderAPI` or `capture_log` returned, with "error", and "log" if there was one
    """
    for text in (result.get("error"), result.get("log")):
        lines = [line.strip() for line in str(text or "").splitlines()]
        found = [line for line in lines if _LAST.match(line) and _EMPTY not in line]
        if found:
            return found[-1]
    return str(result.get("error") or result.get("log") or "it says nothing").strip().splitlines()[-1]


def why_failed(result: dict[str, Any]) -> str:
    """Say why nbgrader's API failed, without the exception's name.

    Raises:
        KeyboardInterrupt: that was the failure; nbgrader takes Ctrl-C for one student's fault, and goes on
    """
    last = reason(result)
    if last.startswith("KeyboardInterrupt"):
        raise KeyboardInterrupt
    return last.partition(": ")[2] or last
