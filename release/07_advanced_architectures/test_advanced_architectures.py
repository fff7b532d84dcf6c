"""Public tests of the advanced architectures: small numbers, most of which fit on paper.

pytest test_advanced_architectures.py -k attention        only the tests with "attention" in their names
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from autograder import expect, probe


@probe
def computed(student, make, args, weights, inputs, options):
    """Make a module, set some of its parameters, and compute; without a parameter of that name, say which are there."""
    module = getattr(student, make)(*args).double()
    own = dict(module.named_parameters())
    with torch.no_grad():
        for name, value in weights.items():
            if name not in own:
                return None, f"{make}: it has no parameter {name!r}."
            if own[name].shape != value.shape:
                return None, f"{make}: its parameter {name!r} has the shape {tuple(own[name].shape)}."
            own[name].copy_(value)
        return module(*inputs, **options), ""


def _outputs(found):
    expect.is_true(found[1] == "", found[1])
    return found[0]


def _tensor(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


# ------------------------------------------------------------------------------------------------------------
# 7.1  Autoencoders
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("autoencoder", weight=3)
def test_pca_finds_the_line(student):
    """The rows of train are on a line; with one component each row of x falls on the nearest point of it."""
    train = np.array([[0.0, 0], [1, 2], [2, 4], [3, 6]])
    x = np.array([[1.0, 2], [3, 1]])

    near = student.pca_reconstruct(train, x, 1)

    expect.close(near, np.array([[1.0, 2], [1, 2]]), "pca_reconstruct", atol=1e-6)
    expect.unchanged(x, np.array([[1.0, 2], [3, 1]]), "pca_reconstruct: x")
    expect.unchanged(train, np.array([[0.0, 0], [1, 2], [2, 4], [3, 6]]), "pca_reconstruct: train")


@pytest.mark.task("autoencoder", weight=3)
def test_two_components_of_two_lose_nothing(student):
    """With as many components as there are columns, nothing is lost."""
    train = np.array([[0.0, 0], [1, 2], [2, 3], [3, 7]])
    x = np.array([[10.0, -2], [3, 1]])

    expect.close(student.pca_reconstruct(train, x, 2), x, "pca_reconstruct", atol=1e-6)


@probe
def sizes_of_an_autoencoder(student, x, linear):
    model = student.Autoencoder(6, 2, linear=linear).eval()
    with torch.no_grad():
        code = model.encode(x)
        return code, model.decode(code), model(x), sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.task("autoencoder", weight=3)
@pytest.mark.parametrize("linear", [False, True])
def test_six_numbers_go_through_two(student, linear):
    """Rows of six numbers become codes of two, and rows of six again; forward is decode after encode."""
    x = torch.arange(24.0).reshape(4, 6) / 24

    code, again, out, count = sizes_of_an_autoencoder(student, x, linear)

    expect.shape(code, (4, 2), "Autoencoder.encode")
    expect.shape(again, (4, 6), "Autoencoder.decode")
    expect.close(out, again, "Autoencoder", rtol=1e-5, atol=1e-6)
    if linear:
        expect.equal(count, 2 * 6 * 2 + 2 + 6, "Autoencoder(6, 2, linear=True): number of parameters")


@probe
def short_training(student, make, args, fit, data, options):
    """Train a new module and return the losses, and the mode of each of its parts."""
    torch.manual_seed(1)
    model = getattr(student, make)(*args)
    losses = getattr(student, fit)(model, *data, **options)
    return list(losses), [part.training for part in model.modules()]


def _losses_fall(found, fit, epochs):
    losses, modes = found
    expect.equal(len(losses), epochs, f"{fit}: number of losses")
    expect.is_true(all(isinstance(loss, float) for loss in losses), f"{fit}: the losses are no floats.")
    expect.is_true(losses[-1] < losses[0], f"{fit}: the loss of the last epoch is not below that of the first.")
    expect.equal(modes, [False] * len(modes), f"{fit}: training of the model and its layers afterwards")


@pytest.mark.task("autoencoder", weight=5)
def test_an_autoencoder_learns(student):
    """The losses of the epochs come back, and fall; at the end the model is in eval mode; x stays."""
    x = np.outer(np.linspace(-1, 1, 70), [1, -2, 0.5, 1]).astype(np.float32)
    before = x.copy()

    found = short_training(student, "Autoencoder", (4, 1), "fit_autoencoder", (x,), {"epochs": 4})

    _losses_fall(found, "fit_autoencoder", 4)
    expect.unchanged(x, before, "fit_autoencoder: x")


# ------------------------------------------------------------------------------------------------------------
# 7.2  Denoising
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("denoising", weight=3)
def test_noise_has_its_size(student, rng):
    """The noise is around 0, with the standard deviation that was asked for; x stays as it is."""
    x = rng.uniform(size=(50, 40)).astype(np.float32)
    before = x.copy()

    noisy = student.add_noise(x, 0.5, rng)

    expect.shape(noisy, (50, 40), "add_noise")
    expect.unchanged(x, before, "add_noise: x")
    noise = noisy - before  # 2,000 draws: bounds are five and a half standard deviations wide
    expect.between(noise.std(), 0.456, 0.544, "add_noise(std=0.5): standard deviation of the noise")
    expect.between(noise.mean(), -0.0615, 0.0615, "add_noise(std=0.5): mean of the noise")


@pytest.mark.task("denoising", weight=2)
def test_no_noise_gives_a_copy(student, rng):
    """With a standard deviation of 0 the result is equal to x, but it is another array."""
    x = np.array([[0.25, 0.5], [-1.0, 2.0]])

    same = student.add_noise(x, 0.0, rng)

    expect.close(same, x, "add_noise(std=0)")
    expect.no_alias(same, x, "add_noise(std=0)")


@pytest.mark.task("denoising", weight=4)
def test_a_denoiser_learns(student):
    """The losses of the epochs come back, and fall; rows of ten numbers give rows of ten numbers."""
    x = np.outer(np.linspace(-1, 1, 70), np.linspace(-1, 1, 10)).astype(np.float32)
    before = x.copy()

    found = short_training(student, "DenoisingAE", (10,), "fit_denoiser", (x, 0.3), {"epochs": 6})

    _losses_fall(found, "fit_denoiser", 6)
    expect.unchanged(x, before, "fit_denoiser: x")
    out = _outputs(computed(student, "DenoisingAE", (10,), {}, (torch.zeros(3, 10, dtype=torch.float64),), {}))
    expect.shape(out, (3, 10), "DenoisingAE")


# ------------------------------------------------------------------------------------------------------------
# 7.3  Additive attention
# ------------------------------------------------------------------------------------------------------------


def _look(student, hidden, outputs, weight, v, **options):
    """Attention of one unit whose linear layer has this weight and no bias."""
    weights = {"attn.weight": _tensor([weight]), "attn.bias": _tensor([0.0]), "v": _tensor([v])}
    given = _tensor(hidden), _tensor(outputs)
    return _outputs(computed(student, "AdditiveAttention", (1,), weights, given, options))


@pytest.mark.task("additive_attention", weight=4)
def test_additive_attention_on_paper(student):
    """tanh(0) = 0 and tanh(20) = 1, and v is log 3: the second place gets three quarters."""
    context, weights = _look(student, [[7.0]], [[[0.0], [20.0]]], [0.0, 1.0], math.log(3))

    expect.close(weights, _tensor([[0.25, 0.75]]), "AdditiveAttention (weights)", rtol=1e-6)
    expect.close(context, _tensor([[15.0]]), "AdditiveAttention (context)", rtol=1e-6)


@pytest.mark.task("additive_attention", weight=4)
def test_the_state_of_the_decoder_comes_first(student):
    """Of the two inputs of `attn` the first is the decoder's state: 2 * 0.5 - 1 leaves nothing of one place."""
    context, weights = _look(student, [[0.5]], [[[1.0], [40.0]]], [2.0, -1.0], -math.log(4))

    expect.close(weights, _tensor([[0.2, 0.8]]), "AdditiveAttention (weights)", rtol=1e-6)
    expect.close(context, _tensor([[0.2 + 0.8 * 40]]), "AdditiveAttention (context)", rtol=1e-6)


