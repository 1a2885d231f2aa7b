"""A tiny data set in every question layout of `datasets/layouts`, as its release describes it."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.sample_files import save, touch, write_lines

TEN = ["berry"] * 6 + ["fruit"] * 4
PARTS = (("train", 100), ("val", 150), ("test", 170))
"""Splits, and the number of the first image in each."""


def ten(**more: Any) -> list[dict[str, Any]]:
    """Ten answers as VQA releases them."""
    return [
        {"answer_id": place, "answer": text, "answer_confidence": "yes"}
        | {name: value + text for name, value in more.items()}
        for place, text in enumerate(TEN, start=1)
    ]


def questions(image: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image + n,
            "question": f"What is {n}?",
            "question_id": (image + n) * 10,
            **more,
        }
        for n in range(3)
    ]


def annotations(image: int, answers: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
    return [
        {"image_id": image + n, "question_id": (image + n) * 10, "answers": answers, **more}
        for n in range(3)
    ]


TYPES = {"question_type": "what is", "answer_type": "other", "multiple_choice_answer": "fruit"}


def write_ok_vqa(root: Path) -> None:
    for split, image in PARTS[:2]:
        subset = f"{split}2014"
        head = {"data_type": "mscoco", "data_subtype": subset}
        save(
            root / f"OpenEnded_mscoco_{subset}_questions.json",
            {**head, "questions": questions(image)},
        )
        answered = annotations(image, ten(raw_answer="a "), question_type="four", confidence=3)
        save(root / f"mscoco_{subset}_annotations.json", {**head, "annotations": answered})
        touch(root, *(f"{subset}/COCO_{subset}_{image + n:012}.jpg" for n in range(3)))


def write_a_okvqa(root: Path) -> None:
    answered = {"correct_choice_idx": 1, "direct_answers": TEN, "rationales": ["It is a coat."] * 3}
    write_lines(root / "large_vocab_train.csv", "coat", "berry")
    for split, image in PARTS:
        records = [
            {
                "split": split,
                "image_id": image + n,
                "question_id": f"22Mexx{split}{n}",
                "question": "What keeps it warm?",
                "choices": ["coat", "berry", "oven", "sand"],
                "difficult_direct_answer": False,
            }
            | (answered if split != "test" else {})
            for n in range(3)
        ]
        save(root / f"aokvqa_v1p0_{split}.json", records)
        touch(root, *(f"{split}2017/{image + n:012}.jpg" for n in range(3)))


def write_vizwiz(root: Path) -> None:
    answers = [{"answer_confidence": "maybe", "answer": text} for text in TEN]
    answered = {"answers": answers, "answer_type": "other", "answerable": 1}
    for split, _ in PARTS:
        records = [
            {"image": f"VizWiz_{split}_{n:08}.jpg", "question": "What colour is this?"}
            | (answered if split != "test" else {})
            for n in range(3)
        ]
        save(root / f"Annotations/{split}.json", records)
        touch(root, *(f"{split}/VizWiz_{split}_{n:08}.jpg" for n in range(3)))


def write_textvqa(root: Path) -> None:
    for split, _ in PARTS:
        records = [
            {"question_id": n, "question": "what is the brand?", "image_id": f"0a{split}{n}f2"}
            | {"set_name": split, "question_tokens": ["what"], "image_classes": ["Camera"]}
            | {"flickr_300k_url": f"https://host/{n}_z.jpg", "image_width": 8, "image_height": 6}
            | ({"answers": TEN} if split != "test" else {})
            for n in range(3)
        ]
        head = {"dataset_type": split, "dataset_name": "textvqa", "dataset_version": "0.5.1"}
        save(root / f"TextVQA_0.5.1_{split}.json", {**head, "data": records})
        folder = "test_images" if split == "test" else "train_images"
        touch(root, *(f"{folder}/0a{split}{n}f2.jpg" for n in range(3)))


def write_vqa_form(root: Path) -> None:
    """Of own names, with text for ids and without types, the images by number."""
    for split, image in PARTS[:2]:
        asked = questions(image, file_name=None)
        answered = annotations(image, ten())
        for record in (*asked, *answered):
            record["question_id"] = f"q{record['question_id']}"
        save(root / f"ask.{split}.json", {"questions": asked})
        save(root / f"replies.{split}.json", {"annotations": answered})
        touch(root, *(f"pictures/{image + n}.png" for n in range(3)))


MAPPING = """records = "scenes[].asked[]"
image = "{scene.number:05d}.png"
question = "q.text"
answers = "replies[].label"
split = "set"
"""


def write_mapping(root: Path) -> None:
    """Records within records, under names of nobody."""
    write_lines(root / "mapping.toml", *MAPPING.splitlines())
    scenes = [
        {
            "set": split,
            "asked": [
                {
                    "scene": {"number": image + n},
                    "q": {"text": f"What is {n}?"},
                    "replies": [{"label": "a berry"}, {"label": "fruit"}],
                }
                for n in range(3)
            ],
        }
        for split, image in PARTS
    ]
    save(root / "mine.json", {"scenes": scenes})
    touch(root, *(f"images/{image + n:05}.png" for _, image in PARTS for n in range(3)))


def write_vqa_cp(root: Path, version: str) -> None:
    """Both splits have images of both of COCO's, and one image is in both."""
    for split, parts in (("train", ((100, "train2014"), (200, "val2014"))), ("test", ((202, ""),))):
        asked, answered = [], []
        for image, named in parts:
            subset = named or "val2014"
            asked += questions(image, coco_split=subset)
            answered += annotations(image, ten(), coco_split=subset, **TYPES)
            touch(root, *(f"{subset}/COCO_{subset}_{image + n:012}.jpg" for n in range(3)))
        for record in (*asked, *answered):
            record["question_id"] += split == "test"
        save(root / f"vqacp_{version}_{split}_questions.json", asked)
        save(root / f"vqacp_{version}_{split}_annotations.json", answered)


