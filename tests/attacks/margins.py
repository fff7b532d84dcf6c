"""Attacks at the margins: on resources without a limit, on the code that reads a module's text, on the teacher."""

from __future__ import annotations

from attacks.attack import Attack
from attacks.frames import PACK, WIRE

_01, _02, _04 = (
    "01_neural_network_basics",
    "02_backpropagation_training",
    "04_convolutional_networks",
)

MARGINS = (
    Attack(
        "half a million parts in each call", 2, "the judge's time", PACK + """
def _f(*a, **k):
    data = _frame(msgpack.packb([_nonce(), 'callback', 1, ['t', ['l', *[['l']] * 399_000]], ['d']]))
    sock = socket.socket(fileno=os.dup(3))
    def read():
        while True: sock.recv(1 << 20)
    threading.Thread(target=read, daemon=True).start()
    while True: sock.sendall(data)
numerical_gradient = grad_check = _f""",
        "numerical_gradient", _02,
    ),
    Attack(
        "twenty thousand new objects in each call", 2, "the judge's memory", PACK + """
def _f(*a, **k):
    nonce = _nonce()
    frames = [_frame(msgpack.packb([nonce, 'callback', 1, ['t', ['l', *[['h', n + k * 20000] for n in range(1, 19_900)]]], ['d']])) for k in range(20)]
    sock = socket.socket(fileno=os.dup(3))
    def read():
        while True: sock.recv(1 << 20)
    threading.Thread(target=read, daemon=True).start()
    while True:
        for d in frames: sock.sendall(d)
numerical_gradient = grad_check = _f""",
        "numerical_gradient", _02,
    ),
    Attack(
        "an answer to the outer call", 2, "a call that was not finished", PACK + """
def _f(f, x, *a, **k):
    outer = _nonce()
    os.write(3, _frame(msgpack.packb([_nonce(), 'callback', 1, ['t', ['l']], ['d']])) + _ok(1.0, to=outer) * 3)
    return 0.0
numerical_gradient = grad_check = _f""",
        "numerical_gradient", _02,
    ),
    Attack(
        "a call back into the call", 2, "the judge's stack", """
class _M:
    def __getattr__(self, name): return lambda *a, **k: train(*_kept[0], **_kept[1])
_kept = []
def train(*a, **k):
    _kept[:] = [a, k]
    for f in (*a, *k.values()):
        if callable(f):
            try: f(f, _M(), a)
            except Exception as e: pass
    return {'loss': [1.0, 0.5], 'val_loss': [1.0, .5]}""",
        "train", _02,
    ),
    Attack(
        "outputs with a list for a number", 2, "messages that fill the judge's disk", PACK + """
_t = ['T', 'float32', [1], [0], True, 'cpu', False]
_data = _frame(msgpack.packb([_nonce(), 'callback', 0, ['t'], ['d']]))
def _f(*a, **k):
    os.write(3, _frame(msgpack.packb([_nonce(), 'ok', ['l', *[['O', [n], ['T', 'float32', [0], [0], True, 'cpu', False], []] for n in range(30000)]], [], None, []])))
_everywhere(_f)""",
        "small_cnn", _04,
    ),
    Attack(
        "a dtype that is a package", 2, "an import in the judge", WIRE + """
_w.WorkerCodec.encode_tensor = lambda self, tensor: ['O', 1, ['T', 'float32', [0], [0], True, 'cpu', False], [[1, [1], '_inductor'], [2, [1], '_dynamo'], [3, [1], 'onnx'], [4,[1],'_export']]]
_everywhere(lambda *a, **k: torch.zeros(1, 10))""",
        "", _04,
    ),
    Attack(
        "an empty array with a sum of half a terabyte", 1, "the judge's memory", '_everywhere(lambda *a, **k: np.empty((0, 1 << 39)))',
        "", _01,
    ),
    Attack(
        "a timer that stops the process", 1, "no end without work", """
import ctypes
def _f(*a, **k):
    libc = ctypes.CDLL(None)
    event = (ctypes.c_byte * 64)(); ctypes.cast(event, ctypes.POINTER(ctypes.c_int))[2] = 19
    timer = ctypes.c_void_p(); spec = (ctypes.c_long * 4)(0, 0, 0, 1000000)
    libc.timer_create(0, event, ctypes.byref(timer)); libc.timer_settime(timer, 0, spec, None)
    while True: __import__('time').sleep(0.001)
_everywhere(_f)""",
        "predict", _01,
    ),
    Attack(
        "timers without end", 1, "signals that others need", """
import ctypes
def _f(*a, **k):
    libc = ctypes.CDLL(None); timer = ctypes.c_void_p(); n = 0
    while libc.timer_create(0, None, ctypes.byref(timer)) == 0 and n < 10**6: n += 1
    raise ValueError(n)
_everywhere(_f)""",
        "", _01,
    ),
    Attack(
        "locks on the files of all", 1, "a library that nobody can open", """
import fcntl, os, sys
_open = []
for _folder, _, _names in os.walk(os.path.dirname(np.__file__)):
    for _name in _names[:3]:
        try:
            _file = open(os.path.join(_folder, _name)); fcntl.flock(_file, fcntl.LOCK_EX | fcntl.LOCK_NB); _open.append(_file)
        except OSError: pass""",
        "", _01,
    ),
    Attack(
        "kernel objects of every kind", 1, "what all processes of a machine share", """
import ctypes
def _f(*a, **k):
    libc = ctypes.CDLL(None); n = 0
    for call in (29, 64, 68, 240, 248, 250, 253, 254, 294, 300, 319, 323, 425, 434, 41, 53, 56, 435, 279, 272, 308, 165, 317, 321, 298, 448, 441):
        for x in range(40): n += libc.syscall(call, 0, 4096, 0o1666, 0, 0, 0) >= 0
    assert n == 0, n
    return 0
_everywhere(_f)""",
        "", _01,
    ),
    Attack(
        "a little work now and then", 1, "no end that looks like work", """
import time
def _f(*a, **k):
    while True:
        t = time.process_time()
        while time.process_time() - t < 0.006: pass
        time.sleep(0.25)
_everywhere(_f)""",
        "predict", _01,
    ),
    Attack(
        "errors that are each other's cause", 1, "no end in the reporter", """def _f(*a, **k):
    e = ValueError('x')
    for _ in range(10**5):
        n = ValueError('y'); n.__cause__ = n.__context__ = e; e.add_note('z' * 100); e = n
    raise e
_everywhere(_f)""",
        "predict", _01,
    ),
    Attack(
        "memory and files up to their budgets", 1, "the memory of the machine", """
def _f(*a, **k):
    kept = [bytearray(b'x' * (1 << 27)) for _ in range(20)]
    for n in range(64): open(f'f{n}', 'wb').write(bytes(1 << 20))
    return kept
_everywhere(_f)""",
        "predict", _01,
    ),
    Attack(
        "names that read from right to left", 2, "what a teacher reads", """class E(Exception): pass
E.__name__ = E.__qualname__ = '\\u202e\\u2066' + 'dessap' + '\\x1b[8m' + 'e\\u0301\\u0301' * 40
def _f(*a, **k): raise E('\\u202e\\x9b31m\\u2028\\u0085' + '\\u0300' * 400)
_f.__name__ = _f.__qualname__ = '\\x1b]0;x\\x07'
_f.__code__ = _f.__code__.replace(co_qualname='\\x1b[2J\\u202e<b>')
_everywhere(_f)""",
        "", _01,
    ),
    Attack(
        "five thousand names that are markup", 2, "what a teacher reads", """for _i in range(5000): globals()['\\u202e<script>%d' % _i + 'x' * 700] = lambda *a: 0
globals()[5] = _everywhere""",
        "", _01,
    ),
    Attack(
        "a line of code that is markup", 2, "what a teacher reads", """def _f(*a, **k): raise ValueError('`</code><img src=x onerror=alert(1)>|=1+1')  # `<script>\\u202e
_everywhere(_f)""",
        "", _01,
    ),
    Attack(
        "a group of errors", 2, "an error of another kind", """def _f(*a, **k): raise ExceptionGroup('\\u202e', [ValueError(1), ExceptionGroup('x', [TypeError(2)])])
_everywhere(_f)""",
        "", _01,
    ),
    Attack(
        "a module that answers to every name", 3, "a test for a name", """for _n in _NAMES: del globals()[_n]
def __getattr__(name): return lambda *a, **k: a[0] if a else 0.0""",
        "", _01,
    ),
    Attack(
        "a module of a class of its own", 3, "a test for a name", """
import sys, types
class _M(types.ModuleType):
    def __getattribute__(self, name): return (lambda *a, **k: 0.5) if not name.startswith('_') else types.ModuleType.__getattribute__(self, name)
sys.modules[__name__].__class__ = _M""",
        "", _01,
    ),
    Attack(
        "one function under every name", 6, "arguments that only one of them may change", """def _f(*a, **k):
    for x in a:
        if isinstance(x, np.ndarray): x[...] = 0
    return np.zeros(np.shape(a[0])) if a else 0.0
_everywhere(_f)
zzz = step = update = _f""",
        "", _02,
    ),
    Attack(
        "nan with a message", 6, "comparisons of bits", '_everywhere(lambda x=0, *a, **k: np.full(np.shape(x), 0x7ff0dead0000beef, np.uint64).view(np.float64))',
        "", _01,
    ),
    Attack(
        "what earlier tests showed", 7, "labels that another test gave away", """
_seen = {}
def _f(*a, **k):
    for x in a:
        if isinstance(x, np.ndarray): _seen.setdefault(x.shape, []).append(x.copy())
    want = np.shape(a[0]) if a else ()
    for shape, found in _seen.items():
        if shape[:1] == want[:1] and len(found) > 1: return found[-2]
    return None
_everywhere(_f)""",
        "", _01,
    ),
    Attack(
        "a name that stands for 2**40 others", 1, "the time of who reads the text",
        "def _f(torch):\n" + "".join(f"    torch = torch.a{n}\n" for n in range(40))
        + "_everywhere(lambda *a, **k: None)", "filters", _04,
    ),
    Attack(
        "a cause for complaint in every line", 2, "a report that nobody can open",
        "try:\n" + "    eval\n" * 3000 + "except Exception: pass\n_everywhere(lambda *a, **k: None)",
        "predict", _01,
    ),
)  # fmt: skip
