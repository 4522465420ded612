"""G and the reach of linear decoders against their closed forms; log-mel and derivatives against others."""

import numpy as np
import pytest
import torch

from bench.codecs.minicodec_model import Config, Minicodec
from bench.contract import CodecInfo
from bench.metrics import distortion
from bench.metrics.sensitivity import DecodedLogMel, NotDifferentiable, directional, metric, reach, root

D = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear(x):
    return x @ D.T


def remembering(x):
    """y_t = D x_t + ½ D x_{t−1}."""
    y = x @ D.T
    return y + 0.5 * torch.nn.functional.pad(y, (0, 0, 1, 0))[:, :-1]


@pytest.mark.parametrize("spacing", [1, 3])
def test_the_metric_of_a_linear_decoder_is_its_gram_matrix(spacing: int) -> None:
    G = metric(linear, torch.randn(2, 9, 3, generator=rng()), spacing, rng())
    torch.testing.assert_close(G, (D.T @ D).double(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(root(G) @ root(G).T, G)


def test_following_frames_count_without_bias() -> None:
    """Frames further apart than they reach are exact; neighbours agree in the mean, but for the crop's last frame."""
    x, truth = torch.zeros(4, 40, 3), 1.25 * (D.T @ D).double()
    far = metric(remembering, x[:, :39], 2, rng(1))
    assert min((far - t * truth).norm() for t in (1.0, 1 - 0.2 / 20)) < 0.011 * truth.norm()
    near = torch.stack([metric(remembering, x, 1, rng(s)) for s in range(40)]).mean(0)
    torch.testing.assert_close(near, truth * (1 - 0.2 / 40), rtol=0.05, atol=0.02 * float(truth.norm()))


def test_a_moved_frame_reaches_as_far_as_the_decoder_remembers() -> None:
    energy = reach(remembering, torch.zeros(400, 8, 3), 3, torch.ones(3), rng())
    assert energy[4] / energy[3] == pytest.approx(0.25, abs=1e-6) and energy[:3].sum() == energy[5:].sum() == 0
    assert float(energy[3]) == pytest.approx(float(D.square().sum()), rel=0.2)


@pytest.mark.parametrize("decoder", [torch.round, torch.zeros_like, lambda x: torch.from_numpy(x.numpy())])
def test_a_decoder_without_a_derivative_is_refused(decoder) -> None:
    with pytest.raises(NotDifferentiable):
        metric(decoder, torch.randn(1, 4, 3), 1, rng())


class Stub:
    """Audio that is the latents' own samples."""

    def __init__(self, rate: int, hop: int) -> None:
        self.info = CodecInfo("stub", rate, hop, hop)

    def decode(self, latents):
        return latents.flatten(1)[:, None]


def test_the_spectrum_is_the_distortion_metric_s() -> None:
    audio = torch.randn(1, 16_000, generator=rng()) * torch.linspace(0, 0.1, 16_000)
    heard = DecodedLogMel(Stub(16_000, 1280))
    ours = heard.log_mel(audio[:, :15_360])[0]
    # windows centred on their stride start 384 samples before it: the second whole one starts at 2 · 256 − 384
    theirs = distortion.log_mel(audio[0, 128:15_360].numpy())
    np.testing.assert_allclose(ours[2 : 2 + len(theirs)].numpy(), theirs, atol=2e-4)
    assert (heard.per_frame, heard.stride, heard.window) == (5, 256, 1024)


@pytest.mark.parametrize(("rate", "hop", "per_frame"), [(24_000, 1920, 5), (24_000, 320, 1), (44_100, 512, 1)])
def test_another_rate_hears_the_same_sound(rate: int, hop: int, per_frame: int) -> None:
    """A chord, in the bands where it has energy."""
    spectra = []
    for r, h in ((16_000, 1280), (rate, hop)):
        time = torch.arange(h * round(r / h), dtype=torch.float64) / r
        chord = sum(torch.sin(2 * torch.pi * f * time) for f in (200.0, 1000.0, 3000.0)).float()[None]
        heard = DecodedLogMel(Stub(r, h))
        spectra.append(heard.log_mel(chord)[0].mean(0))
    assert heard.per_frame == per_frame and hop % heard.stride == 0
    loud = spectra[0] > spectra[0].max() - 1.5
    torch.testing.assert_close(spectra[1][loud], spectra[0][loud], atol=0.06, rtol=0)


def test_derivatives_of_a_network_agree_with_differences() -> None:
    """An untrained decoder of the built-in codec, float64, gradients switched off as a codec has them."""
    network = Minicodec(Config())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for p in network.parameters():
            torch.nn.init.normal_(p, std=0.1)
    network.double()

    class Network(Stub):
        @torch.no_grad()
        def decode(self, latents):
            return network.decoder(latents)[:, None]

    heard = DecodedLogMel(Network(16_000, 1280))
    x, v = (torch.randn(1, 3, 32, generator=rng(s), dtype=torch.float64) for s in (0, 1))
    moved = directional(heard, x, v)
    apart = (heard(x + 1e-6 * v) - heard(x - 1e-6 * v)) / 2e-6
    assert float((moved - apart).norm() / apart.norm()) < 1e-4
