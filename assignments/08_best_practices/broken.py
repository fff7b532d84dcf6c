"""Eight pieces of training code. Each runs without an error, and each has one fault. Given to you, for task 8.7.

What each piece should do is in the docstring of fix_1 ... fix_8 in best_practices.py. Copy a body from here into the
fix with the same number, and repair it there. Changes in this file count for nothing.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


def broken_1(net, inputs, labels, n_epochs, lr):
    opt = torch.optim.SGD(net.parameters(), lr=lr)
    paid = []
    for _ in range(n_epochs):
        probabilities = net(inputs).softmax(dim=1)
        loss = F.cross_entropy(probabilities, labels)
        opt.zero_grad()
        loss.backward()
        opt.step()
        paid.append(loss.item())
    return paid


def broken_2(inputs, labels, batch_size, rng):
    inputs = inputs[rng.permutation(len(inputs))]
    labels = labels[rng.permutation(len(labels))]
    starts = range(0, len(inputs), batch_size)
    return [(inputs[start : start + batch_size], labels[start : start + batch_size]) for start in starts]


def broken_3(net, batches, lr):
    opt = torch.optim.SGD(net.parameters(), lr=lr)
    opt.zero_grad()
    paid = []
    for inputs, labels in batches:
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        opt.step()
        paid.append(loss.item())
    return paid


def broken_4(net, inputs, labels):
    with torch.no_grad():
        predicted = net(inputs).argmax(dim=1)
    right = predicted == labels
    return right.float().mean().item()


def broken_5(inputs, labels, n_train, augment, rng):
    order = rng.permutation(len(inputs))
    inputs, labels = augment(inputs[order], rng), labels[order]
    return inputs[:n_train], labels[:n_train], inputs[n_train:], labels[n_train:]


def broken_6(encoder, head, inputs, labels, lr):
    opt = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=lr)
    features = torch.tensor(encoder(inputs).tolist())
    loss = F.cross_entropy(head(features), labels)
    opt.zero_grad()
    loss.backward()
    opt.step()
    return float(loss.detach())


def broken_7(net, inputs, labels, n_epochs, lr):
    opt = torch.optim.SGD(net.parameters(), lr=lr)
    paid = []
    for _ in range(n_epochs):
        error = net(inputs) - labels
        loss = (error**2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        paid.append(loss.item())
    return paid


def broken_8(net, batches, n_epochs, lr, gamma):
    opt = torch.optim.SGD(net.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.ExponentialLR(opt, gamma=gamma)
    used = []
    for _ in range(n_epochs):
        used.append(opt.param_groups[0]["lr"])
        for inputs, labels in batches:
            opt.zero_grad()
            F.cross_entropy(net(inputs), labels).backward()
            opt.step()
            schedule.step()
    return used
