# ruff: noqa: E501 - a table of cases, most of them one line long
"""Broken input to the layouts of captions: file, place, cause and cure each time."""

import json

import pytest

from tests.broken_input import Broken, change, cut, is_refused, remove, rewrite, write
from tests.caption_layouts import samples, shard, touch

PAGE = "<!DOCTYPE html><html>404"
POINTER = "version https://git-lfs.github.com/spec/v1\n"

VIZWIZ, TEXTCAPS = "annotations/train.json", "TextCaps_0.1_train.json"
NOCAPS, STAIR = "nocaps_val_4500_captions.json", "stair_captions_v1.2_train.json"
CHALLENGE = "ai_challenger_caption_train_20170902/caption_train_annotations_20170902.json"
COCO_CN = "coco-cn-version1805v1.1/imageid.human-written-caption.txt"
COCO_CN_TEST = "coco-cn-version1805v1.1/coco-cn_test.txt"
FLICKR_CN, FLICKR_CN_TEST = "data/flickr8kzhc.caption.txt", "data/flickr8ktest.txt"
GERMAN, IMAGES = "raw/train.3.en", "image_splits/train_images.txt"
ROCO = "train/radiology/captions.txt"
XRAY = "annotation.json"
CONCEPTUAL = "Train_GCC-training.tsv"
BLIP = "coco_karpathy_train.json"
BESIDE = "train/0001.txt"
SHARD = "train-000000.tar"
OWN = "train_annotations.json"


def coco(source, name):
    """What can be wrong with any file in COCO's form."""
    label = source.split("-")[0]

    def image(**fields):
        return change(name, lambda document: document["images"][0].update(fields))

    def caption(**fields):
        return change(name, lambda document: document["annotations"][0].update(fields))

    return {
        f"{label}: cut off": Broken(source, cut(name, 0.9), name, "breaks off", "again"),
        f"{label}: caption that is an object": Broken(
            source, caption(caption={"raw": "A cat."}), name, "which is no text", "as text",
        ),
        f"{label}: image that is not listed": Broken(
            source, caption(image_id=5), name, "is about image_id 5, which images[] lacks", "released",
        ),
        f"{label}: image outside of the folder": Broken(
            source, image(file_name="../x.jpg"), "", "outside of the folder", "relative",
        ),
        f"{label}: name that is a number": Broken(
            source, image(file_name=9), name, "names no image, but 9", "name of the image",
        ),
        f"{label}: image file missing": Broken(
            source, image(file_name="gone.jpg"), "", "not there", "images=",
        ),
        f"{label}: image id twice": Broken(
            source, change(name, lambda d: d["images"].append({"id": d["images"][0]["id"], "file_name": "b.jpg"})),
            name, "twice", "Keep one",
        ),
    }  # fmt: skip


def packed_shard(**changed):
    """The first shard with other members; None takes one away."""

    def spoil(root):
        members = {
            **samples(0, 2),
            **{name.replace("_", "."): data for name, data in changed.items()},
        }
        shard(root / SHARD, {name: data for name, data in members.items() if data is not None})

    return spoil


def overwritten(root):
    """The header of a member in the middle is damaged: the rest would be passed over in silence."""
    data = bytearray((root / SHARD).read_bytes())
    place = data.index(b"000000001.jpg")
    data[place : place + 512] = b"\xff" * 512
    (root / SHARD).write_bytes(bytes(data))


