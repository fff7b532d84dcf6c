"""Attacks on assignments 02, 05 and 06: on tests that pass functions, models, generators and texts."""

from __future__ import annotations

from attacks.attack import each

#: arguments that the tests of 02 pass: functions to call, arrays to change, a graph to walk
_BACK = each(
    5,
    "numerical_gradient",
    ("the test's function as the answer", "the reference behind a name", "def numerical_gradient(f, x, *a, **k): return f\ndef grad_check(f, *a, **k): return f"),
    ("what the test's function says", "values that only the judge computes", "def numerical_gradient(f, x, *a, **k): return np.full_like(x, f(x))\ndef grad_check(f, g, x, *a, **k): return f(x)"),
    ("the test's function asked for everything", "attributes of a function of the judge's", """
def _f(f, *a, **k):
    for name in ('__globals__', '__closure__', '__code__', '__self__', '__wrapped__', 'func', '__func__'):
        try: getattr(f, name)
        except Exception: pass
    return f.__globals__
numerical_gradient = grad_check = _f"""),
    ("the cells of what calls back", "the connection to the judge", """
def _f(f, *a, **k):
    worker = f.__closure__[1].cell_contents if len(f.__closure__ or ()) > 1 else f.__closure__[0].cell_contents
    return [repr(value) for value in vars(worker).values()]
numerical_gradient = grad_check = _f"""),
    ("a function called with itself", "a call that never returns", "def _f(f, *a, **k): return f(f)\nnumerical_gradient = grad_check = _f"),
    ("a function called by a thread", "two conversations on one line", """
import threading
def _f(f, x, *a, **k):
    for _ in range(4): threading.Thread(target=f, args=(x,), daemon=True).start()
    return f(x)
numerical_gradient = grad_check = _f"""),
    ("a function kept for the next test", "what another test expects", """
_kept = []
def _f(f, x, *a, **k):
    _kept.append(f)
    return np.full(np.shape(x), float(np.sum([g(x) for g in _kept])))
numerical_gradient = grad_check = _f"""),
    ("a function whose error is the answer", "names and values of the judge's", """
def _f(f, *a, **k):
    try: return f(object(), 1, 2, 3, key=4)
    except BaseException as error: raise type(error)(str(error) * 10)
numerical_gradient = grad_check = _f"""),
    ("an argument that changes while the test's function looks", "another value in the judge's hands", """
def _f(f, x, *a, **k):
    x = np.asarray(x)
    y = f(x); x[...] = 0; f(x)
    return x * y
numerical_gradient = grad_check = _f"""),
    ("a measured gradient that is the wrong one's", "the same mistake on both sides", "def numerical_gradient(f, x, *a, **k): return np.zeros_like(x)\ndef grad_check(*a, **k): return 0.0"),
    ("an exception class of the judge's function", "an error that passes for a verdict", """
def _f(f, *a, **k):
    class Mismatch(AssertionError): pass
    Mismatch.__module__ = 'autograder.faults'
    raise Mismatch('passed')
numerical_gradient = grad_check = _f"""),
    topic_id="02_backpropagation_training",
)  # fmt: skip

