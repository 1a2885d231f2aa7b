"""Training PitVQA-Net with its ViT: saccade against the released wiring.

    python -m benchmarks.pitvqa

8 questions about each of 3 frames of 224 x 224 pixels, 197 tokens each; every part has half the
published width and a quarter of its layers. The released program reads a frame once for every
question; saccade once, and its keys and values in the text encoder once. Both are built from the
layers of `transformers`.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import ViTConfig, ViTModel

from benchmarks import steps, timing
from saccade.data.batch import Sizes, VqaBatch, VqaOutput
from saccade.models.catalogue import PitVqaConfig
from saccade.models.pitvqa import PitVqa
from saccade.recipes.catalogue import RECIPES
from saccade.training.objectives import loss_for
from tests.oracles import pitvqa as published

RECIPE = RECIPES["pitvqa"]
FRAMES, EACH, SIDE = 3, 8, 224
WORDS, ANSWERS, MAX_LENGTH = 5000, 59, 30
WIDTH, HEADS, FEED_FORWARD, LAYERS, HIDDEN = 384, 6, 1536, 3, 512
NAMES = {
    "vision": "vision",
    "rest.text_encoder": "rest.text_encoder",
    "rest.gpt_decoder": "rest.language_model",
    "rest.intermediate_layer": "rest.intermediate",
    "rest.se_layer.0": "rest.gate",
    "rest.LayerNorm": "rest.norm",
    "rest.classifier": "rest.output",
}


class Published(nn.Module):
    """A frame per question through the ViT, and the oracle's parts called as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self.vision = _vision()
        self.rest = published.PitVQANet(
            vocabulary=WORDS,
            classes=ANSWERS,
            vision=WIDTH,
            width=WIDTH,
            heads=HEADS,
            ff=FEED_FORWARD,
            layers=LAYERS,
            hidden=HIDDEN,
        )

    def forward(self, frames: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """`frames (B, 3, h, w)`, `ids` and `mask (B, 30)` -> logits (B, A)."""
        tokens = self.vision(frames).last_hidden_state
        text = self.rest.text_encoder(
            input_ids=ids,
            attention_mask=mask,
            encoder_hidden_states=tokens,
            encoder_attention_mask=torch.ones(tokens.shape[:2], dtype=torch.int64),
        )
        read = self.rest.gpt_decoder(inputs_embeds=text.last_hidden_state)
        return self.rest.head(read.last_hidden_state.mean(dim=1))


class Saccade(nn.Module):
    """Each frame once through the ViT, and saccade's model."""

    def __init__(self) -> None:
        super().__init__()
        self.vision = _vision()
        config = PitVqaConfig(
            width=WIDTH,
            text_heads=HEADS,
            language_heads=HEADS,
            feed_forward=FEED_FORWARD,
            text_layers=LAYERS,
            language_layers=LAYERS,
            hidden=HIDDEN,
            dropout=0,
            language_dropout=0,
        )
        sizes = Sizes(words=WORDS, region_dim=WIDTH, answers=ANSWERS, regions=197, pad=WORDS - 1)
        self.rest = PitVqa(config, sizes)

    def forward(self, batch: VqaBatch) -> VqaOutput:
        """A batch whose regions are still the images (I, 3, h, w)."""
        tokens = self.vision(batch.regions).last_hidden_state
        output: VqaOutput = self.rest(replace(batch, regions=tokens))
        return output


def main() -> None:
    """Compare results, then times."""
    timing.one_thread()
    batch = _questions()
    copies = batch.regions[batch.image]
    words = [row[:n] for row, n in zip(batch.question, batch.question_length, strict=True)]
    ids, mask = published.padded(words, pad=WORDS - 1, max_length=MAX_LENGTH)
    assert batch.answers is not None
    right = batch.answers[:, 0]
    theirs, ours, loss_of = Published(), Saccade(), loss_for(RECIPE)

    def released() -> Tensor:
        return functional.cross_entropy(theirs(copies, ids, mask), right)

    steps.require_equal(
        "8 questions a frame",
        (theirs, ours),
        (released, lambda: loss_of(ours(batch), batch)),
        NAMES,
    )
    case = timing.Case(
        f"training step, {FRAMES} frames x {EACH} questions",
        steps.published_step(
            released, torch.optim.Adam(theirs.parameters(), lr=2e-5), lambda: None
        ),
        steps.saccade_step(ours, batch, RECIPE),
        bar=1.7,
    )
    timing.report(
        f"PitVQA-Net: {FRAMES * EACH} questions, the ViT learns too", timing.measure([case], 3)
    )


def _vision() -> Any:
    sizes = ViTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=FEED_FORWARD,
        image_size=SIDE,
    )
    return ViTModel(sizes, add_pooling_layer=False)


def _questions() -> VqaBatch:
    """Questions of 8 to 16 pieces, as PitVQA's are, each with one right answer."""
    image = torch.arange(FRAMES).repeat_interleave(EACH)
    length = torch.randint(8, 17, (len(image),))
    words = torch.randint(1, WORDS - 1, (len(image), int(length.max())))
    words[torch.arange(words.shape[1]) >= length[:, None]] = WORDS - 1
    return VqaBatch(
        regions=torch.rand(FRAMES, 3, SIDE, SIDE),
        region_mask=torch.ones(FRAMES, 197, dtype=torch.bool),
        image=image,
        question=words,
        question_length=length,
        answers=torch.randint(0, ANSWERS, (len(image), 1)),
        answer_weights=torch.ones(len(image), 1),
    )


if __name__ == "__main__":
    main()
