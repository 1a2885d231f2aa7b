"""Every data set that `prepare` can read. A new one is a reader in this folder and a line here.

`tests/test_sources.py` runs over this table: every reader must read its layout and refuse others.
"""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from saccade.errors import BadConfig, BadData
from saccade.records import Collection, Picture


class Source(NamedTuple):
    """One line of the table."""

    read: str
    """`module:function` of the reader, imported when it is first needed."""
    summary: str
    layout: str
    """The files it expects below --root."""
    licence: str


CC_BY = "annotations CC BY 4.0; each picture under its own Flickr licence"
FLICKR = "non-commercial research and education only; the pictures belong to their Flickr owners"

SOURCES: dict[str, Source] = {
    "vqa-v1": Source(
        read="saccade.data.vqa:read_v1",
        summary="VQA v1 (Antol et al. 2015): COCO pictures, questions, ten answers each",
        layout="OpenEnded_mscoco_{train2014,val2014,test2015}_questions.json, "
        "mscoco_{train2014,val2014}_annotations.json, pictures in train2014/ ...",
        licence=CC_BY,
    ),
    "vqa-v2": Source(
        read="saccade.data.vqa:read_v2",
        summary="VQA v2 (Goyal et al. 2017): VQA with every question balanced by a second picture",
        layout="v2_OpenEnded_mscoco_{train2014,val2014,test2015}_questions.json, "
        "v2_mscoco_{train2014,val2014}_annotations.json, pictures in train2014/ ...",
        licence=CC_BY,
    ),
    "karpathy": Source(
        read="saccade.data.karpathy:read",
        summary="Karpathy's splits of COCO, Flickr8k or Flickr30k captions (2015)",
        layout="dataset_{coco,flickr8k,flickr30k}.json, pictures in images/ or train2014/ ...",
        licence=f"COCO: {CC_BY}; Flickr8k, Flickr30k: {FLICKR}",
    ),
    "coco-captions": Source(
        read="saccade.data.coco_captions:read",
        summary="COCO captions in the official layout and splits, 2014 or 2017",
        layout="annotations/captions_{train,val}{2014,2017}.json, pictures in train2017/ ...",
        licence=CC_BY,
    ),
    "flickr8k": Source(
        read="saccade.data.flickr8k:read",
        summary="Flickr8k (Hodosh et al. 2013) in the official layout and splits",
        layout="Flickr8k.token.txt, Flickr_8k.{train,dev,test}Images.txt, "
        "pictures in Flicker8k_Dataset/",
        licence=FLICKR,
    ),
    "vqa-rad": Source(
        read="saccade.data.vqa_rad:read",
        summary="VQA-RAD (Lau et al. 2018): questions of clinicians about radiology pictures",
        layout="trainset.json, testset.json (if there), pictures in images/",
        licence="CC0 1.0",
    ),
}


def read_source(name: str, root: Path, **options: str) -> Collection:
    """Read a data set below `root`; two sources over the same pictures are joined by a plus.

    `"vqa-v2+karpathy"` gives one collection with questions and captions. Options are the
    reader's own (see its docstring). Raises BadConfig for an unknown source or option, BadData
    for files that are not what the source promises.
    """
    unknown = [part for part in name.split("+") if part not in SOURCES]
    if unknown:
        near = get_close_matches(unknown[0], SOURCES, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        what = f"there is no source {unknown[0]!r}"
        raise BadConfig(what, cure=f"{hint}Sources are: {', '.join(SOURCES)}.")
    if not root.is_dir():
        raise BadData("there is no such folder", where=root, cure="Give the data set's as --root.")
    readers = {part: _reader(SOURCES[part].read) for part in name.split("+")}
    takes = {part: _options(reader) for part, reader in readers.items()}
    known = sorted({option for options_of in takes.values() for option in options_of})
    strange = [option for option in options if option not in known]
    if strange:
        raise BadConfig(
            f"source {name} has no option {strange[0]!r}", cure=f"It has: {', '.join(known)}."
        )
    parts = [
        _with_licence(reader(root, **{key: options[key] for key in options if key in takes[part]}))
        for part, reader in readers.items()
    ]
    return parts[0] if len(parts) == 1 else _join(parts)


def _reader(path: str) -> Callable[..., Collection]:
    module, _, function = path.partition(":")
    reader: Callable[..., Collection] = getattr(importlib.import_module(module), function)
    return reader


def _options(reader: Callable[..., Collection]) -> list[str]:
    return [name for name in inspect.signature(reader).parameters if name != "root"]


def _with_licence(collection: Collection) -> Collection:
    """Fill in the source's usual licence where the files state none."""
    if collection.licence != Collection.licence:
        return collection
    return replace(collection, licence=SOURCES[collection.source].licence)


def _join(parts: list[Collection]) -> Collection:
    """Put collections over the same pictures together; a picture's file must be the same."""
    pictures: dict[Picture, None] = {}
    file_of: dict[int, str] = {}
    for part in parts:
        for picture in part.pictures:
            if file_of.setdefault(picture.id, picture.file) != picture.file:
                raise BadData(
                    f"picture {picture.id} is {file_of[picture.id]} in one source and "
                    f"{picture.file} in the other",
                    where=part.image_root,
                    cure="These sources do not share pictures: prepare each into its own folder.",
                )
            pictures[picture] = None
    if len({part.image_root for part in parts}) > 1:
        raise BadConfig("joined sources need one folder of pictures", cure="Give images=FOLDER.")
    return Collection(
        source="+".join(part.source for part in parts),
        image_root=parts[0].image_root,
        pictures=list(pictures),
        questions=[question for part in parts for question in part.questions],
        captions=[caption for part in parts for caption in part.captions],
        licence="; ".join(dict.fromkeys(part.licence for part in parts)),
        notes=[f"{part.source}: {note}" for part in parts for note in part.notes],
    )
