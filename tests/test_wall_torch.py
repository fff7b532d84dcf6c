"""Tensors across the wall: values, autograd, parameters, random state."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

import pytest

from autograder.grading.run.proxy import Examinee, Student
from autograder.sandbox.ladder import climb
from autograder.sandbox.outside.zygotes import Zygote
from autograder.sandbox.rungs.launch import Limits

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

Open = Callable[..., Student]


@pytest.fixture(scope="module", params=["A", "B", "D"])
def zygote(request: pytest.FixtureRequest) -> Iterator[Zygote]:
    torch.set_num_threads(1)
    if request.param != "D" and not climb(request.param).holds:
        pytest.skip(climb(request.param).reason)
    with Zygote(request.param, ("numpy", "torch"), Limits()) as zygote:
        yield zygote


@pytest.fixture
def open_module(zygote: Zygote) -> Iterator[Open]:
    opened: list[Examinee] = []

    def load(source: str) -> Student:
        text = "import torch\nfrom torch import nn\n" + textwrap.dedent(source)
        examinee = Examinee(zygote, module="answer", source=text.encode(), imports=("numpy", "torch"))
        opened.append(examinee)
        examinee.start("task", 20.0)
        return Student(examinee)

    yield load
    for examinee in opened:
        examinee.close()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int64", "bool", "complex64", "uint8"])
def test_a_tensor_keeps_value_dtype_and_layout(open_module: Open, dtype: str) -> None:
    student = open_module("def look(x): return x.clone(), x.stride(), str(x.dtype)")
    x = torch.arange(12).reshape(3, 4).to(getattr(torch, dtype))

    for given in (x, x.T, x[:, ::2], x[0], x[0, 0], x[:0]):
        back, _stride, name = student.look(given)
        assert type(back) is torch.Tensor
        assert name == f"torch.{dtype}"
        assert back.shape == given.shape
        assert torch.equal(back, given)
    assert student.look(x.T)[1] == x.T.stride()
    with pytest.raises(RuntimeError, match="view"):
        open_module("def flat(x): return x.view(-1)").flat(x.T)


def test_a_meta_tensor_has_a_shape_and_no_data(open_module: Open) -> None:
    student = open_module("def make(): return torch.empty(1000, 1000, 1000, device='meta')")

    assert student.make().shape == (1000, 1000, 1000)


def test_dtypes_and_public_functions_can_be_passed(open_module: Open) -> None:
    student = open_module("def build(layer, f, dtype): return layer(2, 3).weight.shape, f(torch.ones(2, dtype=dtype))")

    shape, value = student.build(torch.nn.Linear, torch.neg, torch.float64)

    assert shape == (3, 2)
    assert value.dtype == torch.float64
    assert value[0] == -1


def test_backward_reaches_the_argument(open_module: Open) -> None:
    student = open_module("def f(x, w): return torch.tanh(x @ w.T)")
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    w = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    cotangent = torch.randn(4, 2, dtype=torch.float64)

    student.f(x * 2, w).backward(cotangent)

    x2, w2 = x.detach().requires_grad_(), w.detach().requires_grad_()
    torch.tanh(2 * x2 @ w2.T).backward(cotangent)
    torch.testing.assert_close(x.grad, x2.grad)
    torch.testing.assert_close(w.grad, w2.grad)


def test_gradcheck_accepts_a_right_function_and_refuses_a_detached_one(open_module: Open) -> None:
    student = open_module(
        """
        def right(x): return (x ** 3).sum(1)
        def wrong(x): return (x * x.detach() ** 2).sum(1)
        """
    )
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(student.right, (x,))
    assert not torch.autograd.gradcheck(student.wrong, (x,), raise_exception=False)


def test_several_outputs_share_one_graph(open_module: Open) -> None:
    student = open_module("def f(x): y = x.exp(); return y, {'z': [y * 3]}")
    x = torch.ones(2, requires_grad=True)

    y, more = student.f(x)
    (y.sum() + more["z"][0].sum()).backward()

    torch.testing.assert_close(x.grad, 4 * torch.exp(torch.ones(2)))


def test_parameters_are_mirrored_and_gradients_land_in_them(open_module: Open) -> None:
    student = open_module(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(3, 2)
                self.register_buffer("count", torch.zeros(1))
            def forward(self, x): return self.fc(x).relu()
        """
    )
    torch.manual_seed(4)
    net = student.Net()
    torch.manual_seed(4)
    twin = torch.nn.Linear(3, 2)
    x = torch.randn(5, 3)

    out = net(x)
    out.sum().backward()
    twin(x).relu().sum().backward()

    named = dict(net.named_parameters())
    assert type(named["fc.weight"]) is torch.nn.Parameter
    torch.testing.assert_close(named["fc.weight"], twin.weight)
    torch.testing.assert_close(named["fc.weight"].grad, twin.weight.grad)
    assert named["fc.weight"] is dict(net.named_parameters())["fc.weight"]
    assert [p.shape for p in net.parameters()] == [(2, 3), (2,)]
    assert set(net.state_dict()) == {"fc.weight", "fc.bias", "count"}


