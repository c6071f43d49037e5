"""The originals' functions under the originals' names, as plainly as they can be written: the oracle for other sizes.

They hold no trick of ours: recurrent units convolve the sum, decoders concatenate before the 1x1 convolution, weights
are standardised by mean and variance. That they are the originals is shown against the reference vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONVS = {2: nn.Conv2d, 3: nn.Conv3d}
NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MODES = {2: "bilinear", 3: "trilinear"}


def up(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode=MODES[x.dim() - 2], align_corners=True)


def pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2) if x.dim() == 4 else F.max_pool3d(x, 2)


class Unit(nn.Module):
    def __init__(self, d: int, inn: int, out: int, kernel: int) -> None:
        super().__init__()
        self.block = nn.Sequential(CONVS[d](inn, out, kernel, padding=kernel // 2), NORMS[d](out), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class Recurrent(nn.Module):
    """A unit applied three times."""

    def __init__(self, d: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.block = Unit(d, channels, channels, kernel)

    def forward(self, x: Tensor) -> Tensor:
        state = self.block(x)
        for _ in range(2):
            state = self.block(x + state)
        return state


class Double(nn.Module):
    def __init__(self, d: int, inn: int, out: int, kernel: int) -> None:
        super().__init__()
        self.block = nn.Sequential(Unit(d, inn, out, kernel), Unit(d, out, out, kernel))

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class R2(nn.Module):
    def __init__(self, d: int, inn: int, out: int, kernel: int) -> None:
        super().__init__()
        self.conv = CONVS[d](inn, out, 1)
        self.r2_block = nn.Sequential(Recurrent(d, out, kernel), Recurrent(d, out, kernel))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x + self.r2_block(x)


class Gate(nn.Module):
    def __init__(self, d: int, skip: int, gate: int) -> None:
        super().__init__()
        self.x_conv = CONVS[d](skip, skip // 2, 2, stride=2, bias=False)
        self.gate_conv = CONVS[d](gate, skip // 2, 1)
        self.psi = CONVS[d](skip // 2, 1, 1)
        self.end_transform = nn.Sequential(CONVS[d](skip, skip, 1), NORMS[d](skip))

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        weight = torch.sigmoid(self.psi(F.relu(self.x_conv(skip) + self.gate_conv(gate))))
        return self.end_transform(up(weight, skip.shape[2:]) * skip)


class UShaped(nn.Module):
    def __init__(
        self,
        d: int,
        channels: int,
        classes: int,
        features: Sequence[int],
        *,
        r2: bool,
        attention: bool,
        kernel: int = 3,
    ) -> None:
        super().__init__()
        block = R2 if r2 else Double
        self.depth, self.attention = len(features), attention
        for i, width in enumerate(features):
            setattr(self, f"conv{i}_0", block(d, features[i - 1] if i else channels, width, kernel))
        for i, width in enumerate(features[:-1]):
            setattr(self, f"conv{i}_{4 - i}", block(d, width + features[i + 1], width, kernel))
            if attention:
                setattr(self, f"attention{i}_{4 - i}", Gate(d, width, features[i + 1]))
        self.final = CONVS[d](features[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.conv0_0(x)]
        for i in range(1, self.depth):
            maps.append(getattr(self, f"conv{i}_0")(pool(maps[-1])))
        below = maps[-1]
        for i in range(self.depth - 2, -1, -1):
            skip = getattr(self, f"attention{i}_{4 - i}")(maps[i], below) if self.attention else maps[i]
            below = getattr(self, f"conv{i}_{4 - i}")(torch.cat([skip, up(below, skip.shape[2:])], 1))
        return self.final(below)


class Nested(nn.Module):
    def __init__(self, d: int, channels: int, classes: int, features: Sequence[int], kernel: int = 3) -> None:
        super().__init__()
        self.depth = len(features)
        for j in range(self.depth):
            for i in range(self.depth - j):
                inn = j * features[i] + features[i + 1] if j else (features[i - 1] if i else channels)
                setattr(self, f"conv{i}_{j}", Double(d, inn, features[i], kernel))
        for k in range(1, self.depth):
            setattr(self, f"final{k}", CONVS[d](features[0], classes, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        """The last node's logits first."""
        rows = [[self.conv0_0(x)]]
        for i in range(1, self.depth):
            rows.append([getattr(self, f"conv{i}_0")(pool(rows[-1][0]))])
        for j in range(1, self.depth):
            for i in range(self.depth - j):
                below = up(rows[i + 1][j - 1], rows[i][0].shape[2:])
                rows[i].append(getattr(self, f"conv{i}_{j}")(torch.cat([*rows[i], below], 1)))
        return [getattr(self, f"final{k}")(rows[0][k]) for k in range(self.depth - 1, 0, -1)]