BROKEN = {
    **coco("coco-form", OWN),
    **coco("vizwiz-captions", VIZWIZ),
    **coco("nocaps", NOCAPS),
    **coco("stair-captions", STAIR),
    # TextCaps
    "textcaps: cut off": Broken("textcaps", cut(TEXTCAPS, 0.7), TEXTCAPS, "breaks off", "again"),
    "textcaps: web page": Broken("textcaps", write(TEXTCAPS, PAGE), TEXTCAPS, "web page", "download"),
    "textcaps: no data": Broken(
        "textcaps", write(TEXTCAPS, {"data": []}), TEXTCAPS, "holds no records at 'data[]'", "released",
    ),
    "textcaps: no image": Broken(
        "textcaps", change(TEXTCAPS, lambda d: d["data"][0].pop("image_id")), TEXTCAPS,
        "record 1 names no image", "name of the image",
    ),
    "textcaps: unknown split": Broken(
        "textcaps", change(TEXTCAPS, lambda d: d["data"][0].update(set_name="later")), TEXTCAPS,
        "record 1 is of split 'later'", "train, val",
    ),
    "textcaps: references that are no text": Broken(
        "textcaps", change(TEXTCAPS, lambda d: d["data"][0].update(reference_strs=[["a"]])), TEXTCAPS,
        "which is no text", "as text",
    ),
    # AI Challenger
    "challenger: cut off": Broken("ai-challenger", write(CHALLENGE, b"[{\"image_id\": \"a.jpg"), CHALLENGE, "breaks off", "again"),
    "challenger: an object": Broken(
        "ai-challenger", write(CHALLENGE, {"a": 1}), CHALLENGE, "an object {…} where a list", "list",
    ),
    "challenger: Git LFS pointer": Broken(
        "ai-challenger", write(CHALLENGE, POINTER), CHALLENGE, "Git LFS pointer", "git lfs pull",
    ),
    "challenger: captions that are no text": Broken(
        "ai-challenger", change(CHALLENGE, lambda d: d[1].update(caption=[["一"]])), CHALLENGE,
        "record 2", "as text",
    ),
    "challenger: no image": Broken(
        "ai-challenger", change(CHALLENGE, lambda d: d[1].pop("image_id")), CHALLENGE, "names no image", "name of",
    ),
    "challenger: an address for a name": Broken(
        "ai-challenger", change(CHALLENGE, lambda d: d[1].update(image_id="http://host/a.jpg")), CHALLENGE,
        "names no file, but the address", "Download",
    ),
    # COCO-CN
    "coco-cn: blanks for the tab": Broken(
        "coco-cn", rewrite(COCO_CN, "\t", "  "), COCO_CN, "line 1 is not of the form", "released",
    ),
    "coco-cn: a line twice": Broken(
        "coco-cn", rewrite(COCO_CN, "#1\t", "#0\t"), COCO_CN, "a second time", "Keep one",
    ),
    "coco-cn: image in two lists": Broken(
        "coco-cn", write(COCO_CN_TEST, "COCO_val2014_000000000077\nCOCO_val2014_000000000042\n"),
        COCO_CN_TEST.replace("test", "val"), "is also in the list of the test images", "one split",
    ),
    "coco-cn: listed image without a caption": Broken(
        "coco-cn", write(COCO_CN_TEST, "COCO_val2014_000000000078\n"), COCO_CN,
        "no record of 1 images of the split lists", "same release",
    ),
    "coco-cn: Latin-1": Broken("coco-cn", write(COCO_CN, b"caf\xe9\n"), COCO_CN, "is not UTF-8", "UTF-8"),
    "coco-cn: empty list": Broken("coco-cn", write(COCO_CN_TEST, b""), COCO_CN_TEST, "is empty", "again"),
    # Flickr8k-CN
    "flickr8k-cn: no number": Broken(
        "flickr8k-cn", rewrite(FLICKR_CN, "#zhc#0 ", " "), FLICKR_CN, "line 1 is not of the form", "released",
    ),
    "flickr8k-cn: a line twice": Broken(
        "flickr8k-cn", rewrite(FLICKR_CN, "#zhc#1", "#zhc#0"), FLICKR_CN, "line 2 has", "Keep one",
    ),
    "flickr8k-cn: image in two lists": Broken(
        "flickr8k-cn", write(FLICKR_CN_TEST, "0077_ab.jpg\n0009_ab.jpg\n"),
        FLICKR_CN_TEST.replace("test", "train"), "is also in", "one split",
    ),
    "flickr8k-cn: no caption": Broken(
        "flickr8k-cn", write(FLICKR_CN_TEST, "0078_ab\n"), FLICKR_CN, "the first is 0078_ab", "same release",
    ),
    "flickr8k-cn: web page": Broken("flickr8k-cn", write(FLICKR_CN, PAGE), FLICKR_CN, "web page", "download"),
    "flickr8k-cn: image missing": Broken(
        "flickr8k-cn", remove("Flicker8k_Dataset/0042_ab.jpg"), "", "1 of 4 images", "images=",
    ),
    # Multi30k
    "multi30k: a line lost": Broken(
        "multi30k", write(GERMAN, "A dog.\n"), IMAGES, "not equally many lines", "same release",
    ),
    "multi30k: empty": Broken("multi30k", write(GERMAN, b"\n"), GERMAN, "is empty", "again"),
    "multi30k: no UTF-8": Broken("multi30k", write(GERMAN, b"caf\xe9\nb\n"), GERMAN, "byte 3", "UTF-8"),
    "multi30k: web page": Broken("multi30k", write(IMAGES, PAGE), IMAGES, "web page", "download"),
    "multi30k: image missing": Broken(
        "multi30k", remove("flickr30k_images/10002456.jpg"), "", "1 of 3 images", "images=",
    ),
    "multi30k: no name": Broken("multi30k", write(IMAGES, "a.jpg\n\n \n"), IMAGES, "not equally many", "same"),
    "multi30k: image in two splits": Broken(
        "multi30k", write(IMAGES, "10002456.jpg\n1000268201.jpg\n"), "", "in two splits", "--overlap",
    ),
    # ROCO
    "roco: no tab": Broken("roco", rewrite(ROCO, "\t", " "), ROCO, "line 1 is not of the form <id>", "released"),
    "roco: id twice": Broken(
        "roco", rewrite(ROCO, "ROCO_00003", "ROCO_00002"), ROCO, "line 2 has ROCO_00002 a second time", "Keep one",
    ),
    "roco: image missing": Broken(
        "roco", remove("train/radiology/images/ROCO_00002.jpg"), "", "1 of 4 images", "images=",
    ),
    "roco: empty": Broken("roco", write(ROCO, b""), ROCO, "is empty", "again"),
    "roco: UTF-16": Broken("roco", write(ROCO, "ROCO_00002\tA\n".encode("utf-16-be")), ROCO, "zero bytes", "UTF-8"),
    "roco: two files for a name": Broken(
        "roco", lambda root: touch(root, "train/radiology/images/ROCO_00002.png"),
        "train/radiology/images", "could be ROCO_00002.jpg and ROCO_00002.png", "with their endings",
    ),
    # IU X-Ray
    "iu-xray: cut off": Broken("iu-xray", cut(XRAY, 0.9), XRAY, "breaks off", "again"),
    "iu-xray: no records": Broken(
        "iu-xray", write(XRAY, {"train": [], "report": "image_path"}), XRAY, "names no image", "relative",
    ),
    "iu-xray: unknown split": Broken(
        "iu-xray", change(XRAY, lambda d: d["train"][0].update(split="x")), XRAY, "is of split 'x'", "train, val",
    ),
    "iu-xray: path that is a number": Broken(
        "iu-xray", change(XRAY, lambda d: d["train"][0].update(image_path=[3])), XRAY, "names no image", "name of",
    ),
    "iu-xray: report that is no text": Broken(
        "iu-xray", change(XRAY, lambda d: d["train"][0].update(report=True)), XRAY, "which is no text", "yes",
    ),
    "iu-xray: second view missing": Broken(
        "iu-xray", remove("images/CXR9_IM-0009/1.png"), "", "1 of 8 images", "images=",
    ),
    # Conceptual Captions
    "conceptual: no address": Broken(
        "conceptual-captions", rewrite(CONCEPTUAL, "https://host/1/photo.jpg?size=9", "none"), CONCEPTUAL,
        "line 2 is not a caption, a tab, and an address", "released",
    ),
    "conceptual: blanks for the tab": Broken(
        "conceptual-captions", write(CONCEPTUAL, "a view  https://host/a.jpg\n"), CONCEPTUAL, "line 1 is not", "released",
    ),
    "conceptual: empty": Broken("conceptual-captions", write(CONCEPTUAL, b" "), CONCEPTUAL, "is empty", "again"),
    "conceptual: web page": Broken("conceptual-captions", write(CONCEPTUAL, PAGE), CONCEPTUAL, "web page", "download"),
    "conceptual: not downloaded": Broken(
        "conceptual-captions", remove("training/00000/000000001.jpg"), "", "1 of 4 images", "--missing drop",
    ),
    "conceptual: Latin-1": Broken(
        "conceptual-captions", write(CONCEPTUAL, b"caf\xe9\thttp://host/a.jpg\n"), CONCEPTUAL, "byte 3", "UTF-8",
    ),
    # BLIP's lists
    "blip: cut off": Broken("blip-captions", cut(BLIP, 0.9), BLIP, "breaks off", "again"),
    "blip: an object": Broken(
        "blip-captions", write(BLIP, {"image": 1, "caption": 2}), BLIP, "an object {…} where a list", "list",
    ),
    "blip: no image": Broken(
        "blip-captions", change(BLIP, lambda d: d[0].pop("image")), BLIP, "record 1 names no image", "name of",
    ),
    "blip: caption of no text": Broken(
        "blip-captions", change(BLIP, lambda d: d[0].update(caption=[{"raw": "a"}])), BLIP, "which is no text", "as text",
    ),
    "blip: image outside": Broken(
        "blip-captions", change(BLIP, lambda d: d[0].update(image="../../x.jpg")), "", "outside of the folder", "relative",
    ),
    "blip: image missing": Broken(
        "blip-captions", remove("val2014/COCO_val2014_000000000042.jpg"), "", "1 of 4 images", "images=",
    ),
    # Texts beside images
    "beside: no UTF-8": Broken("text-beside", write(BESIDE, b"caf\xe9"), BESIDE, "byte 3", "UTF-8"),
    "beside: web page": Broken("text-beside", write(BESIDE, PAGE), BESIDE, "web page", "download"),
    "beside: two texts": Broken(
        "text-beside", write("train/0001.caption", "A cat."), "train/0001.caption", "are both about", "Keep one",
    ),
    "beside: two images": Broken(
        "text-beside", lambda root: touch(root, "train/0001.jpg"), "train", "could be 0001.jpg and 0001.png", "endings",
    ),
    "beside: Git LFS pointer": Broken("text-beside", write(BESIDE, POINTER), BESIDE, "Git LFS pointer", "pull"),
    "beside: some without a split": Broken(
        "text-beside", lambda root: [touch(root, "0009.png"), (root / "0009.txt").write_text("A dog.")],
        "0009.txt", "has no split, but others have", "Fill",
    ),
    # Shards
    "shard: cut off": Broken("webdataset", cut(SHARD, 0.3), SHARD, "is not a whole tar file", "again"),
    "shard: damaged in the middle": Broken(
        "webdataset", overwritten, SHARD, "damaged in the middle", "again",
    ),
    "shard: no image": Broken(
        "webdataset", packed_shard(**{"000000000_jpg": b"no image"}), SHARD, "an image of unknown kind", "JPEG",
    ),
    "shard: JSON cut off": Broken(
        "webdataset", packed_shard(**{"000000001_json": b'{"a": '}), SHARD, "000000001.json is not JSON", "object",
    ),
    "shard: JSON of another kind": Broken(
        "webdataset", packed_shard(**{"000000001_json": b"3"}), SHARD, "not an object", "caption",
    ),
    "shard: text that is no UTF-8": Broken(
        "webdataset", packed_shard(**{"000000001_txt": b"caf\xe9"}), SHARD, "is not UTF-8 text: byte 3", "UTF-8",
    ),
    "shard: question without an answer": Broken(
        "webdataset", packed_shard(**{"000000001_json": json.dumps({"question": "Who?"}).encode()}), SHARD,
        "has no answer to 'Who?'", "split test",
    ),
    "shard: Git LFS pointer": Broken("webdataset", write(SHARD, POINTER), SHARD, "Git LFS pointer", "pull"),
    "shard: name without a split": Broken(
        "webdataset", lambda root: shard(root / "000009.tar", samples(90, 1)), "000009.tar", "says no split", "Name it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input_is_refused_with_file_cause_and_cure(name, tmp_path):
    is_refused(BROKEN[name], tmp_path)
