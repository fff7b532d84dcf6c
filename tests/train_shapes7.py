"""Train the small network whose weights the course gives, and write them to shapes7.safetensors.

    python tests/train_shapes7.py         half a minute on one thread; the same file each time on one machine

It learns the first seven kinds of shapes10 and never sees the other three, which can then show the effect of transfer.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from dlcourse.data.shapes import shapes10
from dlcourse.data.weights import SHAPES7, write_safetensors

CLASSES = 7
NOISES = (0.05, 0.15, 0.25)  #: several noises, so that the noise does not help the network
IMAGES, EPOCHS, BATCH = 2000, 12, 50  #: images of all ten classes at each noise
SEED = 7_000_005  #: the seed of the training images, far from the seeds of tests


class Network(nn.Module):
    """Three convolutions with batch norm, the mean of each map, and one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for narrow, wide in ((3, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(narrow, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if wide < 64 else []
        self.backbone = nn.Sequential(*layers)
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> scores (N, 7)"""
        scores: torch.Tensor = self.head(self.backbone(x).mean(dim=(2, 3)))
        return scores


def images_of_known_shapes(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw n images at each noise, and return those of the first seven classes."""
    drawn = [shapes10(n, (seed, number), noise=noise) for number, noise in enumerate(NOISES)]
    images, labels = (torch.from_numpy(np.concatenate(parts)) for parts in zip(*drawn, strict=True))
    known = labels < CLASSES
    return images[known], labels[known]


def trained(images: torch.Tensor, labels: torch.Tensor) -> Network:
    """Return a network in eval mode, trained with Adam and a cosine schedule."""
    torch.manual_seed(SEED)
    model = Network().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(model(images[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
    return model.eval()


def main() -> None:
    torch.set_num_threads(1)
    model = trained(*images_of_known_shapes(IMAGES, SEED))
    write_safetensors(SHAPES7, {name: value.numpy() for name, value in model.state_dict().items()})
    images, labels = images_of_known_shapes(2000, SEED + 1)
    with torch.no_grad():
        right = (model(images).argmax(dim=1) == labels).float().mean().item()
    print(f"{SHAPES7}: {SHAPES7.stat().st_size} bytes, right on {right:.3f} of unseen images")


if __name__ == "__main__":
    main()
