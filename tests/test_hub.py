"""A real JupyterHub with local accounts: two students, two graders, nbgrader's exchange, and a service account.

It makes its accounts, and removes them. `make test-hub` runs it. Without JupyterHub, npm's proxy or root it is skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from factory import HIDDEN, SOLUTION

from autograder.course import Course

ID = "01_tiny"
ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "jupyterhub" / "jupyterhub_config.py"
UNIT = EXAMPLE.with_name("formgrader.service")
PROXY = Path(sys.prefix, "node_modules", ".bin", "configurable-http-proxy")
ADA, BOB, KIM, LEE, GRADER = (f"agtest-{name}" for name in ("ada", "bob", "kim", "lee", "grader"))
ACCOUNTS = (ADA, BOB, KIM, LEE, GRADER)
MARK_OF_BOB = "nobody but Bob may read this line"
MODULES = {ADA: SOLUTION, BOB: SOLUTION.replace("return x / 2", "return x / 3") + f"# {MARK_OF_BOB}\n"}


def _missing() -> str:
    """Say what the test lacks here."""
    if find_spec("jupyterhub") is None:
        return "JupyterHub is not installed: make test-hub"
    if not PROXY.exists():
        return "configurable-http-proxy is not installed: make test-hub"
    if os.geteuid() != 0 or not all(map(shutil.which, ("useradd", "userdel", "chpasswd", "runuser", "node"))):
        return "only root can make accounts"
    if any(map(_exists, ACCOUNTS)):
        return "an account agtest-... exists already: remove it"
    run = subprocess.run(
        ["runuser", "-u", "nobody", "--", sys.executable, "-c", "import autograder"], capture_output=True
    )
    return "other accounts cannot run this Python, or cannot read this folder" if run.returncode else ""


def _exists(account: str) -> bool:
    return subprocess.run(["id", account], capture_output=True).returncode == 0


_WHY_NOT = _missing()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT)]


# --- the hub ----------------------------------------------------------------------------------------------------------


@dataclass
class Hub:
    """A hub that runs, with all that was made for it."""

    folder: Path
    url: str
    token: str
    passwords: dict[str, str]
    log: Path
    said_by_follow: str = ""

    @property
    def course(self) -> Course:
        return Course(self.folder / "home" / GRADER / "deep_learning")

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Ask the hub's own interface as an administrator."""
        return self._asked(method, f"{self.url}/hub/api/{path}", self.token, body)

    def ask(self, account: str, method: str, path: str, body: object = None) -> Any:
        """Ask a server as an account does in a browser, but by a token."""
        token = self.api("POST", f"users/{account}/tokens", {"note": "test"}).json()["token"]
        return self._asked(method, f"{self.url}/{path}", token, body)

    def mine(self, account: str, method: str, path: str, body: object = None) -> Any:
        """Ask an account's own server."""
        answer = self.ask(account, method, f"user/{account}/{path}", body)
        assert answer.status_code < 300, answer.text[:2000]
        return answer

    @staticmethod
    def _asked(method: str, url: str, token: str, body: object) -> Any:
        head = {"Authorization": f"token {token}"}
        return requests.request(method, url, headers=head, json=body, timeout=180, allow_redirects=False)

    def browser(self, account: str) -> requests.Session:
        """A browser in which somebody has logged in."""
        browser = requests.Session()
        assert self.login(account, self.passwords[account], browser).status_code == 302
        return browser

    def login(self, account: str, password: str, browser: requests.Session | None = None) -> Any:
        """Fill in the form of the login page; returns the next page's answer."""
        browser = browser or requests.Session()
        browser.get(f"{self.url}/hub/login", timeout=60)
        words = {"username": account, "password": password, "_xsrf": browser.cookies["_xsrf"]}
        return browser.post(f"{self.url}/hub/login", data=words, timeout=60, allow_redirects=False)

    def start(self, account: str) -> None:
        """Start an account's server, and wait for it."""
        self.api("POST", f"users/{account}/server")
        _until(lambda: self.api("GET", f"users/{account}").json()["servers"].get("", {}).get("ready"), self.log)


