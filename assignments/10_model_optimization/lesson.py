# %% [markdown]
# # Model optimization
#
# A network that trains well in a notebook can still be too slow, too large for the memory, or too large for the device
# on which it should run. This notebook is about the tools for that. Each of them gives the same network, or nearly the
# same, for less: fewer bits, less memory, fewer weights, less waiting. And each of them can go wrong in silence, so we
# look at numbers all the time.
#
# * A1: mixed precision. What float16 loses, and how a scale saves it.
# * A2: large batches in small memory.
# * A3 and A4: smaller networks, by cutting weights away, and by teaching.
# * A5: what fills the memory.
# * PF1 and PF2: devices, loops, and feeding the network. Between them: a profiler, and what `torch.compile` does.
#
# **How to work.** Your code goes into `model_optimization.py`, beside this notebook. Each function there has a
# docstring that says exactly what it must do: replace the line `raise NotImplementedError(...)`. Then run the cells
# here. A cell with `check(...)` runs the public tests of one task; hidden tests will look further, at edge cases that
# the docstring also describes. Cells that draw something simply say "not started" while the function they need is
# missing. Nothing here needs a GPU. Where there is one, the same code runs on it.
#
# | task | you write | points |
# |---|---|---|
# | A1 | a loss scaler, and a step in mixed precision | 16 |
# | A2 | gradient accumulation | 11 |
# | A3 | pruning of weights and of channels | 14 |
# | A4 | knowledge distillation | 14 |
# | A5 | model parallelism, checkpoints, and what is in memory | 15 |
# | PF1 | devices, and loops that become arrays | 12 |
# | PF2 | reading ahead, and the best batch size | 8 |
# | | two written questions | 10 |

# %%
# %load_ext autoreload
# %autoreload 2
import copy
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import drawing
import loops
import model_optimization as mo
from autograder import attempt, check
from dlcourse import clock
from dlcourse.data import digits
from dlcourse.figures import explore, use_style

torch.set_num_threads(1)
use_style()

(train_images, train_names), (images, names) = digits("train"), digits("test")
train_rows, rows = train_images.reshape(-1, 64), images.reshape(-1, 64)


def fit(model, x, y, epochs, seed=0, decay=0.0, noise=0.0):
    """Train a network on rows and labels, as in the assignments before."""
    torch.manual_seed(seed)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=epochs * -(-len(x) // 64))
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            loss = F.cross_entropy(model(x[batch] + noise * torch.randn_like(x[batch])), y[batch])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return model.eval()


def accuracy(model, x=rows, y=names):
    """The share of right answers."""
    with torch.no_grad():
        return float((model(torch.from_numpy(x)).argmax(dim=1).numpy() == y).mean())


# %% [markdown]
# ## A1 Fewer bits
#
# A float32 number has 8 bits for its size and 23 for its digits. float16 has 5 and 10, bfloat16 has 8 and 7. Half the
# bits are half the memory, and modern hardware multiplies them several times as fast. The price: float16 knows nothing
# above 65,504, and nothing between 0 and 0.00000006. NumPy has float16, so we can watch it on any machine.

# %%
with np.errstate(over="ignore"):
    print("300 * 300     =", float(np.float16(300) * np.float16(300)))
print("1e-4 * 1e-4   =", float(np.float16(1e-4) * np.float16(1e-4)))
print("2048 + 1      =", float(np.float16(2048) + np.float16(1)))

# %% [markdown]
# Three different faults. The product of 300 and 300 is too large (*overflow*), the product of two small numbers is too
# small (*underflow*). And 2048 + 1 is neither: with 11 significant bits the number after 2048 is 2050.

# %% task="mixed_precision"
check("mixed_precision")

# %%
with attempt():
    source = np.random.default_rng(0)
    exponents = np.arange(-33, 25)
    reports = [mo.float16_report(2.0**e * source.uniform(1, 2, size=4000)) for e in exponents]
    errors = [report["error"] or np.nan for report in reports]
    drawing.both_ends(exponents, errors, over=16, under=-25)

# %% [markdown]
# Between the two ends the error is the same everywhere, about 1 in 2,000: that is what floating point means. Below
# 2^-14 there are no bits left for the size, and the digits go one by one.
#
# **Where are the gradients?** Most gradients of a network are tiny. Below are those of a network for digits, near the
# end of its training. Move the slider: the scale multiplies the loss, and so each gradient.

# %%
known = fit(nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)),
            train_rows, train_names, 12)  # fmt: skip
