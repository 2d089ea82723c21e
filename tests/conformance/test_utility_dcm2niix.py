"""What researchers convert images to is the same before and after: geometry, voxels, diffusion weighting."""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from deidentified_folder import deidentify_folder

pytestmark = pytest.mark.corpus

PROFILE = "research-longitudinal"


@dataclass(frozen=True)
class Volume:
    """A NIfTI file by what it says; names and times of conversion are left aside."""

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    affine: tuple[float, ...]
    voxels: str
    """SHA-256 of the data after the header."""
    b_values: str
    b_vectors: str


def _volumes(folder: Path, work: Path) -> Counter[Volume]:
    """What dcm2niix makes of a folder."""
    converter = shutil.which("dcm2niix")
    if converter is None:
        pytest.skip("dcm2niix is not installed")
    work.mkdir()
    command = [converter, "-b", "n", "-z", "n", "-f", "%s_%t_%q", "-o", work, folder]
    subprocess.run(command, check=False, capture_output=True, timeout=300)
    return Counter(_volume(path) for path in work.glob("*.nii"))


def _volume(path: Path) -> Volume:
    data = path.read_bytes()
    dim, pixdim = struct.unpack_from("<8h", data, 40), struct.unpack_from("<8f", data, 76)
    (offset,) = struct.unpack_from("<f", data, 108)
    told = [other.read_text() if (other := path.with_suffix(end)).exists() else "" for end in (".bval", ".bvec")]
    voxels = hashlib.sha256(data[int(offset) :]).hexdigest()
    return Volume(dim, pixdim, struct.unpack_from("<12f", data, 280), voxels, *told)


# Where the conversion differs, and why it may.
_DIFFERENT = {
    "CT/dicognito": "deflated before, which dcm2niix cannot read; not deflated after",
    "MR/dcmqi": "b-value in a private attribute whose creator is missing: nobody can say what it is",
    "MR/pydicom-data-1.0.0": "an overlay is converted as a volume of its own; overlays are removed",
}
Pair = tuple[Counter[Volume], Counter[Volume]]


@pytest.fixture(scope="module")
def converted(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """Volumes before and after, by folder of the corpus; of files that were quarantined neither is looked at."""
    made = {}
    folders = [folder for kind in ("CT", "MR", "PT", "series") for folder in sorted((corpus / kind).iterdir())]
    for folder in (folder for folder in folders if folder.is_dir()):
        work = tmp_path_factory.mktemp("nifti")
        before, after = work / "before", work / "after"
        before.mkdir()
        outcome = deidentify_folder(folder, after, PROFILE)
        for number, source in enumerate(outcome.written):
            shutil.copy(source, before / f"{number}.dcm")
        made[str(folder.relative_to(corpus))] = _volumes(before, work / "n1"), _volumes(after, work / "n2")
        shutil.rmtree(work)
    return made


def test_geometry_voxels_and_diffusion_weighting_are_the_same(converted: dict[str, Pair]) -> None:
    differing = {name for name, (before, after) in converted.items() if before != after}
    assert differing == set(_DIFFERENT)
    assert sum(before.total() for before, _ in converted.values()) > 100


def test_some_of_them_are_diffusion_weighted(converted: dict[str, Pair]) -> None:
    """The comparison includes b-values and directions of several makers."""
    same = (volumes for name, (volumes, _) in converted.items() if name not in _DIFFERENT)
    weighted = [volume for volumes in same for volume in volumes if volume.b_values]
    assert len(weighted) >= 5
    assert any(volume.b_vectors for volume in weighted)