@pytest.fixture(scope="session")
def scripts() -> None:
    """Put the scripts of the other venv on PATH: nbgrader calls `alembic`."""
    os.environ["PATH"] = f"{os.environ['PATH']}:{_prefix_of('jupyterlab') / 'bin'}"


@pytest.fixture(scope="module")
def hub(scripts: None, released: Course) -> Iterator[Hub]:
    """A hub in which a class of two has handed in, and has got its feedback."""
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="hub-", dir="/var/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        passwords = _make_accounts(folder / "home", stack)
        _make_folders(folder, released)
        hub = _start(folder, passwords, stack)
        _through_a_class(hub)
        yield hub


def _make_accounts(homes: Path, stack: contextlib.ExitStack) -> dict[str, str]:
    homes.mkdir()
    passwords = {account: secrets.token_urlsafe(16) for account in ACCOUNTS}
    for account in ACCOUNTS:
        stack.callback(_remove, account)
        home = homes / account
        _run("useradd", "--create-home", "--home-dir", str(home), "--shell", "/bin/sh", account)
        home.chmod(0o700)
        if account != GRADER:  # it has no password, so nobody logs in with it
            _run("chpasswd", text=f"{account}:{passwords[account]}\n")
    return passwords


def _remove(account: str) -> None:
    """End what an account runs, and remove it."""
    import pwd

    with contextlib.suppress(KeyError):
        number = pwd.getpwnam(account).pw_uid
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if number in process.uids():
                    process.kill()
                    process.wait(10)
        _run("userdel", "--force", account)


def _make_folders(folder: Path, released: Course) -> None:
    """Make the exchange, the course of the service account, and the settings of nbgrader for everybody."""
    exchange = folder / "exchange"
    exchange.mkdir()
    exchange.chmod(0o777)
    course = folder / "home" / GRADER / "deep_learning"
    shutil.copytree(released.root, course)
    with (course / "nbgrader_config.py").open("a") as config:
        config.write(f"\nc.Exchange.root = {str(exchange)!r}\n")
    course.chmod(0o700)
    _run("chown", "-R", f"{GRADER}:", str(course))
    etc = folder / "etc"
    (etc / "jupyter_server_config.d").mkdir(parents=True)
    settings = {"c.CourseDirectory.course_id": "deep_learning", "c.Exchange.root": str(exchange)}
    lines = ["c = get_config()", *(f"{name} = {value!r}" for name, value in settings.items())]
    (etc / "nbgrader_config.py").write_text("\n".join(lines) + "\n")
    off = {f"nbgrader.server_extensions.{name}": False for name in ("formgrader", "course_list")}
    (etc / "jupyter_server_config.d" / "students.json").write_text(
        json.dumps({"ServerApp": {"jpserver_extensions": off}})
    )


def _start(folder: Path, passwords: dict[str, str], stack: contextlib.ExitStack) -> Hub:
    """Start the example file, with the names and ports of this test."""
    ports, token = _free_ports(4), secrets.token_hex(16)
    prefix = _prefix_of("jupyterlab")  # the packages are those of another venv, with their settings
    text = EXAMPLE.read_text()
    names = {
        "/etc/jupyterhub/students": f"{folder / 'etc'}:{prefix}/etc/jupyter",
        "/etc/jupyterhub/formgrader.env": str(folder / "hub" / "formgrader.env"),
        'GRADERS = {"kim", "lee"}': f"GRADERS = {{{KIM!r}, {LEE!r}}}",
        'STUDENTS = {"ada", "bob"}': f"STUDENTS = {{{ADA!r}, {BOB!r}}}",
        ":8000": f":{ports[0]}",
        ":9999": f":{ports[3]}",
    }
    for old, new in names.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    paths = {"JUPYTER_PATH": f"{prefix}/share/jupyter"}
    text += f"""
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{ports[1]}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{ports[2]}"
c.ConfigurableHTTPProxy.command = [{str(PROXY)!r}]
c.Spawner.start_timeout = c.Spawner.http_timeout = 240
c.Spawner.environment |= {paths!r}
c.JupyterHub.services.append({{"name": "test", "api_token": {token!r}}})
c.JupyterHub.load_roles.append({{"name": "test", "services": ["test"],
    "scopes": ["admin:users", "admin:servers", "tokens", "access:servers"]}})
"""
    (folder / "hub").mkdir(mode=0o700)
    (folder / "hub" / "jupyterhub_config.py").write_text(text)
    (folder / "hub" / "formgrader.env").write_text(f"JUPYTERHUB_API_TOKEN={secrets.token_hex(32)}\n")
    log = folder / "hub" / "log.txt"
    with log.open("w") as stream:
        program = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub"], cwd=folder / "hub", stdout=stream, stderr=stream,
            env=os.environ | {"PATH": f"{Path(sys.prefix, 'bin')}:{os.environ['PATH']}"},
        )  # fmt: skip
    stack.callback(_stop, program)
    hub = Hub(folder, f"http://127.0.0.1:{ports[0]}", token, passwords, log)

    def answers() -> bool:
        assert program.poll() is None, _last_of(log)
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{hub.url}/hub/api/", timeout=10).ok
        return False

    _until(answers, log)
    _start_formgrader(hub, ports, paths | {"JUPYTER_CONFIG_PATH": f"{prefix}/etc/jupyter"}, stack)
    return hub