F.cross_entropy(known(torch.from_numpy(train_rows)), torch.from_numpy(train_names)).backward()
sizes = torch.cat([p.grad.abs().flatten() for p in known.parameters()]).numpy()


def scaled(power=0):
    """Draw the gradients, times two to some power."""
    drawing.gradients(sizes, 2.0**power, mo.float16_report(sizes, 2.0**power))


explore(scaled, power=(-4, 40, 2))

# %% [markdown]
# Without a scale (power 0) some gradients become 0, and many more are below 2^-14, where float16 has few digits. In
# larger networks, and with losses that are nearly 0, this part is larger. With a good scale nothing is lost at either
# end. Which scale is good depends on the network and on the step, so a scaler finds it: it grows while all is well, and
# falls when something overflows. A step with an inf is skipped; that costs one batch. Here is your scaler at work, with
# a network that is really computed in float16.

# %%
with attempt():
    torch.manual_seed(0)
    half = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(half.parameters(), lr=0.1, momentum=0.9)
    scaler = mo.DynamicLossScaler(init_scale=2.0**26, growth_interval=20)
    values, skipped = [], []
    for step, batch in enumerate(torch.arange(1280).view(10, 128).repeat(15, 1)):
        values.append(scaler.get_scale())
        before = scaler.skipped
        mo.amp_step(half, torch.from_numpy(train_rows)[batch], torch.from_numpy(train_names)[batch], F.cross_entropy,
                    optimizer, scaler, dtype=torch.float16)  # fmt: skip
        if scaler.skipped > before:
            skipped.append(step)
    drawing.scales(values, skipped)
    print(f"accuracy: {accuracy(half):.3f}")

# %% [markdown]
# It begins far too high and falls with each step until nothing overflows. Then it tries a doubled scale every 20 steps.
# A failed try costs one step.
#
# bfloat16 has the range of float32, so it needs no scale. It has even fewer digits: after 1 comes 1.0078. A step of the
# optimizer that is smaller than that is lost, each time. That is why the weights stay in float32, or a float32 copy of
# them does, the *master weights*.

# %%
with attempt():
    plain = torch.ones(1, dtype=torch.bfloat16)
    weight = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    keeper = mo.MasterWeights([weight], lambda copies: torch.optim.SGD(copies, lr=1e-3))
    paths = {"bfloat16 alone": [], "bfloat16 with a float32 copy": [], "float32": []}
    for step in range(200):
        plain -= 1e-3
        keeper.zero_grad()
        weight.sum().backward()
        keeper.step()
        for path, value in zip(paths.values(), (plain.item(), weight.item(), 1 - 1e-3 * (step + 1)), strict=True):
            path.append(value)
    drawing.small_steps(paths)

# %% [markdown]
# ## A2 A large batch in small memory
#
# Gradients add up: the gradient of a mean over 256 samples is the mean of the gradients of four parts of 64. So four
# small backward passes and one step are one large step, with the memory of a small one. Two things are easily wrong:
# the parts may have different sizes, and some layers look at the whole batch.

# %% task="accumulation"
check("accumulation")

# %%
with attempt():
    x, y = torch.from_numpy(train_rows[:64]), torch.from_numpy(train_names[:64])
    parts = list(zip(x.split([20, 20, 20, 4]), y.split([20, 20, 20, 4]), strict=True))
    bars = {}
    for name, norm in (
        ("no norm", nn.Identity()),
        ("layer norm", nn.LayerNorm(32)),
        ("batch norm", nn.BatchNorm1d(32)),
    ):
        torch.manual_seed(0)
        one = nn.Sequential(nn.Linear(64, 32), norm, nn.ReLU(), nn.Linear(32, 10))
        other = copy.deepcopy(one)
        mo.train_step_accumulate(one, [(x, y)], 1)
        mo.train_step_accumulate(other, parts, 4)
        pairs = zip(one.parameters(), other.parameters(), strict=True)
        bars[name] = max((p - q).detach().abs().max().item() for p, q in pairs)
        print(f"{name}: breaks_accumulation says {mo.breaks_accumulation(one)}")
    drawing.differences(bars)

