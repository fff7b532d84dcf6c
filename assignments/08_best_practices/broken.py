"""Eight pieces of training code. Each runs without an error, and each has one fault. Given to you, for task 8.7.

What each piece should do is in the docstring of fix_1 ... fix_8 in best_practices.py. Copy a body from here into the
fix with the same number, and repair it there. Changes in this file count for nothing.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


def broken_1(model, x, y, epochs, lr):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        probabilities = model(x).softmax(dim=1)
        loss = F.cross_entropy(probabilities, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def broken_2(x, y, batch_size, rng):
    x = x[rng.permutation(len(x))]
    y = y[rng.permutation(len(y))]
    starts = range(0, len(x), batch_size)
    return [(x[start : start + batch_size], y[start : start + batch_size]) for start in starts]


def broken_3(model, batches, lr):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    optimizer.zero_grad()
    losses = []
    for x, y in batches:
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def broken_4(model, x, y):
    with torch.no_grad():
        predicted = model(x).argmax(dim=1)
    return (predicted == y).float().mean().item()


def broken_5(x, y, n_train, augment, rng):
    order = rng.permutation(len(x))
    x, y = augment(x[order], rng), y[order]
    return x[:n_train], y[:n_train], x[n_train:], y[n_train:]


def broken_6(encoder, head, x, y, lr):
    optimizer = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=lr)
    features = torch.tensor(encoder(x).tolist())
    loss = F.cross_entropy(head(features), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def broken_7(model, x, y, epochs, lr):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        error = model(x) - y
        loss = (error**2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def broken_8(model, batches, epochs, lr, gamma):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=gamma)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            scheduler.step()
    return rates
