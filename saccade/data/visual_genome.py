"""Visual Genome's questions: `question_answers.json`, pictures listed in `image_data.json`.

Free-form questions with one answer each, written about regions of 108,077 pictures, about half of
them COCO's. There is no published split of the questions. Answers are kept as written, but for the
full stop at their end. Layout: visualgenome.org, versions 1.0 and 1.2 (Krishna et al. 2017).
"""

from pathlib import Path, PurePosixPath
from typing import Any

from saccade.data.drawn_split import as_shares, as_whole, draw, told
from saccade.data.json_file import columns, read_json, unique
from saccade.data.looking import first_reason
from saccade.data.picture_files import PictureFiles
from saccade.errors import BadData
from saccade.records import Collection, Picture, Question

FOLDERS = ("VG_100K", "VG_100K_2", "images", "images/VG_100K", "images/VG_100K_2", "")
FIELDS = {"qa_id": int, "image_id": int, "question": str, "answer": str}


def read(
    root: Path,
    images: str = "",
    val_share: str | float = 0.05,
    test_share: str | float = 0.0,
    seed: str | int = 0,
) -> Collection:
    """Read `question_answers.json`, and `image_data.json` if it is there.

    `images` is the folder of the pictures (else `VG_100K/`, `VG_100K_2/`, `images/` and `root`).
    `val_share` and `test_share` of the pictures are drawn with `seed`, with all their questions.
    Pictures without questions are left out. Raises BadData for records of another form, and for
    questions about a picture that `image_data.json` does not list.
    """
    shares = as_shares(val_share, test_share)
    draw_seed = as_whole("seed", seed)
    path = root / "question_answers.json"
    records = _questions(path)
    ids, image_ids, texts, answers = columns(records, FIELDS, path=path, name="question")
    unique(ids, path=path, name="qa_id")
    split_of = draw(image_ids, shares, draw_seed)
    names, notes = _pictures(root / "image_data.json", set(image_ids))
    files = PictureFiles(root, images or None)
    pictures = [
        Picture(number, files.find(FOLDERS, names.get(number, [f"{number}.jpg"])), split)
        for number, split in split_of.items()
    ]
    questions = []
    for number, image, text, given in zip(ids, image_ids, texts, answers, strict=True):
        answer = given.strip().rstrip(".").strip() or given.strip()
        if not answer:
            what = f"question {number} (picture {image}) has an empty answer"
            raise BadData(what, where=path, cure="Give it an answer, or leave the record out.")
        questions.append(Question(number, image, text.strip(), split_of[image], (answer,), answer))
    return Collection(
        source="visual-genome",
        image_root=str(files.root),
        pictures=pictures,
        questions=questions,
        notes=[told(split_of, draw_seed), *notes],
        edition="qa",
    )


def recognise(root: Path) -> str | None:
    """`question_answers.json`."""
    return first_reason(root, r"question_answers\.json") if _here(root) else None


def _here(root: Path) -> bool:
    return (root / "question_answers.json").is_file()


def _questions(path: Path) -> list[Any]:
    records = []
    for place, record in enumerate(read_json(path, list), start=1):
        own = record.get("qas") if isinstance(record, dict) else None
        if not isinstance(own, list):
            raise BadData(
                f'picture number {place} has no list "qas" of questions and answers',
                where=path,
                cure="Take the released question_answers.json of Visual Genome.",
            )
        records += own
    if not records:
        raise BadData("has no question", where=path, cure="Copy it again from the release.")
    return records


def _pictures(path: Path, asked: set[int]) -> tuple[dict[int, list[str]], list[str]]:
    """Names of the pictures' files by number, with the folder that each was released in."""
    if not path.is_file():
        return {}, ["image_data.json is not there: pictures are looked for by their number."]
    records = read_json(path, list)
    ids, urls = columns(records, {"image_id": int, "url": str}, path=path, name="picture")
    unique(ids, path=path, name="image_id")
    stray = asked - set(ids)
    if stray:
        raise BadData(
            f"does not list {len(stray)} pictures that are asked about, the first is {min(stray)}",
            where=path,
            cure="Take both files from the same version of the release.",
        )
    names = {
        number: [f"{number}.jpg", PurePosixPath(url).name]
        for number, url in zip(ids, urls, strict=True)
    }
    coco = sum(isinstance(r.get("coco_id"), int) for r in records if r["image_id"] in asked)
    return names, [
        f"{coco} of {len(asked)} pictures are COCO's too (coco_id in image_data.json): mind that "
        "they may stand in another split there."
    ]
