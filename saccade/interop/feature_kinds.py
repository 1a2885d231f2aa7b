"""The feature files that can be imported, one line each."""

from collections.abc import Callable, Mapping
from pathlib import Path

from saccade.data.folder import DataFolder
from saccade.interop.bottom_up_features import open_bottom_up, open_hengyuan_hu
from saccade.interop.feature_formats import (
    open_openvqa,
    open_pytorch_vqa,
    open_self_critical,
    open_sgrvinod,
)
from saccade.interop.feature_reader import Opened

Opener = Callable[[Path, DataFolder], Opened]

KINDS: Mapping[str, Opener] = {
    "bottom-up": open_bottom_up,
    "hengyuan-hu": open_hengyuan_hu,
    "pytorch-vqa": open_pytorch_vqa,
    "openvqa": open_openvqa,
    "self-critical": open_self_critical,
    "sgrvinod": open_sgrvinod,
}
