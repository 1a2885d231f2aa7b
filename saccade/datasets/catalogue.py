"""The data sets that `prepare` can read: one line of `SOURCES` each, and those of plugins.

A new one is a reader in this folder and a line here; another package adds one by an entry point in
the group `saccade.datasets` that names a `Source`. `tests/test_sources.py` runs over this
table: every reader must read its layout and refuse others.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

from saccade.core.errors import BadConfig, BadData
from saccade.core.tables import Table, load_object
from saccade.data.find_files import no_folder
from saccade.data.reading import collector_paused, opened_files
from saccade.data.records import Collection, ImageRecord
from saccade.data.splits import as_drawing

Function = Callable[..., Any] | str
"""A function, or `package.module:name`, which is imported when it is needed."""


class Source(NamedTuple):
    """One line of the table."""

    reader: Function
    """Gives the `Collection` below a folder: `read(root, **options)`; each option is text."""
    recogniser: Function
    """By what it knows the layout of a folder, in words, or None: `recognise(root)`. It may take
    options of the reader."""
    summary: str
    layout: str
    """The files that it expects below --root."""
    licence: str
    published_ids: bool = False
    """Are its images' ids those that everybody uses, and no places in a list made here?"""


def _source(functions: str, *line: str, **claims: Any) -> Source:
    """A source of this folder: `MODULE:SUFFIX`, the suffix behind `read` and `recognise`."""
    module, _, suffix = functions.partition(":")
    read, recognise = (f"{__package__}.{module}:{verb}{suffix}" for verb in ("read", "recognise"))
    summary, layout, licence = line
    return Source(read, recognise, summary, layout, licence, **claims)


def _layout(name: str, *line: str, **claims: Any) -> Source:
    """A source whose layout is written down in `layouts/NAME.toml`."""
    functions = partial(_read_layout, name), partial(_recognise_layout, name)
    summary, layout, licence = line
    return Source(*functions, summary, layout, licence, **claims)


def _read_layout(
    name: str,
    root: Path,
    part: str = "",
    images: str = "",
    image_name: str = "",
    files: str = "",
    **rules: Any,
) -> Collection:
    from saccade.datasets.mapping import read_released  # noqa: PLC0415 - for a list, not needed

    own = {"part": part, "images": images, "image_name": image_name, "files": files}
    return read_released(name, root, **own, **rules)


def _recognise_layout(name: str, root: Path, part: str = "") -> str | None:
    from saccade.datasets.mapping import recognise_released  # noqa: PLC0415 - as above

    return recognise_released(name, root, part)


CC_BY = "annotations CC BY 4.0; each image under its own Flickr licence"
FLICKR = "non-commercial research and education only; the images belong to their Flickr owners"
OWN = "yours to say: nothing is known of it"
CHALLENGE = "non-commercial research only, under the terms of the challenge whose images it uses"

CHOLEC80 = (
    "not confirmed: Cholec80 is given to those who fill in its form; its makers' package "
    "TF-Cholec80 is for non-commercial research (CC BY-NC-SA 4.0)"
)

