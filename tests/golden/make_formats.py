#!/usr/bin/env python3
"""Writes the golden cases of core/src/formats: tests/golden/formats/CASE/{input files, expected.json}.

The inputs are tiny and made here; the expected numbers are what nibabel, pynrrd and pydicom
read from those same bytes. Where our reader follows the NIfTI standard and nibabel does not
(no orientation at all; units other than millimetres), the expected affine is written out
from nifti1.h and the case says so. The Rust tests read the folders only: Python is
needed to change a case, not to run it.

    python3 tests/golden/make_formats.py  # nibabel pydicom pynrrd numpy pylibjpeg[all] imagecodecs

Running it again changes no byte: no times, no random identifiers.
"""

import shutil

import golden_dicom
import golden_nifti
import golden_nrrd
from golden_case import ROOT

PARTS = [
    golden_nifti.nifti_types,
    golden_nifti.nifti_long_doubles,
    golden_nifti.nifti_scaling,
    golden_nifti.nifti_orientation,
    golden_nifti.nifti_unusable,
    golden_nifti.nifti_beside,
    golden_nifti.nifti_shapes,
    golden_nifti.nifti_broken,
    golden_nifti.archives,
    golden_nrrd.nrrd_files,
    golden_dicom.dicom_syntaxes,
    golden_dicom.dicom_pixels,
    golden_dicom.dicom_geometry,
    golden_dicom.dicom_series,
    golden_dicom.dicom_strays,
    golden_dicom.dicom_enhanced,
    golden_dicom.dicom_broken,
    golden_dicom.dicom_packed,
    golden_dicom.dicom_stacks,
]


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    for part in PARTS:
        part()
    print(f"{len(list(ROOT.iterdir()))} cases")


if __name__ == "__main__":
    main()
