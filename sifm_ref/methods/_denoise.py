"""The denoising loss of a picture, with which an editor's model was trained: AdvDM's, and Mist's semantic term."""

from __future__ import annotations

from torch import Tensor

from sifm_ref.editor import Look, Text, WhiteBox
from sifm_ref.features import accumulating
from sifm_ref.noise import Noise


def denoising_error(editor: WhiteBox, look: Look, text: Text, noise: Noise) -> Tensor:
    """``|| eps_theta(z_t, t) - eps ||^2``, a mean over values: (B,); one timestep and noise of each image, drawn here."""
    t = noise.integers(0, editor.timesteps, look.latents.device)
    drawn = noise.normal(look.latents.shape[1:], look.latents)
    answer = editor.predict(editor.noised(look.latents, drawn, t), t, text, look.condition)
    return accumulating(answer - editor.target(look.latents, drawn, t)).square().flatten(1).mean(dim=1)
