"""VQA-RAD: 315 radiology pictures with questions that clinicians asked and answered.

Every question has one answer, open or closed. The published split divides questions, not pictures:
most test pictures are training pictures too. Source: Lau et al. 2018; files as in the widely used
`trainset.json` and `testset.json`.
"""

from pathlib import Path

from saccade.data.drawn_split import as_share, as_whole, draw
from saccade.data.json_file import columns, read_json, unique
from saccade.data.picture_files import PictureFiles
from saccade.errors import BadData
from saccade.records import Collection, Picture, Question, Split

FIELDS = {"qid": int, "image_name": str, "question": str, "answer_type": str, "question_type": str}


def read(
    root: Path, val_share: str | float = 0.2, seed: str | int = 0, images: str = ""
) -> Collection:
    """Read `trainset.json`, and `testset.json` if it is there.

    There is no official validation split: `val_share` (0 to below 1) of the training PICTURES,
    drawn with `seed`, become one, with all their questions; so no picture is in both. Answers
    lose blanks at their ends and numbers become text; nothing else is changed. Each question has
    the one released answer. `images` is the folder of the pictures (else `images/`).
    """
    share, draw_seed = as_share("val_share", val_share), as_whole("seed", seed)
    train = _records(root / "trainset.json", "train")
    test_file = root / "testset.json"
    test = _records(test_file, "test") if test_file.is_file() else []
    names = sorted({name for name, _ in train})
    drawn = draw(names, {"val": share}, draw_seed)
    held_out = {name for name, split in drawn.items() if split == "val"}
    rows = [(n, q._replace(split="val") if n in held_out else q) for n, q in train] + test
    number_of = {n: place for place, n in enumerate(sorted({n for n, _ in rows}))}
    files = PictureFiles(root, images or None)
    pictures = {
        (number_of[n], q.split): Picture(number_of[n], files.find(("images", ""), [n]), q.split)
        for n, q in rows
    }
    notes = [
        f"{len(held_out)} of {len(names)} training pictures, drawn with seed {draw_seed}, and "
        f"their questions are the validation split (val_share={share:g}); there is no official one."
    ]
    if not test:
        notes.append("testset.json is not there: no test split.")
    return Collection(
        source="vqa-rad",
        image_root=str(files.root),
        pictures=[pictures[key] for key in sorted(pictures)],
        questions=[q._replace(image_id=number_of[n]) for n, q in rows],
        notes=notes,
        edition="official",
    )


def recognise(root: Path) -> str | None:
    """`trainset.json` whose first record has a qid and an image_name."""
    path = root / "trainset.json"
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(4096)
        if b'"qid"' in head and b'"image_name"' in head:
            return "there is trainset.json with the fields qid and image_name"
    return None


def _records(path: Path, split: Split) -> list[tuple[str, Question]]:
    """Picture name and question (its `image_id` still open) of every record."""
    records = read_json(path, list)
    ids, names, texts, answer_types, question_types = columns(
        records, FIELDS, path=path, name="record"
    )
    unique(ids, path=path, name="qid")
    rows = []
    for row, record in enumerate(records):
        given = record.get("answer")
        answer = str(given).strip() if type(given) in (str, int, float) else ""
        if not answer:
            what = f"the answer of record {row + 1} (qid {ids[row]}) is {given!r}"
            raise BadData(what, where=path, cure="Give it an answer, or leave the record out.")
        question = Question(
            id=ids[row],
            image_id=-1,
            text=texts[row].strip(),
            split=split,
            answers=(answer,),
            best_answer=answer,
            answer_type=answer_types[row].strip(),
            question_type=question_types[row].strip(),
        )
        rows.append((names[row], question))
    if not rows:
        raise BadData("is an empty list", where=path, cure="Copy it again from the release.")
    return rows
