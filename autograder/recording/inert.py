"""Inert: a student's answer as HTML that runs nothing and loads nothing.

A teacher reads a student's answer in a browser, with more rights than the student. So the HTML holds only what is
listed here: text, emphasis, headings, lists, tables, quotes, code, formulas of maths.py, and pictures that were pasted
into the answer. It has no links (a browser may look up the address of a link that nobody clicks), no other addresses,
no raw HTML, and no classes or styles of the student.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from html import escape
from typing import Any
from urllib.parse import unquote

from mistune import HTMLRenderer
from mistune.plugins import import_plugin
from nbconvert.filters.markdown_mistune import MarkdownWithMath

from autograder.limits import ANSWER_LETTERS, ANSWER_SECONDS, FORMULAS
from autograder.recording.maths import is_tame
from autograder.recording.pictures import picture
from autograder.timed import cpu_seconds

#: the tokens of the parser that are rendered; any other token makes the whole answer plain text
_FORMS = frozenset(
    """
    text emphasis strong link image codespan linebreak softbreak inline_html paragraph heading blank_line
    thematic_break block_text block_code block_quote block_html block_error list list_item strikethrough table
    table_head table_body table_row table_cell inline_math block_math latex_environment
    """.split()
)


def inert(source: str, attachments: Mapping[str, Mapping[str, str]]) -> str:
    """Return the HTML of a student's Markdown; as plain text if it takes too long or cannot be parsed.

    Args:
        source: any text; of more than ANSWER_LETTERS it is shown as plain text
        attachments: the pictures of the cell: for each name a MIME type and base64
    """
    html = f"<pre>{escape(source)}</pre>"
    if len(source) <= ANSWER_LETTERS:
        plugins = [import_plugin("strikethrough"), import_plugin("table")]
        with suppress(Exception), cpu_seconds(ANSWER_SECONDS):  # a text may do anything to the parser
            html = MarkdownWithMath(renderer=_Renderer(attachments), plugins=plugins).render(source)
    # nbconvert looks for links to files/ in what a filter returns, in quadratic time: it finds no bracket
    html = html.replace("[", "&#91;")
    return f'<div class="tex2jax_ignore mathjax_ignore">{html}</div>'


class _Renderer(HTMLRenderer):
    """Renders each token. MathJax may read only formulas."""

    def __init__(self, attachments: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__(escape=True, allow_harmful_protocols=False)
        self._attachments = dict(attachments)
        self._formulas = 0

    def render_token(self, token: dict[str, Any], state: Any) -> str:
        if token["type"] not in _FORMS:
            raise LookupError(token["type"])
        return str(super().render_token(token, state))

    def link(self, text: str, url: str, title: str | None = None) -> str:
        address = escape(url)
        return text if text == address else f"{text} ({address})"

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """Show a picture that was pasted into the answer, once; of any other picture show the address as text."""
        if not url.startswith("attachment:"):
            return f"[picture: {text} ({escape(url)})]"
        name = unquote(url.removeprefix("attachment:"))  # mistune writes a space as %20
        for kind, data in self._attachments.pop(name, {}).items():
            if honest := picture(kind, data):
                return f'<img src="data:{kind};base64,{honest}" alt="{escape(name)}">'
        return f"[picture {escape(name)} is missing, or shown above: {text}]"

    def block_code(self, code: str, info: str | None = None) -> str:
        return f"<pre><code>{escape(code)}</code></pre>\n"

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        return f"<h{level}>{text}</h{level}>\n"

    def inline_math(self, body: str) -> str:
        return self._formula(f"${body}$") or f"<code>${escape(body)}$</code>"

    def block_math(self, body: str) -> str:
        return self._formula(f"$${body}$$") or f"<pre><code>$${escape(body)}$$</code></pre>"

    def latex_environment(self, name: str, body: str) -> str:
        whole = f"\\begin{{{name}}}{body}\\end{{{name}}}"
        return self._formula(whole) or f"<pre><code>{escape(whole)}</code></pre>"

    def _formula(self, whole: str) -> str:
        """Return the formula with its dollars for MathJax; '' if it must be shown as typed."""
        if not is_tame(whole) or self._formulas >= FORMULAS:
            return ""
        self._formulas += 1
        return f'<span class="tex2jax_process mathjax_process">{escape(whole)}</span>'
