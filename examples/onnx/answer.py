"""Answer a question about an image, or caption it, from an exported folder: without saccade.

python answer.py FOLDER IMAGE ["QUESTION"]      needs numpy, pillow and onnxruntime
"""

import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def pixels(path, how):
    """An image resized and cropped as in training: (1, 3, height, width) uint8."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    (wide, high), width, height = image.size, how["width"], how["height"]
    short, to = min(wide, high), how["resize_to"]
    size = {
        "squash": lambda: (width, height),
        "crop": lambda: (wide, high),
        "shorter_side": lambda: (int(to * wide / short), int(to * high / short)),
        "inside": lambda: tuple(
            max(1, int(side * min(width / wide, height / high, (to or math.inf) / short)))
            for side in (wide, high)
        ),
    }[how["resize"]]()
    image = image.resize(size, Image.Resampling[how["interpolation"].upper()])
    left, top = (max(0, round((a - b) / 2)) for a, b in zip(size, (width, height), strict=True))
    whole = Image.new("RGB", (width, height), tuple(how["fill"]))
    whole.paste(image.crop((left, top, min(left + width, size[0]), min(top + height, size[1]))))
    return np.asarray(whole).transpose(2, 0, 1)[None]


def cut(text, steps):
    """The words of a question, by the steps of its tokenizer."""
    for name, *given in steps or sys.exit("This tokenizer cannot be written as steps."):
        if name == "replace":
            text = re.sub(*given, text)
        elif name in ("lower", "strip"):
            text = getattr(text, name)()
        elif name == "marks":  # they vanish where one stands beside a blank, else are blanks
            gone = re.findall(given[re.search(r"\d,\d", text) is None], text)
            blanks = {ord(mark): " " for mark in re.findall(given[0], text)}
            text = text.translate(blanks | {ord(mark): "" for mark in gone})
        elif name == "split":
            words = text.split(*given)
        elif name == "find":
            words = [one.strip() for one in re.findall(*given, text) if one.strip()]
        else:  # map
            words = [given[0].get(word, word) for word in words]
    return words


def answer(about, run, images, question):
    """The likeliest answer to a question."""
    of = about["vocabulary"]
    ids = {word: n for n, word in enumerate(of["words"]) if n not in (of["pad"], of["unknown"])}
    words = cut(question, of["steps"])[: of["max_length"]]
    read = np.array([[ids.get(word, of["unknown"]) for word in words] or [of["unknown"]]])
    logits = run("model", *images, read, np.array([read.shape[1]]))[0]
    return about["answers"][logits[0].argmax()]


def caption(about, run, images):
    """The caption in which each word is the likeliest one."""
    rules, state, chosen = about["search"], run("init", *images), []
    word, beams, again = rules["start"], about["beam_states"], rules["no_repeat_ngram_size"]
    while len(chosen) < rules["max_length"]:
        logits, *found = run("step", np.array([[word]]), *state)
        state = state[: len(state) - beams] + found[len(found) - beams :]
        logits[..., rules["banned"] + [rules["end"]] * (len(chosen) < rules["min_length"])] = -1e9
        for n in range(len(chosen) - again + 1) if again else ():
            if chosen[n : n + again - 1] == chosen[len(chosen) - again + 1 :]:
                logits[..., chosen[n + again - 1]] = -1e9
        word = int(logits.argmax())
        if word == rules["end"]:
            break
        chosen.append(word)
    words = (about["vocabulary"]["words"][word] for word in chosen)
    return re.sub(about["no_blank_between"], "", " ".join(words))


def main(folder, image, *question):
    """Run the graphs of a folder on one image."""
    about = json.loads(Path(folder, "export.json").read_text("utf-8"))
    files = {file.stem: onnxruntime.InferenceSession(file) for file in Path(folder).glob("*.onnx")}

    def run(name, *given):
        names = (one.name for one in files[name].get_inputs())
        return files[name].run(None, dict(zip(names, given, strict=True)))

    regions = run("encoder", pixels(image, about["preprocessing"]))[0]
    images = regions, np.ones(regions.shape[:2], bool)
    return answer(about, run, images, *question) if question else caption(about, run, images)


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
