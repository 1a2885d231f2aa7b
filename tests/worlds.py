"""A tiny world with records and features, in which an image's features say what is in it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from saccade.core.tensors import save_tensors
from saccade.data.folder import DataFolder, write_folder
from saccade.data.records import Caption, Collection, ImageRecord, Question
from saccade.experiment import assemble
from saccade.features.settings import BackboneSpec, Preprocessing
from saccade.features.store import StoreHeader, images_fingerprint
from saccade.features.store_writer import StoreWriter
from saccade.inference.model import build
from saccade.recipes.catalogue import RECIPES
from saccade.run_folder import BACKBONE, Origin, write_run

THINGS = ("cat", "dog", "cow", "fox")


def make_world(
    out: Path,
    *,
    train: int = 40,
    val: int = 8,
    source: str = "tiny",
    image: Callable[[int], tuple[int, str]] = lambda i: (7 * i, f"{i}.png"),
) -> DataFolder:
    """Every image shows one of four things in one of six cells; the rest is grass.

    `image` tells id and file of the i-th.
    """
    images = [ImageRecord(*image(i), "train" if i < train else "val") for i in range(train + val)]
    questions, captions = [], []
    for i, one in enumerate(images):
        thing, split = THINGS[i % 4], one.split
        for j, (text, answer) in enumerate(
            [("What is it?", thing), ("Is it a cat?", "yes" if thing == "cat" else "no")]
        ):
            given = (answer,) * 9 + ("nothing",)
            questions.append(Question(10 * i + j, one.id, text, split, given, answer, "other", "x"))
        words = ("a", *(["big"] if i % 3 else []), thing, "on", "the", "grass")
        captions += [Caption(10 * i + j, one.id, " ".join(words), words, split) for j in (0, 1)]
    write_folder(out, Collection(source, str(out), images, questions, captions))
    folder = DataFolder(out)
    write_store(folder)
    return folder


def write_store(folder: DataFolder, name: str = "cells", seed: int = 0) -> Path:
    """Features (N, 6, 12): grass, and in one cell what the thing looks like."""
    images = folder.images()
    random = np.random.default_rng(seed)
    features = random.normal(0, 0.3, (len(images), 6, 12))
    features[:, :, 8:] += 2
    for i in range(len(images)):
        cell, thing = i * 5 % 6, i % 4
        features[i, cell, 8:] -= 2
        features[i, cell, 2 * thing : 2 * thing + 2] += 3
    header = StoreHeader(
        backbone=BackboneSpec(name="timm:test_resnet", weights="random"),
        preprocessing=Preprocessing(
            height=64,
            width=96,
            resize="squash",
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            interpolation="bilinear",
        ),
        grid=(2, 3),
        regions=6,
        dim=12,
        dtype="float16",
        ids_count=len(images),
        dataset_fingerprint=images_fingerprint(images),
        complete=False,
        command="saccade extract",
    )
    ids = np.array([image.id for image in images])
    with StoreWriter(folder.store_path(name), header, ids) as writer:
        size = np.full((len(ids), 2), 64)
        writer.add(features, np.full(len(ids), 6), size)
        writer.finish()
    return folder.store_path(name)


def write_pixels(folder: DataFolder, name: str = "pixels", side: int = 64) -> Path:
    """Pixels (N, side * side, 3): noise, and in one quarter a square of the thing's colour."""
    images = folder.images()
    random = np.random.default_rng(0)
    features = random.integers(90, 160, (len(images), side, side, 3), dtype=np.uint8)
    colours = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)], np.uint8)
    half = side // 2
    for i in range(len(images)):
        row, column = divmod(i // 4 % 4, 2)
        features[i, row * half :, column * half :][:half, :half] = colours[i % 4]
    header = StoreHeader(
        backbone=BackboneSpec(name="pixels", weights="none"),
        preprocessing=Preprocessing(
            height=side,
            width=side,
            resize="squash",
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            interpolation="bilinear",
        ),
        grid=(side, side),
        regions=side * side,
        dim=3,
        dtype="uint8",
        ids_count=len(images),
        dataset_fingerprint=images_fingerprint(images),
        complete=False,
        command="saccade extract",
    )
    ids = np.array([image.id for image in images])
    with StoreWriter(folder.store_path(name), header, ids) as writer:
        size = np.full((len(ids), 2), side)
        flat = features.reshape(len(ids), side * side, 3)
        writer.add(flat, np.full(len(ids), side * side), size)
        writer.finish()
    return folder.store_path(name)


def write_untrained_run(folder: DataFolder, recipe: str, out: Path) -> Path:
    """A run whose weights are as drawn: it predicts, and needs no training."""
    experiment = assemble(RECIPES[recipe], folder)
    made = experiment.recipe, experiment.sizes, experiment.words
    store = experiment.store
    origin = Origin(store.header, store.path.name, str(folder.path), folder.fingerprint)
    write_run(out, recipe, made, origin, store.path / BACKBONE)
    torch.manual_seed(0)
    model = build(experiment.recipe, experiment.sizes, store.header.preprocessing)
    save_tensors(out / "model.safetensors", model.state_dict(), {"epoch": "1"})
    return out
