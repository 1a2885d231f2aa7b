"""PitVQA-Net as the released code wires it: captioning specification, 5.4.

The three pretrained parts are those of `transformers`, called as a whole, as the original does;
what lies between them is written out. Every question brings its own image. Parameters carry
the published names. No saccade in here.

Letters: B questions, T words after padding, R tokens of an image, D numbers per token, W width.
"""

import torch
from torch import Tensor, nn
from transformers import BlipTextConfig, BlipTextModel, GPT2Config, GPT2Model


class PitVQANet(nn.Module):
    """Everything behind the ViT. `LayerNorm` is a batch norm, as published."""

    def __init__(  # noqa: PLR0913  sizes of three networks
        self,
        *,
        vocabulary: int,
        classes: int,
        vision: int,
        width: int,
        heads: int,
        ff: int,
        layers: int,
        hidden: int,
        gpt_heads: int | None = None,
    ) -> None:
        super().__init__()
        self.text_encoder = BlipTextModel(
            BlipTextConfig(
                vocab_size=vocabulary,
                hidden_size=width,
                encoder_hidden_size=vision,
                intermediate_size=ff,
                num_hidden_layers=layers,
                num_attention_heads=heads,
            ),
            add_pooling_layer=False,
        )
        self.text_encoder.embeddings.word_embeddings = nn.Embedding(vocabulary, width)
        self.gpt_decoder = GPT2Model(
            GPT2Config(
                vocab_size=vocabulary,
                n_embd=width,
                n_inner=ff,
                n_layer=layers,
                n_head=gpt_heads or heads,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
            )
        )
        self.intermediate_layer = nn.Linear(width, hidden)
        self.se_layer = nn.Sequential(nn.Linear(hidden, hidden), nn.Sigmoid())
        self.LayerNorm = nn.BatchNorm1d(hidden)
        self.classifier = nn.Linear(hidden, classes)

    def pool(self, images: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """`images (B, R, D)`, `ids` and `mask (B, T)` -> mean state (B, W), attention (B, T, R).

        All T states count, padding's too. Attention is the last layer's, the mean of its heads.
        """
        text = self.text_encoder(
            input_ids=ids,
            attention_mask=mask,
            encoder_hidden_states=images,
            encoder_attention_mask=torch.ones(images.shape[:2], dtype=torch.int64),
            output_attentions=True,
        )
        read = self.gpt_decoder(inputs_embeds=text.last_hidden_state).last_hidden_state
        return read.mean(dim=1), text.cross_attentions[-1].mean(dim=1)

    def head(self, pooled: Tensor) -> Tensor:
        """From mean states (B, W) to logits; the dropout before the classifier is left out."""
        hidden = self.intermediate_layer(pooled)
        logits: Tensor = self.classifier(self.LayerNorm(hidden * self.se_layer(hidden)))
        return logits

    def states(self, image: Tensor, question: Tensor) -> Tensor:
        """GPT-2's states (T, W) for one question as it is, without any padding."""
        text = self.text_encoder(input_ids=question[None], encoder_hidden_states=image[None])
        states: Tensor = self.gpt_decoder(inputs_embeds=text.last_hidden_state).last_hidden_state
        return states[0]


def padded(questions: list[Tensor], pad: int, max_length: int) -> tuple[Tensor, Tensor]:
    """Questions cut and padded as the tokenizer does it: ids and mask, (B, max_length) each."""
    ids = torch.full((len(questions), max_length), pad)
    mask = torch.zeros(len(questions), max_length, dtype=torch.int64)
    for row, question in enumerate(questions):
        n = min(len(question), max_length)
        ids[row, :n], mask[row, :n] = question[:n], 1
    return ids, mask
