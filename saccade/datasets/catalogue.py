"""Every data set that `prepare` can read. A new one is a reader in this folder and a line here.

`tests/test_sources.py` runs over this table: every reader must read its layout and refuse others.
"""

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from saccade.core.errors import BadConfig, BadData
from saccade.data.find_files import no_folder
from saccade.data.records import Collection, ImageRecord


class Source(NamedTuple):
    """One line of the table."""

    module: str
    """Below `saccade.datasets`: a reader `read(root, **options)` and a recogniser
    `recognise(root)`, which says by what it knows the layout, or None. Imported when needed."""
    summary: str
    layout: str
    """The files it expects below --root."""
    licence: str
    suffix: str = ""
    """Behind both names, where a module reads two sources."""
    published_ids: bool = False
    """Are its images' ids those that everybody uses, and no places in a list made here?"""


CC_BY = "annotations CC BY 4.0; each image under its own Flickr licence"
FLICKR = "non-commercial research and education only; the images belong to their Flickr owners"
OWN = "yours to say: nothing is known of it"
CHALLENGE = "non-commercial research only, under the terms of the challenge whose images it uses"

CHOLEC80 = (
    "not confirmed: Cholec80 is given to those who fill in its form; its makers' package "
    "TF-Cholec80 is for non-commercial research (CC BY-NC-SA 4.0)"
)

SOURCES: dict[str, Source] = {
    "vqa-v1": Source(
        "vqa",
        "VQA v1 (Antol et al. 2015): COCO images, questions, ten answers each",
        "{OpenEnded,MultipleChoice}_mscoco_{train2014,val2014,test2015}_questions.json, "
        "mscoco_{train2014,val2014}_annotations.json, images in train2014/ ...",
        CC_BY,
        suffix="_v1",
        published_ids=True,
    ),
    "vqa-v2": Source(
        "vqa",
        "VQA v2 (Goyal et al. 2017): VQA with every question balanced by a second image",
        "v2_OpenEnded_mscoco_{train2014,val2014,test2015}_questions.json, "
        "v2_mscoco_{train2014,val2014}_annotations.json, images in train2014/ ...",
        CC_BY,
        suffix="_v2",
        published_ids=True,
    ),
    "visual-genome": Source(
        "visual_genome",
        "Visual Genome's questions (Krishna et al. 2017), one answer each",
        "question_answers.json, image_data.json, images in VG_100K/ and VG_100K_2/",
        "CC BY 4.0; each image under its own Flickr licence",
        published_ids=True,
    ),
    "gqa": Source(
        "gqa",
        "GQA (Hudson & Manning 2019): questions made from scene graphs, balanced or all",
        "{train,val,testdev}_{balanced,all}_questions.json, images in images/",
        "questions: CC BY 4.0 according to others, its page counts; images are Visual Genome's",
        published_ids=True,
    ),
    "daquar": Source(
        "daquar",
        "DAQUAR (Malinowski & Fritz 2014): questions about indoor scenes",
        "qa.{894,37}.raw.{train,test}.txt, images in nyu_depth_images/",
        "research; the images are NYU-Depth v2's",
        published_ids=True,
    ),
    "easy-vqa": Source(
        "easy_vqa",
        "easy-VQA (Victor Zhou 2019): drawn shapes, 13 answers",
        "{train,test}/questions.json, answers.txt, images in {train,test}/images/",
        "MIT",
    ),
    "vqa-rad": Source(
        "vqa_rad",
        "VQA-RAD (Lau et al. 2018): questions of clinicians about radiology images",
        "trainset.json, testset.json (if there), or the makers' VQA_RAD Dataset Public.json, "
        "images in images/ or VQA_RAD Image Folder/",
        "CC0 1.0",
    ),
    "pitvqa": Source(
        "pitvqa",
        "PitVQA (He et al. 2024): pituitary surgery, as text files or from its annotations",
        "QA/video_01/00042.txt ..., or steps_csv/ and instruments_csv/, images in images/video_01/",
        "as UCL's repository states, doi.org/10.5522/04/27004666; the code's repository: none",
    ),
    "endovis18-vqa": Source(
        "surgical",
        "EndoVis-18-VQA (Seenivasan et al. 2022): robotic kidney surgery",
        "seq_N/vqa/Classification/frameNNN_QA.txt, images in seq_N/left_frames/",
        CHALLENGE,
        suffix="_endovis18_vqa",
    ),
    "cholec80-vqa": Source(
        "surgical",
        "Cholec80-VQA (Seenivasan et al. 2022): gall bladder surgery",
        "Classification/N/FRAME_QA.txt, images in cropped_image/N/",
        CHOLEC80,
        suffix="_cholec80_vqa",
    ),
    "karpathy": Source(
        "karpathy",
        "Karpathy's splits of COCO, Flickr8k or Flickr30k captions (2015)",
        "dataset_{coco,flickr8k,flickr30k}.json, images in images/ or train2014/ ...",
        f"COCO: {CC_BY}; Flickr8k, Flickr30k: {FLICKR}",
        published_ids=True,
    ),
    "coco-captions": Source(
        "coco_captions",
        "COCO captions in the official layout and splits, 2014 or 2017",
        "annotations/captions_{train,val}{2014,2017}.json, images in train2017/ ...",
        CC_BY,
        published_ids=True,
    ),
    "flickr8k": Source(
        "flickr",
        "Flickr8k (Hodosh et al. 2013) in the official layout and splits, or Kaggle's table",
        "Flickr8k.token.txt, Flickr_8k.{train,dev,test}Images.txt, or captions.txt, "
        "images in Flicker8k_Dataset/ or Images/",
        FLICKR,
        suffix="_flickr8k",
    ),
    "flickr30k": Source(
        "flickr",
        "Flickr30k (Young et al. 2014): the released token file, or Kaggle's table",
        "results_20130124.token or results.csv, images in flickr30k_images/",
        FLICKR,
        suffix="_flickr30k",
    ),
    "table": Source(
        "custom_table",
        "your own: CSV, TSV or JSON with columns image, question, answer, caption, split",
        "any .csv, .tsv, .jsonl, or .json that is a list; images in images/ or beside it",
        OWN,
    ),
    "imagefolder": Source(
        "huggingface",
        "images with metadata (Hugging Face's imagefolder), columns named as in a table, or text",
        "{train,validation,test}/metadata.{csv,jsonl} with file_name, images beside it",
        OWN,
        suffix="_imagefolder",
    ),
    "hf-parquet": Source(
        "huggingface",
        "a data set as the Hugging Face hub keeps it, columns named as in a table",
        "data/{train,validation,test}-*.parquet or {train,validation,test}/*.parquet",
        OWN,
        suffix="_parquet",
    ),
    "hf-datasets": Source(
        "huggingface",
        "a folder that Hugging Face datasets saved, columns named as in a table",
        "dataset_dict.json and a folder for each split, or state.json and data-*.arrow",
        OWN,
        suffix="_saved",
    ),
}


