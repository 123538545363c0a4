"""What SimpleITK makes of a transform, for core/tests/registration.rs.

    python -m training.golden_registration

writes tests/golden/registration/: a small moving scan, an affine map and a deformation as SimpleITK
writes them, the displacement field of both together, and the scan that it resamples through them. Besides
where SimpleITK takes points through written.txt, an affine map as Prism writes it, which the test compares
with what Prism writes now.
"""

from __future__ import annotations

import json

import numpy as np
import SimpleITK

from training.paths import REPOSITORY

FOLDER = REPOSITORY / "tests" / "golden" / "registration"


def grid(sides: tuple, spacing: tuple, origin: tuple, turn: tuple) -> SimpleITK.Image:
    """An empty scan, turned about x, y and z (radians)."""
    image = SimpleITK.Image(*sides, SimpleITK.sitkFloat32)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    rotation = SimpleITK.Euler3DTransform()
    rotation.SetRotation(*turn)
    image.SetDirection(rotation.GetMatrix())
    return image


def written() -> None:
    """Points of ITK's world (LPS, mm) before and after the map that Prism wrote."""
    transform = SimpleITK.ReadTransform(str(FOLDER / "written.txt"))
    points = [[0.0, 0.0, 0.0], [10.0, -20.0, 30.0], [-55.5, 42.25, 7.0], [80.0, 90.0, -60.0]]
    pairs = [{"from": point, "to": transform.TransformPoint(point)} for point in points]
    (FOLDER / "written_points.json").write_text(json.dumps(pairs, indent=1) + "\n")


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    moving = grid((14, 12, 10), (2.0, 2.5, 3.0), (-12.0, -13.0, -14.0), (0.1, -0.2, 0.15))
    values = SimpleITK.GetImageFromArray(random.uniform(0, 100, (10, 12, 14)).astype(np.float32))
    values.CopyInformation(moving)
    moving = SimpleITK.SmoothingRecursiveGaussian(values, 2.0)
    fixed = grid((11, 13, 9), (2.2, 1.8, 2.6), (-10.0, -12.0, -9.0), (-0.05, 0.1, 0.2))

    along = np.stack(np.meshgrid(*map(np.arange, (9, 13, 11)), indexing="ij"), -1)
    bend = 1.5 * np.sin(0.5 * along @ random.normal(size=(3, 3)))
    deformation = SimpleITK.GetImageFromArray(bend, isVector=True)
    deformation.CopyInformation(fixed)
    affine = SimpleITK.AffineTransform(3)
    affine.SetMatrix((1.02, 0.08, -0.03, -0.06, 0.97, 0.05, 0.02, -0.04, 1.05))
    affine.SetTranslation((1.5, -0.8, 0.6))
    affine.SetCenter((2.0, 3.0, -1.0))
    SimpleITK.WriteTransform(affine, str(FOLDER / "affine.txt"))
    as_float = SimpleITK.Cast(deformation, SimpleITK.sitkVectorFloat32)
    SimpleITK.WriteImage(as_float, FOLDER / "deformation.nii.gz")

    # First the deformation, then the affine map: the last one that is added goes first.
    exact = SimpleITK.Cast(as_float, SimpleITK.sitkVectorFloat64)
    both = SimpleITK.CompositeTransform([affine, SimpleITK.DisplacementFieldTransform(exact)])
    geometry = (fixed.GetSize(), fixed.GetOrigin(), fixed.GetSpacing(), fixed.GetDirection())
    field = SimpleITK.TransformToDisplacementField(both, SimpleITK.sitkVectorFloat32, *geometry)
    SimpleITK.WriteImage(field, FOLDER / "field.nii.gz")
    SimpleITK.WriteImage(moving, FOLDER / "moving.nii.gz")
    warped = SimpleITK.Resample(moving, fixed, both, SimpleITK.sitkLinear, 0.0)
    SimpleITK.WriteImage(warped, FOLDER / "warped.nii.gz")
    inside = (SimpleITK.GetArrayFromImage(warped) != 0).mean()
    written()
    print(f"{FOLDER}: {inside:.2f} of the warped scan lies in the moving one")


if __name__ == "__main__":
    main()
