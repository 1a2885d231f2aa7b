"""PitVQA-Net, surgical VQA. He et al., MICCAI 2024, arXiv:2405.13949.

A text encoder (BLIP's) reads the question, with cross-attention to the image's ViT tokens in each
layer; GPT-2 then reads the encoder's states as if they were word vectors; their mean, through a
gate, chooses one of a closed list of answers.

Regions are the ViT's last states, class token first (197 x 768 for ViT-B/16), as backbones named
`transformers:` give them; the questions of one frame share them, and each layer's keys and values
of them. The layers are `transformers`'.
`mode="faithful"` is the released code: questions padded to 30 words, padding read by GPT-2 and
counted in the mean; batch norm (named LayerNorm); word vectors as its vocabulary mix-up leaves
them; GPT-2's own word table carried along, never used. `mode="fixed"` averages real words only
and stops at the most question, with layer norm and equal word vectors, without the table.

Shapes: B questions, I images, T words, R regions, D numbers per region, W width, A answers,
H hidden, S questions of one image side by side.
"""

from importlib import import_module
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from saccade.core.errors import BadConfig, MissingWeights
from saccade.core.weights import find_pretrained
from saccade.data.batch import Sizes, VqaBatch, VqaOutput
from saccade.models.catalogue import PitVqaConfig
from saccade.models.fast_rnn import Dropout
from saccade.models.layers import mean_region, real_words

BERT_WORDS = 30_524
"""Rows of BLIP's word table, which the released code copies onto GPT-2's ids."""


class PitVqa(nn.Module):
    """VQA on surgical scenes: BLIP's text encoder, GPT-2, and a gated classifier."""

    def __init__(self, config: PitVqaConfig, sizes: Sizes) -> None:
        super().__init__()
        self.config, self.faithful, self.pad = config, config.mode == "faithful", sizes.pad
        library = import_module("transformers")  # late: it takes seconds, only this model needs it
        about = library.BlipTextConfig(
            vocab_size=sizes.words,
            hidden_size=config.width,
            encoder_hidden_size=sizes.region_dim,
            intermediate_size=config.feed_forward,
            num_hidden_layers=config.text_layers,
            num_attention_heads=config.text_heads,
            **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id")),
        )
        self.text_encoder = library.BlipTextModel(about, add_pooling_layer=False)
        if self.faithful:
            table = self.text_encoder.embeddings.word_embeddings.weight.detach()
            nn.init.normal_(table[BERT_WORDS:])  # the rest stands within 0.02
            nn.init.zeros_(table[:1])  # BERT's padding, which is GPT-2's "!"
        dropouts = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
        about = library.GPT2Config(
            vocab_size=sizes.words,
            n_embd=config.width,
            n_inner=config.feed_forward,
            n_layer=config.language_layers,
            n_head=config.language_heads,
            **dict.fromkeys(("bos_token_id", "eos_token_id")),  # for writing, which it never does
            **dict.fromkeys(dropouts, config.language_dropout),
        )
        self.language_model = library.GPT2Model(about)
        if self.faithful:
            self.language_model.wte.requires_grad_(False)
        else:
            del self.language_model.wte
        self.intermediate = nn.Linear(config.width, config.hidden)
        self.gate = nn.Linear(config.hidden, config.hidden)
        self.norm = (nn.BatchNorm1d if self.faithful else nn.LayerNorm)(config.hidden)
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.hidden, sizes.answers)

    def forward(self, batch: VqaBatch) -> VqaOutput:
        length = batch.question_length.clamp(max=self.config.max_length)
        if torch.onnx.is_in_onnx_export():  # the length is that of the graph's input
            most = self.config.max_length if self.faithful else batch.question.shape[1]
            words = functional.pad(batch.question, (0, most))[:, :most]
        else:
            most = self.config.max_length if self.faithful else int(length.max())
            words = functional.pad(batch.question, (0, most - batch.question.shape[1]))  # or cut
        real = real_words(length, most)  # (B, T)
        words = words.masked_fill(~real, self.pad)
        states, weights = self._encode(words, real, batch)
        # No mask: padding stands behind, and GPT-2 attends to earlier words only.
        states = self.language_model(inputs_embeds=states, use_cache=False).last_hidden_state
        mean = states.mean(dim=1) if self.faithful else mean_region(states, real)
        joint = self.intermediate(mean)  # (B, H)
        self.norm.train(self.training and len(batch) > 1)  # one question has no batch statistics
        joint = self.norm(joint * torch.sigmoid(self.gate(joint)))
        attention = mean_region(weights, real)[:, None]  # (B, 1, R)
        return VqaOutput(self.output(self.dropout(joint)), attention=attention)

    def initialise(self) -> None:
        """Load the pretrained weights that the config names, before training begins.

        A word table of another size stays random. Raises MissingWeights or BadConfig.
        """
        models = (self.text_encoder, self.language_model)
        sources = (self.config.text_weights, self.config.language_weights)
        for model, source in zip(models, sources, strict=True):
            if source is not None:
                _load_pretrained(model, source)

    def _encode(self, words: Tensor, real: Tensor, batch: VqaBatch) -> tuple[Tensor, Tensor]:
        """Text encoder's states (B, T, W) and the last layer's attention (B, T, R).

        Its own `forward` would copy each image for each of its questions, and (transformers
        5.23) forgets the mask of the regions; so its layers are called one by one.
        """
        states = self.text_encoder.embeddings(input_ids=words)
        word_bias, region_bias = ((~one)[:, None, None] * -1e9 for one in (real, batch.region_mask))
        slot = (batch.image[:, None] == batch.image).tril(-1).sum(dim=1)  # (B,) among its image's
        most = 1 if torch.onnx.is_in_onnx_export() else int(slot.max()) + 1
        weights = states
        for layer in self.text_encoder.encoder.layer:
            states, _ = layer.attention(states, attention_mask=word_bias)
            rows = states.new_zeros(batch.regions.shape[0], most, *states.shape[1:])
            rows = rows.index_put((batch.image, slot), states).flatten(1, 2)  # (I, S * T, W)
            cross = layer.crossattention
            attended, weights = cross.self(
                rows, encoder_hidden_states=batch.regions, encoder_attention_mask=region_bias
            )
            attended = cross.output(attended, rows).unflatten(1, (most, -1))[batch.image, slot]
            states = layer.feed_forward_chunk(attended)
        weights = weights.mean(dim=1).unflatten(1, (most, -1))[batch.image, slot]
        return states, weights


def _load_pretrained(model: Any, source: str) -> None:
    """Fill a model from a folder or the hub. Raises MissingWeights or BadConfig."""
    file, wanted = find_pretrained(source), model.state_dict()
    try:
        found = load_file(file)
    except (OSError, SafetensorError) as error:
        hint = "Give a folder with a model.safetensors, or set it to none."
        raise MissingWeights(f"no weights to be read ({error})", location=file, hint=hint) from None
    for key in list(found):  # a part's names as its whole would have them
        found[key.removeprefix("text_encoder.").removeprefix("transformer.")] = found.pop(key)
    usable = {n: found[n] for n in wanted if n in found and found[n].shape == wanted[n].shape}
    missing = [n for n in wanted if n not in usable and "wte." not in n and "word_emb" not in n]
    if missing:
        hint = "Give the weights of a model of the same width and number of layers."
        message = f"{len(missing)} weights are missing or of another shape, first {missing[0]!r}"
        raise BadConfig(message, location=source, hint=hint)
    model.load_state_dict(usable, strict=False)