# %% [markdown]
# Without a norm, and with layer norm, only the last digits of float32 differ. A batch norm takes mean and variance of
# the batch that it sees, and it sees parts: it is another network then, whatever is done with the gradients. If you
# must accumulate over small parts, use group norm or layer norm, or put the batch norms into eval mode.

# %% [markdown] question="batch_norm_in_parts" points=5
# **Question 1 (5 points).** A team trains with batches of 256 on one large GPU. On a smaller GPU they accumulate 32
# parts of 8 samples. The learning rate, the seed and the number of steps are the same. The network has batch norms,
# and its accuracy is much worse. Explain in detail what is different for the batch norms in training, and what is
# different in evaluation. Name two changes that could help, and what each of them costs. What would you measure to be
# sure that the batch norms are the reason?

# %% [markdown]
# ## A3 Fewer weights
#
# Most weights of a trained network are close to 0. What if they were 0? Below, the smaller half is cut away, and then
# more and more: in the order of all weights together, or in each layer by itself.

# %% task="pruning"
check("pruning")

# %%
expert = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
fit(expert, train_rows, train_names, 25, decay=0.3, noise=0.15)

with attempt():
    amounts = [0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98]
    curves = {"global": [], "layer": [], "global, then trained for 5 epochs": []}
    for amount in amounts:
        for scope in ("global", "layer"):
            thin = copy.deepcopy(expert)
            mo.magnitude_prune(thin, amount, scope)
            curves[scope].append(accuracy(thin))
        thin = copy.deepcopy(expert)
        mo.magnitude_prune(thin, amount)
        curves["global, then trained for 5 epochs"].append(accuracy(fit(thin, train_rows, train_names, 5)))
    weights = torch.cat([layer.weight.detach().flatten() for layer in (expert[0], expert[2])]).numpy()
    drawing.pruned(weights, np.median(abs(weights)), amounts, curves)

# %% [markdown]
# Half of the weights cost nothing. A little training afterwards, with the mask in place, saves far more: that is why
# the mask must hold. But look at what was won: a matrix with zeros has as many entries as before, and the same number
# of products is computed. Zeros help if the file is compressed, or on hardware that knows them.
#
# **Really smaller.** If whole channels go, the arrays themselves get smaller. Which channels may go is guessed from the
# sizes of their filters; then the network is trained a little to recover.

# %%
with attempt():
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(), nn.Flatten(),
                         nn.Linear(48 * 16, 10))  # fmt: skip
    fit(wide, train_rows, train_names, 4)
    table = {"as trained": (*mo.network_cost(wide, (64,)), accuracy(wide))}
    narrow = nn.Sequential(wide[0], *mo.prune_channels(wide[1:], 0.5))
    table["half of the channels"] = (*mo.network_cost(narrow, (64,)), accuracy(narrow))
    fit(narrow.train(), train_rows, train_names, 3)
    table["the same, trained on"] = (*mo.network_cost(narrow, (64,)), accuracy(narrow))
    drawing.costs(table)

# %% [markdown]
# Half of the channels are about a third of the products: the second convolution loses half of its inputs *and* half of
# its outputs.

# %% [markdown]
# ## A4 A small network that had a teacher
#
# A label says "3". A teacher says "a 3, perhaps an 8, surely no 1", and that is more: it tells which mistakes are small
# ones. At temperature 1 a good teacher is too sure of itself to be interesting. Softened, its opinion becomes visible.

# %% task="distillation"
check("distillation")

# %%
with torch.no_grad():
    said = expert(torch.from_numpy(rows))
unsure = np.argsort(said.softmax(dim=1).max(dim=1).values.numpy())[25]


def softened(temperature=4.0):
    """Draw the opinion of the teacher about a difficult digit at two temperatures."""
    parts = {f"T = {T:g}": (said[unsure] / T).softmax(dim=0).numpy() for T in (1.0, temperature)}
    drawing.opinions(images[unsure, 0], parts, names[unsure])