def _start_formgrader(hub: Hub, ports: list[int], paths: dict[str, str], stack: contextlib.ExitStack) -> None:
    """Start what the unit starts, as its account, in its folder and with its variables."""
    lines = UNIT.read_text().splitlines()
    lines += (
        (hub.folder / "hub" / "formgrader.env").read_text().replace("JUPYTER", "Environment=JUPYTER", 1).splitlines()
    )
    words = [word for line in lines if line.startswith("Environment=") for word in shlex.split(line)]
    variables = dict(word.removeprefix("Environment=").split("=", 1) for word in words)
    variables["JUPYTERHUB_API_URL"] = variables["JUPYTERHUB_API_URL"].replace(":8081", f":{ports[1]}")
    variables["JUPYTERHUB_SERVICE_URL"] = variables["JUPYTERHUB_SERVICE_URL"].replace(":9999", f":{ports[3]}")
    home = str(hub.folder / "home" / GRADER)
    with (hub.folder / "hub" / "formgrader.txt").open("w") as stream:
        program = subprocess.Popen(
            ["runuser", "-u", GRADER, "--", str(Path(sys.prefix, "bin", "jupyterhub-singleuser"))],
            cwd=hub.course.root, stdout=stream, stderr=stream,
            env={"HOME": home, "PATH": os.environ["PATH"], **paths, **variables},
        )  # fmt: skip
    stack.callback(_stop, program)