_SOURCES = {
    "vqa-v1": _source(
        "vqa:_v1",
        "VQA v1 (Antol et al. 2015): COCO images, questions, ten answers each",
        "{OpenEnded,MultipleChoice}_mscoco_{train2014,val2014,test2015}_questions.json, "
        "mscoco_{train2014,val2014}_annotations.json, images in train2014/ ...",
        CC_BY,
        published_ids=True,
    ),
    "vqa-v2": _source(
        "vqa:_v2",
        "VQA v2 (Goyal et al. 2017): VQA with every question balanced by a second image",
        "v2_OpenEnded_mscoco_{train2014,val2014,test2015}_questions.json, "
        "v2_mscoco_{train2014,val2014}_annotations.json, images in train2014/ ...",
        CC_BY,
        published_ids=True,
    ),
    "visual-genome": _source(
        "visual_genome:",
        "Visual Genome's questions (Krishna et al. 2017), one answer each",
        "question_answers.json, image_data.json, images in VG_100K/ and VG_100K_2/",
        "CC BY 4.0; each image under its own Flickr licence",
        published_ids=True,
    ),
    "gqa": _source(
        "gqa:",
        "GQA (Hudson & Manning 2019): questions made from scene graphs, balanced or all",
        "{train,val,testdev}_{balanced,all}_questions.json, images in images/",
        "questions: CC BY 4.0 according to others, its page counts; images are Visual Genome's",
        published_ids=True,
    ),
    "daquar": _source(
        "daquar:",
        "DAQUAR (Malinowski & Fritz 2014): questions about indoor scenes",
        "qa.{894,37}.raw.{train,test}.txt, images in nyu_depth_images/",
        "research; the images are NYU-Depth v2's",
        published_ids=True,
    ),
    "easy-vqa": _source(
        "easy_vqa:",
        "easy-VQA (Victor Zhou 2019): drawn shapes, 13 answers",
        "{train,test}/questions.json, answers.txt, images in {train,test}/images/",
        "MIT",
    ),
    "vqa-rad": _source(
        "vqa_rad:",
        "VQA-RAD (Lau et al. 2018): questions of clinicians about radiology images",
        "trainset.json, testset.json (if there), or the makers' VQA_RAD Dataset Public.json, "
        "images in images/ or VQA_RAD Image Folder/",
        "CC0 1.0",
    ),
    "vqa-cp-v1": _layout(
        "vqa-cp-v1",
        "VQA-CP v1 (Agrawal et al. 2018): VQA v1, answers of training and test differ by type",
        "vqacp_v1_{train,test}_questions.json, vqacp_v1_{train,test}_annotations.json, "
        "images in train2014/ and val2014/",
        CC_BY,
        published_ids=True,
    ),
    "vqa-cp-v2": _layout(
        "vqa-cp-v2",
        "VQA-CP v2 (Agrawal et al. 2018): VQA v2, answers of training and test differ by type",
        "vqacp_v2_{train,test}_questions.json, vqacp_v2_{train,test}_annotations.json, "
        "images in train2014/ and val2014/",
        CC_BY,
        published_ids=True,
    ),
    "gqa-ood": _source(
        "gqa:_ood",
        "GQA-OOD (Kervadec et al. 2021): GQA's questions by how rare their answers are",
        "ood_{val,testdev}_{all,head,tail}.json, GQA's train_balanced_questions.json (if there), "
        "images in images/",
        "questions: CC BY 4.0; images are Visual Genome's",
        published_ids=True,
    ),
    "clevr": _layout(
        "clevr",
        "CLEVR v1.0 (Johnson et al. 2017): rendered shapes, questions made from programs",
        "questions/CLEVR_{train,val,test}_questions.json, images in images/train/ ...",
        "CC BY 4.0",
    ),
    "coco-qa": _layout(
        "coco-qa",
        "COCO-QA (Ren et al. 2015): questions made from COCO's captions, one word each",
        "{train,test}/{questions,answers,img_ids,types}.txt, images in train2014/ and val2014/",
        "not stated; each image under its own Flickr licence",
        published_ids=True,
    ),
    "visual7w": _layout(
        "visual7w",
        "Visual7W telling (Zhu et al. 2016): seven kinds of questions, four choices",
        "dataset_v7w_telling.json, images in images/",
        "MIT; each image under its own Flickr licence",
        published_ids=True,
    ),
    "vqa-abstract": _layout(
        "vqa-abstract",
        "VQA v1 abstract scenes (Antol et al. 2015): clip art, ten answers each",
        "{OpenEnded,MultipleChoice}_abstract_v002_{train,val,test}2015_questions.json, "
        "abstract_v002_{train,val}2015_annotations.json, images in scene_img_abstract_v002_*/",
        "CC BY 4.0",
        published_ids=True,
    ),
    "vivqa": _layout(
        "vivqa",
        "ViVQA (Tran et al. 2021): Vietnamese questions about COCO images",
        "train.csv, test.csv with question, answer, img_id, type; images in images/",
        "not stated; each image under its own Flickr licence",
        published_ids=True,
    ),
    "slake": _layout(
        "slake",
        "SLAKE (Liu et al. 2021): radiology, questions in English and Chinese",
        "train.json, validate.json, test.json, images in imgs/xmlab1/source.jpg ...",
        "CC BY 4.0",
    ),
    "pathvqa": _layout(
        "pathvqa",
        "PathVQA (He et al. 2020): pathology, as first released (the hub's: hf-parquet)",
        "qas/{train,val,test}/{train,val,test}_qa.pkl, images in images/train/ ...",
        "MIT, according to its card on the hub",
    ),
    "vqa-med-2019": _layout(
        "vqa-med-2019",
        "VQA-Med 2019 (Ben Abacha et al. 2019): four categories of questions on radiology images",
        "All_QA_Pairs_{train,val}.txt, VQAMed2019_Test_Questions_w_Ref_Answers.txt, "
        "images in Train_images/ ...",
        "CC BY 4.0, according to its deposit, doi.org/10.5281/zenodo.10499039",
    ),
    "pope": _layout(
        "pope",
        "POPE (Li et al. 2023): is there such an object? A test, three ways to choose objects",
        "coco_pope_{random,popular,adversarial}.json, images in val2014/",
        "MIT; each image under its own Flickr licence",
    ),
    "chartqa": _layout(
        "chartqa",
        "ChartQA (Masry et al. 2022): questions about charts, by people or made of captions",
        "{train,val,test}/{train,val,test}_{human,augmented}.json, images in train/png/ ...",
        "GPL-3.0",
    ),
    "scienceqa": _layout(
        "scienceqa",
        "ScienceQA (Lu et al. 2022): school questions with choices, those with an image",
        "problems.json, images in images/train/1/image.png ...",
        "CC BY-NC-SA 4.0",
    ),
    "llava": _layout(
        "llava",
        "conversations in LLaVA's form (Liu et al. 2023): each question and the reply to it",
        "any .json that is a list with image and conversations; images by name",
        OWN,
    ),
    "blip-vqa": _layout(
        "blip-vqa",
        "VQA in the lists of ALBEF, BLIP and LAVIS: the question, its answers and a path",
        "vqa_{train,val,test}.json, vg_qa.json, images in train2014/ ..., VG_100K/ ...",
        f"VQA v2: {CC_BY}; Visual Genome: CC BY 4.0",
    ),
    "pitvqa": _source(
        "pitvqa:",
        "PitVQA (He et al. 2024): pituitary surgery, as text files or from its annotations",
        "QA/video_01/00042.txt ..., or steps_csv/ and instruments_csv/, images in images/video_01/",
        "as UCL's repository states, doi.org/10.5522/04/27004666; the code's repository: none",
    ),
    "endovis18-vqa": _source(
        "surgical:_endovis18_vqa",
        "EndoVis-18-VQA (Seenivasan et al. 2022): robotic kidney surgery",
        "seq_N/vqa/Classification/frameNNN_QA.txt, images in seq_N/left_frames/",
        CHALLENGE,
    ),
    "cholec80-vqa": _source(
        "surgical:_cholec80_vqa",
        "Cholec80-VQA (Seenivasan et al. 2022): gall bladder surgery",
        "Classification/N/FRAME_QA.txt, images in cropped_image/N/",
        CHOLEC80,
    ),
    "karpathy": _source(
        "karpathy:",
        "Karpathy's splits of COCO, Flickr8k or Flickr30k captions (2015)",
        "dataset_{coco,flickr8k,flickr30k}.json, images in images/ or train2014/ ...",
        f"COCO: {CC_BY}; Flickr8k, Flickr30k: {FLICKR}",
        published_ids=True,
    ),
    "coco-captions": _source(
        "coco_captions:",
        "COCO captions in the official layout and splits, 2014 or 2017",
        "annotations/captions_{train,val}{2014,2017}.json, images in train2017/ ...",
        CC_BY,
        published_ids=True,
    ),
    "coco-pope": _source(
        "coco_pope:",
        "questions about COCO's objects, made as POPE's are: is there such an object?",
        "annotations/instances_{train,val}{2014,2017}.json, images in train2017/ ...",
        CC_BY,
    ),
    "textcaps": _layout(
        "textcaps",
        "TextCaps 0.1 (Sidorov et al. 2020): five captions that read what is written in the image",
        "TextCaps_0.1_{train,val,test}.json, images in train_images/, test_images/",
        "CC BY 4.0; each image under its own licence",
    ),
    "nocaps": _layout(
        "nocaps",
        "nocaps (Agrawal et al. 2019): captions of objects that COCO's captions lack",
        "nocaps_val_4500_captions.json, nocaps_test_image_info.json, images by file_name",
        "CC BY 2.0; images of Open Images CC BY 2.0",
        published_ids=True,
    ),
    "ai-challenger": _layout(
        "ai-challenger",
        "AI Challenger 2017 (Wu et al. 2017): five Chinese captions an image",
        "caption_{train,validation}_annotations_*.json, caption_{train,validation}_images_*/",
        "research only, under the terms of the challenge",
    ),
    "coco-cn": _layout(
        "coco-cn",
        "COCO-CN (Li et al. 2019): Chinese captions of COCO images",
        "imageid.human-written-caption.txt, coco-cn_{train,val,test}.txt, images in train2014/ ...",
        "non-commercial research and education only; each image under its own Flickr licence",
    ),
    "flickr8k-cn": _layout(
        "flickr8k-cn",
        "Flickr8k-CN (Li et al. 2016): five Chinese captions of each image of Flickr8k",
        "data/flickr8kzhc.caption.txt, data/flickr8k{train,val,test}.txt, images as flickr8k",
        FLICKR,
    ),
    "stair-captions": _layout(
        "stair-captions",
        "STAIR Captions (Yoshikawa et al. 2017): five Japanese captions of each image of COCO",
        "stair_captions_v1.2_{train,val}.json, images in train2014/ ...",
        CC_BY,
        published_ids=True,
    ),
    "multi30k": _layout(
        "multi30k",
        "Multi30k (Elliott et al. 2016): captions of Flickr30k in several languages",
        "task2 or task1 with raw/ and image_splits/: train.1.en ... train.5.en, train_images.txt, "
        "or train.en, train.txt; --option part=de, fr, cs",
        f"captions for research; {FLICKR}",
    ),
    "roco": _layout(
        "roco",
        "ROCO (Pelka et al. 2018): radiology images of open articles, with their captions",
        "{train,validation,test}/radiology/captions.txt, or traindata.csv ..., images/ beside it",
        "captions and images under the licence of each article (licences.txt)",
    ),
    "iu-xray": _layout(
        "iu-xray",
        "IU X-Ray in R2Gen's form (Chen et al. 2020): chest X-rays and their reports",
        "annotation.json, images in images/",
        "IU X-Ray: CC BY-NC-ND 4.0, as Open-i states; MIMIC-CXR in this form: PhysioNet's terms",
    ),
    "conceptual-captions": _source(
        "conceptual_captions:",
        "Conceptual Captions (Sharma et al. 2018): captions of images that you downloaded",
        "Train_GCC-training.tsv, Validation_GCC-1.1.0-Validation.tsv, images by number or address",
        "captions free for any purpose; each image belongs to its owner",
    ),
    "blip-captions": _layout(
        "blip-captions",
        "caption lists of BLIP and LAVIS (Li et al. 2022): COCO, Flickr30k, nocaps",
        "{coco_karpathy,flickr30k,nocaps}_{train,val,test}.json, images by path",
        f"COCO: {CC_BY}; Flickr30k: {FLICKR}",
    ),
    "text-beside": _source(
        "text_beside:",
        "your own: a text file of the same name beside each image",
        "a.jpg and a.txt (or a.caption), in DIR or folders below; several lines, several captions",
        OWN,
    ),
    "webdataset": _source(
        "webdataset:",
        "WebDataset shards: tar files with images, and text or JSON of the same name",
        "{train,val,test}-000000.tar ..., or in train/ ...: key.jpg, key.txt, key.json",
        OWN,
    ),
    "flickr8k": _source(
        "flickr:_flickr8k",
        "Flickr8k (Hodosh et al. 2013) in the official layout and splits, or Kaggle's table",
        "Flickr8k.token.txt, Flickr_8k.{train,dev,test}Images.txt, or captions.txt, "
        "images in Flicker8k_Dataset/ or Images/",
        FLICKR,
    ),
    "flickr30k": _source(
        "flickr:_flickr30k",
        "Flickr30k (Young et al. 2014): the released token file, or Kaggle's table",
        "results_20130124.token or results.csv, images in flickr30k_images/",
        FLICKR,
    ),
    "ok-vqa": _layout(
        "ok-vqa",
        "OK-VQA (Marino et al. 2019): questions that need outside knowledge, ten answers",
        "OpenEnded_mscoco_{train,val}2014_questions.json, mscoco_{train,val}2014_annotations.json, "
        "images in train2014/ ...",
        CC_BY,
        published_ids=True,
    ),
    "a-okvqa": _layout(
        "a-okvqa",
        "A-OKVQA (Schwenk et al. 2022): ten direct answers and four choices",
        "aokvqa_v1p0_{train,val,test}.json, images in train2017/ ...",
        "Apache 2.0; each image under its own Flickr licence",
        published_ids=True,
    ),
    "vizwiz-vqa": _layout(
        "vizwiz-vqa",
        "VizWiz-VQA (Gurari et al. 2018): questions of blind people about their photos",
        "{train,val,test}.json, images in train/ ...",
        "CC BY 4.0",
    ),
    "vizwiz-captions": _layout(
        "vizwiz-captions",
        "VizWiz-Captions (Gurari et al. 2020): five captions of blind people's photos",
        "annotations/{train,val,test}.json, images in train/ ...",
        "CC BY 4.0",
        published_ids=True,
    ),
    "textvqa": _layout(
        "textvqa",
        "TextVQA 0.5.1 (Singh et al. 2019): questions whose answers are read in the image",
        "TextVQA_0.5.1_{train,val,test}.json, images in train_images/ ...",
        "CC BY 4.0; each image under its own licence",
    ),
    "vqa-form": _layout(
        "vqa-form",
        "your own in VQA's form: questions and annotations under any names",
        "any .json with a list questions, any with a list annotations; images by number or name",
        OWN,
    ),
    "coco-form": _layout(
        "coco-form",
        "your own in COCO's form: images and annotations with captions under any names",
        "any .json with the lists images and annotations, images by file_name",
        OWN,
    ),
    "mapping": _source(
        "mapping:",
        "your own in any form, which a file of a few lines describes",
        "mapping.toml, or --option mapping=FILE (docs/data.md); CSV, JSON, lines of text, Parquet",
        OWN,
    ),
    "table": _source(
        "custom_table:",
        "your own: CSV, TSV or JSON with columns image, question, answer, caption, split",
        "any .csv, .tsv, .jsonl, or .json that is a list; images in images/ or beside it",
        OWN,
    ),
    "imagefolder": _source(
        "huggingface:_imagefolder",
        "images with metadata (Hugging Face's imagefolder), columns named as in a table, or text",
        "{train,validation,test}/metadata.{csv,jsonl} with file_name, images beside it",
        OWN,
    ),
    "hf-parquet": _source(
        "huggingface:_parquet",
        "a data set as the Hugging Face hub keeps it, columns named as in a table",
        "data/{train,validation,test}-*.parquet or {train,validation,test}/*.parquet",
        OWN,
    ),
    "hf-datasets": _source(
        "huggingface:_saved",
        "a folder that Hugging Face datasets saved, columns named as in a table",
        "dataset_dict.json and a folder for each split, or state.json and data-*.arrow",
        OWN,
    ),
}
HUB = "hf:"
"""In front of ORG/NAME, a data set of the Hugging Face hub."""