explore(softened, temperature=(1.0, 20.0, 0.5))

# %% [markdown]
# Now the real thing: 1,300 digits, and labels for only 100 of them. The teacher knew all labels. The student sees the
# 100 labels, and the opinions of the teacher about all pictures.

# %%
with attempt():
    few = np.where(np.arange(len(train_names)) < 100, train_names, -100)

    def small():
        """The network of the student, always with the same first weights."""
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    pupil = small()
    mo.distill(pupil, expert, train_rows, few)
    alone = fit(small(), train_rows[:100], train_names[:100], 100)
    sizes_of = [mo.network_cost(model, (64,))[0] for model in (expert, pupil)]
    drawing.accuracies(
        {
            f"teacher, all labels, {sizes_of[0]:,} parameters": accuracy(expert),
            f"student, taught, {sizes_of[1]:,} parameters": accuracy(pupil),
            f"the same, 100 labels alone, {sizes_of[1]:,} parameters": accuracy(alone),
        },
        "digits never seen",
    )

# %% [markdown]
# ## A5 What fills the memory
#
# Four things: the parameters, a gradient for each of them, what the optimizer keeps, and the activations that wait for
# the backward pass. Only the last one depends on the batch. So a batch of 1 that does not fit calls for other cures
# than a batch of 64.

# %% task="memory"
check("memory")

# %%
with attempt():
    with torch.device("meta"):  # shapes without numbers: nothing is allocated
        blocks = [nn.TransformerEncoderLayer(768, 12, 3072) for _ in range(12)]
    params = [p for block in blocks for p in block.parameters()]
    each = 12 * 512 * 768 * 34 * 2  # bytes of a sequence of 512 tokens: about 34 * 2 bytes for each number of a block
    cases = {
        "SGD, batch 1": (1, "sgd"),
        "Adam, batch 1": (1, "adam"),
        "Adam, batch 8": (8, "adam"),
        "Adam, batch 16": (16, "adam"),
    }
    found = [mo.estimate_memory(params, batch, optimizer, each) for batch, optimizer in cases.values()]
    kinds = ("parameters", "gradients", "optimizer", "activations")
    filled = {kind: np.array([one[kind] for one in found]) / 1e9 for kind in kinds}

    deep = nn.Sequential(*[nn.Sequential(nn.Linear(256, 256), nn.GELU(), nn.Linear(256, 256)) for _ in range(24)])
    batch = torch.randn(512, 256)
    kept = {"none": mo.saved_activations(deep, batch)}
    for segments in (2, 3, 4, 6, 8, 12, 24):
        kept[str(segments)] = mo.saved_activations(
            deep, batch, lambda model, x, segments=segments: mo.checkpointed_forward(model, x, segments)
        )
    drawing.memory(list(cases), filled, kept)

# %% [markdown]
# Adam needs four times the memory of the parameters before the first sample comes. From a batch of 8 on, activations
# are most of it. The right picture: with checkpoints only the input of each segment is kept. The price is a second
# forward pass, about a third more time. What the picture does not show is the peak in the backward pass, when one
# segment is computed again: many segments keep many inputs, few segments are long. The square root of the number of
# layers is a good compromise.
#
# **Two devices.** If a network does not fit on one device, its halves can be on two. This machine may have only one,
# but the device "meta" can play the second: it knows shapes and no numbers.

# %%
with attempt():
    front, back = nn.Linear(64, 4096), nn.Linear(4096, 10, device="meta")
    out = mo.two_stage_forward(front, back, torch.from_numpy(rows))
    print("output:", tuple(out.shape), "on", out.device)

# %% [markdown]
# ## PF1 The device, and the loop
#
# A GPU computes thousands of products at once, if it is given thousands of them. Code that uses it does three things:
# it chooses the device once, moves the model and each batch there, and never goes through numbers one by one.

# %% task="devices"
check("devices")

