"""Advanced architectures: autoencoders, attention, the Transformer, and networks that are made of two kinds.

Everything is PyTorch, except `pca_reconstruct` and `add_noise`, which are NumPy. Letters: N rows or sequences in a
batch, T queries or steps, S keys, d numbers for a position, h heads, H units. Sequences are (N, T, d), batch first.

Rules for the whole file:
    * no function changes its arguments, except where its docstring says so.
    * a mask is boolean, and True means: *may be looked at* (as in F.scaled_dot_product_attention; the masks of
      nn.MultiheadAttention say the opposite). A query that may look at nothing gets weights of 0, and 0 from them:
      no nan and no inf, also not in gradients.
    * modules work in the dtype of their parameters: float32 as they are made, float64 after .double(). There is no
      dropout anywhere.
    * a module has the parameters that its docstring names, and no others, where it says so. How you compute
      something is free. Where several things are returned, a tuple or a list will do.
    * a function that trains is decided by its seed: the same model and seed end in the same parameters, whatever was
      drawn from torch's or NumPy's global generator before; another seed ends in others. It visits all rows in each
      epoch, in mini-batches, each row once, in a new random order (of the rows, not only of batches that stay the
      same), and clears the gradients before each backward pass. The model, with all its layers, is in train mode
      meanwhile, and in eval mode at the end. It is trained from the state that it is in. The result is the mean loss
      over the rows of each epoch, as it was during training: a list of `epochs` floats.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# ------------------------------------------------------------------------------------------------------------
# 7.1  Autoencoders
# ------------------------------------------------------------------------------------------------------------


def pca_reconstruct(train, x, k):
    """Squeeze rows through the first k principal components of `train`, and put them together again.

    Each row of x, minus the mean row of *train*, is projected on the k directions in which the rows of train vary
    most; what is left of it, plus that mean, is the reconstruction. Only train decides the mean and the directions.

    Args:
        train: (N, D) float32 or float64, a NumPy array, N greater than D
        x: the rows to reconstruct, (M, D), M at least 1
        k: number of components, int from 1 to D

    Returns:
        (M, D), a new NumPy array of float32 or float64
    """
    ### BEGIN SOLUTION
    mean = train.mean(axis=0)
    _, _, directions = np.linalg.svd(train - mean, full_matrices=False)  # (D, D), the strongest first
    kept = directions[:k]
    return mean + (x - mean) @ kept.T @ kept
    ### END SOLUTION


class Autoencoder(nn.Module):
    """A network that must say its input again after it went through a code of `latent` numbers.

    Nothing passes beside the code: forward(x) is decode(encode(x)), and nothing else of x reaches decode. Each row is
    computed by itself, whatever else is in the batch, at least in eval mode. The output may take any value: nothing
    squashes it at the end.
    """

    def __init__(self, d, latent, hidden=128, linear=False):
        """Make the layers.

        Args:
            d: numbers in a row of the input, int
            latent: numbers in a code, int
            hidden: units of the hidden layers, int
            linear: False: encode and decode have at least one hidden layer each, with an activation.
                True: encode and decode are one matrix and one bias each, without an activation, which are
                2 * d * latent + latent + d parameters
        """
        ### BEGIN SOLUTION
        super().__init__()
        if linear:
            self.encoder, self.decoder = nn.Linear(d, latent), nn.Linear(latent, d)
        else:
            self.encoder = nn.Sequential(nn.Linear(d, hidden), nn.ReLU(), nn.Linear(hidden, latent))
            self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, d))
        ### END SOLUTION

    def encode(self, x):
        """Rows (N, d) -> codes (N, latent)."""
        ### BEGIN SOLUTION
        return self.encoder(x)
        ### END SOLUTION

    def decode(self, z):
        """Codes (N, latent) -> rows (N, d)."""
        ### BEGIN SOLUTION
        return self.decoder(z)
        ### END SOLUTION

    def forward(self, x):
        """Rows (N, d) -> their reconstructions (N, d)."""
        ### BEGIN SOLUTION
        return self.decode(self.encode(x))
        ### END SOLUTION


def fit_autoencoder(model, x, epochs=50, seed=0):
    """Train a model to say its input again, by the rules for training at the top of this file.

    The loss is the mean squared error: the mean over all entries of a batch, rows and columns alike.

    With your default number of epochs, on 1,300 rows of dlcourse.data.digits (64 pixels), and on digits that it has
    not seen, an Autoencoder(64, 8) makes at most 0.75 times the mean squared error of PCA with 8 components, and a
    linear one at most 1.08 times that error. (It can never beat the PCA of the very rows that it is judged on.) Each
    takes less than 20 CPU seconds on one thread.

    Args:
        model: an Autoencoder, or another module that takes rows (n, d) and gives (n, d)
        x: rows, (N, d) float32, a NumPy array; N need not be a multiple of your batch size
        epochs: how often to go through all rows, int; you may choose another default
        seed: decides the order of the rows, int

    Returns:
        the mean loss of each epoch, a list of floats
    """
    ### BEGIN SOLUTION
    return _fit_rows(model, x, 0.0, epochs, seed)
    ### END SOLUTION


### BEGIN SOLUTION
def _fit_rows(model, x, std, epochs, seed):
    torch.manual_seed(seed)
    clean = torch.from_numpy(np.array(x))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    steps = max(epochs * -(-len(x) // 64), 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=steps)  # warms up, then falls
    model.train()
    losses = []
    for _ in range(epochs):
        paid = 0.0
        for batch in torch.randperm(len(clean)).split(64):
            wanted = clean[batch]
            loss = F.mse_loss(model(wanted + std * torch.randn_like(wanted)), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            paid += loss.item() * len(batch)
        losses.append(paid / len(clean))
    model.eval()
    return losses


### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 7.2  Denoising
# ------------------------------------------------------------------------------------------------------------


def add_noise(x, std, rng):
    """Add normal noise of mean 0 and standard deviation std to each entry of x, each drawn by itself.

    Nothing is clipped.

    Args:
        x: (N, ...) float32 or float64, a NumPy array
        std: float, 0 or above
        rng: np.random.Generator, from which all chance comes

    Returns:
        a new array of the shape and dtype of x; x stays as it is
    """
    ### BEGIN SOLUTION
    return (x + rng.normal(scale=std, size=x.shape)).astype(x.dtype)
    ### END SOLUTION


class DenoisingAE(nn.Module):
    """A network that takes noisy rows (N, d) and gives clean ones (N, d). Its layers are your choice.

    Each row is computed by itself, whatever else is in the batch, at least in eval mode.
    """

    def __init__(self, d, hidden=128):
        ### BEGIN SOLUTION
        super().__init__()
        self.net = Autoencoder(d, 32, hidden)
        ### END SOLUTION

    def forward(self, x):
        """Noisy rows (N, d) -> clean rows (N, d)."""
        ### BEGIN SOLUTION
        return self.net(x)
        ### END SOLUTION


def fit_denoiser(model, x, std, epochs=30, seed=0):
    """Train a model to take noise away, by the rules for training at the top of this file.

    What the model is given is the clean rows plus normal noise of standard deviation std, drawn again for each row in
    each epoch, and not clipped. What it should say is the *clean* rows. The loss is the mean squared error over all
    entries.

    With your default number of epochs, on 1,300 rows of dlcourse.data.digits with std 0.3, and on noisy digits that it
    has not seen, a DenoisingAE(64) leaves at most 0.4 of the mean squared error that the noise makes, and takes less
    than 20 CPU seconds on one thread.

    Args:
        model: a DenoisingAE, or another module that takes rows (n, d) and gives (n, d)
        x: clean rows, (N, d) float32, a NumPy array
        std: standard deviation of the noise, float
        epochs: how often to go through all rows, int; you may choose another default
        seed: decides the order of the rows, and the noise, int

    Returns:
        the mean loss of each epoch, a list of floats
    """
    ### BEGIN SOLUTION
    return _fit_rows(model, x, std, epochs, seed)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 7.3  Additive attention
# ------------------------------------------------------------------------------------------------------------


class AdditiveAttention(nn.Module):
    """Attention of a recurrent decoder (Bahdanau et al., 2015): which of the T encoder outputs matter now?

        score[n, t]   = v . tanh(attn([hidden[n]; encoder_outputs[n, t]]))          [ ; ]: one after the other
        weights[n]    = softmax of score[n] over the T places that may be looked at
        context[n]    = sum over t of weights[n, t] * encoder_outputs[n, t]

    It has these parameters and no others:
        attn: nn.Linear(2 * hidden_size, hidden_size)
        v: nn.Parameter, (hidden_size,)
    """

    def __init__(self, hidden_size):
        ### BEGIN SOLUTION
        super().__init__()
        self.hidden_size = hidden_size
        self.attn = nn.Linear(2 * hidden_size, hidden_size)
        self.v = nn.Parameter(torch.rand(hidden_size))
        ### END SOLUTION

    def forward(self, hidden, encoder_outputs, mask=None):
        """Look at the encoder outputs.

        Args:
            hidden: state of the decoder, (N, H)
            encoder_outputs: (N, T, H), any T at least 1
            mask: None, or (N, T) bool: True where a place may be looked at

        Returns:
            context: (N, H)
            weights: (N, T); each row adds up to 1, or to 0 if its mask has no True
        """
        ### BEGIN SOLUTION
        T = encoder_outputs.shape[1]
        query = hidden[:, None].expand(-1, T, -1)  # (N, T, H)
        scores = torch.tanh(self.attn(torch.cat([query, encoder_outputs], dim=2))) @ self.v  # (N, T)
        weights = _masked_softmax(scores, mask)
        return (weights[:, :, None] * encoder_outputs).sum(dim=1), weights
        ### END SOLUTION


### BEGIN SOLUTION
def _masked_softmax(scores, mask):
    """Softmax over the last axis, over the places where the mask is True; 0 everywhere if there is none."""
    if mask is None:
        return scores.softmax(dim=-1)
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, lowest).softmax(dim=-1) * mask


### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 7.4  Scaled dot-product attention
# ------------------------------------------------------------------------------------------------------------


def scaled_dot_product_attention(q, k, v, mask=None):
    """Compare each query with all keys, and mix the values accordingly (Vaswani et al., 2017).

        weights = softmax over the S keys of (q @ k.T / sqrt(d))             out = weights @ v

    Do it without F.scaled_dot_product_attention.

    Args:
        q: queries, (..., T, d) float16, float32 or float64
        k: keys, (..., S, d)
        v: values, (..., S, dv). The leading axes of q, k and v, none or many, are broadcast against each other
        mask: None, or bool that broadcasts to (..., T, S): True where a query may look at a key. Whatever is in a key
            or value that nobody may look at (any number up to 1e30) changes nothing

    Returns:
        out: (..., T, dv)
        weights: (..., T, S); each row adds up to 1, or to 0 if the query may look at nothing
    """
    ### BEGIN SOLUTION
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5  # (..., T, S)
    weights = _masked_softmax(scores, mask)
    return weights @ v, weights
    ### END SOLUTION


def causal_mask(T):
    """Return the mask under which each of T positions may look at itself and at earlier ones.

    Returns:
        (T, T) bool tensor: entry [t, s] is True where position t may look at position s
    """
    ### BEGIN SOLUTION
    return torch.ones(T, T, dtype=torch.bool).tril()
    ### END SOLUTION


def padding_mask(lengths, T=None):
    """Return the mask that is True at the real positions of padded sequences.

    Args:
        lengths: (N,) int64 tensor, or a list of ints: how many positions of each sequence are real, from 0 to T
        T: number of positions, int; None: the largest length

    Returns:
        (N, T) bool tensor: entry [n, t] is True where t is below lengths[n]
    """
    ### BEGIN SOLUTION
    lengths = torch.as_tensor(lengths)
    if T is None:
        T = int(lengths.max())
    return torch.arange(T) < lengths[:, None]
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 7.5  Multi-head attention
# ------------------------------------------------------------------------------------------------------------


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each on its own part of d / h numbers (Vaswani et al., 2017).

    Queries, keys and values go through a linear layer each. Head i works on the numbers i * d / h up to
    (i + 1) * d / h of the three results. The outputs of all heads, one after the other, go through a last linear
    layer. Do it without nn.MultiheadAttention and F.scaled_dot_product_attention.

    It has 4 * (d * d + d) parameters (4 * d * d without bias), in one of two forms, as you like:
        separate: q_proj, k_proj, v_proj and out_proj, each an nn.Linear(d, d)
        packed: as in nn.MultiheadAttention: in_proj_weight (3 * d, d) and in_proj_bias (3 * d,), which hold those of
            queries, keys and values in this order; and out_proj, an nn.Linear(d, d)
    """

    def __init__(self, d, h, bias=True):
        """Make the layers.

        Args:
            d: numbers for a position, int
            h: number of heads, int
            bias: whether the four linear layers have a bias; without, in_proj_bias is None or does not exist

        Raises:
            ValueError: h does not divide d
        """
        ### BEGIN SOLUTION
        super().__init__()
        if d % h:
            raise ValueError(f"MultiHeadAttention: {h} heads do not divide {d} numbers")
        self.h = h
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(d, d, bias=bias) for _ in range(3))
        self.out_proj = nn.Linear(d, d, bias=bias)
        ### END SOLUTION

    def forward(self, query, key=None, value=None, mask=None, key_mask=None):
        """Let each query look at all keys, once in each head.

        Args:
            query: (N, T, d)
            key: (N, S, d); None: the queries themselves (self-attention)
            value: (N, S, d); None: the keys
            mask: None, or bool that broadcasts to (N, h, T, S), such as causal_mask(T): True where a query may
                look at a key
            key_mask: None, or (N, S) bool: True where a key is real, as padding_mask gives it. With both masks a
                query may look where both are True

        Returns:
            out: (N, T, d)
            weights: (N, h, T, S), those of each head
        """
        ### BEGIN SOLUTION
        key = query if key is None else key
        value = key if value is None else value
        N, T, d = query.shape

        def split(x):
            return x.view(N, -1, self.h, d // self.h).transpose(1, 2)  # (N, h, its length, d / h)

        if key_mask is not None:
            keys = key_mask[:, None, None, :]  # (N, 1, 1, S)
            mask = keys if mask is None else mask & keys
        mixed, weights = scaled_dot_product_attention(
            split(self.q_proj(query)), split(self.k_proj(key)), split(self.v_proj(value)), mask
        )
        return self.out_proj(mixed.transpose(1, 2).reshape(N, T, d)), weights
        ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 7.6  Positions, and layer normalisation
# ------------------------------------------------------------------------------------------------------------


def sinusoidal_encoding(T, d):
    """Give each of T positions d numbers: a clock with hands of many speeds (Vaswani et al., 2017).

        out[t, 2 * i]     = sin(t / 10000 ** (2 * i / d))
        out[t, 2 * i + 1] = cos(t / 10000 ** (2 * i / d))

    With an odd d the last column is a sine without its cosine.

    Returns:
        (T, d) float32 tensor, without gradient
    """
    ### BEGIN SOLUTION
    column = torch.arange(d)
    speed = 10000.0 ** (-2.0 * (column // 2).double() / d)
    angle = torch.arange(T).double()[:, None] * speed  # (T, d)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).float()
    ### END SOLUTION


class LayerNorm(nn.Module):
    """Normalise the last axis of each position by itself (Ba et al., 2016), as nn.LayerNorm(d) does.

        out = weight * (x - mean) / sqrt(var + eps) + bias

    mean and var are those of the d numbers of one position; var is the biased one (divided by d). So a position
    does not depend on the others, nor on the batch or the mode. Do it without nn.LayerNorm and F.layer_norm.

    It has these parameters and no others:
        weight: (d,), ones at first
        bias: (d,), zeros at first; None with bias=False
    """

    def __init__(self, d, eps=1e-5, bias=True):
        ### BEGIN SOLUTION
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d))
        self.bias = nn.Parameter(torch.zeros(d)) if bias else None
        ### END SOLUTION

    def forward(self, x):
        """(..., d), any number of axes in front -> the same shape."""
        ### BEGIN SOLUTION
        mean = x.mean(dim=-1, keepdim=True)
        var = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
        out = self.weight * (x - mean) / torch.sqrt(var + self.eps)
        return out if self.bias is None else out + self.bias
        ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 7.7  The Transformer
#
# The names of all layers are those of nn.TransformerEncoderLayer, nn.TransformerDecoderLayer and nn.Transformer. Do it
# without these classes. An attention is your MultiHeadAttention, in either of its forms, and a norm your LayerNorm.
# ------------------------------------------------------------------------------------------------------------


class EncoderBlock(nn.Module):
    """Self-attention, then a small network for each position; each with a way around it.

        pre_norm:     x = x + attention(norm1(x))          x = x + network(norm2(x))
        otherwise:    x = norm1(x + attention(x))          x = norm2(x + network(x))          (the paper of 2017)

        network(x) = linear2(relu(linear1(x)))

    It has these parts, and no other parameters than theirs:
        self_attn: MultiHeadAttention(d, h)
        linear1: nn.Linear(d, d_ff), linear2: nn.Linear(d_ff, d)
        norm1, norm2: LayerNorm(d)
    """

    def __init__(self, d, h, d_ff=None, pre_norm=True, bias=True):
        """Make the parts.

        Args:
            d, h: as for MultiHeadAttention
            d_ff: units of the small network, int; None: 4 * d
            pre_norm: which of the two orders, bool
            bias: whether all linear layers and norms have a bias, bool
        """
        ### BEGIN SOLUTION
        super().__init__()
        d_ff = 4 * d if d_ff is None else d_ff
        self.pre_norm = pre_norm
        self.self_attn = MultiHeadAttention(d, h, bias)
        self.linear1, self.linear2 = nn.Linear(d, d_ff, bias=bias), nn.Linear(d_ff, d, bias=bias)
        self.norm1, self.norm2 = LayerNorm(d, bias=bias), LayerNorm(d, bias=bias)
        ### END SOLUTION

    def forward(self, x, mask=None, key_mask=None):
        """Let each position look at the others, and think about what it saw.

        Args:
            x: (N, T, d)
            mask, key_mask: as for MultiHeadAttention

        Returns:
            (N, T, d)
        """
        ### BEGIN SOLUTION
        x = _around(x, self.norm1, lambda y: self.self_attn(y, mask=mask, key_mask=key_mask)[0], self.pre_norm)
        return _around(x, self.norm2, lambda y: self.linear2(self.linear1(y).relu()), self.pre_norm)
        ### END SOLUTION


### BEGIN SOLUTION
def _around(x, norm, layer, pre_norm):
    return x + layer(norm(x)) if pre_norm else norm(x + layer(x))


### END SOLUTION


class TransformerEncoder(nn.Module):
    """Some EncoderBlocks, one after the other, each with parameters of its own.

    It has these parts, and no other parameters than theirs:
        layers: the blocks, in an nn.ModuleList
        norm: with final_norm a LayerNorm(d) that comes after the last block
    """

    def __init__(self, d, h, layers, d_ff=None, pre_norm=True, final_norm=False, bias=True):
        """Make the blocks: `layers` of them, int. The other arguments are those of EncoderBlock."""
        ### BEGIN SOLUTION
        super().__init__()
        self.layers = nn.ModuleList(EncoderBlock(d, h, d_ff, pre_norm, bias) for _ in range(layers))
        self.norm = LayerNorm(d, bias=bias) if final_norm else None
        ### END SOLUTION

    def forward(self, x, mask=None, key_mask=None):
        """(N, T, d) -> (N, T, d); the masks serve in each block.

        With a key_mask what is at positions that are not real (any number up to 1000) changes nothing at real ones;
        with a causal mask what is at later positions changes nothing at earlier ones.
        """
        ### BEGIN SOLUTION
        for layer in self.layers:
            x = layer(x, mask, key_mask)
        return x if self.norm is None else self.norm(x)
        ### END SOLUTION


class DecoderBlock(nn.Module):
    """Self-attention, attention to what the encoder said (the memory), and a small network for each position.

        pre_norm:     x = x + attention(norm1(x))      x = x + look(norm2(x), memory)      x = x + network(norm3(x))
        otherwise:    x = norm1(x + attention(x))      x = norm2(x + look(x, memory))      x = norm3(x + network(x))

    In look(x, memory) the queries come from x, keys and values from the memory. The network is that of EncoderBlock.

    It has these parts, and no other parameters than theirs:
        self_attn: MultiHeadAttention(d, h), among the positions of x
        multihead_attn: MultiHeadAttention(d, h), from x to the memory
        linear1: nn.Linear(d, d_ff), linear2: nn.Linear(d_ff, d)
        norm1, norm2, norm3: LayerNorm(d)
    """

    def __init__(self, d, h, d_ff=None, pre_norm=True, bias=True):
        """Make the parts. The arguments are those of EncoderBlock."""
        ### BEGIN SOLUTION
        super().__init__()
        d_ff = 4 * d if d_ff is None else d_ff
        self.pre_norm = pre_norm
        self.self_attn, self.multihead_attn = MultiHeadAttention(d, h, bias), MultiHeadAttention(d, h, bias)
        self.linear1, self.linear2 = nn.Linear(d, d_ff, bias=bias), nn.Linear(d_ff, d, bias=bias)
        self.norm1, self.norm2, self.norm3 = (LayerNorm(d, bias=bias) for _ in range(3))
        ### END SOLUTION

    def forward(self, x, memory, mask=None, key_mask=None, memory_key_mask=None):
        """Let each position look at the others, and at the memory.

        Args:
            x: (N, T, d)
            memory: (N, S, d)
            mask, key_mask: for the attention among the positions of x, as for MultiHeadAttention
            memory_key_mask: None, or (N, S) bool: True where a position of the memory is real

        Returns:
            (N, T, d)
        """
        ### BEGIN SOLUTION
        x = _around(x, self.norm1, lambda y: self.self_attn(y, mask=mask, key_mask=key_mask)[0], self.pre_norm)
        x = _around(
            x,
            self.norm2,
            lambda y: self.multihead_attn(y, memory, key_mask=memory_key_mask)[0],
            self.pre_norm,
        )
        return _around(x, self.norm3, lambda y: self.linear2(self.linear1(y).relu()), self.pre_norm)
        ### END SOLUTION


class Transformer(nn.Module):
    """The encoder and decoder of "Attention is all you need", between the embeddings: nn.Transformer without dropout.

    The base model of the paper, Transformer(), has 44,140,544 parameters. Its parts:
        encoder: TransformerEncoder with a final norm
        decoder: a module with `layers`, an nn.ModuleList of DecoderBlocks, and `norm`, a LayerNorm after the last one
    """

    def __init__(self, d=512, h=8, layers=6, d_ff=None, pre_norm=False):
        """Make encoder and decoder, of `layers` blocks each. The other arguments are those of EncoderBlock."""
        ### BEGIN SOLUTION
        super().__init__()
        self.encoder = TransformerEncoder(d, h, layers, d_ff, pre_norm, final_norm=True)
        self.decoder = nn.Module()
        self.decoder.layers = nn.ModuleList(DecoderBlock(d, h, d_ff, pre_norm) for _ in range(layers))
        self.decoder.norm = LayerNorm(d)
        ### END SOLUTION

    def forward(self, source, target, source_key_mask=None, target_key_mask=None):
        """Encode the source, and decode the target beside it. A position of the target never sees a later one.

        Args:
            source: (N, S, d)
            target: (N, T, d)
            source_key_mask: None, or (N, S) bool: True where a position of the source is real, for all attentions to it
            target_key_mask: None, or (N, T) bool: the same for the target

        Returns:
            (N, T, d)
        """
        ### BEGIN SOLUTION
        memory = self.encoder(source, key_mask=source_key_mask)
        x, mask = target, causal_mask(target.shape[1])
        for layer in self.decoder.layers:
            x = layer(x, memory, mask, target_key_mask, source_key_mask)
        return self.decoder.norm(x)
        ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 7.8  Training them
# ------------------------------------------------------------------------------------------------------------


class SequenceTagger(nn.Module):
    """A Transformer encoder that says something about each token: embedding -> encoder -> one score for each id.

    With `positions` the encoder is given embedding * sqrt(d) + sinusoidal_encoding(T, d), for any T. Without it is
    given embedding * sqrt(d) alone: then the order of the tokens is unknown, and a permutation of the tokens permutes
    the scores and changes nothing else. Id 0 is padding: no position looks at it, so padding after a sequence, and
    other sequences of the batch, change nothing at real positions. A row of padding alone gives finite scores.
    """

    def __init__(self, vocab, d=32, h=4, layers=2, positions=True):
        """Make the layers: `vocab` ids, and your TransformerEncoder with `layers` blocks of d numbers and h heads."""
        ### BEGIN SOLUTION
        super().__init__()
        self.positions = positions
        self.embedding = nn.Embedding(vocab, d)
        nn.init.normal_(self.embedding.weight, std=d**-0.5)
        self.encoder = TransformerEncoder(d, h, layers, final_norm=True)
        self.head = nn.Linear(d, vocab)
        ### END SOLUTION

    def forward(self, ids):
        """Ids (N, T) int64, 0 where there is padding -> raw scores (N, T, vocab), no softmax."""
        ### BEGIN SOLUTION
        d = self.embedding.embedding_dim
        x = self.embedding(ids) * d**0.5
        if self.positions:
            x = x + sinusoidal_encoding(ids.shape[1], d).to(x)
        return self.head(self.encoder(x, key_mask=ids != 0))
        ### END SOLUTION


class CNNLSTM(nn.Module):
    """A network for clips: a convolutional network reads each frame by itself, an LSTM reads what it says in order.

    The frames' network has nn.Conv2d layers, the reader is an nn.LSTM, and a linear layer gives the scores from what
    the LSTM made of the whole clip. How many layers and units is your choice.
    """

    def __init__(self, num_classes, channels=1):
        """Make the layers, for frames with `channels` channels.

        Height and width of a frame are at least 8 pixels, and may differ.
        """
        ### BEGIN SOLUTION
        super().__init__()
        self.eye = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d((2, 4)), nn.Flatten(),
        )  # fmt: skip
        self.reader = nn.LSTM(128, 32, batch_first=True)
        self.head = nn.Linear(32, num_classes)
        ### END SOLUTION

    def features(self, clips):
        """Describe each frame by itself: what is said of a frame depends on no other frame (in eval mode).

        Args:
            clips: (N, T, channels, height, width), any T at least 1

        Returns:
            (N, T, F), where F is your choice
        """
        ### BEGIN SOLUTION
        N, T = clips.shape[:2]
        return self.eye(clips.flatten(0, 1)).view(N, T, -1)
        ### END SOLUTION

    def forward(self, clips):
        """Clips (N, T, channels, height, width) -> raw scores (N, num_classes), no softmax."""
        ### BEGIN SOLUTION
        _, (state, _) = self.reader(self.features(clips))
        return self.head(state[-1])
        ### END SOLUTION


