"""Checkpoints of programs that answer questions: Cyanogenoid/pytorch-vqa and
hengyuan-hu/bottom-up-attention-vqa. Keys and files as in the VQA specification, 6 and 7.1.
"""

import re
from functools import partial
from typing import Any

from torch import nn

from saccade.core.errors import BadCheckpoint
from saccade.interop import checkpoint_mapping as mapping
from saccade.models.catalogue import JointEmbeddingConfig, ShowAskAttendAnswerConfig
from saccade.text.vocabulary import Words

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


def pytorch_vqa(bundle: mapping.Bundle) -> mapping.Reading:
    """Show, Ask, Attend, and Answer; its vocabulary stands in the checkpoint."""
    layout = "pytorch-vqa"
    tensors = bundle.tensors()
    made = partial(mapping.sources, names=PYTORCH_VQA)
    tensors.require(made(mapping.skeleton(ShowAskAttendAnswerConfig())), layout)
    words, embedding = tensors.matrix("text.embedding.weight")
    hidden, _ = tensors.matrix("classifier.lin1.weight")
    answers, _ = tensors.matrix("classifier.lin2.weight")
    glimpses, attention = tensors.matrix("attention.x_conv.weight")
    _, region_dim = tensors.matrix("attention.v_conv.weight")
    location, known = bundle.path, bundle.part.get("vocab")
    if known is None or bundle.words is not None:
        location = bundle.beside("words", "vocab.json")
        known = mapping.read_file(location)
    if not isinstance(known, dict) or not {"question", "answer"} <= known.keys():
        hint = "Give vocab.json, or a checkpoint that holds it."
        raise BadCheckpoint("no words of questions and answers", location=location, hint=hint)
    vocabulary = mapping.question_words(known["question"], "show_ask_attend_answer", location)
    mapping.check_sizes("words", len(vocabulary), words, location)
    listed = mapping.answers_of(known["answer"], "show_ask_attend_answer", answers, location)
    model = {"embedding": embedding, "question": tensors.matrix("text.lstm.weight_hh_l0")[1]}
    model |= {"attention": attention, "glimpses": glimpses, "hidden": hidden}
    images = mapping.ImageInput("timm:resnet152.tv_in1k", 448, "shorter_side", 512)
    notes = (mapping.CAFFE.format(network="ResNet-152", backbone=images.backbone),)
    known = layout, "show-ask-attend-answer", model, tensors, made, lambda _: region_dim
    return mapping.Reading(*known, Words(vocabulary, listed), images, notes=notes)


def hengyuan_hu(bundle: mapping.Bundle) -> mapping.Reading:
    """Joint embedding, `baseline0_newatt` or `baseline0`; its words and answers are two files."""
    tensors = mapping.Tensors()
    for name, tensor in bundle.tensors().items():
        # Weight norm under today's names in torch (a parametrization) as under those of old.
        old = re.sub(r"\.parametrizations\.weight\.original0$", ".weight_g", name)
        tensors[re.sub(r"\.parametrizations\.weight\.original1$", ".weight_v", old)] = tensor
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

    def made(model: nn.Module) -> dict[str, mapping.Source]:
        found = mapping.sources(model, names)
        # Their padding is the last word, ours the first.
        last_first = mapping.Source(("w_emb.emb.weight",), lambda table: table.roll(1, dims=0))
        return {**found, "embed.weight": last_first}

    tensors.require(made(mapping.skeleton(JointEmbeddingConfig(**structure))), layout)
    rows, question = tensors.matrix("q_emb.rnn.weight_hh_l0")
    words, embedding = tensors.matrix("w_emb.emb.weight")
    hidden, _ = tensors.matrix("q_net.main.0.weight_v")
    answers, classifier = tensors.matrix("classifier.main.3.weight_v")
    _, region_dim = tensors.matrix("v_net.main.0.weight_v")
    structure |= {"reader": "gru" if rows == 3 * question else "lstm", "embedding": embedding}
    structure |= {"question": question, "hidden": hidden, "classifier": classifier}
    recipe = "joint-embedding" if product else "joint-embedding-concat"
    known = layout, recipe, structure, tensors, made, lambda _: region_dim
    listed, images = _hengyuan_hu_words(bundle, words, answers), "timm:resnet101.tv_in1k"
    notes = (
        "images: it was trained on 36 detected boxes of bottom-up attention, for which a grid of "
        f"{images} is a poor substitute; --store takes features of boxes",
        "words: a question's unknown words are read as padding; the published program stops",
    )
    return mapping.Reading(*known, listed, mapping.ImageInput(images, 448), notes=notes)


def _hengyuan_hu_words(bundle: mapping.Bundle, words: int, answers: int) -> Words:
    location = bundle.beside("words", "dictionary.pkl")
    value = mapping.read_file(location)  # [word -> id, words in their order]
    numbered = value[0] if isinstance(value, list) and len(value) == 2 else value
    vocabulary = mapping.question_words(numbered, "bottom_up", location, first=0)
    mapping.check_sizes("words and the padding", len(vocabulary), words, location)
    # The same labels twice: as a list and as {answer: id}.
    names = ("trainval_label2ans.pkl", "trainval_ans2label.pkl")
    there = [path for name in names if (path := bundle.path.with_name(name)).exists()]
    location = bundle.beside("answers", " or ".join(names), there[:1])
    listed = mapping.answers_of(mapping.read_file(location), "official", answers, location)
    return Words(vocabulary, listed)
