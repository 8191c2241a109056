"""Photographs of any shape, as a user's folder has them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.sifm_ref.scenes import picture


def write(folder: Path) -> list[str]:
    """A folder with a portrait, a landscape, odd sides, an EXIF-rotated file, grey, alpha, a subfolder; their ids."""
    (folder / "more").mkdir(parents=True)
    Image.fromarray(picture(60, 41, 1)).save(folder / "portrait.png")
    Image.fromarray(picture(30, 64, 2)).save(folder / "landscape.jpg", quality=95)
    turned = Image.fromarray(picture(64, 30, 3)).transpose(Image.Transpose.ROTATE_90)  # stored lying
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees
    turned.save(folder / "turned.jpg", quality=95, exif=exif)
    Image.fromarray(picture(33, 33, 4)).convert("L").save(folder / "grey.tif")
    alpha = Image.fromarray(picture(17, 19, 5)).convert("RGBA")
    alpha.putalpha(128)
    alpha.save(folder / "more" / "an image.webp", lossless=True)
    return ["grey", "landscape", "more__an_image", "portrait", "turned"]
