"""Convolutions of infinitely many channels against finite ones, and against themselves."""

import math

import pytest
import torch
from torch import Tensor, nn

from overparam.nets.linear import NTKLinear
from overparam.tangents import (
    empirical_ntk,
    infinite_conv_ntk,
    infinite_ntk,
)

BIAS = 0.1


class Convolution(nn.Module):
    """A convolution in NTK parametrisation, window 3."""

    def __init__(self, fan_in: int, fan_out: int, draw: torch.Generator, circular: bool) -> None:
        super().__init__()
        shape = (fan_out, fan_in, 3, 3)
        self.weight = nn.Parameter(torch.randn(shape, generator=draw, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(fan_out, generator=draw, dtype=torch.float64))
        self.mode = "circular" if circular else "constant"

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * math.sqrt(2 / self.weight[0].numel())
        padded = nn.functional.pad(x, (1, 1, 1, 1), mode=self.mode)
        return nn.functional.conv2d(padded, weight, math.sqrt(BIAS) * self.bias)


def network(channels: int, positions: int, padding: str, head: str, seed: int) -> nn.Module:
    draw = torch.Generator().manual_seed(seed)
    circular = padding == "circular"
    average = head == "average"
    return nn.Sequential(
        Convolution(2, channels, draw, circular),
        nn.ReLU(),
        Convolution(channels, channels, draw, circular),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1) if average else nn.Identity(),
        nn.Flatten(),
        NTKLinear(
            channels * (1 if average else positions),
            1,
            weight_scale=math.sqrt(2),
            bias_scale=math.sqrt(BIAS),
            seed=draw,
            dtype=torch.float64,
        ),
    )


@pytest.fixture
def images(generator):
    return torch.randn(3, 2, 4, 3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("padding", ["circular", "zeros"])
@pytest.mark.parametrize("head", ["flatten", "average"])
def test_wide_networks_come_near(padding, head, images):
    kwargs = {"depth": 2, "bias_variance": BIAS}
    limits = {
        (p, h): infinite_conv_ntk(images, padding=p, head=h, **kwargs)
        for p in ("circular", "zeros")
        for h in ("flatten", "average")
    }
    kernels = [empirical_ntk(network(192, 12, padding, head, s), images) for s in range(4)]
    mean = torch.stack(kernels).mean(0)
    errors = {key: float((mean - k).norm() / k.norm()) for key, k in limits.items()}
    assert errors[padding, head] < 0.06
    # Every other convention is clearly another kernel.
    assert min(error for key, error in errors.items() if key != (padding, head)) > 0.12


@pytest.mark.parametrize("head", ["flatten", "average"])
@pytest.mark.parametrize("padding", ["circular", "zeros"])
def test_one_pixel_is_a_fully_connected_network(head, padding, images):
    pixel = images[:, :, :1, :1]
    found = infinite_conv_ntk(
        pixel, depth=3, kernel_size=1, head=head, padding=padding, bias_variance=BIAS
    )
    expected = infinite_ntk(pixel[:, :, 0, 0], depth=3, bias_variance=BIAS)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("head", ["flatten", "average"])
def test_zeros_beyond_one_pixel_divide_by_the_window(head, images):
    """All but one of nine positions are zero: the input counts 1/9, and so does each layer."""
    pixel = images[:, :, :1, :1]
    found = infinite_conv_ntk(pixel, depth=1, padding="zeros", head=head)
    torch.testing.assert_close(found, infinite_ntk(pixel[:, :, 0, 0], depth=1) / 9)


def test_pooling_forgets_where_an_image_is_shifted_to(images):
    shifted = images.roll((1, 2), (2, 3))
    pooled = infinite_conv_ntk(images, depth=2, head="average")
    torch.testing.assert_close(infinite_conv_ntk(images, shifted, depth=2, head="average"), pooled)
    flat = infinite_conv_ntk(images, depth=2)
    torch.testing.assert_close(infinite_conv_ntk(shifted, depth=2), flat)
    assert float((infinite_conv_ntk(images, shifted, depth=2) - flat).norm() / flat.norm()) > 0.1


@pytest.mark.parametrize("head", ["flatten", "average"])
def test_two_batches_are_blocks_of_one(head, images, monkeypatch):
    kwargs = {"depth": 2, "head": head, "padding": "zeros", "activation": "gelu"}
    whole = infinite_conv_ntk(images, **kwargs)
    assert torch.equal(whole, whole.T)
    torch.testing.assert_close(infinite_conv_ntk(images[:1], images[1:], **kwargs), whole[:1, 1:])
    monkeypatch.setattr("overparam.tangents.infinite.dense._HELD", 1)  # one pair at a time
    torch.testing.assert_close(infinite_conv_ntk(images, **kwargs), whole)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"x1": torch.zeros(2, 3)}, "height, width"),
        ({"x1": torch.full((1, 1, 2, 2), math.inf)}, "4 that are NaN or infinite"),
        ({"depth": 0}, "at least 1 convolution"),
        ({"kernel_size": 2}, "an odd number"),
        ({"padding": "zero"}, "did you mean 'zeros'"),
        ({"head": "pool"}, "a head out of average, flatten"),
        ({"weight_variance": math.nan}, "finite number > 0"),
    ],
)
def test_bad_input_is_refused(change, complaint, images):
    with pytest.raises(ValueError, match=complaint):
        infinite_conv_ntk(**({"x1": images, "depth": 2} | change))


def test_a_pair_of_images_too_large_is_refused(monkeypatch, images):
    monkeypatch.setattr("overparam._memory.available", lambda device: 1000)
    with pytest.raises(MemoryError, match="1000 bytes available"):
        infinite_conv_ntk(images, depth=1, head="average")