def ood_questions(start: str, image: str) -> dict[str, Any]:
    return {
        f"{start}{n}": {
            "imageId": image,
            "question": f"Is it {n}?",
            "answer": "yes",
            "types": {"semantic": "obj", "structural": "verify"},
            "groups": {"local": "10c"},
        }
        for n in range(3)
    }


def write_gqa_ood(root: Path) -> None:
    for part, start, image in (("val", "0507", "2321003"), ("testdev", "20", "n578223")):
        for kind, more in (("all", ""), ("head", "1"), ("tail", "2")):
            path = root / f"data/ood_{part}_{kind}.json"
            save(path, ood_questions(start + more, image))
        touch(root, f"images/{image}.jpg")


def write_clevr(root: Path) -> None:
    for split, _ in PARTS:
        records = [
            {
                "question_index": n,
                "split": split,
                "image_index": n // 2,
                "image_filename": f"CLEVR_{split}_{n // 2:06}.png",
                "question": f"How many of {n} are there?",
            }
            | (
                {
                    "answer": str(n),
                    "program": [{"function": "scene", "inputs": [], "value_inputs": []}],
                    "question_family_index": 39,
                }
                if split != "test"
                else {}
            )
            for n in range(4)
        ]
        path = root / f"questions/CLEVR_{split}_questions.json"
        save(path, {"info": {"split": split, "version": "1.0"}, "questions": records})
        save(root / f"scenes/CLEVR_{split}_scenes.json", {"info": {}, "scenes": []})
        touch(root, *(f"images/{split}/CLEVR_{split}_{n:06}.png" for n in range(2)))


def write_coco_qa(root: Path) -> None:
    for split, image, subset in (("train", 600, "train2014"), ("test", 700, "val2014")):
        columns = {
            "questions": [f"what is the color of the cat {n}" for n in range(3)],
            "answers": ["white", "two", "cat"],
            "img_ids": [str(image + n) for n in range(3)],
            "types": ["2", "1", "0"],
        }
        for name, lines in columns.items():
            write_lines(root / f"{split}/{name}.txt", *lines)
        touch(root, *(f"{subset}/COCO_{subset}_{image + n:012}.jpg" for n in range(3)))


def write_visual7w(root: Path) -> None:
    images = [
        {
            "split": split,
            "image_id": image + n,
            "filename": f"v7w_{image + n}.jpg",
            "qa_pairs": [
                {
                    "qa_id": (image + n) * 10 + k,
                    "image_id": image + n,
                    "question": "What is on the table?",
                    "answer": "A clock.",
                    "multiple_choices": ["A cat.", "A cup.", "A lamp."],
                    "type": "what",
                }
                for k in range(2)
            ],
        }
        for split, image in PARTS
        for n in range(2)
    ]
    save(root / "dataset_v7w_telling.json", {"dataset": "visual7w-telling", "images": images})
    touch(root, *(f"images/{image['filename']}" for image in images))


