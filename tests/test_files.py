"""Files that are written may be read by everybody whom the system lets."""

import os
import stat
import sys

import pytest
import torch

from saccade.core.files import write_text
from saccade.core.tensors import load_tensors, save_tensors


@pytest.mark.skipif(sys.platform == "win32", reason="files have no modes there")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_weights_may_be_read_by_whom_the_system_lets(tmp_path, mask, mode):
    """The library that writes safetensors keeps them to their owner."""
    path = tmp_path / "model.safetensors"
    (tmp_path / "model.safetensors.part").touch(mode=0o400)  # of a process that was killed
    before = os.umask(mask)
    try:
        save_tensors(path, {"weight": torch.arange(3.0)}, {"epoch": "1"})
        write_text(tmp_path / "run.json", "{}")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "run.json").stat().st_mode) == mode
    assert load_tensors(path)[0]["weight"].tolist() == [0, 1, 2]
