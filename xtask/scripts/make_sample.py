"""Makes public/samples/sample_t1w.nii.gz; run it again only to change how the sample is prepared.

    pip download --no-deps --no-binary fsleyes-plugin-mrs fsleyes-plugin-mrs==0.1.13
    tar xzf fsleyes_plugin_mrs-0.1.13.tar.gz
    python make_sample.py fsleyes_plugin_mrs-0.1.13/tests/testdata/svs/T1.nii.gz sample_t1w.nii
    zopfli --i15 sample_t1w.nii

Needs numpy, scipy and nibabel. Axes of the source are left, anterior, superior, 1 mm.
"""

import sys

import nibabel
import numpy as np
from scipy import ndimage

SLOPE = 3.0  # scan units a step of the stored uint8
SKIN_MM = 11  # removed below the surface; the frontal lobe lies deeper than this


def head_mask(scan):
    """Everything inside the skin, airways included."""
    tissue = ndimage.binary_opening(scan > 30, iterations=1)
    closed = ndimage.binary_closing(np.pad(tissue, 15), iterations=12)[15:-15, 15:-15, 15:-15]
    labels, count = ndimage.label(closed)
    head = labels == 1 + np.argmax(ndimage.sum(closed, labels, range(1, count + 1)))
    for k in range(head.shape[2]):
        head[:, :, k] = ndimage.binary_fill_holes(head[:, :, k])
    return head


def remove_face(scan):
    """Replaces the outer layer of the face by air noise, as drawn from a corner of the scan."""
    head = head_mask(scan)
    # The field of view's anterior and lateral edges count as skin, its other edges do not.
    depth = ndimage.distance_transform_edt(np.pad(head, ((1, 1), (1, 0), (1, 0)), mode="edge"))
    depth = depth[1:-1, 1:, 1:]
    j, k = np.meshgrid(np.arange(scan.shape[1]), np.arange(scan.shape[2]), indexing="ij")
    below_brow_before_ears = (k < 97) & (j > 118 + 0.45 * (k - 20).clip(0))
    face = head & (depth < SKIN_MM) & below_brow_before_ears[None]
    out = scan.copy()
    out[face] = np.random.default_rng(7).choice(scan[:10, :10, 150:].ravel(), face.sum())
    return out


def main(source, target):
    image = nibabel.load(source)
    scan = remove_face(np.asanyarray(image.dataobj).astype(np.float32))
    stored = np.clip(np.round(scan / SLOPE), 0, 255).astype(np.uint8)
    sample = nibabel.Nifti1Image(stored, image.affine)
    sample.header.set_xyzt_units("mm", "sec")
    sample.set_qform(image.affine, 1)
    sample.set_sform(image.affine, 1)
    sample.header["descrip"] = b"T1w sample, face removed, see samples/README.md"
    sample.header.set_slope_inter(SLOPE, 0.0)
    with open(target, "wb") as file:
        file.write(sample.to_bytes())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
