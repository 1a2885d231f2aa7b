"""Where a run looked when it was judged, drawn onto the picture.

Maps are made from the stored features, so they belong to the very answer that was judged, and no
backbone is needed. A model without attention has each region hidden in turn instead.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from saccade.compare.runs import Contender
from saccade.core.devices import choose_device
from saccade.core.errors import BadConfig, SaccadeError
from saccade.data.folder import DataFolder
from saccade.experiment import gather_for_run
from saccade.features.store import FeatureStore
from saccade.inference.explain import HIDDEN, heat_of, occlude_answer, occlude_caption
from saccade.inference.predictor import Looked, Run
from saccade.viz.attention import overlay
from saccade.viz.html import Tile, embed

WORDS = 16
"""So many words of a caption, at most, are drawn."""
EVEN = 1.5
"""So many times its fair share, at least, gets a region that stands out."""
WIDE, NARROW = 300, 120
"""Pixels of the longer side: of the picture and an answer's map, of a word's map."""

Drawer = Callable[[int, str, NDArray[np.uint8]], tuple[list[Tile], str]]
"""(picture's id, question, picture) -> maps, and what they are or why there are none."""


def drawer(run: Contender, folder: DataFolder, device: str, features: str | None) -> Drawer:
    """How to draw where a run looks; one that cannot be drawn says why."""
    try:
        store = gather_for_run(run.opened, folder, features or run.scores["features"]).store
        seer = Run(run.opened, choose_device(device))
    except SaccadeError as error:
        why = f"no maps: {error.what}"
        return lambda *_: ([], why)

    def draw(id_: int, question: str, picture: NDArray[np.uint8]) -> tuple[list[Tile], str]:
        looked = look_stored(seer, store, id_)
        if looked is None:
            return [], "no map: the picture has no features"
        try:
            if seer.task == "vqa":
                return _answer_maps(seer, looked, question, picture)
            return _word_maps(seer, looked, run.scores["beams"], picture)
        except BadConfig:
            return [], "no map: the features are one vector for the whole picture"

    return draw


def look_stored(run: Run, store: FeatureStore, id_: int) -> Looked | None:
    """A picture as the run was judged on it, from the store; nothing where it has no features."""
    row = store.rows([id_])
    count = int(store.counts[row][0])
    if not count:
        return None
    stored, mask = (torch.from_numpy(part[:, :count]) for part in store.read(row))
    regions, mask = stored.to(run.device).float(), mask.to(run.device)
    cells = None
    if run.encoder is not None:
        with torch.inference_mode():
            regions, mask = run.encoder.see(regions)
        cells = run.encoder.sight.boxes
    return Looked(regions, mask, store.boxes(row, cells)[0][: regions.shape[1]])


def _answer_maps(
    run: Run, looked: Looked, question: str, picture: NDArray[np.uint8]
) -> tuple[list[Tile], str]:
    answer, says = run.ask(looked, question), "where it looked"
    if answer.attention is None:
        answer, says = occlude_answer(run, looked, question, answer), HIDDEN
    assert answer.attention is not None
    weights = answer.attention.mean(axis=0)
    if len(answer.attention) > 1:
        says += f", mean of {len(answer.attention)} glimpses"
    if weights.max() * len(weights) < EVEN * weights.sum():
        says += "; everywhere about alike"
    glow = overlay(picture, heat_of(run, weights, answer.boxes, picture))
    return [Tile(says, embed(glow, WIDE))], ""


def _word_maps(
    run: Run, looked: Looked, beams: int, picture: NDArray[np.uint8]
) -> tuple[list[Tile], str]:
    captioned, says = run.caption(looked, beam=beams), "where it looked for each word"
    if any(word.attention is None for word in captioned.words):
        captioned = occlude_caption(run, looked, captioned)
        says = f"no attention; for each word {HIDDEN}"
    tiles = [
        Tile(
            word.text,
            embed(overlay(picture, heat_of(run, word.attention, captioned.boxes, picture)), NARROW),
        )
        for word in captioned.words[:WORDS]
        if word.attention is not None
    ]
    return tiles, says