@pytest.mark.task("additive_attention", weight=4)
def test_additive_attention_skips_masked_places(student):
    """A place with False in the mask gets no weight, and the others share the whole."""
    mask = torch.tensor([[True, False, True]])

    context, weights = _look(student, [[7.0]], [[[0.0], [9.0], [20.0]]], [0.0, 1.0], math.log(3), mask=mask)

    expect.close(weights, _tensor([[0.25, 0.0, 0.75]]), "AdditiveAttention (weights)", rtol=1e-6)
    expect.close(context, _tensor([[15.0]]), "AdditiveAttention (context)", rtol=1e-6)


# ------------------------------------------------------------------------------------------------------------
# 7.4  Scaled dot-product attention
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("scaled_dot_product", weight=5)
def test_dot_product_attention_on_paper(student):
    """The scores are 0 and 2 * log(3) / sqrt(4) = log 3, so the weights are a quarter and three quarters."""
    q = _tensor([[2.0, 0, 0, 0]])
    k = _tensor([[0.0, 5, 0, 0], [math.log(3), 0, 7, 0]])
    v = _tensor([[4.0, 0, 1], [8, 4, 1]])

    out, weights = student.scaled_dot_product_attention(q, k, v)

    expect.close(weights, _tensor([[0.25, 0.75]]), "scaled_dot_product_attention (weights)")
    expect.close(out, _tensor([[7.0, 3, 1]]), "scaled_dot_product_attention (out)")


