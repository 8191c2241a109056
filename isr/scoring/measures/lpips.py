"""LPIPS (Zhang et al. 2018), version 0.1, by ``piq``: the network is in the name, ``lpips_vgg`` or ``lpips_alex``.

The weights come from a file, or by the word ``download`` from torchvision's and piq's releases.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

from isr.canonical import sha256_bytes
from isr.errors import UsageError
from isr.scoring.measures import DOWNLOAD, Absent, Measure, Wanted, of_tensors
from isr.scoring.measures._networks import NETWORKS, Weights, read_weights

log = logging.getLogger("isr")
OPTION = "--lpips-weights"
PIQ = (
    "https://github.com/photosynthesis-team/photosynthesis.metrics/releases/download/v0.4.0/lpips_weights.pt"
)
SHORT = {"vgg16": "vgg", "alexnet": "alex"}
TITLE = "LPIPS"


def measures(wanted: Wanted) -> Iterator[Measure | Absent]:
    if not wanted.lpips_weights:
        yield Absent("lpips", f"its weights come from a file: {OPTION} FILE (docs/immunize.md says which)")
    seen: dict[str, str] = {}
    for place in wanted.lpips_weights:
        if place == DOWNLOAD and not wanted.fetch:
            log.warning("%s %s: a run would fetch about 530 MB from the network", OPTION, DOWNLOAD)
            continue
        weights = downloaded() if place == DOWNLOAD else read_weights(place, OPTION)
        name = f"lpips_{SHORT[weights.network.name]}"
        if name in seen:
            raise UsageError(
                f"{OPTION} {place}: expected one file for each network; found {weights.network.title} in {seen[name]} too; "
                "give one of them"
            )
        seen[name] = place
        yield lpips(weights, name)


def lpips(weights: Weights, name: str) -> Measure:
    """LPIPS with these weights, as a measure of pairs of pictures."""
    import piq
    from piq.perceptual import ContentLoss

    network = weights.network
    loss = ContentLoss(
        weights.features(), list(network.layers), list(weights.linear), normalize_features=True
    )
    return Measure(
        name=name,
        value=of_tensors(loss),
        mark=f"piq={piq.__version__},{name}={weights.digest}",
        title=f"{TITLE} ({network.title})",
        orientation=1,
        definition=f"LPIPS 0.1 with {network.title}, piq {piq.__version__}, at full size, {weights.source}",
    )


def downloaded() -> Weights:
    """VGG16 of torchvision with the linear layers of piq's release, from torch's cache or from the network.

    Raises ``UsageError`` where they cannot be had.
    """
    import torch
    from torchvision.models import VGG16_Weights

    url = VGG16_Weights.IMAGENET1K_V1.url
    log.warning("%s %s: about 530 MB from %s, and a small file from %s", OPTION, DOWNLOAD, url, PIQ)

    def fetched(url: str, check_hash: bool) -> Any:
        with contextlib.redirect_stdout(sys.stderr):  # it says what it downloads; stdout is for results
            return torch.hub.load_state_dict_from_url(
                url, progress=False, check_hash=check_hash, map_location="cpu", weights_only=True
            )

    try:
        state, linear = fetched(url, True), fetched(PIQ, False)
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"{OPTION} {DOWNLOAD}: expected weights from the network or torch's cache; found: {error}; "
            f"give a file (docs/immunize.md says how to get it)"
        ) from error
    backbone = {k.removeprefix("features."): v for k, v in state.items() if k.startswith("features.")}
    digest = sha256_bytes(b"".join(t.numpy().tobytes() for t in (*backbone.values(), *linear)))
    return Weights(network=NETWORKS[0], backbone=backbone, linear=linear, digest=digest)
