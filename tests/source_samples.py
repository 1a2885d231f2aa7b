"""A tiny data set in every layout that `prepare` reads, for the tests of the readers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

ANSWERS = ["red"] * 7 + ["pink", "red", "crimson"]


def save(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def touch(root: Path, *names: str) -> None:
    """Picture files that nobody will open."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"picture")


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


def rad_record(number: int, picture: int) -> dict[str, Any]:
    return {
        "qid": number,
        "image_name": f"synpic{picture}.jpg",
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


SAMPLES: dict[str, Callable[[Path], None]] = {
    "vqa-v1": write_vqa_v1,
    "vqa-v2": write_vqa_v2,
    "karpathy": write_karpathy,
    "coco-captions": write_coco,
    "flickr8k": write_flickr8k,
    "vqa-rad": write_vqa_rad,
}