@pytest.mark.task("scaled_dot_product", weight=4)
def test_a_query_that_may_look_at_nothing_gets_nothing(student):
    """True may be looked at: the first query sees the second key alone, the second query sees none."""
    q, k, v = _tensor([[1.0], [1.0]]), _tensor([[3.0], [1.0]]), _tensor([[10.0], [20.0]])
    mask = torch.tensor([[False, True], [False, False]])
    given = q.clone(), k.clone(), v.clone(), mask.clone()

    out, weights = student.scaled_dot_product_attention(q, k, v, mask)

    expect.close(weights, _tensor([[0.0, 1], [0, 0]]), "scaled_dot_product_attention (weights)")
    expect.close(out, _tensor([[20.0], [0]]), "scaled_dot_product_attention (out)")
    for now, was, name in zip((q, k, v, mask), given, ("q", "k", "v", "mask"), strict=True):
        expect.unchanged(now, was, f"scaled_dot_product_attention: {name}")


@pytest.mark.task("scaled_dot_product", weight=3)
def test_no_position_sees_a_later_one(student):
    """Row t of the causal mask is True up to position t itself."""
    want = torch.tensor([[True, False, False], [True, True, False], [True, True, True]])

    expect.equal(student.causal_mask(3), want, "causal_mask(3)")


@pytest.mark.task("scaled_dot_product", weight=3)
def test_real_positions_are_true(student):
    """A row of length 2 has two real positions in front, the rest is padding."""
    want = torch.tensor([[True, True, False], [False, False, False], [True, True, True]])

    expect.equal(student.padding_mask(torch.tensor([2, 0, 3])), want, "padding_mask")
    expect.equal(student.padding_mask([1], 2), torch.tensor([[True, False]]), "padding_mask([1], 2)")


# ------------------------------------------------------------------------------------------------------------
# 7.5  Multi-head attention
# ------------------------------------------------------------------------------------------------------------


