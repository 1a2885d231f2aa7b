"""Every program whose checkpoints can be brought over: one line each."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from saccade.interop.checkpoint_mapping import Bundle, Reading
from saccade.interop.pitvqa import pitvqa
from saccade.interop.self_critical import self_critical
from saccade.interop.sgrvinod import sgrvinod
from saccade.interop.vqa_codes import hengyuan_hu, pytorch_vqa


class Kind(NamedTuple):
    """One program."""

    read: Callable[[Bundle], Reading]
    sign: str
    """A pattern that the name of one of its tensors fits, and of no other program's."""
    classes: frozenset[str] = frozenset()
    """Its own classes, which its checkpoints may hold whole."""


KINDS: Mapping[str, Kind] = {
    "pytorch-vqa": Kind(pytorch_vqa, r"attention\.[vx]_conv\..+"),
    "hengyuan-hu": Kind(hengyuan_hu, r"(w_emb\.emb|v_att)\..+"),
    "sgrvinod": Kind(
        sgrvinod,
        r"(decoder\.)?(decode_step|init_h|resnet)\..+",
        frozenset({"Encoder", "Attention", "DecoderWithAttention", "DecoderWithRNN"}),
    ),
    "self-critical": Kind(
        self_critical, r"(core|_core|img_embed|fc_embed|model\.(encoder|decoder|generator))\..+"
    ),
    "pitvqa": Kind(
        pitvqa, r"(visual_encoder|text_encoder|gpt_decoder)\..+", frozenset({"PitVQANet"})
    ),
}