def _function(reference: Function) -> Callable[..., Any]:
    function = load_object(reference) if isinstance(reference, str) else reference
    return cast(Callable[..., Any], function)


def _check(line: object) -> None:
    """Refuse what a plugin offers where it is no source, or names what cannot be imported."""
    if not isinstance(line, Source):
        raise ValueError(f"it is a {type(line).__name__}, not a Source")
    for reference in (line.reader, line.recogniser):
        _function(reference)


SOURCES: Table[Source] = Table("source", _SOURCES, group="saccade.datasets", check=_check)


def _line(name: str) -> Source:
    """The line of a source. Raises BadConfig for a name that there is not."""
    if name.startswith(HUB):
        read = load_object("saccade.datasets.huggingface:read_hub")
        hub = SOURCES["hf-datasets"]
        return hub._replace(reader=partial(read, name.removeprefix(HUB)))
    return SOURCES.look_up(name)


def read_parts(name: str, root: Path, /, **options: str) -> list[Collection]:
    """Read a data set below `root`, or several over the same images, joined by pluses.

    Options are the readers' own (see their docstrings). Raises BadConfig for an unknown source or
    option, BadData for files that are not what the source promises.
    """
    lines = {part: _line(part) for part in name.split("+")}
    if not root.is_dir() and not name.startswith(HUB):
        raise no_folder(root, name)
    parts = []
    for part, own in own_options(lines, options).items():
        with collector_paused(), opened_files() as opened:
            read = cast(Collection, _function(lines[part].reader)(root, **own))
        unknown = read.licence == Collection.licence
        licence = lines[part].licence if unknown else read.licence
        parts.append(replace(read, licence=licence, files=[str(path) for path in opened]))
    return parts


