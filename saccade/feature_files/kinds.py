"""The feature files that can be imported, one line each."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from saccade.data.folder import DataFolder
from saccade.data.records import Picture
from saccade.feature_files import (
    bottom_up,
    hengyuan_hu,
    openvqa,
    pytorch_vqa,
    self_critical,
    sgrvinod,
)
from saccade.feature_files.opened import Opened

Opener = Callable[[Path, DataFolder, Sequence[Picture]], Opened]

KINDS: Mapping[str, Opener] = MappingProxyType(
    {
        "bottom-up": bottom_up.open_features,
        "hengyuan-hu": hengyuan_hu.open_features,
        "pytorch-vqa": pytorch_vqa.open_features,
        "openvqa": openvqa.open_features,
        "self-critical": self_critical.open_features,
        "sgrvinod": sgrvinod.open_features,
    }
)