# %%
with attempt():
    device = mo.select_device()
    print("this machine computes on:", device)
    source = np.random.default_rng(0)
    work = {
        "normalise": (source.normal(size=(6, 3, 40, 40)), source.normal(size=3), source.uniform(1, 2, size=3)),
        "class_means": (source.normal(size=(1500, 16)), source.integers(0, 10, size=1500), 10),
        "moving_average": (source.normal(size=(4, 2000)), 25),
    }
    times = {}
    for name, given in work.items():
        whole, loop = getattr(mo, f"vectorise_{name}"), getattr(loops, name)
        times[name] = clock.cpu_seconds(lambda loop=loop, given=given: loop(*given), 2) / clock.cpu_seconds(
            lambda whole=whole, given=given: whole(*given), 2
        )
    drawing.speeds(times)

# %% [markdown]
# ## Where does the time go?
#
# Never guess. `torch.profiler` notes when each operation begins and ends, and which one called it. `record_function`
# puts a label around a part of your own code. Here is one training step of a small convolutional network, as a picture:
# each bar is a call, and below it are the calls that it makes.

# %%
from torch.profiler import ProfilerActivity, profile, record_function

torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1),
                    nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))  # fmt: skip
adam = torch.optim.Adam(net.parameters())
shown, wanted = torch.from_numpy(train_images[:64]), torch.from_numpy(train_names[:64])


def step(careless=False):
    """One training step, with labels for the profiler."""
    with record_function("forward"):
        scores = net(shown)
        loss = F.cross_entropy(scores, wanted)
    with record_function("backward"):
        adam.zero_grad()
        loss.backward()
    with record_function("optimizer"):
        adam.step()
    with record_function("count the right ones"):
        if careless:
            return sum(int(scores[n].argmax() == wanted[n]) for n in range(len(wanted)))
        return int((scores.argmax(dim=1) == wanted).sum())


def profiled(**options):
    """The events of the fastest of sixty steps, each with its name, begin, end and depth."""
    step(**options)
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(60):
            with record_function("step"):
                step(**options)
    events = found.events()
    whole = min((e for e in events if e.name == "step"), key=lambda e: e.time_range.elapsed_us())
    rows = []
    for event in events:
        depth, above = 0, event.cpu_parent
        while above is not None and above is not whole:
            depth, above = depth + 1, above.cpu_parent
        if above is whole and depth < 5 and event.time_range.elapsed_us() > 0:
            rows.append((event.name, event.time_range.start, event.time_range.end, depth))
    return found, rows


found, events = profiled()
drawing.trace(events, "one training step, 64 images")

# %% [markdown]
# Read it from the top: forward, backward and optimizer one after the other, and the backward pass longer than the
# forward pass. The lines below say which layers fill it. These are times on a clock: if another program runs meanwhile,
# a bar may be long for no reason of its own, so this is the fastest of sixty steps. The same as a table, over all of
# them, sorted by the time that an operation spends itself, without the calls in it:

# %%
print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=6, max_name_column_width=34).split("\n\n")[0])

# %% [markdown]
# Now a step with a fault that many training loops have: the right answers are counted one by one. On a GPU it is even
# worse than here, because each `int(...)` waits until the GPU has finished everything before it.

# %%
_, events = profiled(careless=True)
drawing.trace(events, "the same step, with answers that are counted one by one")

# %% [markdown]
# The network is as fast as before, and the step takes much longer: hundreds of tiny operations on one number each. None
# of them is slow. Without the trace one would look for the reason in the convolutions.
#
# **What `torch.compile` does.** Python runs the lines of a network one after the other, and each operation reads its
# input from memory and writes its output there. `torch.compile` runs the function once with stand-ins, notes the
# operations (a *graph*), and hands the graph to a *backend*. The usual backend, inductor, writes C++ or GPU code in
# which neighbouring operations are fused. It needs a C++ compiler on the machine (without one it stops with the error
# "No working C++ compiler found"), and the first call takes from seconds to a minute. The backends "eager" and
# "aot_eager" need none: they let Python run the graph. A backend may be any function. Ours writes the graph down and
# compiles nothing, so this cell runs everywhere.

# %%
graphs = []


def note(graph, inputs):
    """A backend that notes the graph, and lets Python run it."""
    graphs.append([str(node.target) for node in graph.graph.nodes if node.op.startswith("call")])
    return graph.forward


