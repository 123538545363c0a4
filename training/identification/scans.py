"""The scans: what each shows, and what it may be used for.

`train` may be learnt from, and so may `develop`, which are first left out one data set at a time to choose
by. `test` is scored only: the hand-labelled and the patients' sets, and the
subjects that their sets keep back. `outside` are images of no kind that a head knows (maps, label maps,
computed tomography, other body parts), on which "unknown" is scored. Scans of package registries
are unpacked by hand into one folder (`--registry`); those that are not there are left out and named.

The heads of t1_wholehead and kirby113 come without skulls, whatever their folder is called.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

HEAD, HEART, OTHER = "head", "heart", "other"
CINE = "cine"
LARGE = ("t1_wholehead", "hippocampus", "cardiac_acdc")  # learnt from, but for the subjects kept back


@dataclass(frozen=True)
class Scan:
    """One scan and what is known of it; None where it is not known or has no meaning."""

    name: str
    path: Path
    data_set: str
    subject: str
    use: str
    part: str | None = None
    sequence: str | None = None
    stripped: bool | None = None
    pack: str | None = None
    """Name of the pack that fits, "" for none."""


def of_data(data: Path) -> list[Scan]:
    """Everything in the data folder, label maps left out (they are images of no sequence)."""
    rows = []

    def add(folder: str, file: str, subject: str, use: str, **known) -> None:
        rows.append(Scan(f"{folder}/{file}", data / folder / f"{file}.nii.gz", folder, subject, use, **known))

    head = {"part": HEAD, "pack": "brain"}
    for path in sorted((data / "t1_wholehead").glob("*_T1w.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        add("t1_wholehead", name, name[:6], "train", sequence="T1w", stripped=True, **head)
    for path in sorted((data / "cardiac_acdc").glob("*_frame??.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        use = "train" if int(name[7:10]) <= 50 else "test"
        add("cardiac_acdc", name, name[:10], use, part=HEART, sequence=CINE, pack="cardiac")
    crops = [p for p in sorted((data / "hippocampus").glob("*.nii.gz")) if "_gt" not in p.name]
    for index, path in enumerate(crops):
        name = path.name.removesuffix(".nii.gz")
        use = "test" if index % 8 == 0 else "train"
        add("hippocampus", name, name, use, part=HEAD, sequence="T1w", pack="hippocampus")
    for path in sorted((data / "eval_t1_labelled").glob("*_T1w_brain.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        add("eval_t1_labelled", name, name[:4], "test", sequence="T1w", stripped=True, **head)
    for patient in ("patient07", "patient19"):
        for file, kind in (("T1", "T1w"), ("T1POST", "T1w"), ("T2", "T2w"), ("FLAIR", "FLAIR")):
            add("ms_lesions", f"{patient}_{file}", patient, "test", sequence=kind, stripped=True, **head)
    for study in ("study1", "study2"):
        for kind in ("T1w", "T2w", "FLAIR"):
            file = f"patient01_{study}_{kind.upper()}"
            add("ms_longitudinal", file, "patient01", "develop", sequence=kind, stripped=False, **head)
    for file, kind, stripped in (
        ("kirby113_MPRAGE", "T1w", True), ("kirby113_T2w", "T2w", True), ("kirby113_FLAIR", "FLAIR", True),
        ("glioma00001_t1n", "T1w", True), ("glioma00001_t1c", "T1w", True), ("glioma00001_t2w", "T2w", True),
        ("glioma00001_t2f", "FLAIR", True),
    ):  # fmt: skip
        add("multi_sequence", file, file.split("_")[0], "develop", sequence=kind, stripped=stripped, **head)
    for folder, kind in (("12-T1post-05670", "T1w"), ("36459-FLAIRreg-76244", "FLAIR")):
        rows.append(Scan(f"dicom_study1/{folder}", data / "dicom_study1" / folder, "dicom_study1", "one", "test",
                         sequence=kind, stripped=False, **head))  # fmt: skip
    return rows


def label_maps(data: Path) -> list[Scan]:
    """Label maps given as if they were scans: the best-known wrong input."""
    files = ["labelmaps_body/abdomen", "labelmaps_body/knee", "labelmaps_body/head_neck",
             "labelmaps_brain/training_seg_01", "labelmaps_brain/training_seg_11"]  # fmt: skip
    return [
        Scan(file, data / f"{file}.nii.gz", "label map", file, "outside", pack="") for file in files
    ]


def hand_labels(data: Path, every: int = 1) -> list[Scan]:
    """The label maps that lie beside the scans, given as if they were scans; of the large sets one of `every`."""
    rows = []
    for folder, pattern in (
        ("cardiac_acdc", "*_gt"), ("hippocampus", "*_gt"), ("eval_t1_labelled", "*_glm"), ("eval_t1_labelled", "*_tissues"),
        ("ms_lesions", "*_GOLD_STANDARD"), ("ms_longitudinal", "*_gt"),
    ):  # fmt: skip
        found = sorted((data / folder).glob(f"{pattern}.nii.gz"))
        for path in found[:: every if folder in LARGE else 1]:
            name = f"{folder}/{path.name.removesuffix('.nii.gz')}"
            rows.append(Scan(name, path, f"labels of {folder}", name, "outside", pack=""))
    return rows


def of_registry(folder: Path) -> list[Scan]:
    """Scans that come inside packages: templates, samples, and images outside the kinds."""
    papaya, radiomics = folder / "papaya/package/tests/data", folder / "pyradiomics-3.0.1/data"
    templates = folder / "mricron/usr/share/mricron/templates"
    mni = folder / "nl/nilearn/datasets/data"
    oasis = folder / "fw_gear_ants_atlas_registration/templates/OASIS-30_Atropos_template"
    fsleyes = folder / "fsleyes_plugin_mrs-0.1.13/tests/testdata"
    icbm = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
    head = {"part": HEAD, "pack": "brain"}
    known = [
        (papaya / "dicom", "PD", False), (papaya / "sample_image.nii.gz", "T1w", True),
        (templates / "ch2.nii.gz", "T1w", False), (templates / "ch2bet.nii.gz", "T1w", True),
        (mni / icbm.format("t1"), "T1w", True), (oasis / "T_template0.nii.gz", "T1w", False),
        (oasis / "T_template0_BrainCerebellum.nii.gz", "T1w", True), (fsleyes / "svs/T1.nii.gz", "T1w", False),
        (radiomics / "brain1_image.nrrd", None, None), (radiomics / "brain2_image.nrrd", None, None),
    ]  # fmt: skip
    rows = [
        Scan(f"registry/{path.name}", path, "registry", path.name, "test", sequence=kind, stripped=stripped, **head)
        for path, kind, stripped in known
    ]
    outside = [
        (papaya / "dti_FA.nii.gz", None), (papaya / "dti_V1.nii.gz", None), (papaya / "zstat1.nii.gz", None),
        (papaya / "zstat2.nii.gz", None), (papaya / "Talairach_labels_1mm.nii.gz", None),
        (papaya / "series.nii.gz", None), (templates / "aal.nii.gz", None), (templates / "brodmann.nii.gz", None),
        (mni / icbm.format("gm"), None), (mni / icbm.format("wm"), None),
        (radiomics / "breast1_image.nrrd", OTHER), (radiomics / "lung1_image.nrrd", OTHER),
        (radiomics / "lung2_image.nrrd", OTHER), (fsleyes / "mrsi/metab_map1.nii.gz", None),
        (folder / "cardiacmodelgenerator-0.1.9/ExampleData/patient27", HEART),
        (templates / "inia19-t1-brain.nii.gz", None),
    ]  # fmt: skip
    rows += [
        Scan(f"registry/{path.name}", path, "registry", path.name, "outside", part=part, pack="")
        for path, part in outside
    ]
    return rows


def some(data: Path, registry: Path, every: int) -> list[Scan]:
    """One of `every` scans of the large sets, and all of the others that are there."""
    seen, kept = {}, []
    for scan in [*of_data(data), *label_maps(data), *of_registry(registry)]:
        seen[scan.data_set] = seen.get(scan.data_set, -1) + 1
        if scan.path.exists() and not (scan.data_set in LARGE and seen[scan.data_set] % every):
            kept.append(scan)
    return kept


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """First volume [i, j, k] as float32, and its affine (RAS+)."""
    if path.is_dir():
        return read_dicom(path)
    if path.suffix == ".nrrd":
        return read_nrrd(path)
    image = nibabel.load(path)
    volume = np.asarray(image.dataobj, dtype=np.float32)
    return volume.reshape(*volume.shape[:3], -1)[..., 0], image.affine


def read_nrrd(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Raw or gzip NRRD in left-posterior-superior space, as the samples of pyradiomics are."""
    head, content = path.read_bytes().split(b"\n\n", 1)
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    kinds = {"short": "i2", "int": "i4", "unsigned short": "u2", "float": "f4", "double": "f8", "uchar": "u1",
             "unsigned char": "u1", "unsigned int": "u4"}  # fmt: skip
    order = ">" if fields.get("endian") == "big" else "<"
    if fields["encoding"] in ("gzip", "gz"):
        content = zlib.decompress(content, 31)
    sides = [int(side) for side in fields["sizes"].split()]
    volume = np.frombuffer(content, order + kinds[fields["type"]]).reshape(sides, order="F")
    numbers = lambda text: [float(v) for v in text.strip("()").split(",")]  # noqa: E731
    columns = [numbers(column) for column in fields["space directions"].split()]
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns).T
    affine[:3, 3] = numbers(fields["space origin"])
    if "right" not in fields["space"]:
        affine[:2] *= -1
    return volume.astype(np.float32), affine


def read_dicom(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """A series of single-frame slices, in order along their normal."""
    import pydicom

    slices = [pydicom.dcmread(path, force=True) for path in sorted(folder.glob("*.dcm"))]
    rows, columns = np.split(np.array(slices[0].ImageOrientationPatient, float), 2)
    normal = np.cross(rows, columns)
    slices.sort(key=lambda s: float(normal @ np.array(s.ImagePositionPatient, float)))
    places = [np.array(s.ImagePositionPatient, float) for s in slices]
    down, across = (float(v) for v in slices[0].PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = rows * across, columns * down
    affine[:3, 2] = (places[-1] - places[0]) / (len(places) - 1)
    affine[:3, 3] = places[0]
    affine[:2] *= -1
    scale = lambda s: s.pixel_array * float(s.get("RescaleSlope", 1)) + float(s.get("RescaleIntercept", 0))  # noqa: E731
    return np.stack([scale(s).T for s in slices], axis=2).astype(np.float32), affine