def read_source(name: str, root: Path, /, **options: str) -> Collection:
    """The same as one collection: `"vqa-v2+karpathy"` gives one with questions and captions."""
    return join(read_parts(name, root, **options))


def own_options(names: Iterable[str], options: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Divide options among sources: each gets those that it has.

    Raises BadConfig for an option that none of them has.
    """
    takes = {name: reader_options(name) for name in names}
    known = sorted({option for taken in takes.values() for option in taken})
    if strange := [option for option in options if option not in known]:
        message = f"source {' or '.join(takes)} has no option {strange[0]!r}"
        raise BadConfig(message, hint=f"It has: {', '.join(known)}.")
    return {
        name: {option: options[option] for option in options if option in taken}
        for name, taken in takes.items()
    }


def reader_options(name: str) -> list[str]:
    """Names of the options of a source's reader; `**rules` are those of `as_rules`, `**shares` of
    `as_drawing`.
    """
    parameters = inspect.signature(_function(_line(name).reader)).parameters
    own = [name for name in parameters if name not in ("root", "shares", "rules")]
    more = parameters.keys() & {"shares", "rules"}
    if "rules" in more:
        own += ["bad", "choices_from"]
    return [*own, *(inspect.signature(as_drawing).parameters if more else ())]


def reason(name: str, root: Path, options: Mapping[str, str] | None = None) -> str | None:
    """By what the layout of a source is recognised in a folder; None if it is not there.

    What the user says in `options` counts where the source's recogniser asks for it.
    """
    recognise, given = _function(SOURCES[name].recogniser), options or {}
    asked = inspect.signature(recognise).parameters.keys() & given.keys()
    try:
        found: str | None = recognise(root, **{option: given[option] for option in asked})
    except (OSError, BadData):  # a file that cannot be opened or read gives nothing away
        return None
    except Exception:
        if name in _SOURCES:
            raise
        return None  # a plugin that fails must not keep the others from recognising their sets
    return found


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
            if (file := file_of.setdefault(image.id, image.file)) != image.file:
                message = f"image {image.id} is {file} in one source and {image.file} in the other"
                hint = "These sources do not share images: prepare each into its own folder."
                raise BadData(message, location=part.image_root, hint=hint)
            images[image] = None
    if len({part.image_root for part in parts}) > 1:
        hint = "Give --option images=FOLDER."
        raise BadConfig("joined sources need one folder of images", hint=hint)
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
        objects={id_: names for part in parts for id_, names in part.objects.items()},
        rephrasings=[pair for part in parts for pair in part.rephrasings],
        entailments=[pair for part in parts for pair in part.entailments],
        released_ids=list(dict.fromkeys(id_ for part in parts for id_ in part.released_ids)),
        files=list(dict.fromkeys(file for part in parts for file in part.files)),
        shared_images=any(part.shared_images for part in parts),
        window=next((part.window for part in parts if part.window != "auto"), "auto"),
    )


def published(source: str) -> bool:
    """Are the ids of such a data folder those that the data set was published with?

    `source` is what `dataset.json` says, several joined by pluses.
    """
    return all(part in SOURCES and SOURCES[part].published_ids for part in source.split("+"))


def names_files(source: str) -> re.Pattern[str]:
    """The names of the files that the layouts of a data folder's `source` have, of any part."""
    lines = [SOURCES[part].layout for part in source.split("+") if part in SOURCES]
    named = re.findall(r"(?:\{[^{}]*\}|[\w.*-])+\.(?:json|txt|csv|tsv|pkl)(?!\w)", " ".join(lines))
    each = {"{": "(?:", "}": ")", ",": "|", ".": r"\.", "*": ".*"}
    return re.compile("|".join("".join(each.get(c, c) for c in name) for name in named) or "(?!)")


def source_and_root(source: str | None, root: Path | None, out: Path) -> tuple[str | None, Path]:
    """A SOURCE and its --root, or a folder alone, which is to be recognised.

    The images of a set of the hub go to a folder beside `out`, if --root names none.

    Raises BadConfig where there is no folder, BadData where there is a file instead.
    """
    if root is not None:
        return source, root
    if source is not None and source.startswith(HUB):
        return source, out.with_name(f"{out.name}-images")
    if source is None:
        hint = "Write: saccade prepare DIR --out DATA, or SOURCE --root DIR --out DATA."
        raise BadConfig("neither a folder nor a source is named", hint=hint)
    if Path(source).is_dir():
        return None, Path(source)
    if all(part in SOURCES for part in source.split("+")):
        hint = "Give their folder: --root DIR."
        raise BadConfig(f"it is not said where the files of {source} are", hint=hint)
    if Path(source).is_file():
        raise no_folder(Path(source))
    hint = "Give a folder, or one of `saccade list sources` with --root DIR."
    raise BadConfig(f"{source} is neither a folder nor a source", hint=hint)