def read_parts(name: str, root: Path, /, **options: str) -> list[Collection]:
    """Read a data set below `root`, or several over the same images, joined by pluses.

    Options are the readers' own (see their docstrings). Raises BadConfig for an unknown source or
    option, BadData for files that are not what the source promises.
    """
    unknown = [part for part in name.split("+") if part not in SOURCES]
    if unknown:
        near = get_close_matches(unknown[0], SOURCES, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        message = f"there is no source {unknown[0]!r}"
        raise BadConfig(message, hint=f"{hint}Sources are: {', '.join(SOURCES)}.")
    if not root.is_dir():
        raise no_folder(root, name)
    takes = own_options(name.split("+"), options)
    return [_with_licence(_function(part, "read")(root, **own)) for part, own in takes.items()]


def read_source(name: str, root: Path, /, **options: str) -> Collection:
    """The same as one collection: `"vqa-v2+karpathy"` gives one with questions and captions."""
    return join(read_parts(name, root, **options))


def own_options(names: Iterable[str], options: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Divide options among sources: each gets those that it has.

    Raises BadConfig for an option that none of them has.
    """
    takes = {name: _options(name) for name in names}
    known = sorted({option for taken in takes.values() for option in taken})
    if strange := [option for option in options if option not in known]:
        message = f"source {' or '.join(takes)} has no option {strange[0]!r}"
        raise BadConfig(message, hint=f"It has: {', '.join(known)}.")
    return {
        name: {option: options[option] for option in options if option in taken}
        for name, taken in takes.items()
    }


def reason(name: str, root: Path, options: Mapping[str, str] | None = None) -> str | None:
    """By what the layout of a source is recognised in a folder; None if it is not there.

    What the user says in `options` counts where the source's recogniser asks for it.
    """
    recognise = _function(name, "recognise")
    asked = inspect.signature(recognise).parameters.keys() & (options or {}).keys()
    try:
        found: str | None = recognise(root, **{option: (options or {})[option] for option in asked})
    except (OSError, BadData):  # a file that cannot be opened or read gives nothing away
        return None
    return found


def _function(name: str, kind: str) -> Callable[..., Any]:
    source = SOURCES[name]
    module = importlib.import_module(f"saccade.datasets.{source.module}")
    function: Callable[..., Any] = getattr(module, kind + source.suffix)
    return function


def _options(source: str) -> list[str]:
    parameters = inspect.signature(_function(source, "read")).parameters
    return [name for name in parameters if name != "root"]


def _with_licence(collection: Collection) -> Collection:
    """Fill in the source's usual licence where the files state none."""
    if collection.licence != Collection.licence:
        return collection
    return replace(collection, licence=SOURCES[collection.source].licence)


def join(parts: list[Collection]) -> Collection:
    """Put collections over the same images together.

    Raises BadData where an image is another file in each, BadConfig where their folders differ.
    """
    if len(parts) == 1:
        return parts[0]
    images: dict[ImageRecord, None] = {}
    file_of: dict[int, str] = {}
    for part in parts:
        for image in part.images:
            if file_of.setdefault(image.id, image.file) != image.file:
                raise BadData(
                    f"image {image.id} is {file_of[image.id]} in one source and "
                    f"{image.file} in the other",
                    location=part.image_root,
                    hint="These sources do not share images: prepare each into its own folder.",
                )
            images[image] = None
    if len({part.image_root for part in parts}) > 1:
        raise BadConfig(
            "joined sources need one folder of images", hint="Give --option images=FOLDER."
        )
    return Collection(
        source="+".join(part.source for part in parts),
        image_root=parts[0].image_root,
        images=list(images),
        questions=[question for part in parts for question in part.questions],
        captions=[caption for part in parts for caption in part.captions],
        licence="; ".join(dict.fromkeys(part.licence for part in parts)),
        notes=[f"{part.source}: {note}" for part in parts for note in part.notes],
        choices={id_: offered for part in parts for id_, offered in part.choices.items()},
        pairs=[pair for part in parts for pair in part.pairs],
    )
