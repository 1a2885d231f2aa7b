"""Extraction on Ray, one of whose processes is killed, makes the store of a single process.

Needs `saccade[ray]`. Ray is started here, with four processes.
"""

import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from saccade.data.folder import write_folder
from saccade.data.records import Caption, Collection, ImageRecord
from saccade.features.extract import extract
from saccade.features.on_ray import extract_on_ray

IMAGES, PROCESSES, BACKBONE = 2100, 4, "timm:test_resnet"
SETTINGS: dict[str, Any] = {"weights": "random", "size": 64, "name": "net"}


def _data(folder: Path) -> Path:
    """A data folder of drawn images."""
    root = folder / "images"
    root.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number in range(IMAGES):
        cells = draw.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        Image.fromarray(np.kron(cells, np.ones((10, 10, 1), np.uint8))).save(root / f"{number}.jpg")
    images = [ImageRecord(number, f"{number}.jpg", "train") for number in range(IMAGES)]
    captions = [Caption(one.id, one.id, "a b", ("a", "b"), "train") for one in images]
    write_folder(folder / "data", Collection("drawn", str(root), images, captions=captions))
    return folder / "data"


def _kill_one(shards: Path, killed: list[str]) -> None:
    """Kill a process of Ray as soon as a shard has its first chunk."""
    while not killed:
        time.sleep(0.1)
        begun = [one for one in shards.glob("*/*/manifest.jsonl") if one.stat().st_size]
        listed = subprocess.run(["ps", "axww", "-o", "pid,args"], capture_output=True, check=True)
        at_work = [line.split() for line in listed.stdout.decode().splitlines() if "ray::" in line]
        at_work = [line for line in at_work if "ShardExtractor" in " ".join(line)]
        if begun and at_work:
            killed.append(" ".join(at_work[0]))
            os.kill(int(at_work[0][0]), signal.SIGKILL)


def prove() -> list[str]:
    """A line for each file of the store that is another."""
    with tempfile.TemporaryDirectory() as made:
        data = _data(Path(made))
        store = extract(data, BACKBONE, **SETTINGS)
        wanted = {file.name: file.read_bytes() for file in store.iterdir()}
        store.rename(store.with_name("one-process"))
        killed: list[str] = []
        threading.Thread(target=_kill_one, args=(data / "shards", killed), daemon=True).start()
        store = extract_on_ray(data, processes=PROCESSES, backbone=BACKBONE, **SETTINGS)
        found = {file.name: file.read_bytes() for file in store.iterdir()}
        print(f"  {IMAGES:,} images, {PROCESSES} processes, killed: {killed or 'none'}")
        names = sorted(wanted.keys() | found.keys())
        problems = [f"{name} is another" for name in names if wanted.get(name) != found.get(name)]
        return problems + ([] if killed else ["no process was killed"])
