"""Makes public/atlas/mni152_t1_2mm.nii.gz; run it again only to change how the atlas is prepared.

    pip download --no-deps nilearn==0.14.1
    unzip nilearn-0.14.1-py3-none-any.whl 'nilearn/datasets/data/*'
    python make_atlas.py \\
        nilearn/datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz mni152_t1_2mm.nii
    gzip -9 -n mni152_t1_2mm.nii

Needs numpy and nibabel. Axes of the source are right, anterior, superior, 1 mm.
"""

import sys

import nibabel
import numpy as np

STEP = 2  # voxels of the source a side


def main(source, target):
    image = nibabel.load(source)
    brain = np.asarray(image.dataobj).astype(np.float32)
    inside = np.argwhere(brain > 0)
    low = inside.min(0) // STEP * STEP
    blocks = -(-(inside.max(0) + 1 - low) // STEP)
    high = low + STEP * blocks
    brain = np.pad(brain, [(0, max(0, h - n)) for h, n in zip(high, brain.shape)])
    cut = brain[tuple(map(slice, low, high))]
    split = cut.reshape([part for count in blocks for part in (count, STEP)])
    means = np.round(split.mean((1, 3, 5))).astype(np.uint8)
    affine = image.affine @ np.diag([STEP, STEP, STEP, 1.0])
    # The middle of a block lies between its voxels.
    affine[:3, 3] = (image.affine @ [*(low + (STEP - 1) / 2), 1])[:3]
    atlas = nibabel.Nifti1Image(means, affine)
    atlas.header.set_xyzt_units("mm", "sec")
    atlas.set_qform(affine, 4)
    atlas.set_sform(affine, 4)
    atlas.header["descrip"] = b"MNI152 2009a sym T1, see atlas/README.md"
    with open(target, "wb") as file:
        file.write(atlas.to_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