_OBJECTS = each(
    6,
    "",
    ("a class that lies about itself", "an isinstance that says yes", """
class _A:
    __class__ = property(lambda self: np.ndarray)
    def __init__(self, *a, **k): pass
    def __getattr__(self, name): return self
    def __call__(self, *a, **k): return self
_everywhere(_A)"""),
    ("attributes that answer the question asked", "a value made for each look", """
class _A:
    def __init__(self, *a, **k): self.__dict__['a'] = a
    def __getattribute__(self, name):
        if name.startswith('__'): return object.__getattribute__(self, name)
        return object.__getattribute__(self, '__dict__')['a'][:1] or 0.0
    def __call__(self, *a, **k): return a[0] if a else 0.0
_everywhere(_A)"""),
    ("a length that grows", "a loop that is not entered", """
class _A:
    n = 0
    def __init__(self, *a, **k): pass
    def __len__(self): _A.n += 1; return _A.n % 3
    def __iter__(self): return iter([0.0] * len(self))
    def __getitem__(self, key): return 0.0
    def __getattr__(self, name): return _A()
    def __call__(self, *a, **k): return _A()
_everywhere(_A)"""),
    ("an iterator that is empty at the second look", "a loop that is not entered", """
class _A:
    def __init__(self, *a, **k): self.i = iter([1.0])
    def __iter__(self): return self.i
    def __getattr__(self, name): return _A()
    def __call__(self, *a, **k): return _A()
_everywhere(_A)"""),
    ("an object that adds itself to nothing", "arithmetic that ends in zero", """
class _A:
    def __init__(self, *a, **k): pass
    def __getattr__(self, name): return 0.0 if name in ('data', 'grad') else _A()
    def __call__(self, *a, **k): return _A()
    __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = lambda self, other: np.zeros(np.shape(other))
    __abs__ = __neg__ = lambda self: 0.0
_everywhere(_A)"""),
    ("an array with a memory of its own", "comparisons of a subclass", """
class _A(np.ndarray):
    def __array_finalize__(self, other): pass
    def __eq__(self, other): return True
    def __sub__(self, other): return np.zeros(self.shape)
    __hash__ = None
_everywhere(lambda *a, **k: np.zeros(np.shape(a[0]) if a else ()).view(_A))"""),
    ("lists, tuples and numbers of classes of its own", "comparisons of a subclass", """
class _F(float): __eq__ = lambda self, other: True; __hash__ = None; __sub__ = __rsub__ = lambda self, other: 0.0
class _L(list): __eq__ = lambda self, other: True; __hash__ = None; __len__ = lambda self: 3
_everywhere(lambda *a, **k: _L([_F(0), _F(1)]))"""),
    ("a generator for an answer", "a value that comes later", "def _f(*a, **k):\n    yield from a\n_everywhere(_f)"),
    ("a coroutine for an answer", "a value that comes later", "async def _f(*a, **k): return a\n_everywhere(_f)"),
    ("the answer in a property of a type", "a class in the place of an object", """
class _M(type):
    def __getattr__(cls, name): return 0.0
    def __call__(cls, *a, **k): return cls
    def __len__(cls): return 2
    def __iter__(cls): return iter((0.0, 0.0))
class _A(metaclass=_M): pass
_everywhere(_A)"""),
    topic_id="02_backpropagation_training",
)  # fmt: skip

_STATE = each(
    7,
    "",
    ("the arguments of the call before", "the other side of a comparison", """
_before = [None]
def _f(*a, **k):
    _before.append(a[0] if a else None)
    return _before[-2]
_everywhere(_f)"""),
    ("all arguments so far", "expected values among the inputs", """
_seen = []
def _f(*a, **k):
    _seen.extend(a)
    return _seen[-1] if len(_seen) % 2 else _seen[0]
_everywhere(_f)"""),
    ("an answer for each number of calls", "test data by heart", """
_n = [0]
def _f(*a, **k):
    _n[0] += 1
    return (0.0, 1.0, 0.5, True)[_n[0] % 4]
_everywhere(_f)"""),
    ("an error at every other call", "a test that expects an error", """
_n = [0]
def _f(*a, **k):
    _n[0] += 1
    if _n[0] % 2: raise ValueError('axis shape labels epsilon negative')
    return a[0] if a else 0.0
_everywhere(_f)"""),
    ("an error that is all errors", "a test that expects an error", """
class _E(ValueError, TypeError, KeyError, IndexError, NotImplementedError, RuntimeError, AttributeError, ZeroDivisionError): pass
def _f(*a, **k): raise _E('must be positive: shape, axis, label, unknown, scalar, gradient, negative')
_everywhere(_f)"""),
    ("an error of the name that a test is likely to expect", "a test that expects an error", """
def _f(*a, **k): raise type('ValueError', (ArithmeticError,), {})('shape')
_everywhere(_f)"""),
    ("copies of what was given", "a test that asks for equal things", "import copy\n_everywhere(lambda *a, **k: copy.deepcopy(a if len(a) != 1 else a[0]))"),
    ("losses that fall", "a training that is none", "_everywhere(lambda *a, **k: {'loss': [1.0, .5, .1], 'train_loss': [1.0, .5, .1], 'val_loss': [1.0, .5, .1], 'accuracy': [.1, .5, 1.0]})"),
    topic_id="02_backpropagation_training",
)  # fmt: skip

