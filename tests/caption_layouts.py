"""A tiny data set in each layout of captions that a file of text, or a small reader, describes.

Each is written from the description of its release, which docs/data.md names.
"""

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SPLITS = (("train", (9, 10)), ("val", (42,)), ("test", (77,)))


def save(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def lines(path: Path, *texts: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"image")


def coco_form(names: Mapping[int, str], captions: int = 2) -> dict[str, Any]:
    """Images and their captions; without captions, the list of images alone."""
    images = [{"id": n, "file_name": name, "height": 4, "width": 4} for n, name in names.items()]
    document: dict[str, Any] = {"info": {}, "licenses": [], "images": images}
    if captions:
        document["annotations"] = [
            {"id": image * 10 + n, "image_id": image, "caption": f"A cat, number {n}."}
            for image in names
            for n in range(captions)
        ]
    return document


def write_coco_form(root: Path) -> None:
    for split, images in SPLITS:
        names = {n: f"IMG_{n:04}.jpg" for n in images}
        save(root / f"{split}_annotations.json", coco_form(names))
        touch(root, *(f"pictures/{name}" for name in names.values()))


def write_vizwiz_captions(root: Path) -> None:
    """Five captions an image, of which one is spam and one was chosen from a list."""
    for split, images in SPLITS:
        names = {n: f"VizWiz_{split}_{n:08}.jpg" for n in images}
        document = coco_form(names, 0 if split == "test" else 5)
        for record in document.get("annotations", ()):
            place = record["id"] % 10
            record |= {"is_rejected": place == 3, "is_precanned": place == 4, "text_detected": True}
        save(root / f"annotations/{split}.json", document)
        touch(root, *(f"{split}/{name}" for name in names.values()))


def textcaps(split: str, images: tuple[int, ...]) -> dict[str, Any]:
    """A record for each caption of an image, with all of them in it; a test image has one alone."""
    texts = [f"A bottle labelled {n}." for n in range(5)]
    records: list[dict[str, Any]] = []
    for image in images:
        name = f"{image:016x}"  # of Open Images; in a release some are digits alone
        about = {"image_id": name, "image_path": f"{split}/{name}.jpg"}
        about |= {"set_name": split, "image_classes": ["Bottle"], "image_width": 32}
        if split == "test":
            records.append(about)
        else:
            told = [{"caption_str": text, "reference_strs": texts} for text in texts]
            records += [{**about, "caption_id": n, **one} for n, one in enumerate(told)]
    return {"dataset_type": split, "dataset_version": "0.1", "data": records}


def write_textcaps(root: Path) -> None:
    for split, images in SPLITS:
        save(root / f"TextCaps_0.1_{split}.json", textcaps(split, images))
        folder = "test_images" if split == "test" else "train_images"
        touch(root, *(f"{folder}/{n:016x}.jpg" for n in images))


def write_nocaps(root: Path) -> None:
    """With a training split, which the release lacks: half of the validation images' captions."""
    for split, images in SPLITS:
        names = {n: f"{n:015x}.jpg" for n in images}
        kind = "image_info" if split == "test" else "4500_captions"
        save(root / f"nocaps_{split}_{kind}.json", coco_form(names, 0 if split == "test" else 10))
        touch(root, *(f"{split}/{name}" for name in names.values()))


def write_ai_challenger(root: Path) -> None:
    days = {"train": "20170902", "validation": "20170910", "test_a": "20180103"}
    for (split, day), images in zip(days.items(), ((1, 2), (3,), (4,)), strict=True):
        home = root / f"ai_challenger_caption_{split}_{day}"
        records = [
            {"url": f"http://host/{n}", "image_id": f"{n:08x}.jpg", "caption": [f"一只{n}猫"] * 5}
            for n in images
        ]
        save(home / f"caption_{split}_annotations_{day}.json", records)
        touch(home, *(f"caption_{split}_images_{day}/{n:08x}.jpg" for n in images))


def write_coco_cn(root: Path) -> None:
    home = root / "coco-cn-version1805v1.1"
    names = {n: f"COCO_val2014_{n:012}" for _, images in SPLITS for n in images}
    told = [f"{name}#0\t一只猫睡在沙发上" for name in names.values()]
    lines(home / "imageid.human-written-caption.txt", *told, f"{names[9]}#1\t猫在睡觉")
    lines(home / "imageid.manually-translated-caption.txt", f"{names[77]}#0\t猫睡着了")
    lines(home / "imageid.human-written-tags.txt", f"{names[77]} 猫 沙发")
    for split, images in SPLITS:
        lines(home / f"coco-cn_{split}.txt", *(names[n] for n in images))
    touch(home, *(f"val2014/{name}.jpg" for name in names.values()))


def write_flickr8k_cn(root: Path) -> None:
    names = {n: f"{n:04}_ab.jpg" for _, images in SPLITS for n in images}
    told = [f"{name}#zhc#{n} 一只狗在水里游泳{n}" for name in names.values() for n in range(5)]
    lines(root / "data/flickr8kzhc.caption.txt", *told)
    for split, images in SPLITS:
        lines(root / f"data/flickr8k{split}.txt", *(names[n] for n in images))
    touch(root, *(f"Flicker8k_Dataset/{name}" for name in names.values()))


def write_stair(root: Path) -> None:
    for split, images in SPLITS[:2]:
        names = {n: f"COCO_{split}2014_{n:012}.jpg" for n in images}
        document = coco_form(names, 5)
        save(root / f"stair_captions_v1.2_{split}.json", document)
        for record in document["annotations"]:
            record["tokenized_caption"] = "猫 が いる"
        save(root / f"stair_captions_v1.2_{split}_tokenized.json", document)
        touch(root, *(f"{split}2014/{name}" for name in names.values()))


def write_multi30k(root: Path) -> None:
    """Task 2: the same images in both languages, described by other people."""
    for split, images in (("train", (1000092795, 10002456)), ("val", (1000268201,))):
        names = [f"{n}.jpg" for n in images]
        lines(root / f"image_splits/{split}_images.txt", *names)
        for language, text in (("en", "A dog runs ."), ("de", "Ein Hund rennt .")):
            for n in range(1, 6):
                lines(root / f"raw/{split}.{n}.{language}", *(f"{text} {n}" for _ in names))
        touch(root, *(f"flickr30k_images/{name}" for name in names))


def write_roco(root: Path) -> None:
    for split, images in (("train", (2, 3)), ("validation", (6,)), ("test", (1,))):
        home = root / f"{split}/radiology"
        lines(
            home / "captions.txt", *(f"ROCO_{n:05}\t Axial CT {n}, [arrow] | mass." for n in images)
        )
        table = (f'ROCO_{n:05},PMC{n}_fig.jpg,"Axial CT {n}, [arrow] | mass."' for n in images)
        lines(home / f"{split}data.csv", "id,name,caption", *table)
        touch(home, *(f"images/ROCO_{n:05}.jpg" for n in images))


def iu_xray() -> dict[str, Any]:
    return {
        split: [
            {
                "id": f"CXR{n}_IM-{n:04}",
                "report": "Heart size is normal . No effusion .",
                "image_path": [f"CXR{n}_IM-{n:04}/{view}.png" for view in (0, 1)],
                "split": split,
            }
            for n in images
        ]
        for split, images in SPLITS
    }


def write_iu_xray(root: Path) -> None:
    document = iu_xray()
    save(root / "annotation.json", document)
    for records in document.values():
        touch(root, *(f"images/{path}" for one in records for path in one["image_path"]))


def write_conceptual(root: Path) -> None:
    """Two of three training images were downloaded, numbered from 0."""
    told = [f"a view of the city {n}\thttps://host/{n}/photo.jpg?size=9" for n in range(3)]
    lines(root / "Train_GCC-training.tsv", *told)
    lines(root / "Validation_GCC-1.1.0-Validation.tsv", "actor at the premiere\thttp://host/a.jpg")
    touch(root, *(f"training/00000/{n:09}.jpg" for n in range(3)), "validation/000000000.jpg")


def write_blip(root: Path) -> None:
    for split, images in SPLITS:
        names = {n: f"val2014/COCO_val2014_{n:012}.jpg" for n in images}
        records: list[dict[str, Any]] = []
        for n, name in names.items():
            texts = [f"A cat, number {k}." for k in range(5)]
            if split == "train":
                about = {"image": name, "image_id": f"coco_{n}"}
                records += [{"caption": text, **about} for text in texts]
            else:
                records.append({"image": name, "caption": texts})
        save(root / f"coco_karpathy_{split}.json", records)
        touch(root, *names.values())


def write_text_beside(root: Path) -> None:
    for folder, count in (("train", 3), ("val", 2)):
        for n in range(count):
            lines(root / f"{folder}/{n:04}.txt", f"A dog, number {n}.", "A dog runs.")
            touch(root, f"{folder}/{n:04}.{'png' if n else 'JPG'}")


def shard(path: Path, members: Mapping[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))


def samples(first: int, count: int) -> dict[str, bytes]:
    """As img2dataset writes them: the caption is in the text and in the JSON."""
    members: dict[str, bytes] = {}
    for n in range(first, first + count):
        text = f"A boat, number {n}."
        about = {"caption": text, "key": f"{n:09}", "status": "success", "url": "http://host/a"}
        parts = {"jpg": b"\xff\xd8\xff" + n.to_bytes(2), "txt": text.encode()}
        parts["json"] = json.dumps(about).encode()
        members |= {f"{n:09}.{ending}": data for ending, data in parts.items()}
    return members


def write_webdataset(root: Path) -> None:
    shard(root / "train-000000.tar", samples(0, 2))
    shard(root / "train-000001.tar", samples(10, 2))
    shard(root / "val-000000.tar", samples(20, 2))


CAPTION_LAYOUTS: dict[str, Callable[[Path], None]] = {
    "vizwiz-captions": write_vizwiz_captions,
    "textcaps": write_textcaps,
    "nocaps": write_nocaps,
    "ai-challenger": write_ai_challenger,
    "coco-cn": write_coco_cn,
    "flickr8k-cn": write_flickr8k_cn,
    "stair-captions": write_stair,
    "multi30k": write_multi30k,
    "roco": write_roco,
    "iu-xray": write_iu_xray,
    "conceptual-captions": write_conceptual,
    "blip-captions": write_blip,
    "text-beside": write_text_beside,
    "webdataset": write_webdataset,
    "coco-form": write_coco_form,
}