def gelu_by_hand(x):
    """Some operations, which a compiler can fuse into one pass over the memory."""
    return 0.5 * x * (1 + torch.tanh(0.79788 * (x + 0.044715 * x**3)))


def with_a_question(x):
    """A question about numbers: the graph must stop here, because Python decides how to go on."""
    y = x * 2
    if y.sum() > 0:
        return y + 1
    return y - 1


x = torch.linspace(-2, 2, 9)
for function in (gelu_by_hand, with_a_question):
    graphs.clear()
    torch._dynamo.reset()
    same = torch.allclose(torch.compile(function, backend=note)(x), function(x))
    print(f"{function.__name__}: {len(graphs)} graph(s), the same result: {same}")
    for number, operations in enumerate(graphs):
        print(f"   graph {number + 1}: {len(operations)} operations")

# %% [markdown]
# The first function is one graph, so a compiler sees all of it. The second one breaks into two graphs: an `if` about
# the *numbers* in a tensor cannot be in a graph. Such breaks, and shapes that change from call to call, are the usual
# reasons why compiling helps little.

# %% [markdown]
# ## PF2 Never let the network wait
#
# Reading, decoding and augmenting a batch takes time. If the network waits for it, the most expensive part of the
# machine does nothing. A thread can read the next batch meanwhile.

# %% task="feeding"
check("feeding")


# %%
def watched(make):
    """When the loader reads and the network works, for eight batches."""
    start, reads, works = time.perf_counter(), [], []

    def loader():
        for number in range(8):
            begin = time.perf_counter()
            time.sleep(0.02)  # a disk, or a decoder that runs outside of Python
            reads.append((begin - start, time.perf_counter() - start))
            yield number

    for _ in make(loader()):
        begin = time.perf_counter()
        time.sleep(0.025)  # a GPU at work
        works.append((begin - start, time.perf_counter() - start))
    return reads, works


with attempt():
    drawing.waiting(
        {
            "one after the other": watched(lambda loader: loader),
            "with prefetch(loader, 2)": watched(lambda loader: mo.prefetch(loader, 2)),
        }
    )

# %% [markdown]
# With the thread, the network works without a gap after its first batch. The loader runs ahead, by two batches, and
# then waits: more would only fill the memory. (In Python a thread helps while it waits for a disk or is inside NumPy or
# PyTorch. For a loader that is slow in pure Python, `torch.utils.data.DataLoader` has processes.)
#
# **How large a batch?** Try it. Larger batches take longer each, and give more samples per second, up to a point.

# %%
with attempt():
    net.eval()
    measured = {}
    for size in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
        given = torch.rand(size, 1, 8, 8)
        with torch.no_grad():
            measured[size] = clock.cpu_seconds(lambda given=given: net(given), 2)
    drawing.rates(measured, mo.best_batch_size(measured))
    room = 3_000_000_000  # bytes of an imaginary device
    each = mo.saved_activations(net.train(), torch.rand(1, 1, 8, 8))

    def fits(size):
        """Fail as a GPU does, without filling a real one."""
        if mo.estimate_memory(net.parameters(), size, "adam", each)["total"] > room:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    print("largest batch in 3 GB:", mo.largest_batch(fits, 1_000_000))

# %% [markdown] question="what_first" points=5
# **Question 2 (5 points).** You are given a training program for images. One epoch takes six hours on a GPU, and with a
# batch of 32 the memory is full. The same network must later run on a telephone. You know the tools of this notebook:
# mixed precision, accumulation, pruning, distillation, checkpoints, a profiler, compiling, reading ahead. Make a plan:
# what do you measure first, which tools would you try for the six hours, which ones for the memory, which ones for the
# telephone, and in which order? For each tool that you choose, name one number that tells you whether it worked.

# %% [markdown]
# ## What you have now
#
# A step in mixed precision that you could defend line by line, large batches in small memory, networks that are smaller
# and nearly as good, and a habit: measure, change one thing, measure again. The next assignment is about the tools that
# keep such measurements: TensorBoard and Weights & Biases, and libraries for data and models that others have written.
