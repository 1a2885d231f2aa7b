"""Which published parameter is which of saccade's: how both programs come to the same weights.

Only names stand here, no mathematics. A weight may differ in shape (a 1 x 1 convolution is a
linear layer), never in the order of its numbers.
"""

from collections.abc import Mapping

from torch import Tensor, nn

SHOW_ATTEND_TELL = {
    "attention.encoder_att": "attention.key",
    "attention.decoder_att": "attention.query",
    "attention.full_att": "attention.score",
    "embedding": "embed",
    "decode_step": "lstm",
    "init_h": "init_hidden",
    "init_c": "init_memory",
    "f_beta": "gate",
    "fc": "output",
}

SHOW_ASK_ATTEND_ANSWER = {
    "text.embedding": "embed",
    "text.lstm": "question_encoder",
    "attention.v_conv": "attention.project_regions",
    "attention.q_lin": "attention.project_query",
    "attention.x_conv": "attention.score",
    "classifier.lin1": "hidden",
    "classifier.lin2": "output",
}


_PARTS = {
    "embedding": "embed",
    "lstm": "lstm",
    "adapter.frcn_linear": "project_regions",
    "backbone.enc_list": "encoder",
    "backbone.dec_list": "decoder",
    "attflat_lang": "reduce_words",
    "attflat_img": "reduce_regions",
    "proj_norm": "norm",
    "proj": "output",
}
_INSIDE = [  # one after the other
    ("mhatt1.", "self_attention."),
    ("mhatt2.", "guided_attention."),
    ("mhatt.", "self_attention."),
    ("ffn.mlp.", "feed_forward."),
    ("fc.linear.", "hidden."),
    ("feed_forward.linear.", "feed_forward.output."),
    ("mlp.linear.", "score.output."),
    ("mlp.", "score."),
    ("linear_merge.", "merge."),
    ("linear_q.", "query."),
    ("linear_k.", "key."),
    ("linear_v.", "value."),
    (".a_2", ".scale"),
    (".b_2", ".shift"),
]
_NORMS = {"encoder": ["self", "feed_forward"], "decoder": ["self", "guided", "feed_forward"]}


def mcan(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn openvqa's MCAN, weights or gradients, into saccade's."""
    ours = {}
    for name, tensor in theirs.items():
        part = max((p for p in _PARTS if name.startswith(f"{p}.")), key=len)
        new = _PARTS[part] + name.removeprefix(part)
        for old, replacement in _INSIDE:
            new = new.replace(old, replacement)
        for number, of in enumerate(_NORMS.get(_PARTS[part], []), start=1):
            new = new.replace(f".norm{number}.", f".{of}_norm.")
        ours[new] = tensor
    return ours


def partners(
    published: nn.Module, ours: nn.Module, names: Mapping[str, str]
) -> list[tuple[nn.Parameter, nn.Parameter]]:
    """Every parameter of a published model with its partner; both sides must come out even."""
    theirs, mine = dict(published.named_parameters()), dict(ours.named_parameters())
    pairs = []
    for name, parameter in theirs.items():
        layer, _, leaf = name.rpartition(".")
        pairs.append((parameter, mine.pop(f"{names[layer]}.{leaf}")))
    if mine:
        raise KeyError(f"without a published partner: {', '.join(mine)}")
    return pairs


def copy_weights(published: nn.Module, ours: nn.Module, names: Mapping[str, str]) -> None:
    """Give saccade's model the published model's weights."""
    for theirs, mine in partners(published, ours, names):
        mine.data.copy_(theirs.data.view_as(mine))


def gradient_difference(published: nn.Module, ours: nn.Module, names: Mapping[str, str]) -> float:
    """Relative L2 distance of the two whole gradients; a gradient that is missing counts as 0."""
    apart = size = 0.0
    for theirs, mine in partners(published, ours, names):
        wanted, got = _gradient(theirs), _gradient(mine).view_as(theirs)
        apart += float((wanted - got).double().square().sum())
        size += float(wanted.double().square().sum())
    return float((apart / size) ** 0.5)


def _gradient(parameter: nn.Parameter) -> Tensor:
    return parameter.new_zeros(parameter.shape) if parameter.grad is None else parameter.grad
