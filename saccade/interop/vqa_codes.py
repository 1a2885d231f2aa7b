"""Checkpoints of programs that answer questions: Cyanogenoid/pytorch-vqa,
hengyuan-hu/bottom-up-attention-vqa and MILVLG/openvqa. Keys and files as in the VQA specification,
6, 7.1 and 8.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from saccade.core.errors import BadCheckpoint
from saccade.interop.checkpoint_mapping import (
    CAFFE,
    HEADS,
    Bundle,
    ImageInput,
    Reading,
    Source,
    Tensors,
    answers_of,
    check_sizes,
    in_order,
    question_words,
    read_file,
    skeleton,
    sources,
)
from saccade.models.catalogue import JointEmbeddingConfig, McanConfig, ShowAskAttendAnswerConfig
from saccade.text.vocabulary import Vocabulary, Words

PYTORCH_VQA = {
    "text.embedding": "embed",
    "text.lstm": "question_encoder",
    "attention.v_conv": "attention.project_regions",
    "attention.q_lin": "attention.project_query",
    "attention.x_conv": "attention.score",
    "classifier.lin1": "hidden",
    "classifier.lin2": "output",
}
HENGYUAN_HU = {
    "w_emb.emb": "embed",
    "q_emb.rnn": "question_encoder.rnn",
    "v_att.linear": "attention.score",
    "q_net.main.0": "project_question",
    "v_net.main.0": "project_image",
    "classifier.main.0": "hidden",
    "classifier.main.3": "output",
}
NEWATT = {
    "v_att.v_proj.main.0": "attention.project_regions",
    "v_att.q_proj.main.0": "attention.project_question",
}
BASELINE0 = {"v_att.nonlinear.main.0": "attention.joint"}


BUTD = {
    "embedding": "embed",
    "rnn": "question_encoder.rnn",
    "backbone.v_att.linear_q": "attention.project_question",
    "backbone.v_att.linear_v": "attention.project_regions",
    "backbone.v_att.nonlinear.mlp.1": "attention.joint",  # behind its dropout
    "backbone.v_att.linear": "attention.score",
    "backbone.q_net.mlp.0": "project_question",
    "backbone.v_net.mlp.0": "project_image",
    "classifer.0": "hidden",
    "classifer.3": "output",
}
MCAN = {
    "embedding": "embed",
    "lstm": "lstm",
    **{
        f"attflat_{theirs}.{layer}": f"reduce_{ours}.{part}"
        for theirs, ours in (("lang", "words"), ("img", "regions"))
        for layer, part in (
            ("mlp.fc.linear", "score.hidden"),
            ("mlp.linear", "score.output"),
            ("linear_merge", "merge"),
        )
    },
    "proj_norm": "norm",
    "proj": "output",
}
MCAN_BLOCKS = {
    "enc_list": ("encoder", {"mhatt": "self_attention", "norm1": "self_norm"}, "norm2"),
    "dec_list": (
        "decoder",
        {
            "mhatt1": "self_attention",
            "norm1": "self_norm",
            "mhatt2": "guided_attention",
            "norm2": "guided_norm",
        },
        "norm3",
    ),
}
"""Stacks of MCAN: ours, their blocks, and the norm behind the feed-forward network."""
PARTS = {"query": "linear_q", "key": "linear_k", "value": "linear_v", "merge": "linear_merge"}


WRITE_WORDS = (
    "Write it where openvqa runs: json.dump(dataset.token_to_ix, open('token_to_ix.json', 'w'))"
)


class OpenVqa(NamedTuple):
    """What one of openvqa's networks tells."""

    layout: str
    recipe: str
    model: dict[str, Any]
    sources: Callable[[nn.Module], dict[str, Source]]
    answers: int
    region_dim: int


