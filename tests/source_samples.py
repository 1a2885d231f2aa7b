"""A tiny data set in every layout that `prepare` reads, for the tests of the readers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.caption_layouts import CAPTION_LAYOUTS
from tests.question_layouts import QUESTION_LAYOUTS
from tests.sample_files import save, touch

ANSWERS = ["red"] * 7 + ["pink", "red", "crimson"]


def beside(folder: Path, name: str) -> Path:
    """A path beside a test's own folder that no other test has."""
    return folder.with_name(f"{folder.name}-{name}")


def vqa_questions(subset: str, image: int, count: int = 3) -> dict[str, Any]:
    return {
        "info": {"version": "2.0"},
        "task_type": "Open-Ended",
        "data_type": "mscoco",
        "data_subtype": subset,
        "license": {"name": "CC BY 4.0", "url": ""},
        "questions": [
            {"question_id": image * 1000 + n, "image_id": image, "question": f"What is {n}?"}
            for n in range(count)
        ],
    }


def vqa_annotations(subset: str, image: int, count: int = 3) -> dict[str, Any]:
    return {
        "data_subtype": subset,
        "annotations": [
            {
                "question_id": image * 1000 + n,
                "image_id": image,
                "question_type": "what is",
                "answer_type": "other",
                "multiple_choice_answer": "red",
                "answers": [
                    {"answer": answer, "answer_confidence": "yes", "answer_id": place}
                    for place, answer in enumerate(ANSWERS, start=1)
                ],
            }
            for n in range(count)
        ],
    }


def write_vqa(root: Path, prefix: str) -> None:
    for subset, image in (("train2014", 9), ("val2014", 42)):
        stem = f"mscoco_{subset}"
        save(root / f"{prefix}OpenEnded_{stem}_questions.json", vqa_questions(subset, image))
        save(root / f"{prefix}{stem}_annotations.json", vqa_annotations(subset, image))
        touch(root, f"{subset}/COCO_{subset}_{image:012}.jpg")


def write_vqa_v1(root: Path) -> None:
    write_vqa(root, "")


def write_vqa_v2(root: Path) -> None:
    write_vqa(root, "v2_")


KARPATHY_SPLITS = ("train", "restval", "val", "test")


def karpathy() -> dict[str, Any]:
    images = []
    for place, split in enumerate(KARPATHY_SPLITS):
        sentences = [
            {
                "tokens": ["a", "dog", f"number{n}"],
                "raw": f"A dog, number {n}.",
                "imgid": place,
                "sentid": 2 * place + n,
            }
            for n in range(2)
        ]
        images.append(
            {
                "filename": f"{place}.jpg",
                "imgid": place,
                "split": split,
                "sentids": [2 * place, 2 * place + 1],
                "sentences": sentences,
            }
        )
    return {"images": images, "dataset": "flickr8k"}


def write_karpathy(root: Path) -> None:
    save(root / "dataset_flickr8k.json", karpathy())
    touch(root, *(f"images/{place}.jpg" for place in range(len(KARPATHY_SPLITS))))


def coco_captions(image: int) -> dict[str, Any]:
    return {
        "info": {},
        "licenses": [],
        "images": [{"id": image, "file_name": f"{image:012}.jpg", "height": 4, "width": 4}],
        "annotations": [
            {"id": image * 10 + n, "image_id": image, "caption": f"A cat, number {n}."}
            for n in range(2)
        ],
    }


def write_coco(root: Path) -> None:
    for split, image in (("train2017", 9), ("val2017", 42)):
        save(root / f"annotations/captions_{split}.json", coco_captions(image))
        touch(root, f"{split}/{image:012}.jpg")