def write_vqa_abstract(root: Path) -> None:
    for split, image in (("train", 0), ("val", 20000)):
        subset = f"{split}2015"
        head = {"data_type": "abstract_v002", "data_subtype": subset}
        for form, more in (("OpenEnded", {}), ("MultipleChoice", {"multiple_choices": TEN[4:8]})):
            path = root / f"{form}_abstract_v002_{subset}_questions.json"
            save(path, {**head, "questions": questions(image, **more)})
        answered = {**head, "annotations": annotations(image, ten(), **TYPES)}
        save(root / f"abstract_v002_{subset}_annotations.json", answered)
        folder = f"scene_img_abstract_v002_{subset}"
        touch(root, *(f"{folder}/abstract_v002_{subset}_{image + n:012}.png" for n in range(3)))


def write_vivqa(root: Path) -> None:
    for split, image in (("train", 557), ("test", 560)):  # one image is in both
        rows = [f"{n},màu của con mèo là gì,màu trắng,{image + n},2" for n in range(4)]
        write_lines(root / f"{split}.csv", ",question,answer,img_id,type", *rows)
        touch(root, *(f"images/{image + n:012}.jpg" for n in range(4)))


def write_slake(root: Path) -> None:
    """Of one image the English questions are for training, the Chinese ones for validation."""
    for place, (split, first) in enumerate((("train", 1), ("validate", 4), ("test", 7))):
        records = [
            {
                "img_id": (image := first + n - (place == 1 and n == 0 and language == "zh")),
                "img_name": f"xmlab{image}/source.jpg",
                "question": question,
                "answer": answer,
                "q_lang": language,
                "location": "Abdomen",
                "modality": "MRI",
                "answer_type": "OPEN",
                "base_type": "vqa",
                "content_type": "Modality",
                "triple": ["vhead", "_", "_"],
                "qid": place * 100 + n * 2 + (language == "zh"),
            }
            for n in range(3)
            for question, answer, language in (
                ("What modality is used?", "MRI", "en"),
                ("这是什么模态?", "核磁共振", "zh"),
            )
        ]
        if split == "train":
            records.append({**records[0], "question": "Is there a liver?", "answer": "", "qid": 99})
        save(root / f"{split}.json", records)
        for n in range(3):
            save(root / f"imgs/xmlab{first + n}/question.json", records[2 * n : 2 * n + 2])
            touch(root, f"imgs/xmlab{first + n}/source.jpg", f"imgs/xmlab{first + n}/mask.png")
    write_lines(root / "KG/en_organ.csv", "organ#function#process", "liver#filters#blood")


def save_pickle(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value))


def write_pathvqa(root: Path) -> None:
    for split, _ in PARTS:
        records = [
            {"image": f"{split}_{n:04}", "question": "what are stained here?", "answer": "nuclei"}
            for n in range(3)
        ]
        save_pickle(root / f"qas/{split}/{split}_qa.pkl", records)
        save_pickle(root / f"qas/{split}_vqa.pkl", [{"img_id": f"{split}_0000", "label": {}}])
        touch(root, *(f"images/{split}/{split}_{n:04}.jpg" for n in range(3)))


def write_vqa_med(root: Path) -> None:
    for split, folder, first in (("train", "Training", 100), ("val", "Validation", 200)):
        home = f"ImageClef-2019-VQA-Med-{folder}"
        lines = [f"synpic{first + n}|is this a ct scan?|no" for n in range(3)]
        write_lines(root / home / f"All_QA_Pairs_{split}.txt", *lines)
        write_lines(root / home / f"QAPairsByCategory/C1_Modality_{split}.txt", *lines)
        name = f"{split.capitalize()}_images"
        touch(root, *(f"{home}/{name}/synpic{first + n}.jpg" for n in range(3)))
    asked = "synpic300|what plane is this?", "synpic301|what is abnormal in the image?"
    write_lines(root / "VQAMed2019Test/VQAMed2019_Test_Questions.txt", *asked)
    write_lines(
        root / "VQAMed2019Test/VQAMed2019_Test_Questions_w_Ref_Answers.txt",
        "synpic300|plane|what plane is this?|axial",
        "synpic301|abnormality|what is abnormal in the image?|a mass#neoplasm",
    )
    touch(root, *(f"VQAMed2019Test/VQAMed2019_Test_Images/synpic30{n}.jpg" for n in range(2)))


