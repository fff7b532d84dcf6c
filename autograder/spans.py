"""Spans: where the nodes of a syntax tree are in its text."""

from __future__ import annotations

import ast
import re


class Spans:
    """Finds nodes, and the operators between them, as offsets into a source."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines = text.split("\n")
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line) + 1)

    def of(self, node: ast.expr | ast.stmt | ast.keyword) -> tuple[int, int]:
        """Return where a node starts and ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)

    def _offset(self, line: int, column: int) -> int:
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())

    def operand(self, node: ast.expr) -> str:
        """Return the source of a node, in brackets if an operator beside it would bind more strongly."""
        start, end = self.of(node)
        source = self.text[start:end]
        is_whole = isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.Constant)
        return source if is_whole else f"({source})"

    def between(self, left: ast.expr, right: ast.expr, symbol: str) -> tuple[int, int]:
        """Return where an operator is between two nodes."""
        pattern = r"\s+".join(map(re.escape, symbol.split()))
        start = self.of(left)[1]
        found = re.search(pattern, self.text[start : self.of(right)[0]])
        assert found is not None, f"no {symbol} in line {left.lineno}"
        return start + found.start(), start + found.end()

    def sides(self, node: ast.expr, operator: tuple[int, int]) -> tuple[str, str]:
        """Return the two operands of a node, with the brackets around them."""
        start, end = self.of(node)
        return self.text[start : operator[0]].strip(), self.text[operator[1] : end].strip()