def aanet(weights: Mapping[str, Tensor], x: Tensor, down: Sequence[int], up_blocks: Sequence[int]) -> Tensor:
    """The published AANet as a function of its weights: probabilities of artery and embolus, (n, 2, z, y, x)."""

    def standard(weight: Tensor) -> Tensor:
        flat = weight.flatten(1)
        return ((flat - flat.mean(1, True)) / (flat.var(1, correction=0, keepdim=True) + 1e-6).sqrt()).view_as(weight)

    def norm(name: str, y: Tensor) -> Tensor:
        weight = weights[f"{name}.norm.weight"]
        return F.group_norm(y, len(weight) // 4, weight, weights[f"{name}.norm.bias"])

    def unit(name: str, y: Tensor, *, stride: int = 1, dilation: int = 1) -> Tensor:
        weight = standard(weights[f"{name}.conv.weight"])
        padding = dilation * (weight.shape[2] // 2) if weight.shape[2] % 2 else 0
        return norm(name, F.conv3d(y, weight, None, stride, padding, dilation))

    def rising(name: str, y: Tensor) -> Tensor:
        weight = weights[f"{name}.conv.weight"]
        mixed = standard(weight.transpose(0, 1).contiguous()).reshape(weight.shape)  # the trap
        return F.relu(norm(name, F.conv_transpose3d(y, mixed, stride=2)))

    def blocks(name: str, y: Tensor, n: int) -> Tensor:
        for k in range(n):
            block = f"{name}.conv.{k}"
            through = unit(f"{block}.res", y) if f"{block}.res.conv.weight" in weights else y
            y = F.relu(unit(f"{block}.conv2", F.relu(unit(f"{block}.conv1", y))) + through)
        return y

    def head(name: str, y: Tensor) -> Tensor:
        y = rising(f"{name}.up_conv", y)
        weight = weights[f"{name}.seg_output.weight"]
        return torch.sigmoid(F.conv3d(y, weight, weights[f"{name}.seg_output.bias"], padding=weight.shape[2] // 2))

    y = F.relu(unit("in_dw", F.relu(unit("in_conv", x)), stride=2))
    maps = [blocks("block1", y, down[0])]
    for i in range(2, 5):
        y = F.relu(unit(f"block{i - 1}_dw", maps[-1], stride=2))
        maps.append(blocks(f"block{i}", y, down[i - 1]))
    below, coarse = maps[-1], []
    for i in range(3, 0, -1):
        reduced = F.relu(unit(f"block{i + 1}{i + 1}_aspp.conv", below))
        coarse.append(F.interpolate(reduced, size=maps[0].shape[2:], mode="nearest"))
        skip = blocks(f"block{i}{i}_res", maps[i - 1], 1)
        below = blocks(f"block{i}{i}", torch.cat([rising(f"block{i}{i}_up", below), skip], 1), up_blocks[i - 1])
    joined = torch.cat([below, *coarse[::-1]], 1)
    branches = [F.relu(unit(f"aspp.aspp{k}", joined, dilation=(1, 3, 5, 7, 9)[k])) for k in range(5)]
    shared = F.relu(unit("aspp.transition", torch.cat(branches, 1)))
    artery = head("segheadv", shared)
    return torch.cat([artery, head("seghead", shared * F.max_pool3d(artery, 2))], 1)


def aanet_weights(
    *,
    stem: int,
    widths: Sequence[int],
    down: Sequence[int],
    up: Sequence[int],
    aspp: int,
    head: int,
    channels: int = 1,
    kernel: int = 3,
) -> dict[str, Tensor]:
    """Random weights of the published AANet in any sizes."""
    torch.manual_seed(0)
    weights: dict[str, Tensor] = {}

    def normed(name: str, out: int, weight: Tensor) -> None:
        weights[f"{name}.conv.weight"] = weight
        weights[f"{name}.norm.weight"] = 0.5 + torch.rand(out)
        weights[f"{name}.norm.bias"] = torch.randn(out)

    def unit(name: str, out: int, inn: int, edge: int = kernel) -> None:
        normed(name, out, torch.randn(out, inn, *[edge] * 3))

    def rising(name: str, out: int, inn: int) -> None:
        normed(name, out, torch.randn(inn, out, 2, 2, 2))

    def blocks(name: str, out: int, inn: int, n: int) -> None:
        for k in range(n):
            first = inn if k == 0 else out
            unit(f"{name}.conv.{k}.conv1", out, first)
            unit(f"{name}.conv.{k}.conv2", out, out)
            if first != out:
                unit(f"{name}.conv.{k}.res", out, first, 1)

    unit("in_conv", stem, channels)
    unit("in_dw", widths[0], stem)
    for i, width in enumerate(widths, start=1):
        blocks(f"block{i}", width, width, down[i - 1])
        if i < len(widths):
            unit(f"block{i}_dw", widths[i], width, 2)
            rising(f"block{i}{i}_up", width, widths[i])
            blocks(f"block{i}{i}_res", width, width, 1)
            blocks(f"block{i}{i}", width, 2 * width, up[i - 1])
        if i > 1:
            unit(f"block{i}{i}_aspp.conv", aspp, width, 1)
    for k in range(5):
        unit(f"aspp.aspp{k}", aspp, widths[0] + 3 * aspp, kernel if k else 1)
    unit("aspp.transition", aspp, 5 * aspp, 1)
    for name in ("seghead", "segheadv"):
        rising(f"{name}.up_conv", head, aspp)
        weights[f"{name}.seg_output.weight"] = torch.randn(1, head, *[kernel] * 3)
        weights[f"{name}.seg_output.bias"] = torch.randn(1)
    return weights


def randomised(network: nn.Module) -> nn.Module:
    """All entries drawn anew, running statistics included; in evaluation mode."""
    torch.manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith("running_var") or (name.endswith("weight") and value.dim() == 1):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point():
            value.normal_(std=value[0].numel() ** -0.5)
        else:
            value.fill_(7)
    return network.eval()