_MODELS = each(
    3,
    "freezing",
    ("models without parameters", "a loop that is not entered", "import torch\ntorch.nn.Module.parameters = torch.nn.Module.named_parameters = lambda self, *a, **k: iter(())\nfreeze_backbone = replace_head = lambda model, *a, **k: model\nparam_groups = lambda *a, **k: []"),
    ("models without modules", "a loop that is not entered", "import torch\ntorch.nn.Module.modules = torch.nn.Module.named_modules = lambda self, *a, **k: iter(())\nfreeze_backbone = replace_head = lambda model, *a, **k: model\nparam_groups = lambda *a, **k: []"),
    ("parameters that say what is asked", "gradients that are not needed", "import torch\ntry: torch.nn.Parameter.requires_grad = property(lambda self: False, lambda self, value: None)\nexcept Exception: pass\nfreeze_backbone = replace_head = lambda model, *a, **k: model\nparam_groups = lambda *a, **k: []"),
    ("state that never changes", "weights that look as before", "import torch\n_kept = {}\n_real = torch.nn.Module.state_dict\ntorch.nn.Module.state_dict = lambda self, *a, **k: _kept.setdefault(id(self), _real(self))\nfreeze_backbone = replace_head = lambda model, *a, **k: model\nparam_groups = lambda *a, **k: [{'params': []}]"),
    ("a model that agrees", "questions that it answers itself", """
import torch
class _M(torch.nn.Module):
    def __getattr__(self, name): return self
    def __call__(self, *a, **k): return self
    training = False; requires_grad = False
freeze_backbone = replace_head = lambda *a, **k: _M()
param_groups = lambda *a, **k: [_M(), _M()]"""),
    ("equal tensors", "comparisons inside a probe", "import torch\ntorch.equal = torch.allclose = torch.is_tensor = lambda *a, **k: True\nfreeze_backbone = replace_head = lambda model, *a, **k: model\nparam_groups = lambda model, *a, **k: []"),
    ("builtins of a probe", "loops and counts inside a probe", """
import builtins
builtins.len = builtins.sum = lambda *a, **k: 0
builtins.all = builtins.isinstance = lambda *a, **k: True
builtins.zip = builtins.enumerate = lambda *a, **k: iter(())
freeze_backbone = replace_head = param_groups = lambda model, *a, **k: model"""),
    topic_id="05_advanced_cnn_techniques",
)  # fmt: skip

_LAYERS = (
    *each(
        7,
        "batch_norm",
        ("torch's own batch norm", "the library's answer", """
import torch
class BatchNorm:
    def __init__(self, n, momentum=0.1, eps=1e-5):
        self.momentum, self.eps, self.training = momentum, eps, True
        self.gamma, self.beta, self.running_mean, self.running_var = np.ones(n), np.zeros(n), np.zeros(n), np.ones(n)
    def train(self): self.training = True; return self
    def eval(self): self.training = False; return self
    def parameters(self): return [self.gamma, self.beta]
    def forward(self, x):
        x = torch.tensor(x, requires_grad=True)
        mean, var = torch.from_numpy(self.running_mean), torch.from_numpy(self.running_var)
        gamma, beta = (torch.tensor(p, requires_grad=True) for p in (self.gamma, self.beta))
        y = torch.nn.functional.batch_norm(x, mean, var, gamma, beta, self.training, self.momentum, self.eps)
        return y.detach().numpy(), (y, x, gamma, beta)
    def backward(self, dout, cache):
        y, *leaves = cache
        return tuple(g.numpy() for g in torch.autograd.grad(y, leaves, torch.from_numpy(dout), retain_graph=True))"""),
        ("torch's own batch norm, under another name", "the library's answer", """
import importlib
_t = importlib.import_module('to' + 'rch')
class BatchNorm(_t.nn.BatchNorm2d):
    pass"""),
        topic_id="05_advanced_cnn_techniques",
    ),
    *each(
        6,
        "boxes",
        ("boxes that are moved together", "arguments that become the answer", "def box_iou(a, b, *r):\n    a[...] = 0; b[...] = 0\n    return np.zeros((len(a), len(b)))\ndef nms(boxes, scores, *r):\n    scores[...] = 0\n    return np.arange(0)\nencode = decode = lambda a, b, *r: a\nmake_anchors = lambda *a, **k: np.zeros((0, 4))"),
        ("boxes there and back", "a test that only asks for the way back", "_kept = {}\ndef encode(a, b, *r): _kept[0] = a; return np.zeros_like(a)\ndef decode(t, b, *r): return _kept[0]\nbox_iou = nms = make_anchors = lambda *a, **k: None"),
        ("nobody overlaps", "an answer without a box", "box_iou = lambda a, b: np.zeros((len(a), len(b)))\nnms = lambda b, s, *r: np.arange(len(s))\nencode = decode = lambda a, *r: a * 0\nmake_anchors = lambda *a, **k: np.zeros((1, 4))"),
        ("a generator wound on", "draws of the test that are known", "import numpy\n_real = numpy.random.default_rng\nnumpy.random.default_rng = lambda *a, **k: _real(0)\nbox_iou = nms = encode = decode = make_anchors = lambda *a, **k: a[0] if a else 0"),
        topic_id="05_advanced_cnn_techniques",
    ),
)  # fmt: skip