def coco_instances(image: int) -> dict[str, Any]:
    """Two images with three kinds of objects, and one with two; an object's outline is not read."""
    names = ["person", "dog", "cup", "orange", "car"]
    kinds = {image: (1, 2, 3, 2), image + 1: (1, 4, 3), image + 2: (1, 5)}
    return {
        "images": [{"id": one, "file_name": f"{one:012}.jpg"} for one in kinds],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names, start=1)],
        "annotations": [
            {
                "id": n,
                "image_id": one,
                "category_id": kind,
                "bbox": [0, 0, 1, 1],
                "segmentation": [],
            }
            for n, (one, kind) in enumerate((one, kind) for one in kinds for kind in kinds[one])
        ],
    }


def write_coco_pope(root: Path) -> None:
    for split, image in (("train2017", 9), ("val2017", 42)):
        save(root / f"annotations/instances_{split}.json", coco_instances(image))
        touch(root, *(f"{split}/{image + n:012}.jpg" for n in range(3)))


FLICKR_TOKENS = "".join(
    f"{name}#{n}\tA horse , number {n} .\n"
    for name in ("c.jpg", "a.jpg", "b.jpg", "unlisted.jpg.1")
    for n in range(2)
)


def write_flickr8k(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "Flickr8k.token.txt").write_text(FLICKR_TOKENS)
    for stem, name in (("train", "c.jpg"), ("dev", "a.jpg"), ("test", "b.jpg")):
        (root / f"Flickr_8k.{stem}Images.txt").write_text(f"{name}\n")
        touch(root, f"Flicker8k_Dataset/{name}")


def rad_record(number: int, image: int) -> dict[str, Any]:
    return {
        "qid": number,
        "image_name": f"synpic{image}.jpg",
        "image_organ": "HEAD",
        "answer": "Yes " if number % 2 else 4,
        "answer_type": "CLOSED ",
        "question_type": "PRES",
        "question": f"Is there {number}?",
        "phrase_type": "freeform",
    }


