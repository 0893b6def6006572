"""MobileNetV3-small in PyTorch, as in Howard et al. 2019, table 2: a peer to measure against.

torchvision has it too, but comes with a PyTorch of its own for GPUs.
"""

from torch import nn

# kernel, width inside, channels out, squeeze and excite, hard swish, stride
BLOCKS = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)
LAST = 576


def features() -> nn.Module:
    """(batch, 3, height, width) -> feature map (batch, 576, height / 32, width / 32)."""
    layers = [_convolution(3, 16, 3, nn.Hardswish, stride=2)]
    before = 16
    for kernel, inside, after, squeezed, swish, stride in BLOCKS:
        layers.append(_Block(before, kernel, inside, after, squeezed, swish, stride))
        before = after
    return nn.Sequential(*layers, _convolution(before, LAST, 1, nn.Hardswish))


def _convolution(before, after, kernel, activation, stride=1, groups=1) -> nn.Module:
    layers = [
        nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after, eps=1e-3, momentum=0.01),
    ]
    return nn.Sequential(*layers, *([activation(inplace=True)] if activation else []))


class _Block(nn.Module):
    """Widen, filter each channel, weigh the channels, narrow; and a shortcut."""

    def __init__(self, before, kernel, inside, after, squeezed, swish, stride):
        super().__init__()
        activation = nn.Hardswish if swish else nn.ReLU
        layers = [] if inside == before else [_convolution(before, inside, 1, activation)]
        layers.append(_convolution(inside, inside, kernel, activation, stride, groups=inside))
        if squeezed:
            layers.append(_Squeeze(inside))
        self.layers = nn.Sequential(*layers, _convolution(inside, after, 1, None))
        self.has_shortcut = stride == 1 and before == after

    def forward(self, x):
        return x + self.layers(x) if self.has_shortcut else self.layers(x)


class _Squeeze(nn.Module):
    """Weighs the channels by what they hold on average."""

    def __init__(self, channels):
        super().__init__()
        middle = _by_eights(channels / 4)
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, middle, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, channels, 1),
            nn.Hardsigmoid(inplace=True),
        )

    def forward(self, x):
        return x * self.layers(x)


def _by_eights(width: float) -> int:
    """The nearest multiple of eight that is not below nine tenths of a width."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded
