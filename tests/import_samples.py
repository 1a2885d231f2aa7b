"""Small checkpoints as the published programs write them, with weights of this project's oracles.

Each function fills a folder and returns the checkpoint's path and the oracle that it holds.
"""

import argparse
import json
import pickle
import sys
import types
import warnings
from collections import OrderedDict
from contextlib import contextmanager

import torch
from torch import nn

from tests.oracles import (
    adaptive_attention,
    aoa,
    att2in,
    joint_embedding,
    mcan,
    show_ask_attend_answer,
    show_attend_tell,
    show_tell,
    transformer,
    up_down,
)

DIM = 96
"""Numbers per region of timm's smallest ResNet."""
EYE = {"backbone": "timm:test_resnet", "weights": "random", "size": 64}
TOKENS = ("is", "what", "this", "a", "cat", "", "café")
ANSWERS = ("no", "yes", "2", "cat", "left side")
CAPTION_WORDS = ("a", "man", "rides", "the", "horse")


def parallel(state):
    """The names that a wrapper for several GPUs gives."""
    return OrderedDict((f"module.{name}", tensor) for name, tensor in state.items())


def shaken(model, low=0.1):
    """No zero, no one: every parameter and statistic must find its place to be told apart."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not name.endswith(".pe"):
            tensor.add_(torch.rand_like(tensor) * 0.5 + low)
    return model.eval()


def pytorch_vqa(folder, *, new=False, **changes):
    torch.manual_seed(0)
    oracle = shaken(
        show_ask_attend_answer.ShowAskAttendAnswer(
            len(TOKENS) + 1,
            len(ANSWERS),
            DIM,
            embedding=8,
            question=12,
            attention=7,
            glimpses=3,
            hidden=10,
        )
    )
    value = {
        "name": "2017-08-04",
        "tracker": {"train_loss": [[1.5, 1.25]], "val_acc": [[0.5]]},
        "config": {"batch_size": 128, "qa_path": "vqa", "initial_lr": 1e-3},
        "weights": parallel(oracle.state_dict()),
        "eval": {"answers": [torch.tensor(3)], "accuracies": [0.3], "idx": [7]},
        "vocab": {
            "question": {token: id_ for id_, token in enumerate(TOKENS, start=1)},
            "answer": {answer: id_ for id_, answer in enumerate(ANSWERS)},
        },
    } | changes
    path = folder / "checkpoint.pth"
    torch.save(value, path, _use_new_zipfile_serialization=new)
    return path, oracle


def hengyuan_hu(folder, *, attention="newatt", protocol=0, edit=lambda state: state, **sizes):
    torch.manual_seed(0)
    oracle = joint_embedding.BottomUp(
        len(TOKENS), len(ANSWERS), DIM, attention=attention, embedding=8, hidden=12, **sizes
    )
    shaken(oracle).w_emb.emb.weight.data[-1] = 0
    path = folder / "model.pth"
    torch.save(edit(parallel(oracle.state_dict())), path)
    numbered = {token: id_ for id_, token in enumerate(TOKENS)}
    (folder / "dictionary.pkl").write_bytes(pickle.dumps([numbered, list(TOKENS)], protocol))
    labels = {answer: id_ for id_, answer in enumerate(ANSWERS)}
    (folder / "trainval_ans2label.pkl").write_bytes(pickle.dumps(labels, protocol))
    return path, oracle


def openvqa(folder, name, *, edit=lambda state: state):
    """MCAN or BUTD, where layers behind a dropout stand one further on than the oracle's."""
    torch.manual_seed(0)
    words = ["PAD", "UNK", "CLS", *TOKENS[:-2], "café"]
    sizes = {"embedding": 6, "hidden": 8}
    if name == "mcan":
        more = {"heads": 2, "layers": 3, "feed_forward": 10, "flat": 7, "joint": 9}
        oracle = mcan.Mcan(len(words), len(ANSWERS), DIM, **sizes, **more)
    else:
        oracle = joint_embedding.OpenVqa(len(words), len(ANSWERS), DIM, **sizes)
    state = {
        key.replace("nonlinear.mlp.0", "nonlinear.mlp.1").replace(
            "classifer.2", "classifer.3"
        ): part
        for key, part in shaken(oracle, -0.25).state_dict().items()
    }
    optimiser = torch.optim.Adam(oracle.parameters()).state_dict()
    value = {"state_dict": edit(state), "optimizer": optimiser, "lr_base": 1e-4, "epoch": 13}
    torch.save(value, folder / "epoch13.pkl")
    numbers = {word: id_ for id_, word in enumerate(words)}
    (folder / "token_to_ix.json").write_text(json.dumps(numbers))
    labels = {answer: id_ for id_, answer in enumerate(ANSWERS)}
    back = {str(id_): answer for answer, id_ in labels.items()}
    (folder / "answer_dict.json").write_text(json.dumps([labels, back]))
    return folder / "epoch13.pkl", oracle


def word_map(folder):
    words = {word: id_ for id_, word in enumerate(CAPTION_WORDS, start=1)}
    last = len(CAPTION_WORDS)
    words |= {"<unk>": last + 1, "<start>": last + 2, "<end>": last + 3, "<pad>": 0}
    (folder / "WORDMAP_coco_5_cap_per_img_5_min_word_freq.json").write_text(json.dumps(words))
    return len(words)


def attend_tell(folder, dim=DIM):
    torch.manual_seed(0)
    words = word_map(folder)
    sizes = {"attention_dim": 7, "embed_dim": 8, "decoder_dim": 12}
    return shaken(show_attend_tell.ShowAttendTell(words, dim, **sizes))


def course_rnn(folder, cells=196):
    torch.manual_seed(0)
    return shaken(show_tell.DecoderWithRNN(word_map(folder), cells * DIM, width=8))


@contextmanager
def published_as(module, **classes):
    """Classes under another program's names while it saves; nobody can import them after."""
    made = types.ModuleType(module)
    sys.modules[module] = made
    before = {kind: (kind.__module__, kind.__qualname__) for kind in classes.values()}
    for name, kind in classes.items():
        kind.__module__, kind.__qualname__ = module, name
        setattr(made, name, kind)
    try:
        yield
    finally:
        del sys.modules[module]
        for kind, (home, name) in before.items():
            kind.__module__, kind.__qualname__ = home, name


class TutorialEncoder(nn.Module):
    """A ResNet in a row, seen at 14 x 14."""

    def __init__(self, resnet):
        super().__init__()
        self.resnet = nn.Sequential(*list(resnet.children())[:-2])
        self.adaptive_pool = nn.AdaptiveAvgPool2d((14, 14))

    def forward(self, images):
        return self.adaptive_pool(self.resnet(images)).permute(0, 2, 3, 1)


def whole_modules(folder, decoder, encoder=None, *, new=True, name="DecoderWithAttention"):
    """The tutorial's checkpoint: modules and optimisers, pickled as they are."""
    path = folder / "BEST_checkpoint_coco_5_cap_per_img_5_min_word_freq.pth.tar"
    optimiser = torch.optim.Adam(decoder.parameters(), lr=4e-4)
    for parameter in decoder.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    value = {
        "epoch": 3,
        "epochs_since_improvement": 0,
        "bleu-4": 0.2425,
        "encoder": encoder,
        "decoder": decoder,
        "encoder_optimizer": None,
        "decoder_optimizer": optimiser,
    }
    classes = {name: type(decoder), "Attention": show_attend_tell.Attention}
    if encoder is not None:
        classes["Encoder"] = type(encoder)
    with published_as("models", **classes), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # early files hold source texts, which these classes lack
        torch.save(value, path, _use_new_zipfile_serialization=new)
    return path


class FC(show_tell.NewFCModel):
    """The FC model under the names that it had before."""

    def state_dict(self):
        new = (("fc_embed", "img_embed"), ("_core", "core"))
        return {
            name.replace(*new[0]).replace(*new[1]): tensor
            for name, tensor in super().state_dict().items()
        }


def self_critical(folder, name, *, edit=lambda state: state, words=CAPTION_WORDS, **options):
    torch.manual_seed(0)
    size = len(words) + 2  # the end, and the unknown word
    oracle = {
        "updown": lambda: up_down.UpDown(size, DIM, 8, 12, 7),
        "adaatt": lambda: adaptive_attention.AdaAtt(size, DIM, 8),
        "adaattmo": lambda: adaptive_attention.AdaAtt(size, DIM, 8, maxout=True),
        "att2in2": lambda: att2in.Att2in2(size, DIM, 6, 8, 7),
        "aoa": lambda: aoa.AoaNet(size, DIM, 6, 8, options.get("num_heads", 8), 3),
        "fc": lambda: FC(size, DIM, 8, 0.5),
        "newfc": lambda: show_tell.NewFCModel(size, DIM, 8, 0.5),
        "show_tell": lambda: show_tell.ShowTellModel(size, DIM, 8, 0.5),
        "transformer": lambda: transformer.Transformer(
            size, DIM, d=8, ff=12, h=options.get("num_att_heads", 8), layers=(2, 3)
        ),
    }[name]()
    path = folder / "model-best.pth"
    torch.save(
        edit(shaken(oracle, -0.25).float().state_dict()), path
    )  # layer norms like a mean of 0
    vocab = {str(id_): word for id_, word in enumerate([*words, "UNK"], start=1)}
    told = argparse.Namespace(caption_model=name, vocab=vocab, rnn_size=8, **options)
    infos = {"iter": 5, "epoch": 1, "best_val_score": 1.1, "opt": told, "vocab": vocab}
    (folder / f"infos_{name}-best.pkl").write_bytes(pickle.dumps(infos))
    (folder / f"infos_{name}.pkl").write_bytes(pickle.dumps(infos))
    return path, oracle