def _stop(program: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started."""
    below = psutil.Process(program.pid).children(recursive=True) if program.poll() is None else []
    program.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(60)
    for process in below:
        with contextlib.suppress(psutil.Error):
            process.kill()
    program.kill()
    program.wait()


def _through_a_class(hub: Hub) -> None:
    """Release, fetch, hand in, follow, and fetch the feedback, each by the account that does it."""
    formgrader = "services/deep_learning/formgrader/api"
    _until(lambda: hub.ask(KIM, "GET", f"{formgrader}/assignments").status_code == 200, hub.log)
    released = hub.ask(KIM, "POST", f"{formgrader}/assignment/{ID}/release")
    assert released.json()["success"], released.text[:2000]
    what = {"course_id": "deep_learning", "assignment_id": ID}
    for student, module in MODULES.items():
        hub.start(student)
        assert hub.mine(student, "POST", "assignments/fetch", what).json()["success"]
        file = {"type": "file", "format": "text", "content": module}
        hub.mine(student, "PUT", f"api/contents/{ID}/tiny.py", file)
        assert hub.mine(student, "POST", "assignments/submit", what).json()["success"]
    hub.said_by_follow = _follow(hub)
    for student in MODULES:
        assert hub.mine(student, "POST", "assignments/fetch_feedback", what).json()["success"]


def _follow(hub: Hub) -> str:
    """Let the service account follow until both students are answered; returns what it says."""
    program = subprocess.run(
        ["runuser", "-u", GRADER, "--", sys.executable, "-m", "autograder.cli", "follow", ID, "--once"],
        cwd=hub.course.root, capture_output=True, text=True, timeout=400,
        env={"HOME": str(hub.folder / "home" / GRADER), "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1",
             "JUPYTER_PATH": f"{_prefix_of('jupyterlab')}/share/jupyter"},
    )  # fmt: skip
    assert program.returncode == 0, program.stdout + program.stderr
    return program.stdout


def _run(*command: str, text: str | None = None) -> None:
    subprocess.run(command, input=text, text=True, check=True, capture_output=True)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _prefix_of(package: str) -> Path:
    """The environment in which a package is installed."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parents[4]


def _until(is_true: Any, log: Path, seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until, _last_of(log)
        time.sleep(0.5)


def _last_of(log: Path) -> str:
    """The last lines of the hub's log, without those that only say that somebody asked."""
    lines = [line for line in log.read_text().splitlines() if "xsrf" not in line and "404" not in line]
    return "\n".join(lines[-60:])


def as_account(account: str, code: str, *words: str) -> str:
    """Run some Python as an account; returns what it prints."""
    run = subprocess.run(
        ["runuser", "-u", account, "--", sys.executable, "-c", code, *words],
        capture_output=True, text=True, check=True, cwd="/", timeout=300,
    )  # fmt: skip
    return run.stdout


# --- what holds there -------------------------------------------------------------------------------------------------


def test_who_has_the_password_may_log_in_and_nobody_else(hub: Hub) -> None:
    assert hub.login(ADA, hub.passwords[ADA]).status_code == 302
    assert hub.login(ADA, hub.passwords[BOB]).status_code == 403
    assert hub.login(GRADER, "").status_code == 403


def test_both_are_answered_and_read_their_own_feedback(hub: Hub) -> None:
    assert f"{ADA}: answered" in hub.said_by_follow
    assert f"{BOB}: answered" in hub.said_by_follow
    for student, points in ((ADA, "<strong>30</strong> of 30 points"), (BOB, "<strong>18</strong> of 30 points")):
        (folder,) = hub.mine(student, "GET", f"api/contents/{ID}/feedback").json()["content"]
        page = hub.mine(student, "GET", f"api/contents/{folder['path']}/{ID}.html").json()["content"]
        assert points in page


def test_both_graders_share_one_formgrader_and_no_student_opens_it(hub: Hub) -> None:
    where = "services/deep_learning/formgrader"
    for grader in (KIM, LEE):
        rows = hub.ask(grader, "GET", f"{where}/api/submissions/{ID}").json()
        assert {row["student"]: row["score"] for row in rows}[ADA] == 90.0
        assert hub.ask(grader, "GET", f"{where}/manage_assignments").status_code == 200
        notebooks = hub.ask(grader, "GET", f"{where}/api/submitted_notebooks/{ID}/{ID}").json()
        page = hub.ask(grader, "GET", f"{where}/submissions/{notebooks[0]['id']}/?index=0")
        assert page.status_code == 200, page.text[-2000:]
        assert "Why would anyone double a number?" in page.text
    for student in (ADA, BOB):
        assert hub.ask(student, "GET", f"{where}/api/submissions/{ID}").status_code == 403
        assert hub.ask(student, "GET", f"user/{student}/formgrader/manage_assignments").status_code == 404


def test_a_grader_comes_from_the_login_page_to_the_formgrader_and_a_student_does_not(hub: Hub) -> None:
    for account, status in ((KIM, 200), (BOB, 403)):
        browser = hub.browser(account)

        page = browser.get(f"{hub.url}/services/deep_learning/formgrader/manage_assignments", timeout=120)

        assert page.status_code == status
        assert ("formgrader" in page.text) == (status == 200)


def test_no_student_reaches_the_server_of_another(hub: Hub) -> None:
    assert hub.ask(ADA, "GET", f"user/{BOB}/api/contents").status_code == 403


def test_the_service_account_grades_on_the_rung_that_it_has(hub: Hub) -> None:
    said = as_account(GRADER, "from autograder.sandbox.ladder import choose; print(choose(allow_unisolated=False))")
    code = (
        "import sys; from pathlib import Path; from autograder.course import Course\n"
        "from autograder.grading.keep import store\n"
        f"print(*{{report.isolation for report in store.reports(Course(Path(sys.argv[1])), {ID!r})}})"
    )

    assert said.strip() in "ABC"
    assert as_account(GRADER, code, str(hub.course.root)).strip() == said.strip()


#: print every file below some folders that this account can read and that holds one of some texts
_SEARCH = """
import os, sys
texts = [text.encode() for text in sys.argv[2].split("|")]
for top in sys.argv[1].split(":"):
    for folder, _, names in os.walk(top):
        for name in names:
            try:
                with open(os.path.join(folder, name), "rb") as stream:
                    content = stream.read(1 << 24)
            except OSError:
                continue
            if any(text in content for text in texts):
                print(os.path.join(folder, name))
"""
MISTAKE = "squared instead of doubled"  #: beside the hidden tests and the solution
HIDDEN_TEST = next(line.split("(")[0].removeprefix("def ") for line in HIDDEN.splitlines() if line.startswith("def "))


def test_a_student_finds_no_parcel_of_another_no_hidden_test_and_no_solution(hub: Hub) -> None:
    scratch = [str(path) for path in Path(tempfile.gettempdir()).glob("autograder-*")]
    places = ":".join([str(hub.folder), "/dev/shm", *scratch])
    texts = f"{MARK_OF_BOB}|{HIDDEN_TEST}|{MISTAKE}"
    by_ada = as_account(ADA, _SEARCH, places, texts).splitlines()
    by_bob = as_account(BOB, _SEARCH, places, texts).splitlines()
    by_grader = as_account(GRADER, _SEARCH, str(hub.folder), texts).splitlines()

    may_enter = as_account(ADA, "import os, sys; print(os.access(sys.argv[1], os.X_OK))", str(hub.course.root))

    assert by_ada == []
    assert may_enter.strip() == "False"
    assert {Path(path).relative_to(hub.folder / "home").parts[0] for path in by_bob} == {BOB}
    assert any(path.endswith("test_tiny_hidden.py") for path in by_grader)
    assert any("inbound" in path for path in by_grader)


def test_the_folders_have_the_modes_that_the_page_states(hub: Hub) -> None:
    exchange = hub.folder / "exchange" / "deep_learning"
    modes = {path: f"{path.stat().st_mode & 0o777:o} {path.owner()}" for path in exchange.iterdir()}
    modes[hub.course.root] = f"{hub.course.root.stat().st_mode & 0o777:o} {hub.course.root.owner()}"
    stated = (ROOT / "docs" / "jupyterhub.md").read_text()

    for name, mode in (("inbound", "733"), ("outbound", "755"), ("feedback", "711")):
        assert modes[exchange / name] == f"{mode} {GRADER}"
        assert f"| `{name}` of the course in the exchange | 0{mode} |" in stated
    assert modes[hub.course.root] == f"700 {GRADER}"


def test_nobody_hands_in_for_another(hub: Hub) -> None:
    """A folder that Bob's account made in Ada's name is not taken."""
    code = (
        "import os, sys\nfolder = sys.argv[1]\nos.mkdir(folder)\n"
        "for name, text in (('tiny.py', 'FACTOR = 0'), ('timestamp.txt', 'x'), ('submission_secret.txt', 'y')):\n"
        "    open(os.path.join(folder, name), 'w').write(text)\nos.chmod(folder, 0o777)\n"
    )
    inbound = hub.folder / "exchange" / "deep_learning" / "inbound"
    as_account(BOB, code, str(inbound / f"{ADA}+{ID}+2027-01-01 00:00:00.000000 UTC+x"))

    said = _follow(hub)

    assert f"handed in for {ADA} by the account {BOB}; it is not taken" in said
    rows = hub.ask(KIM, "GET", f"services/deep_learning/formgrader/api/submissions/{ID}").json()
    assert {row["student"]: row["score"] for row in rows}[ADA] == 90.0
