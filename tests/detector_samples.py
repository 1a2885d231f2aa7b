"""Detectors that tell boxes apart without having been trained, and images for them."""

import numpy as np
import torch

from saccade.features.backbones import preprocessing_for
from saccade.features.preprocessing import resize_and_crop


def photo(height: int, width: int, seed: int = 0) -> torch.Tensor:
    cells = torch.randint(0, 256, (3, 5, 7), generator=torch.Generator().manual_seed(seed))
    big = torch.nn.functional.interpolate(cells[None].float(), size=(height, width))
    return big[0].to(torch.uint8)


def prepared(eye, images, size=96, **wishes):
    """Images as the extraction prepares them, with their sizes."""
    into = preprocessing_for(eye.spec, size=size, **wishes)
    pixels = torch.stack([resize_and_crop(one, into) for one in images])
    return pixels, into, np.array([[one.shape[2], one.shape[1]] for one in images])


def enliven(eye, *images, size=96):
    """Change a network's weights so that every layer's output has a spread of 1, as training
    would.
    """

    def spread_out(layer, given, got):
        if layer in done:  # on another map of the same image
            return got
        done.add(layer)
        spread = got.std()
        for part in layer.parameters():
            part.div_(spread)
        return got / spread

    done = set()
    layers = [m for m in eye.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    hooks = [layer.register_forward_hook(spread_out) for layer in layers]
    eye.encode(*prepared(eye, images, size))
    for hook in hooks:
        hook.remove()
