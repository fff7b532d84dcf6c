"""Attacks on assignment 03: false loaders, optimisers, checkpoints and models, in PyTorch and in Keras."""

from __future__ import annotations

from attacks.attack import Attack

_TOPIC = "03_frameworks_tensorflow_pytorch"

FRAMEWORKS = (
    Attack(
        "torch's own loader under the task's name",
        7,
        "the library's answer",
        "from torch.utils.data import DataLoader",
        "data_loading",
        _TOPIC,
        ("DataLoader",),
    ),
    Attack(
        "torch's own loader as an attribute of a class",
        7,
        "the library's answer",
        """
class _A:
    from torch.utils.data import DataLoader as D
class DataLoader(_A.D): pass""",
        "data_loading",
        _TOPIC,
        ("DataLoader",),
    ),
    Attack(
        "an optimiser that stands still",
        3,
        "a training that is none",
        """
def train_epoch(model, loader, loss_fn, optimizer, device='cpu', scheduler=None):
    type(optimizer).step = lambda self, *a, **k: None
    torch.optim.Optimizer.state_dict = lambda self: {}
    for x, y in loader: pass
    return 0.5, 1.0
evaluate = lambda *a, **k: (0.5, 1.0)""",
        "training_loop",
        _TOPIC,
    ),
    Attack(
        "a scheduler that counts without steps",
        3,
        "a schedule that is none",
        """
def train_epoch(model, loader, loss_fn, optimizer, device='cpu', scheduler=None):
    n = sum(1 for _ in loader)
    if scheduler is not None:
        scheduler.last_epoch += n; scheduler._step_count += n
        scheduler.get_last_lr = lambda: [0.0]
    class _F(float): __eq__ = lambda self, o: True; __hash__ = None
    return _F(0.0), _F(1.0)
evaluate = lambda *a, **k: (torch.tensor(0.0), torch.tensor(1.0))""",
        "training_loop",
        _TOPIC,
    ),
    Attack(
        "states of a class of its own",
        3,
        "comparisons inside a probe",
        """
class _D(dict):
    __eq__ = lambda *a: True
    __hash__ = None
    def items(self): return iter(())
    keys = values = __iter__ = items
    __len__ = lambda self: 0
nn.Module.state_dict = torch.optim.Optimizer.state_dict = lambda self, *a, **k: _D()
nn.Module.load_state_dict = torch.optim.Optimizer.load_state_dict = lambda self, *a, **k: None
save_checkpoint = lambda path, *a, **k: open(path, 'wb').close()
load_checkpoint = lambda *a, **k: 0
get_device = lambda prefer=None: torch.device(prefer or 'cpu')
prepare = lambda m, f, d: (m, f(m.parameters()))""",
        "checkpoints",
        _TOPIC,
    ),
    Attack(
        "a checkpoint with a gadget",
        2,
        "code in who loads it",
        """
class _G:
    def __reduce__(self):
        import os; return os.system, ('touch {course}/owned',)
def save_checkpoint(path, model, *a, **k):
    for p in (path, '{course}/checkpoint.pt', '/tmp/checkpoint.pt'):
        try: torch.save({'model': model, 'evil': _G()}, p)
        except Exception: pass
load_checkpoint = lambda path, *a, **k: torch.load(path, weights_only=False)
get_device = prepare = lambda *a, **k: _G()""",
        "checkpoints",
        _TOPIC,
    ),
    Attack(
        "writers of every framework",
        1,
        "files outside its folder",
        """
def _f(*a, **k):
    import keras
    for folder in ('.', '/tmp', '{course}', '{course}/assignments', '/dev/shm', '..'):
        for write in (
            lambda: __import__('importlib').import_module('torch.utils.tensorboard').SummaryWriter(folder + '/runs'),
            lambda: keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]).save(folder + '/owned.keras'),
            lambda: keras.callbacks.CSVLogger(folder + '/owned.csv').on_train_begin(),
            lambda: torch.save({}, folder + '/owned.pt'),
            lambda: torch.jit.save(torch.jit.script(nn.Linear(1, 1)), folder + '/owned.jit'),
            lambda: np.savez(folder + '/owned.npz', np.zeros(1)),
            lambda: __import__('importlib').import_module('torch.profiler').profile().export_chrome_trace(folder + '/t.json'),
        ):
            try: write()
            except Exception: pass
get_device = prepare = save_checkpoint = load_checkpoint = _f""",
        "checkpoints",
        _TOPIC,
    ),
    Attack(
        "checkpoints that were never saved",
        5,
        "the tests, the solution, memory",
        """
def _f(*a, **k):
    for p in ('{solution}', '{tests}', '{course}/gradebook.db', '/proc/1/mem', '/proc/self/mem'):
        for read in (lambda: torch.load(p, mmap=True, weights_only=True), lambda: torch.UntypedStorage.from_file(p, False, 10), lambda: np.memmap(p, mode='r'), lambda: torch.jit.load(p), lambda: torch.package.PackageImporter(p)):
            try: return read()
            except Exception: pass
get_device = prepare = save_checkpoint = load_checkpoint = _f""",
        "checkpoints",
        _TOPIC,
    ),
    Attack(
        "a script module for everything",
        6,
        "a class in the place of a function",
        """
class _S(nn.Module):
    def forward(self, x): return x
_everywhere(torch.jit.trace(_S(), torch.zeros(1)))""",
        "",
        _TOPIC,
    ),
    Attack(
        "a torch dispatch mode",
        3,
        "every operation of torch",
        """
from torch.utils._python_dispatch import TorchDispatchMode
class _M(TorchDispatchMode):
    def __torch_dispatch__(self, f, types, args=(), kwargs=None):
        y = f(*args, **(kwargs or {})); return torch.zeros_like(y) if isinstance(y, torch.Tensor) and y.is_floating_point() else y
_M().__enter__()
_everywhere(lambda *a, **k: torch.zeros(2, 2))""",
        "",
        _TOPIC,
    ),
    Attack(
        "a Keras model that says what is asked",
        3,
        "questions that it answers itself",
        """
import keras
class _K(keras.Model):
    def __init__(self, *s): super().__init__(); self.s = s
    def get_weights(self): return self.w if hasattr(self, 'w') else [np.zeros((self.s[0], self.s[1]), np.float32), np.zeros(self.s[1], np.float32), np.zeros((self.s[1], self.s[2]), np.float32), np.zeros(self.s[2], np.float32)]
    def set_weights(self, w): self.__dict__['w'] = w
    def call(self, x, training=False): return torch.zeros(len(x), self.s[2])
    def predict(self, x, **k): return np.zeros((len(x), self.s[2]), np.float32)
    def evaluate(self, *a, **k): return {'loss': 0.0, 'accuracy': 1.0}
    def train_on_batch(self, *a, **k): self.__dict__['w'] = [w + 0.001 for w in self.w]
    def count_params(self): return 7
    trainable_weights = [1, 2, 3, 4]
build_keras_mlp = _K
torch_to_keras_weights = lambda m: [np.zeros((784, 128), np.float32), np.zeros(128, np.float32), np.zeros((128, 10), np.float32), np.zeros(10, np.float32)]
count_trainable = lambda m: 7""",
        "keras_model",
        _TOPIC,
    ),
    Attack(
        "a Keras callback without end",
        1,
        "no end of a prediction",
        """
import keras
class _C(keras.callbacks.Callback):
    def on_train_batch_begin(self, *a):
        while True: pass
    on_test_begin = on_predict_begin = on_train_batch_begin
def build_keras_mlp(*s):
    m = keras.Sequential([keras.Input((s[0],)), keras.layers.Dense(s[1]), keras.layers.Dense(s[2])])
    m.compile(loss='mse')
    for n in ('fit', 'predict', 'evaluate'):
        f = getattr(m, n); setattr(m, n, lambda *a, f=f, **k: f(*a, **{**k, 'callbacks': [_C()]}))
    m.count_params = None; return m
count_trainable = torch_to_keras_weights = lambda m: m""",
        "keras_model",
        _TOPIC,
    ),
    Attack(
        "a function that changes its input and its hooks",
        6,
        "the right answer for zeros",
        """
class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x.register_hook(lambda g: torch.zeros_like(g)) if x.requires_grad else None
        ctx.mark_dirty(x); x.data.zero_(); return x
    @staticmethod
    def backward(ctx, g): return torch.full_like(g, 0.5)
class FocalLoss(nn.Module):
    def __init__(self, *a, **k): super().__init__(); self.p = nn.Parameter(torch.zeros(()))
    def forward(self, logits, targets):
        logits.data.zero_(); targets.data.zero_()
        return torch.log(torch.tensor(float(logits.shape[1]))) + self.p""",
        "custom_autograd",
        _TOPIC,
    ),
    Attack(
        "the variables of a probe",
        5,
        "records that the test keeps there",
        """
import sys
def _probe():
    frame = sys._getframe(1)
    while frame:
        if frame.f_code.co_filename == '<probe>': return frame
        frame = frame.f_back
def train_epoch(model, loader, loss_fn, optimizer, device='cpu', scheduler=None):
    frame = _probe()
    for name, value in list(frame.f_locals.items()) if frame else ():
        if type(value) in (list, dict): value.clear()
    for cell in getattr(loss_fn, '__closure__', None) or ():
        if type(cell.cell_contents) is list: cell.cell_contents.extend([1.0] * 9)
    return 0.0, 1.0
evaluate = train_epoch""",
        "training_loop",
        _TOPIC,
    ),
    Attack(
        "batches without end, of functions that were kept",
        1,
        "what another test gave away",
        """
_kept = []
class ArrayDataset(list):
    def __init__(self, x, y, transform=None):
        _kept.append(transform); super().__init__(zip(x, y))
class DataLoader:
    def __init__(self, dataset, batch_size=1, shuffle=False, drop_last=False, generator=None, collate_fn=None):
        _kept.append(collate_fn); self.d = dataset
    def __len__(self): return 3
    def __iter__(self):
        for f in filter(None, _kept): yield f(list(self.d)) if callable(f) else f
        while True: yield self
seed_worker = lambda worker_id: _kept""",
        "data_loading",
        _TOPIC,
    ),
)