def fit_scores(model, x, y, epochs=8, seed=0):
    """Train a model that gives raw scores, with cross-entropy, by the rules for training at the top of this file.

    One function for both networks: model(x) is (n, K) with labels (n,), or (n, T, K) with labels (n, T). A label of
    -100 does not count, as in F.cross_entropy. The loss of a batch is the mean over the labels in it that count, and
    what you return for an epoch is the mean over all labels of the epoch that count.

    With your default number of epochs:
        a SequenceTagger(11) learns to turn rows of 8 tokens round: from sequences.reversals(1000) it gets 0.97 of the
        tokens of unseen rows right, and without positions at most 0.5 (that is all there is to know without order)
        a CNNLSTM(4) gets 0.90 of unseen clips right, from sequences.moving_shapes(600); it needs both of its parts
        for that, and says of a clip that runs backwards that the shape moves the other way
    Each training takes less than 20 CPU seconds on one thread.

    Args:
        model: a module
        x: the inputs, (N, ...), a NumPy array of float32 or int64
        y: labels, (N,) or (N, T) int64, a NumPy array; each row has at least one that counts
        epochs: how often to go through all rows, int; you may choose another default
        seed: decides the order of the rows, int

    Returns:
        the mean loss of each epoch, a list of floats
    """
    ### BEGIN SOLUTION
    torch.manual_seed(seed)
    inputs, labels = torch.from_numpy(np.array(x)), torch.from_numpy(np.array(y))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    model.train()
    losses = []
    for _ in range(epochs):
        paid, counted = 0.0, 0
        for batch in torch.randperm(len(inputs)).split(32):
            wanted = labels[batch].flatten()
            scores = model(inputs[batch])
            loss = F.cross_entropy(scores.flatten(0, -2), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            count = int((wanted != -100).sum())
            paid, counted = paid + loss.item() * count, counted + count
        losses.append(paid / counted)
    model.eval()
    return losses
    ### END SOLUTION