def pytorch_vqa(bundle: Bundle) -> Reading:
    """Show, Ask, Attend, and Answer; its vocabulary stands in the checkpoint."""
    layout = "pytorch-vqa"
    tensors = bundle.tensors()
    tensors.require(sources(skeleton(ShowAskAttendAnswerConfig()), PYTORCH_VQA), layout)
    words, embedding = tensors.matrix("text.embedding.weight")
    hidden, _ = tensors.matrix("classifier.lin1.weight")
    answers, _ = tensors.matrix("classifier.lin2.weight")
    glimpses, attention = tensors.matrix("attention.x_conv.weight")
    _, region_dim = tensors.matrix("attention.v_conv.weight")
    location, known = bundle.path, bundle.part.get("vocab")
    if known is None or bundle.words is not None:
        location = bundle.beside("words", "vocab.json")
        known = read_file(location)
    if not isinstance(known, dict) or not {"question", "answer"} <= known.keys():
        hint = "Give vocab.json, or a checkpoint that holds it."
        raise BadCheckpoint("no words of questions and answers", location=location, hint=hint)
    vocabulary = question_words(known["question"], "show_ask_attend_answer", location)
    check_sizes("words", len(vocabulary), words, location)
    listed = answers_of(known["answer"], "show_ask_attend_answer", answers, location)
    return Reading(
        layout,
        "show-ask-attend-answer",
        {
            "embedding": embedding,
            "question": tensors.matrix("text.lstm.weight_hh_l0")[1],
            "attention": attention,
            "glimpses": glimpses,
            "hidden": hidden,
        },
        tensors,
        lambda model: sources(model, PYTORCH_VQA),
        lambda _: region_dim,
        Words(vocabulary, listed),
        ImageInput("timm:resnet152.tv_in1k", 448, "shorter_side", 512),
        notes=(CAFFE.format(network="ResNet-152", backbone="timm:resnet152.tv_in1k"),),
    )


def _weight_normed(bundle: Bundle) -> Tensors:
    """The tensors, weight norm under today's names in torch (a parametrization) by those of old."""
    tensors = Tensors()
    for name, tensor in bundle.tensors().items():
        old = re.sub(r"\.parametrizations\.weight\.original0$", ".weight_g", name)
        tensors[re.sub(r"\.parametrizations\.weight\.original1$", ".weight_v", old)] = tensor
    return tensors


def hengyuan_hu(bundle: Bundle) -> Reading:
    """Joint embedding, `baseline0_newatt` or `baseline0`; its words and answers are two files."""
    tensors = _weight_normed(bundle)
    product = any(name.startswith("v_att.v_proj.") for name in tensors)
    layout = f"hengyuan-hu ({'baseline0_newatt' if product else 'baseline0'})"
    names = {**HENGYUAN_HU, **(NEWATT if product else BASELINE0)}
    structure: dict[str, Any] = {
        "form": "newatt" if product else "baseline0",
        "weight_norm": True,
        "padded_to": 14,
        "layers": max(tensors.count(r"q_emb\.rnn\.weight_hh_l(\d+)"), 1),
        "bidirectional": any("_reverse" in name for name in tensors),
    }

    def made(model: nn.Module) -> dict[str, Source]:
        found = sources(model, names)
        # Their padding is the last word, ours the first.
        last_first = Source(("w_emb.emb.weight",), lambda table: table.roll(1, dims=0))
        return {**found, "embed.weight": last_first}

    tensors.require(made(skeleton(JointEmbeddingConfig(**structure))), layout)
    rows, question = tensors.matrix("q_emb.rnn.weight_hh_l0")
    words, embedding = tensors.matrix("w_emb.emb.weight")
    hidden, _ = tensors.matrix("q_net.main.0.weight_v")
    answers, classifier = tensors.matrix("classifier.main.3.weight_v")
    _, region_dim = tensors.matrix("v_net.main.0.weight_v")
    return Reading(
        layout,
        "joint-embedding" if product else "joint-embedding-concat",
        {
            **structure,
            "reader": "gru" if rows == 3 * question else "lstm",
            "embedding": embedding,
            "question": question,
            "hidden": hidden,
            "classifier": classifier,
        },
        tensors,
        made,
        lambda _: region_dim,
        _hengyuan_hu_words(bundle, words, answers),
        ImageInput("timm:resnet101.tv_in1k", 448),
        notes=(
            "images: it was trained on 36 detected boxes of bottom-up attention, for which a "
            "grid of timm:resnet101.tv_in1k is a poor substitute; --store takes features of boxes",
            "words: a question's unknown words are read as padding; the published program stops",
        ),
    )


def _hengyuan_hu_words(bundle: Bundle, words: int, answers: int) -> Words:
    location = bundle.beside("words", "dictionary.pkl")
    value = read_file(location)  # [word -> id, words in their order]
    numbered = value[0] if isinstance(value, list) and len(value) == 2 else value
    vocabulary = question_words(numbered, "bottom_up", location, first=0)
    check_sizes("words and the padding", len(vocabulary), words, location)
    # The same labels twice: as a list and as {answer: id}.
    names = ("trainval_label2ans.pkl", "trainval_ans2label.pkl")
    there = [path for name in names if (path := bundle.path.with_name(name)).exists()]
    location = bundle.beside("answers", " or ".join(names), there[:1])
    return Words(vocabulary, answers_of(read_file(location), "official", answers, location))


