"""Lists, help, settings and refusals answer at once, without what only a training needs."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "pyarrow", "tokenizers", "transformers", "huggingface_hub", "timm")
CODE = f"""
import sys
from saccade.cli.main import main
try:
    main()
finally:
    print("imported:", *({{*{HEAVY!r}}} & sys.modules.keys()))
"""


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("--help",), 0),
        (("list", "recipes"), 0),
        (("list", "models"), 0),
        (("show", "mcan"), 0),
        (("show", "nonesuch"), 1),
        (("show", "nonesuch.toml"), 1),
        (("show", "mcan", "--set", "train.epoch=3"), 1),
        (("show", "mcan", "--set", "train.epochs=many"), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_it_answers_at_once_and_imports_nothing_heavy(words, status):
    asked = subprocess.run(
        [sys.executable, "-c", CODE, *words], capture_output=True, text=True, check=False
    )
    assert asked.returncode == status, asked.stderr
    assert asked.stdout.endswith("imported:\n"), asked.stdout[-200:]
