"""Written answers as pages show them: they can be read, and they do nothing."""

import threading
import time
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import chromium  # noqa: F401 (a fixture)
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.strings import strip_files_prefix
from payloads import payloads

from autograder.limits import ANSWER_LETTERS
from autograder.recording import inert as inert_module
from autograder.recording.inert import inert
from autograder.recording.maths import is_tame

MATHJAX = Path("/usr/share/javascript/mathjax")  #: Debian's libjs-mathjax, where it is installed
#: the elements that a page may have for an answer, and their attributes
ALLOWED = {
    tag: {}
    for tag in "p em strong code pre del blockquote ul li h1 h2 h3 h4 h5 h6 hr br table thead tbody tr".split()
} | {
    "div": {"class": {"tex2jax_ignore mathjax_ignore"}},
    "span": {"class": {"tex2jax_process mathjax_process"}},
    "td": {"style": {"text-align:left", "text-align:center", "text-align:right"}},
    "th": {"style": {"text-align:left", "text-align:center", "text-align:right"}},
    "ol": {"start": {str(number) for number in range(10)}},
}  # fmt: skip


class Reader(HTMLParser):
    """Notes the parts of a page that are not allowed, and the formulas that MathJax will see."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found, self.formulas, self._is_formula = [], [], False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self._is_formula = tag == "span"
        allowed = ALLOWED.get(tag)
        if allowed is None or any(value not in allowed.get(name, ()) for name, value in attrs):
            self.found.append((tag, attrs))

    def handle_endtag(self, tag):
        self._is_formula = False

    def handle_data(self, data):
        if self._is_formula:
            self.formulas.append(data)

    def handle_comment(self, data):
        self.found.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


@pytest.fixture(scope="module")
def server():
    """A server on the loopback address, and the paths of its requests."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        do_POST = do_HEAD = do_OPTIONS = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_whatever_is_written_becomes_harmless_elements_and_formulas():
    for text in payloads("http://127.0.0.1:1"):
        page = Reader(strip_files_prefix(inert(text, {})))

        assert page.found == [], text
        assert all(map(is_tame, page.formulas)), text


def test_a_page_of_all_payloads_asks_for_nothing_and_says_nothing(chromium, server):  # noqa: F811
    address, asked = server
    macro = HTMLExporter().environment.get_template("base/mathjax.html.j2").module.mathjax()
    macro = macro.replace("latest.js", "MathJax.js")  # latest.js loads this
    answers = "".join(strip_files_prefix(inert(text, {})) for text in payloads(address))
    page = chromium.new_page()
    page.set_default_timeout(240_000)
    requests, dialogs = [], []

    def fulfil(route):
        url = urlsplit(route.request.url)
        if url.netloc == "cdnjs.cloudflare.com":
            file = MATHJAX / url.path.removeprefix("/ajax/libs/mathjax/2.7.7/")
            return route.fulfill(path=file) if file.is_file() else route.abort()
        if url.path == "/the/page":
            shown = f"<!DOCTYPE html><html><head><meta charset=utf-8>{macro}</head><body>{answers}</body></html>"
            return route.fulfill(body=shown, content_type="text/html")
        requests.append(route.request.url)
        return route.abort()

    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("popup", lambda popup: requests.append(popup.url))
    page.route("**/*", fulfil)
    page.goto(f"{address}/the/page")
    if MATHJAX.is_dir():
        page.evaluate("() => new Promise(done => MathJax.Hub.Queue(done))")
    page.evaluate(
        "() => document.querySelectorAll('body *').forEach(one => {"
        " one.dispatchEvent(new MouseEvent('click', {bubbles: true})); one.focus?.(); })"
    )
    page.wait_for_timeout(1000)

    assert (requests, dialogs, asked) == ([], [], [])
    assert page.url == f"{address}/the/page"


@pytest.mark.parametrize("formula", [
    r"\frac{1}{n}\sum_{i=1}^n (y_i - \hat y_i)^2", r"\mathbf{W}^\top x + b \in \mathbb{R}^{d \times 1}",
    r"\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}", r"\begin{array}{c|cc} a & b & c \\ \hline 1 & 2 & 3 \end{array}",
    r"\left\| \nabla L \right\|_2 \leq \varepsilon", r"\operatorname{softmax}(z)_i = \frac{e^{z_i}}{\sum_j e^{z_j}}",
    r"f(x) = \begin{cases} x & \text{if } x > 0 \\ 0 & \text{otherwise} \end{cases}", r"a\,b\;c\quad d \% \& \{e\}",
])  # fmt: skip
def test_an_ordinary_formula_is_typeset(formula):
    assert Reader(inert(f"So ${formula}$ holds.", {})).formulas == [f"${formula}$"]


@pytest.mark.parametrize(
    "formula",
    [
        r"\mmlToken{mi}[href='javascript:alert(1)']{x}",
        r"\bbox[background:url(http://127.0.0.1/x)]{x}",
        r"\href{javascript:alert(1)}{x}",
        r"x \\[9999em] y",
        r"\begin{array}{*{99999}{c}}x\end{array}",
        "{" * 50 + "x" + "}" * 50,
        "x" * 3000,
    ],
)
def test_any_other_formula_is_shown_as_typed(formula):
    page = inert(f"${formula}$", {})

    assert Reader(page).formulas == []
    assert f"<code>${formula[:9]}".replace("'", "&#x27;") in page.replace("&#91;", "[")


@pytest.mark.parametrize(
    "unit",
    [
        r"\\(",
        r"\\[",
        "$a ",
        "**a*",
        "[a](",
        "![",
        "``a` ",
        "a\n=\n",
        "> ",
        "<a ",
        "# a\n",
        "\\begin{a}",
        "|a|\n|-|\n",
    ],
)
@pytest.mark.parametrize("letters", [ANSWER_LETTERS, 100_000])
def test_a_long_answer_is_shown_in_bounded_time(unit, letters):
    text = (unit * letters)[:letters]
    begin = time.process_time()

    page = strip_files_prefix(inert(text, {}))

    assert time.process_time() - begin < 9
    assert Reader(page).found == []
    assert letters <= ANSWER_LETTERS or page.count("<pre>") == 1


def test_what_takes_too_long_is_shown_as_plain_text(monkeypatch):
    monkeypatch.setattr(inert_module, "ANSWER_SECONDS", 0.05)

    page = inert(r"\\(" * 6000 + "<b>", {})

    assert page.startswith(r'<div class="tex2jax_ignore mathjax_ignore"><pre>\\(')
    assert page.endswith("&lt;b&gt;</pre></div>")


def test_outside_of_the_main_thread_an_answer_is_plain_for_no_signal_ends_it():
    pages = []
    thread = threading.Thread(target=lambda: pages.append(inert("**a**", {})))
    thread.start()
    thread.join()

    assert "<pre>**a**</pre>" in pages[0]


def test_many_formulas_are_typeset_up_to_a_bound():
    assert len(Reader(inert("$x$ " * 1000, {})).formulas) == 300