def write_pope(root: Path) -> None:
    for kind in ("random", "popular", "adversarial"):
        lines = [
            f'{{"question_id": {n}, "image": "COCO_val2014_{n:012}.jpg", '
            f'"text": "Is there a {kind} in the image?", "label": "{"no" if n % 2 else "yes"}"}}'
            for n in range(1, 5)
        ]
        write_lines(root / f"coco_pope_{kind}.json", *lines)
    touch(root, *(f"val2014/COCO_val2014_{n:012}.jpg" for n in range(1, 5)))


def write_chartqa(root: Path) -> None:
    for split, first in PARTS:
        for kind, image in (("human", first), ("augmented", first + 10)):
            records = [
                {"imgname": f"{image + n}.png", "query": "How high is it?", "label": "3.5"}
                for n in range(3)
            ]
            save(root / f"{split}/{split}_{kind}.json", records)
            touch(root, *(f"{split}/png/{image + n}.png" for n in range(3)))
            write_lines(root / f"{split}/tables/{image}.csv", "Food,Price", "Corn,3.5")
            save(root / f"{split}/annotations/{image}.json", {"type": "v_bar", "models": []})


def write_scienceqa(root: Path) -> None:
    problems = {
        str(first + n): {
            "question": "Which of these is colder?",
            "choices": ["the left", "the right"],
            "answer": n % 2,
            "hint": "",
            "image": "image.png" if n else None,
            "task": "closed choice",
            "grade": "grade2",
            "subject": "natural science",
            "topic": "physics",
            "category": "Thermal energy",
            "skill": "How is temperature related to thermal energy?",
            "lecture": "",
            "solution": "",
            "split": split,
        }
        for split, first in PARTS
        for n in range(3)
    }
    save(root / "problems.json", problems)
    save(root / "pid_splits.json", {"train": ["100"], "minitrain": [], "test": ["170"]})
    touch(root, *(f"images/{one['split']}/{n}/image.png" for n, one in problems.items()))


def write_llava(root: Path) -> None:
    records: list[dict[str, Any]] = [
        {
            "id": f"{n:012}",
            "image": f"{n:012}.jpg",
            "conversations": [
                {"from": "human", "value": "What is it?\n<image>"},
                {"from": "gpt", "value": f"It is number {n}."},
                {"from": "human", "value": "Is it red?"},
                {"from": "gpt", "value": "No."},
            ],
        }
        for n in range(20)
    ]
    spoken = [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Yes."}]
    save(root / "instruct_2k.json", [*records, {"id": "text", "conversations": spoken}])
    touch(root, *(f"train2017/{n:012}.jpg" for n in range(20)))


def write_blip(root: Path) -> None:
    for split, subset, image in (
        ("train", "train2014", 1),
        ("val", "val2014", 40),
        ("test", "test2015", 80),
    ):
        records = [
            {
                "question_id": (image + n) * 10,
                "question": "What is it?",
                "image": f"{subset}/COCO_{subset}_{image + n:012}.jpg",
                "dataset": "vqa",
            }
            | ({"answer": TEN} if split != "test" else {})
            for n in range(3)
        ]
        save(root / f"vqa_{split}.json", records)
        touch(root, *(record["image"] for record in records))
    of_genome = {"image": "image/7.jpg", "question": "Where?", "question_id": 986769}
    save(root / "vg_qa.json", [of_genome | {"answer": "here", "dataset": "vg"}])
    save(root / "answer_list.json", ["here"])
    touch(root, "VG_100K_2/7.jpg")


QUESTION_LAYOUTS: dict[str, Callable[[Path], None]] = {
    "ok-vqa": write_ok_vqa,
    "a-okvqa": write_a_okvqa,
    "vizwiz-vqa": write_vizwiz,
    "textvqa": write_textvqa,
    "vqa-form": write_vqa_form,
    "mapping": write_mapping,
    "vqa-cp-v1": lambda root: write_vqa_cp(root, "v1"),
    "vqa-cp-v2": lambda root: write_vqa_cp(root, "v2"),
    "gqa-ood": write_gqa_ood,
    "clevr": write_clevr,
    "coco-qa": write_coco_qa,
    "visual7w": write_visual7w,
    "vqa-abstract": write_vqa_abstract,
    "vivqa": write_vivqa,
    "slake": write_slake,
    "pathvqa": write_pathvqa,
    "vqa-med-2019": write_vqa_med,
    "pope": write_pope,
    "chartqa": write_chartqa,
    "scienceqa": write_scienceqa,
    "llava": write_llava,
    "blip-vqa": write_blip,
}