@probe
def attention_with_plain_projections(student, h, inputs, options):
    """Make an attention of four numbers whose four matrices do nothing, and compute."""
    module = student.MultiHeadAttention(4, h).double()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            else:
                parameter.copy_(torch.eye(4).repeat(len(parameter) // 4, 1))
        return module(*inputs, **options), sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.task("multi_head", weight=7)
def test_each_head_has_its_own_numbers(student):
    """Two heads: the first one compares and mixes the first two numbers of a position, the second one the others."""
    a, b = math.sqrt(2) * math.log(3), math.sqrt(2) * math.log(4)
    query = _tensor([[[1.0, 0, 0, 1]]])
    key = _tensor([[[0.0, 0, 0, b], [a, 0, 0, 0]]])
    value = _tensor([[[4.0, 0, 5, 0], [8, 4, 0, 10]]])

    (out, weights), count = attention_with_plain_projections(student, 2, (query, key, value), {})

    expect.equal(count, 4 * (4 * 4 + 4), "MultiHeadAttention(4, 2): number of parameters")
    expect.close(weights, _tensor([[[[0.25, 0.75]], [[0.8, 0.2]]]]), "MultiHeadAttention (weights)", rtol=1e-6)
    expect.close(out, _tensor([[[7.0, 3, 4, 2]]]), "MultiHeadAttention (out)", rtol=1e-6)


@pytest.mark.task("multi_head", weight=6)
def test_self_attention_of_one_head(student):
    """Without key and value the queries are all three; a mask of keys holds for all queries of its sample."""
    query = _tensor([[[0.0, 0, 0, 0], [2, 0, 0, 0], [9, 9, 9, 9]], [[1.0, 0, 0, 0], [3, 0, 0, 0], [5, 0, 0, 0]]])
    key_mask = torch.tensor([[True, True, False], [True, False, False]])

    (out, weights), _ = attention_with_plain_projections(student, 1, (query,), {"key_mask": key_mask})

    one = math.exp(2) / (1 + math.exp(2))  # the second position looks at itself: 2 * 2 / sqrt(4)
    expect.shape(weights, (2, 1, 3, 3), "MultiHeadAttention (weights)")
    expect.close(weights[0, 0, 1], _tensor([1 - one, one, 0]), "MultiHeadAttention (weights)", rtol=1e-6)
    expect.close(weights[1, 0], _tensor([[1.0, 0, 0]] * 3), "MultiHeadAttention (weights)", rtol=1e-6)
    expect.close(out[0, 0], _tensor([1.0, 0, 0, 0]), "MultiHeadAttention (out)", rtol=1e-6)
    expect.close(out[1], _tensor([[1.0, 0, 0, 0]] * 3), "MultiHeadAttention (out)", rtol=1e-6)


@pytest.mark.task("multi_head", weight=6)
def test_a_causal_mask_holds_in_each_head(student, rng):
    """With a causal mask the first position can look at itself only; queries and mask stay as they are."""
    query = torch.from_numpy(rng.normal(size=(2, 3, 4)))
    mask = torch.ones(3, 3, dtype=torch.bool).tril()
    before = query.clone()

    (out, weights), _ = attention_with_plain_projections(student, 2, (query,), {"mask": mask})

    expect.close(weights[:, :, 0], _tensor([[[1.0, 0, 0]] * 2] * 2), "MultiHeadAttention (weights)", rtol=1e-6)
    expect.close(out[:, 0], before[:, 0], "MultiHeadAttention (out at the first position)", rtol=1e-6)
    expect.unchanged(query, before, "MultiHeadAttention: query")
    expect.unchanged(mask, torch.ones(3, 3, dtype=torch.bool).tril(), "MultiHeadAttention: mask")


# ------------------------------------------------------------------------------------------------------------
# 7.6  Positions, and layer normalisation
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("positions_and_norm", weight=6)
def test_sines_and_cosines_alternate(student):
    """Two hands of the clock: the first turns by 1 with each position, the second a hundred times more slowly."""
    table = student.sinusoidal_encoding(3, 4)

    want = [[math.sin(t), math.cos(t), math.sin(t / 100), math.cos(t / 100)] for t in range(3)]
    expect.close(table, torch.tensor(want), "sinusoidal_encoding(3, 4)", rtol=1e-5, atol=1e-6)


@pytest.mark.task("positions_and_norm", weight=6)
def test_four_numbers_are_normalised(student):
    """1, 2, 3, 4 have the mean 2.5 and the variance 1.25; each row has a mean and a variance of its own."""
    x = _tensor([[1.0, 2, 3, 4], [40, 30, 20, 10]])
    before = x.clone()

    out = _outputs(computed(student, "LayerNorm", (4, 0.0), {}, (x,), {}))

    row = (_tensor([1.0, 2, 3, 4]) - 2.5) / math.sqrt(1.25)
    expect.close(out, torch.stack([row, -row]), "LayerNorm(4, eps=0)", rtol=1e-6)
    expect.unchanged(x, before, "LayerNorm: x")


@pytest.mark.task("positions_and_norm", weight=3)
def test_weight_and_bias_come_last(student):
    """After the normalisation each number is multiplied by its weight, and its bias is added."""
    weights = {"weight": _tensor([1.0, 2.0]), "bias": _tensor([0.0, 10.0])}

    out = _outputs(computed(student, "LayerNorm", (2, 0.0), weights, (_tensor([[3.0, 5.0]]),), {}))

    expect.close(out, _tensor([[-1.0, 12.0]]), "LayerNorm(2, eps=0)", rtol=1e-6)


# ------------------------------------------------------------------------------------------------------------
# 7.7  The Transformer
# ------------------------------------------------------------------------------------------------------------


@probe
def with_zero_matrices(student, make, args, inputs):
    """Set all matrices and all biases to zero, but the weights of the norms."""
    module = getattr(student, make)(*args).double()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.dim() > 1 or name.endswith("bias"):
                parameter.zero_()
        return module(*inputs), sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.task("transformer", weight=4)
def test_a_block_that_adds_nothing(student, rng):
    """With zeros in all matrices, a pre-norm block is the identity, and a post-norm block leaves normalised rows."""
    x = torch.from_numpy(rng.normal(size=(2, 3, 4)))
    before = x.clone()

    pre, count = with_zero_matrices(student, "EncoderBlock", (4, 2, 6), (x,))
    post, _ = with_zero_matrices(student, "EncoderBlock", (4, 2, 6, False), (x,))

    attention, network, norms = 4 * (4 * 4 + 4), (4 * 6 + 6) + (6 * 4 + 4), 2 * (4 + 4)
    expect.equal(count, attention + network + norms, "EncoderBlock(4, 2, 6): number of parameters")
    expect.close(pre, before, "EncoderBlock(pre_norm=True) with zeros in its matrices", rtol=1e-6)
    want = nn.functional.layer_norm(nn.functional.layer_norm(before, (4,)), (4,))  # it has two norms
    expect.close(post, want, "EncoderBlock(pre_norm=False) with zeros in its matrices", rtol=1e-6)
    expect.unchanged(x, before, "EncoderBlock: x")


@pytest.mark.task("transformer", weight=4)
def test_blocks_are_stacked(student, rng):
    """Three blocks have three times the parameters of one; a final norm has two rows more, and is the last to act."""
    x = torch.from_numpy(rng.normal(size=(2, 3, 4)))

    same, count = with_zero_matrices(student, "TransformerEncoder", (4, 2, 3), (x,))
    normed, more = with_zero_matrices(student, "TransformerEncoder", (4, 2, 3, None, True, True), (x,))

    block = 4 * (4 * 4 + 4) + (4 * 16 + 16) + (16 * 4 + 4) + 2 * (4 + 4)
    expect.equal(count, 3 * block, "TransformerEncoder(4, 2, 3): number of parameters")
    expect.equal(more, 3 * block + 8, "TransformerEncoder(4, 2, 3, final_norm=True): number of parameters")
    expect.close(same, x, "TransformerEncoder with zeros in its matrices", rtol=1e-6)
    want = nn.functional.layer_norm(x, (4,))
    expect.close(normed, want, "TransformerEncoder(final_norm=True) with zeros in its matrices", rtol=1e-6)


@probe
def decoded(student, x, memories):
    torch.manual_seed(0)
    block = student.DecoderBlock(4, 2, 6).double()
    with torch.no_grad():
        for p in block.parameters():
            p.copy_(torch.randn_like(p))
        return [block(x, memory) for memory in memories], sum(p.numel() for p in block.parameters())


@pytest.mark.task("transformer", weight=4)
def test_the_decoder_looks_at_the_memory(student, rng):
    """The output has the length of x, whatever the length of the memory, and another memory gives another output."""
    x = torch.from_numpy(rng.normal(size=(2, 3, 4)))
    memories = [torch.from_numpy(rng.normal(size=(2, 5, 4))) for _ in range(2)]

    (one, other), count = decoded(student, x, memories)

    expect.shape(one, (2, 3, 4), "DecoderBlock")
    expect.is_true(not torch.allclose(one, other), "DecoderBlock: two memories give the same output.")
    attentions, network, norms = 2 * 4 * (4 * 4 + 4), (4 * 6 + 6) + (6 * 4 + 4), 3 * (4 + 4)
    expect.equal(count, attentions + network + norms, "DecoderBlock(4, 2, 6): number of parameters")


@probe
def two_futures(student, source, target, changed):
    torch.manual_seed(0)
    model = student.Transformer(4, 2, 2, 6).double()
    with torch.no_grad():
        return model(source, target), model(source, changed)


@pytest.mark.task("transformer", weight=4)
def test_a_later_target_changes_nothing_before_it(student, rng):
    """Transformer: the last position of the target changes, and no position before it notices."""
    source, target = (
        torch.from_numpy(rng.normal(size=(2, 5, 4))),
        torch.from_numpy(rng.normal(size=(2, 3, 4))),
    )
    changed = target.clone()
    changed[:, 2] += 1

    one, other = two_futures(student, source, target, changed)

    expect.shape(one, (2, 3, 4), "Transformer")
    expect.close(other[:, :2], one[:, :2], "Transformer (earlier positions)", rtol=1e-6)
    expect.is_true(not torch.allclose(one[:, 2], other[:, 2]), "Transformer: a position does not see itself.")


# ------------------------------------------------------------------------------------------------------------
# 7.8  Training them
# ------------------------------------------------------------------------------------------------------------


@probe
def tagged(student, ids, positions):
    torch.manual_seed(0)
    model = student.SequenceTagger(7, 8, 2, 1, positions=positions).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(0.5 * torch.randn_like(p))
        return model(ids)


@pytest.mark.task("training", weight=6)
def test_without_positions_order_is_unknown(student):
    """Turn the tokens round: without positions the scores are turned round with them, with positions they are not."""
    ids = torch.tensor([[1, 2, 3, 4], [5, 1, 1, 6]])

    loose, turned = tagged(student, ids, False), tagged(student, ids.flip(1), False)
    tied, turned_tied = tagged(student, ids, True), tagged(student, ids.flip(1), True)

    expect.shape(loose, (2, 4, 7), "SequenceTagger")
    expect.close(turned.flip(1), loose, "SequenceTagger(positions=False), turned round", rtol=1e-4, atol=1e-5)
    expect.is_true(
        not torch.allclose(turned_tied.flip(1), tied, atol=1e-3),
        "SequenceTagger(positions=True): it does not notice the order of the tokens.",
    )


@probe
def seen_frames(student, clips):
    torch.manual_seed(0)
    model = student.CNNLSTM(3).eval()
    with torch.no_grad():
        together = model.features(clips)
        alone = torch.stack([model.features(clips[:, t : t + 1])[:, 0] for t in range(clips.shape[1])], dim=1)
        return together, alone, model(clips)


@pytest.mark.task("training", weight=5)
def test_each_frame_is_read_by_itself(student, rng):
    """The features of a frame are the same in its clip as alone; and there is a score for each class."""
    clips = torch.from_numpy(rng.normal(size=(2, 3, 1, 12, 12)).astype(np.float32))

    together, alone, scores = seen_frames(student, clips)

    expect.close(together, alone, "CNNLSTM.features of a clip, beside those of its frames", rtol=1e-4, atol=1e-5)
    expect.shape(scores, (2, 3), "CNNLSTM(3)")


@pytest.mark.task("training", weight=3)
@pytest.mark.parametrize("many", [False, True])
def test_scores_learn(student, many):
    """One loss for each epoch comes back, and they fall: for labels of rows, and of tokens; inputs and labels stay."""
    if many:
        x = np.arange(70 * 4).reshape(70, 4) % 6 + 1
        y, make, args = x.copy(), "SequenceTagger", (7, 8, 2, 1)
        y[::2, 1] = -100
    else:
        y = np.arange(70) % 2
        x = np.zeros((70, 2, 1, 8, 8), dtype=np.float32) + y[:, None, None, None, None].astype(np.float32)
        make, args = "CNNLSTM", (2,)
    before = x.copy(), y.copy()

    found = short_training(student, make, args, "fit_scores", (x, y), {"epochs": 3})

    _losses_fall(found, "fit_scores", 3)
    expect.unchanged(x, before[0], "fit_scores: x")
    expect.unchanged(y, before[1], "fit_scores: y")