def test_autograd_grad_works_for_mirrored_parameters(open_module: Open) -> None:
    student = open_module("model = nn.Linear(2, 1, bias=False)")
    x = torch.tensor([[3.0, 4.0]])
    (weight,) = student.model.parameters()

    (gradient,) = torch.autograd.grad(student.model(x).sum(), [weight])

    torch.testing.assert_close(gradient, x)
    assert weight.grad is None


def test_a_step_of_the_students_on_given_tensors_is_written_back(open_module: Open) -> None:
    student = open_module(
        """
        @torch.no_grad()
        def step(params, lr):
            for p in params: p -= lr * p.grad
        def saliency(x):
            (x ** 2).sum().backward()
        """
    )
    p = torch.ones(3, requires_grad=True)
    p.grad = torch.tensor([1.0, 2.0, 3.0])

    student.step([p], 0.5)
    x = torch.tensor([2.0], requires_grad=True)
    student.saliency(x)

    assert p.detach().tolist() == [0.5, 0.0, -0.5]
    assert x.grad is not None
    assert x.grad.item() == 4.0


def test_no_grad_here_is_no_grad_there(open_module: Open) -> None:
    student = open_module("model = nn.Linear(1, 1)\ndef mode(): return torch.is_grad_enabled()")

    with torch.no_grad():
        assert not student.model(torch.ones(1, 1)).requires_grad
        assert not student.mode()
    assert student.mode()


def test_the_random_state_travels_there_and_back(open_module: Open) -> None:
    student = open_module("def draw(generator=None): return torch.randn(3, generator=generator)")
    torch.manual_seed(9)
    expected = [torch.randn(3), torch.randn(3), torch.randn(3)]

    torch.manual_seed(9)
    drawn = [student.draw(), torch.randn(3), student.draw()]
    generator, twin = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)

    assert all(torch.equal(a, b) for a, b in zip(drawn, expected, strict=True))
    assert torch.equal(student.draw(generator), torch.randn(3, generator=twin))
    assert torch.equal(student.draw(generator), torch.randn(3, generator=twin))


def test_double_backward_is_a_clear_error(open_module: Open) -> None:
    student = open_module("def f(x): return x ** 3")
    x = torch.ones(1, dtype=torch.float64, requires_grad=True)

    (gradient,) = torch.autograd.grad(student.f(x).sum(), x, create_graph=True)

    with pytest.raises(RuntimeError, match="differentiate twice|does not require grad"):
        gradient.sum().backward()


def test_an_output_that_is_the_argument_is_that_object(open_module: Open) -> None:
    student = open_module("def same(x): return x\ndef relu_(x): return x.relu_()")
    x = torch.tensor([-1.0, 1.0])

    assert student.same(x) is x
    assert student.relu_(x) is x
    assert x.tolist() == [0.0, 1.0]


def test_training_there_works_in_the_sandbox(open_module: Open) -> None:
    student = open_module(
        """
        def fit(x, y, steps):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2))
            opt = torch.optim.AdamW(model.parameters(), lr=0.05)
            sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps)
            loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=16, shuffle=True)
            losses = []
            for _ in range(steps):
                for xb, yb in loader:
                    opt.zero_grad()
                    loss = nn.functional.cross_entropy(model(xb), yb)
                    loss.backward()
                    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    opt.step()
                    losses.append(loss.item())
                sched.step()
            return losses, model.eval()
        """
    )
    x = torch.randn(32, 1, 8, 8)
    y = (x.mean((1, 2, 3)) > 0).long()

    losses, model = student.fit(x, y, 20)
    with torch.no_grad():
        predicted = model(x).argmax(1)

    assert losses[-1] < losses[0]
    assert (predicted == y).float().mean() > 0.9