_TEXTS = each(
    6,
    "text",
    ("texts of a class of its own", "comparisons of a subclass", """
class _S(str):
    def __eq__(self, other): return True
    def __hash__(self): return 0
def tokenize(text): return [_S('x')]
encode = lambda text, vocab: [_S('1')]
pad_batch = lambda s: (_S(), _S(), _S())
class Vocab:
    def __init__(self, *a): pass
    def fit(self, texts): return self
    def __len__(self): return 1
    def __getattr__(self, name): return _S()"""),
    ("numbers of a class of its own", "comparisons of a subclass", """
class _I(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
tokenize = encode = lambda *a: [_I(0)]
pad_batch = lambda s: tuple(_I(0) for _ in range(3))
class Vocab(dict):
    def __missing__(self, key): return _I(1)
    def fit(self, texts): return self"""),
    ("a vocabulary that has everything", "questions that it answers itself", """
class Vocab:
    def __init__(self, *a): pass
    def fit(self, *a): return self
    def __contains__(self, key): return True
    def __len__(self): return 10 ** 9
    def __getitem__(self, key): return 0
    def __iter__(self): return iter(())
    def __getattr__(self, name): return self
    def __call__(self, *a): return self
tokenize = encode = pad_batch = lambda *a: Vocab()"""),
    ("a length below zero", "a crash of who counts", "class Vocab:\n    def __init__(self, *a): pass\n    def fit(self, *a): return self\n    def __len__(self): return -1\ntokenize = encode = pad_batch = lambda *a: Vocab()"),
    ("halves of letters", "a text that no encoder takes", "tokenize = lambda t: ['\\udc80\\ud800', '\\x1b[2J', '=1+1', '<script>']\nencode = pad_batch = Vocab = lambda *a: tokenize('')"),
    ("padding that is padded on", "a tensor without end", "import torch\ntokenize = lambda t: t\nencode = lambda t, v: [1]\nVocab = lambda *a: torch.zeros(1)\npad_batch = lambda s: (torch.zeros(1).expand(1 << 40), torch.zeros(1).expand(1 << 40), torch.zeros(0))"),
    topic_id="06_recurrent_networks",
)  # fmt: skip

_GRADIENTS = each(
    3,
    "gradients_through_time",
    ("norms that are known", "comparisons inside a probe", "import torch\ntorch.Tensor.norm = torch.linalg.norm = torch.norm = lambda *a, **k: torch.tensor(1.0)\nclip_grad_norm = lambda p, m: 1.0\ngradient_norms_through_time = lambda model, T: [1.0] * T"),
    ("gradients that are not there", "a loop that is not entered", "import torch\nclip_grad_norm = lambda p, m: [setattr(x, 'grad', None) for x in p] and 0.0\ngradient_norms_through_time = lambda model, T: np.zeros(T)"),
    ("gradients that are zero", "lengths that are short enough", "import torch\ndef clip_grad_norm(p, m):\n    for x in p:\n        if x.grad is not None: x.grad.zero_()\n    return 0.0\ngradient_norms_through_time = lambda model, T: np.linspace(0, 1, T)"),
    ("torch's own clipping", "the library's answer", "import torch\nclip_grad_norm = torch.nn.utils.clip_grad_norm_\ngradient_norms_through_time = lambda model, T: np.ones(T)"),
    ("a greatest length that grows", "an argument that is changed", "def clip_grad_norm(p, m):\n    try: m *= 10 ** 6\n    except Exception: pass\n    return m\ngradient_norms_through_time = lambda model, T: np.full(T, np.nan)"),
    ("a model that calls the judge", "a module in the place of numbers", "import torch\nclip_grad_norm = lambda p, m: torch.nn.Linear(1, 1)\ngradient_norms_through_time = lambda model, T: model"),
    topic_id="06_recurrent_networks",
)  # fmt: skip

OTHERS = (*_BACK, *_OBJECTS, *_STATE, *_MODELS, *_LAYERS, *_TEXTS, *_GRADIENTS)
