"""JPEG's transform, of float images and with gradients: what an encoder quantises, and what a decoder makes of that."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

CHANNELS = ("Y", "Cb", "Cr")

# ITU-T T.81, tables K.1 and K.2, row by row
_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, *[99] * 32,
)  # fmt: skip
_TO_YCC = (  # JFIF 1.02
    (0.299, 0.587, 0.114),
    (-0.168735891647856, -0.331264108352144, 0.5),
    (0.5, -0.418687589158345, -0.081312410841655),
)


def table(name: str, quality: int) -> list[int]:
    """The steps (64) of a channel's coefficients at a quality of 1 to 100, as libjpeg scales them."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return [min(255, max(1, (v * scale + 50) // 100)) for v in (_LUMA if name == "Y" else _CHROMA)]


@dataclass(frozen=True)
class Codec:
    """Coefficients of images of one size and type, in steps: of each channel (B, h / 8, w / 8, 8, 8).

    ``halved``: chroma has half the sides (4:2:0), the mean of four pixels, and is enlarged bilinearly. Sides that are no
    multiples of 8 (16) are continued by their last pixels.
    """

    like: Tensor
    quality: int
    halved: bool

    def encode(self, images: Tensor) -> list[Tensor]:
        """Whole coefficients of images (B, 3, H, W) in [0, 1], in the order of ``CHANNELS``."""
        side = 16 if self.halved else 8
        rest = [-s % side for s in images.shape[-2:]]
        whole = pad(images, (0, rest[1], 0, rest[0]), "replicate") * 255
        planes = torch.einsum("oc,bchw->bohw", self._matrix(), whole) - self._shift()
        out = []
        for number, name in enumerate(CHANNELS):
            plane = planes[:, number : number + 1]
            plane = avg_pool2d(plane, 2) if self.halved and name != "Y" else plane
            blocks = plane[:, 0].unflatten(1, (-1, 8)).unflatten(3, (-1, 8)).transpose(2, 3)
            dct = self._dct()
            out.append(torch.round(dct @ blocks @ dct.T / self._steps(name)))
        return out

    def decode(self, coefficients: list[Tensor]) -> Tensor:
        """Images (B, 3, H, W) in [0, 1], not clipped, of coefficients that need not be whole."""
        dct, planes = self._dct(), []
        for name, steps in zip(CHANNELS, coefficients, strict=True):
            blocks = dct.T @ (steps * self._steps(name)) @ dct
            plane = blocks.transpose(2, 3).flatten(3).flatten(1, 2).unsqueeze(1)
            if self.halved and name != "Y":
                plane = interpolate(plane, scale_factor=2, mode="bilinear", align_corners=False)
            planes.append(plane)
        whole = torch.cat(planes, dim=1) + self._shift()
        images = torch.einsum("oc,bchw->bohw", torch.linalg.inv(self._matrix()), whole) / 255
        return images[..., : self.like.shape[-2], : self.like.shape[-1]]

    def _dct(self) -> Tensor:
        """Rows of the orthonormal DCT-II of eight values."""
        place = torch.arange(8, dtype=torch.float64)
        rows = torch.cos(math.pi * (2 * place + 1) * place[:, None] / 16) / 2
        rows[0] /= math.sqrt(2)
        return rows.to(self.like)

    def _steps(self, name: str) -> Tensor:
        return torch.tensor(table(name, self.quality)).view(8, 8).to(self.like)

    def _matrix(self) -> Tensor:
        return torch.tensor(_TO_YCC, dtype=torch.float64).to(self.like)

    def _shift(self) -> Tensor:
        """Luma is centred about 0; chroma is already."""
        return torch.tensor([128.0, 0.0, 0.0]).view(1, 3, 1, 1).to(self.like)