def write_vqa_rad(root: Path) -> None:
    save(root / "trainset.json", [rad_record(n, n // 2) for n in range(20)])
    touch(root, *(f"images/synpic{n}.jpg" for n in range(10)))


RAD_MAKERS = "VQA_RAD Dataset Public.json"


def rad_makers_records(count: int = 20) -> list[dict[str, Any]]:
    """As the makers released them: every third is a test question, every fourth has a frame."""
    records = []
    for place in range(count):
        record = rad_record(place, place // 2)
        kind = "para" if place % 2 else "freeform"
        record |= {
            "qid": str(place + 100),
            "phrase_type": kind if place % 3 else f"test_{kind}",
            "qid_linked_id": "03f451ca-de62-4617-9679-e836026a7642",
            "image_case_url": "https://host/case?id=48e1dd0e",
            "evaluation": "not evaluated",
            "question_rephrase": "NULL",
            "question_relation": "NULL",
            "question_frame": "NULL" if place % 4 else f"Is/Are there {place}? ",
        }
        records.append(record)
    return records


def write_vqa_rad_of_makers(root: Path) -> None:
    save(root / RAD_MAKERS, rad_makers_records())
    touch(root, *(f"VQA_RAD Image Folder/synpic{n}.jpg" for n in range(10)))


FLICKR30K_TOKENS = "".join(
    f"{name}.jpg#{n}\tA horse , number {n} .\n" for name in ("30", "20", "10") for n in range(5)
)


def write_flickr30k(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "results_20130124.token").write_text(FLICKR30K_TOKENS)
    for part, name in (("train", "20"), ("val", "10"), ("test", "30")):
        (root / f"{part}.txt").write_text(f"{name}\n")
        touch(root, f"flickr30k_images/{name}.jpg")


def genome_questions(images: int = 20) -> list[Any]:
    return [
        {
            "id": image,
            "qas": [
                {
                    "qa_id": image * 10 + n,
                    "image_id": image,
                    "question": f"What is {n}?",
                    "answer": "A clock.",
                    "a_objects": [],
                    "q_objects": [],
                }
                for n in range(2)
            ],
        }
        for image in range(1, images + 1)
    ]


def write_visual_genome(root: Path) -> None:
    save(root / "question_answers.json", genome_questions())
    listed = [
        {
            "image_id": image,
            "url": f"https://host/people/rak248/VG_100K_2/{image}.jpg",
            "width": 8,
            "height": 6,
            "coco_id": image + 500 if image % 2 else None,
            "flickr_id": None,
        }
        for image in range(1, 22)
    ]
    save(root / "image_data.json", listed)
    touch(root, *(f"VG_100K/{image}.jpg" for image in range(1, 11)))
    touch(root, *(f"VG_100K_2/{image}.jpg" for image in range(11, 22)))


def gqa_questions(start: str, image: str, *, answers: bool = True) -> dict[str, Any]:
    return {
        f"{start}{n}": {
            "imageId": image,
            "question": f"Is it {n}?",
            "isBalanced": True,
            "groups": {"global": None, "local": "10c"},
            "types": {"detailed": "existC", "semantic": "obj", "structural": "verify"},
            **({"answer": "yes", "fullAnswer": "Yes, it is."} if answers else {}),
        }
        for n in range(3)
    }


def write_gqa(root: Path) -> None:
    for part, start, image in (
        ("train", "029301", "2370799"),
        ("val", "0507", "2321003"),
        ("testdev", "20", "n578223"),
    ):
        save(root / f"questions/{part}_balanced_questions.json", gqa_questions(start, image))
        touch(root, f"images/{image}.jpg")


def daquar_lines(images: range) -> str:
    return "".join(
        f"what is on the table in the image{image} ?\nlamp\n"
        f"how many chairs are in the image{image} ?\n{'2' if image % 2 else 'knife, fork'}\n"
        for image in images
    )


def write_daquar(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    lines = daquar_lines(range(1, 11)).replace("in the image7 ?", "in th eimage7 ?", 1)
    (root / "qa.894.raw.train.txt").write_text(lines)
    (root / "qa.894.raw.test.txt").write_text(daquar_lines(range(11, 13)))
    touch(root, *(f"nyu_depth_images/image{image}.png" for image in range(1, 13)))


def write_easy_vqa(root: Path) -> None:
    for part, count in (("train", 10), ("test", 3)):
        rows = [
            row
            for image in range(count)
            for row in (
                ["what shape is in the image?", "circle", image],
                ["is there a red shape?", "no", image],
            )
        ]
        save(root / f"{part}/questions.json", rows)
        touch(root, *(f"{part}/images/{image}.png" for image in range(count)))
    (root / "answers.txt").write_text("circle\nno\nyes\n")


PIT_LINES = """What is the surgical phase shown in the image?|sellar
What is the surgical step shown in this frame?|sellotomy
What is the surgical operation performed in the image?|The sella is identified, confirmed and carefully opened
What is the next surgical phase?|closure
What is the next surgical step?|durotomy
What instrument is used at the centre of the image?|no_visible_instrument
What surgical activity is performing by the instrument no_visible_instrument?|The sella is identified, confirmed and carefully opened
Where is the surgical instrument no_visible_instrument tip located in the image?|centre
How many instruments are present in the image?|one
"""  # noqa: E501 - the released lines


def write_pitvqa(root: Path) -> None:
    for video in (1, 2):
        for second, text in ((3, PIT_LINES), (4, ""), (5, PIT_LINES)):
            path = root / f"QA/video_{video:02}/{second:05}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            touch(root, f"images/video_{video:02}/{second:05}.png")


def write_endovis(root: Path) -> None:
    for sequence in (1, 2):
        for frame in (0, 120):
            path = root / f"seq_{sequence}/vqa/Classification/frame{frame:03}_QA.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                "What organ is being operated?|kidney\n"
                "What is the state of bipolar_forceps?|Idle\n\n"
            )
            touch(root, f"seq_{sequence}/left_frames/frame{frame:03}.png")


def write_cholec(root: Path) -> None:
    for video in (1, 5):
        for frame in (0, 25, 100):
            path = root / f"Classification/{video}/{frame}_QA.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("what is the phase of image?|preparation\nis grasper used?|no\n")
            if frame % 100 == 0:
                touch(root, f"cropped_image/{video}/{frame}.png")


OWN_TABLE = """image,question,answer,split
cat.jpg,What is it?,a cat|cat|cat,train
cat.jpg,"Black, or white?",black,train
dog.jpg,What is it?,"[""a dog"", ""dog|wolf""]",val
"""


def write_table(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "mine.csv").write_text(OWN_TABLE)
    touch(root, "images/cat.jpg", "images/dog.jpg")


JPEG = b"\xff\xd8\xff"


def save_arrow(folder: Path, table: Any) -> None:
    """As `Dataset.save_to_disk` lays out one split."""
    import pyarrow as pa
    from datasets import Dataset

    folder.mkdir(parents=True, exist_ok=True)
    Dataset(table).save_to_disk(str(folder / "new"))
    for file in (folder / "new").iterdir():
        file.replace(folder / file.name)
    (folder / "new").rmdir()
    path = str(folder / "data-00000-of-00001.arrow")
    with pa.OSFile(path, "wb") as arrow, pa.ipc.new_stream(arrow, table.schema) as stream:
        stream.write_table(table, max_chunksize=2)


def hf_table(first: int, count: int) -> Any:
    import pyarrow as pa

    numbers = range(first, first + count)
    rows = {
        "image": [{"bytes": JPEG + bytes([n]), "path": None} for n in numbers],
        "question": [f"What is {n}?" for n in numbers],
        "answers": [[{"answer": "red", "answer_id": 1}] for _ in numbers],
        "caption": [["A cat.", "A red cat."] for _ in numbers],
    }
    return pa.table(rows)


def write_hf(root: Path) -> None:
    save(root / "dataset_dict.json", {"splits": ["train", "validation"]})
    save_arrow(root / "train", hf_table(0, 3))
    save_arrow(root / "validation", hf_table(10, 2))


def write_imagefolder(root: Path) -> None:
    for split in ("train", "validation"):
        touch(root, *(f"{split}/000{n}.png" for n in range(3)))
    lines = ["file_name,text", *(f'000{n}.png,"A dog, number {n}."' for n in range(3))]
    (root / "train/metadata.csv").write_text("\n".join(lines))
    rows = [{"file_name": f"000{n}.png", "text": ["A cat.", f"Cat {n}."]} for n in range(3)]
    (root / "validation/metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))


def save_parquet(path: Path, table: Any) -> None:
    """As the hub keeps a table, two rows to a row group."""
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=2)


def write_parquet(root: Path) -> None:
    save_parquet(root / "data/train-00000-of-00002.parquet", hf_table(0, 3))
    save_parquet(root / "data/train-00001-of-00002.parquet", hf_table(5, 2))
    save_parquet(root / "data/validation-00000-of-00001.parquet", hf_table(10, 2))
    (root / "README.md").write_text("---\ntags:\n- vqa\n---\n# A data set of ours\n")


SAMPLES: dict[str, Callable[[Path], None]] = {
    "vqa-v1": write_vqa_v1,
    "vqa-v2": write_vqa_v2,
    "visual-genome": write_visual_genome,
    "gqa": write_gqa,
    "daquar": write_daquar,
    "easy-vqa": write_easy_vqa,
    "vqa-rad": write_vqa_rad,
    "pitvqa": write_pitvqa,
    "endovis18-vqa": write_endovis,
    "cholec80-vqa": write_cholec,
    "karpathy": write_karpathy,
    "coco-captions": write_coco,
    "coco-pope": write_coco_pope,
    "flickr8k": write_flickr8k,
    "flickr30k": write_flickr30k,
    **CAPTION_LAYOUTS,
    "table": write_table,
    "imagefolder": write_imagefolder,
    "hf-parquet": write_parquet,
    "hf-datasets": write_hf,
    **QUESTION_LAYOUTS,
}
