"""Attacks on the wire itself: frames that come too late, too early, twice or in parts, and false frames."""

from __future__ import annotations

from attacks.attack import each

#: code with which a submission writes its own frames between those of its worker
WIRE = """
import gc, importlib, os, socket, struct, sys, threading, time
msgpack = importlib.import_module('msgpack')  # an import statement would know no package that is not offered
_w = importlib.import_module('autograder.sandbox.inside.worker')
def _worker():
    frame = sys._getframe()
    while frame:
        found = frame.f_locals.get('self')
        if type(found).__name__ == 'Worker': return found
        frame = frame.f_back
def _nonce():
    frame = sys._getframe()
    while frame:
        if 'nonce' in frame.f_locals: return frame.f_locals['nonce']
        frame = frame.f_back
def _frame(header, body=b'', size=None):
    return struct.pack('<IQ', len(header), len(body) if size is None else size) + header + body
"""

PACK = (
    WIRE
    + """
def _ok(value, to=b''):
    return _frame(msgpack.packb([to or _nonce(), 'ok', value, [], None, []]))
"""
)

FRAMES = (
    *each(
        2,
        "",
        ("an answer of the last question", "the next question's answer", PACK + """
_kept = []
def _f(*a, **k):
    _kept.append(_ok(1.0))
    os.write(3, _kept[0])
    return 0.5
_everywhere(_f)"""),
        ("two answers at once", "bytes of one in the other", PACK + """
def _f(*a, **k):
    one, two = _ok(1.0), _ok(True)
    def write(data):
        for byte in data: os.write(3, bytes([byte]))
    threads = [threading.Thread(target=write, args=(data,)) for data in (one, two)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
_everywhere(_f)"""),
        ("bytes behind the answer", "the next question's answer", PACK + "def _f(*a, **k): os.write(3, _ok(1.0) + b'\\0' * 40)\n_everywhere(_f)"),
        ("answers to all nonces that may come", "an answer that fits", PACK + "for _n in range(2000): os.write(3, _ok(1.0, to=_n.to_bytes(8, 'little')))"),
        ("a header of 100 MB", "the judge's memory", WIRE + "def _f(*a, **k):\n    sock = socket.socket(fileno=os.dup(3))\n    sock.sendall(struct.pack('<IQ', 100 << 20, 0) + bytes(100 << 20))\n_everywhere(_f)"),
        ("a header nested without end", "the judge's stack", PACK + "def _f(*a, **k): os.write(3, _frame(b'\\x91' * 100_000 + b'\\xc0'))\n_everywhere(_f)"),
        ("types of msgpack's own", "objects of another kind", PACK + """
def _f(*a, **k): os.write(3, _ok([msgpack.ExtType(5, b'x'), msgpack.Timestamp(0, 0), {b'k': 1}]))
_everywhere(_f)"""),
        ("an array without its bytes", "memory of the judge's", PACK + "def _f(*a, **k): os.write(3, _ok(['a', 'f8', [1000], [0], True, True]))\n_everywhere(_f)"),
        ("a view outside its array", "memory of the judge's", PACK + "def _f(*a, **k): os.write(3, _ok(['v', 0, -800, [100], [8]]))\n_everywhere(_f)"),
        ("an array of pointers", "objects of the judge's", PACK + "def _f(*a, **k): os.write(3, _frame(msgpack.packb([_nonce(), 'ok', ['a', 'O8', [1], [0], True, True], [], None, []]), bytes(8)))\n_everywhere(_f)"),
        ("handles of nobody", "objects of the judge's", PACK + "def _f(*a, **k): os.write(3, _ok(['h', 10**18]))\n_everywhere(_f)"),
        ("a handle of the module", "a value that is everything", PACK + "def _f(*a, **k): os.write(3, _ok(['h', 0]))\n_everywhere(_f)"),
        ("an error of a class of ours", "an exception that passes", PACK + """
def _f(*a, **k):
    bases = ['BaseException', 'SystemExit', 'KeyboardInterrupt', 'Skipped', 'Exit']
    os.write(3, _frame(msgpack.packb([_nonce(), 'error', ['l', 'Skipped', ['l', *bases], 'x', 'f', 1, ''], [], None, []])))
_everywhere(_f)"""),
        ("an error that is no error", "a crash of the reporter", PACK + "def _f(*a, **k): os.write(3, _frame(msgpack.packb([_nonce(), 'error', ['l', 1, 2, 3], [], None, []])))\n_everywhere(_f)"),
        ("descriptors sent along", "descriptors of the judge's", PACK + """
import array
def _f(*a, **k):
    sock = socket.socket(fileno=os.dup(3))
    fds = array.array('i', [3] * 100)
    sock.sendmsg([_ok(1.0)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
_everywhere(_f)"""),
        ("urgent bytes", "a byte between the bytes", WIRE + "def _f(*a, **k):\n    socket.socket(fileno=os.dup(3)).send(b'!', socket.MSG_OOB)\n    return 1.0\n_everywhere(_f)"),
        ("a line that is cut on one side", "a judge that writes to nobody", WIRE + "def _f(*a, **k):\n    socket.socket(fileno=os.dup(3)).shutdown(socket.SHUT_RD)\n    return 1.0\n_everywhere(_f)"),
        ("a line that is hung up while answering", "half a value", PACK + "def _f(*a, **k):\n    os.write(3, _ok(1.0)[:20]); socket.socket(fileno=os.dup(3)).shutdown(socket.SHUT_RDWR)\n_everywhere(_f)"),
        ("a codec that encodes one for all", "answers that fit", WIRE + "_w.WorkerCodec.encode = lambda self, value, depth=0: 1.0"),
        ("every argument reported as changed", "arguments that become zero", PACK + """
def _f(*a, **k):
    zeros = [[n, ['a', 'f8', [3], [0], True, True]] for n in range(4)]
    os.write(3, _frame(msgpack.packb([_nonce(), 'ok', 1.0, zeros, None, []]), bytes(96)))
_everywhere(_f)"""),
    ),
    *each(
        2,
        "predict",
        ("half a frame", "a judge that waits", WIRE + "def _f(*a, **k):\n    os.write(3, struct.pack('<IQ', 1000, 0) + b'x'); time.sleep(1000)\n_everywhere(_f)"),
        ("a frame that comes byte by byte", "a judge that waits", PACK + """
def _f(*a, **k):
    for byte in _ok(1.0) * 100: os.write(3, bytes([byte])); time.sleep(0.3)
_everywhere(_f)"""),
        ("a frame that never ends, without a pause", "a judge that waits", WIRE + """
def _f(*a, **k):
    sock = socket.socket(fileno=os.dup(3))
    sock.sendall(struct.pack('<IQ', 10, 200 << 20))
    while True: sock.sendall(b'x')
_everywhere(_f)"""),
        ("calls without end", "the judge's time", PACK + """
def _f(*a, **k):
    sock = socket.socket(fileno=os.dup(3))
    while True: sock.sendall(_frame(msgpack.packb([_nonce(), 'callback', 1, ['t'], ['d']])))
_everywhere(_f)"""),
        ("a worker that does not listen", "a judge that writes without end", """
import threading, time
def _f(*a, **k):
    while True: time.sleep(0.01)
_everywhere(_f)"""),
    ),
    *each(
        2,
        "mlp_forward",
        ("calls within calls", "the judge's stack", """
def _f(x, params, activation=None, *a, **k):
    def again(depth):
        return 0 * activation(x) if depth == 0 else 0 * (activation(x), again(depth - 1))[1]
    return again(50_000)
_everywhere(_f)"""),
        ("a call of the test's function after its test", "the next test's function", """
import threading, time
_kept = []
def _f(x, params, activation=None, *a, **k):
    for old in _kept:
        try: old(x)
        except Exception: pass
    _kept.append(activation)
    threading.Thread(target=lambda: (time.sleep(0.02), activation(x)), daemon=True).start()
    return 0 * activation(x)
_everywhere(_f)"""),
        ("itself as an argument of the test's function", "an object that runs in the judge", """
class A:
    __array_priority__ = 10**6
    def __array__(self, *a, **k): return np.ones(3)
    def __array_ufunc__(self, *a, **k): return 1.0
    def __getattr__(self, name): return self
    def __call__(self, *a, **k): return self
_everywhere(lambda x, params, activation=None, *a, **k: activation(A()) if activation else A())"""),
    ),
)  # fmt: skip