def openvqa(bundle: Bundle) -> Reading:
    """openvqa's BUTD or MCAN, also mcan-vqa's; its answers are `answer_dict.json`, its words exist
    only while it runs and are to be written out.
    """
    tensors = _weight_normed(bundle)
    read = _mcan if any(name.startswith("attflat_img.") for name in tensors) else _butd
    layout, recipe, model, made, answers, region_dim = read(tensors)
    words, model["embedding"] = tensors.matrix("embedding.weight")
    location = bundle.beside("words", "token_to_ix.json")
    ordered = in_order(read_file(location), location)
    if ordered[:2] != ["PAD", "UNK"]:
        message = "this is no vocabulary of openvqa: its first two words are not PAD and UNK"
        raise BadCheckpoint(message, location=location, hint=WRITE_WORDS)
    check_sizes("words", len(ordered), words, location)
    vocabulary = Vocabulary(tuple(ordered), pad=0, unknown=1, tokenizer="openvqa")
    location = bundle.beside("answers", "answer_dict.json")
    labels = read_file(location)  # {answer: id}, then {id: answer}
    labels = labels[0] if isinstance(labels, list) and len(labels) == 2 else labels
    return Reading(
        layout,
        recipe,
        model,
        tensors,
        made,
        lambda _: region_dim,
        Words(vocabulary, answers_of(labels, "official", answers, location)),
        ImageInput("timm:resnet101.tv_in1k", 448),
        notes=(
            "images: it was trained on 10 to 100 detected boxes of bottom-up attention, for which "
            "a grid of timm:resnet101.tv_in1k is a poor substitute; --store takes boxes' features",
            *([HEADS.format("model.heads=8")] if read is _mcan else []),
        ),
    )


def _mcan(tensors: Tensors) -> OpenVqa:
    layout, image = "openvqa (MCAN)", "adapter.frcn_linear"
    if "img_feat_linear.weight" in tensors:  # the paper's own code, mcan-vqa, calls it so
        image = "img_feat_linear"
    names = {**MCAN, image: "project_regions"}
    layers = max(tensors.count(r"backbone\.enc_list\.(\d+)\."), 1)
    for theirs, (ours, blocks, last) in MCAN_BLOCKS.items():
        for i in range(layers):
            there, here = f"backbone.{theirs}.{i}", f"{ours}.{i}"
            for block, called in blocks.items():
                names[f"{there}.{block}"] = f"{here}.{called}"
                for part, linear in PARTS.items():
                    names[f"{there}.{block}.{linear}"] = f"{here}.{called}.{part}"
            names[f"{there}.{last}"] = f"{here}.feed_forward_norm"
            names[f"{there}.ffn.mlp.fc.linear"] = f"{here}.feed_forward.hidden"
            names[f"{there}.ffn.mlp.linear"] = f"{here}.feed_forward.output"

    def made(model: nn.Module) -> dict[str, Source]:
        found = sources(model, names)
        for key, source in found.items():  # norms
            (name,) = source.names
            found[key] = Source((name.replace(".scale", ".a_2").replace(".shift", ".b_2"),))
        return found

    tensors.require(made(skeleton(McanConfig(layers=layers))), layout)
    hidden, region_dim = tensors.matrix(f"{image}.weight")
    summary, _ = tensors.matrix("attflat_img.mlp.fc.linear.weight")
    answers, joint = tensors.matrix("proj.weight")
    model = {
        "layers": layers,
        "hidden": hidden,
        "feed_forward": tensors.matrix("backbone.enc_list.0.ffn.mlp.fc.linear.weight")[0],
        "summary": summary,
        "glimpses": tensors.matrix("attflat_img.mlp.linear.weight")[0],
        "joint": joint,
    }
    return OpenVqa(layout, "mcan", model, made, answers, region_dim)


def _butd(tensors: Tensors) -> OpenVqa:
    layout = "openvqa (BUTD)"

    def made(model: nn.Module) -> dict[str, Source]:
        return sources(model, BUTD)

    form: dict[str, Any] = {"form": "openvqa", "reader": "lstm", "padded_to": 14}
    form |= {"weight_norm": True, "regions_padded_to": 100}
    tensors.require(made(skeleton(JointEmbeddingConfig(**form))), layout)
    answers, classifier = tensors.matrix("classifer.3.weight_v")
    hidden, region_dim = tensors.matrix("backbone.v_net.mlp.0.weight_v")
    question = tensors.matrix("rnn.weight_hh_l0")[1]
    model = {**form, "question": question, "hidden": hidden, "classifier": classifier}
    return OpenVqa(layout, "joint-embedding-openvqa", model, made, answers, region_dim)
