"""Golden cases of DICOM files; expectations by pydicom, geometry by the formulas in nibabel's
"DICOM affine definitions"."""

import io
import struct
import zlib

import imagecodecs
import numpy
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import apply_rescale
from pydicom.pixels.encoders.base import EncodeRunner
from pydicom.pixels.encoders.native import _encode_frame
from pydicom.sequence import Sequence

from golden_case import case, failure, number, packed, tarred, zipped
from golden_nifti import as_bytes, expectation, image, ramp, read_back, rotation

IMPLICIT, EXPLICIT, DEFLATED, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
BASELINE, EXTENDED, LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.70"
JPEG_LS, JPEG_LS_NEAR, J2K, J2K_LOSSY = (f"1.2.840.10008.1.2.4.{n}" for n in (80, 81, 90, 91))
PROCESS_14, J2K_PARTS, J2K_PARTS_LOSSY = (f"1.2.840.10008.1.2.4.{n}" for n in (57, 92, 93))
JPIP, JPIP_DEFLATED, JPEG_XL = (f"1.2.840.10008.1.2.4.{n}" for n in (94, 95, 110))
UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
RLE, HTJ2K = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.201"
MR_STORAGE, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
ROOT_UID = "1.2.826.0.1.3680043.8.498.7"
COLUMNS, ROWS = 16, 12
TURN = rotation((1, 2, 3), 25)
SPACING = (1.25, 0.75)  # rows, columns


def pixels(index, dtype=numpy.uint16, high=4000):
    """A slice that differs from every other: a ramp and a blob that moves."""
    y, x = numpy.mgrid[:ROWS, :COLUMNS]
    blob = numpy.exp(-((x - 4 - index) ** 2 + (y - 6) ** 2) / 8.0)
    values = 0.25 * high * (x + 2 * y + index) / (COLUMNS + 2 * ROWS + 16) + 0.7 * high * blob
    return values.astype(dtype)


def dataset(index, series=1, **fields):
    """One MR slice; slice `index` lies 2.5 mm further along the normal than the one before."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    ds.SOPClassUID = MR_STORAGE
    ds.SOPInstanceUID = f"{ROOT_UID}.{series}.{index + 1}"
    ds.Modality = "MR"
    ds.Manufacturer = "Maker"
    ds.SeriesDescription = "t1 sagittal"
    ds.PatientName = "SECRET^NAME"
    ds.PatientID = "SECRET-ID"
    ds.BodyPartExamined = "BRAIN"
    ds.SequenceName = "*tfl3d1"
    ds.SliceThickness = "2.5"
    ds.RepetitionTime = "2300.0"
    ds.EchoTime = "2.98"
    ds.InversionTime = "900"
    ds.FlipAngle = "9"
    ds.MagneticFieldStrength = "3"
    ds.StudyInstanceUID = ROOT_UID
    ds.SeriesInstanceUID = f"{ROOT_UID}.{series}"
    ds.SeriesNumber = series
    ds.InstanceNumber = index + 1
    position = numpy.array([-20.0, 11.5, -30.25]) + 2.5 * index * TURN[:, 2]
    ds.ImagePositionPatient = [f"{value:.6f}" for value in position]
    ds.ImageOrientationPatient = [f"{value:.9f}" for value in TURN[:, :2].T.ravel()]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = ROWS, COLUMNS
    ds.PixelSpacing = [str(value) for value in SPACING]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = pixels(index).tobytes()
    for key, value in fields.items():
        if value is None:
            delattr(ds, key)
        else:
            setattr(ds, key, value)
    return ds


def set_pixels(ds, values, stored=None):
    size = values.dtype.itemsize * 8
    ds.BitsAllocated, ds.BitsStored = size, stored or size
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, int(values.dtype.kind == "i")
    ds.Rows, ds.Columns = values.shape[-2:]
    ds.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    return ds


def dicom(ds, syntax=EXPLICIT):
    """The file's bytes."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", MR_STORAGE)
    meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", ROOT_UID)
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = ROOT_UID
    ds = FileDataset(None, ds, file_meta=meta, preamble=bytes(128))
    if "PixelData" in ds:
        ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 or syntax not in (IMPLICIT, EXPLICIT, DEFLATED, BIG) else "OW"
    target = io.BytesIO()
    pydicom.dcmwrite(target, ds, enforce_file_format=True)
    return target.getvalue()


def compressed(ds, syntax, encode, fragments=1, table=True):
    """With its pixels encoded; `encode` takes an array of one frame."""
    frames = numpy.frombuffer(ds.PixelData, {1: "u1", 2: "<u2"}[ds.BitsAllocated // 8])
    frames = frames[: int(ds.get("NumberOfFrames", 1)) * ds.Rows * ds.Columns].reshape(-1, ds.Rows, ds.Columns)
    if ds.PixelRepresentation:
        frames = frames.view(frames.dtype.str.replace("u", "i"))
    ds.PixelData = encapsulate([encode(frame) for frame in frames], fragments_per_frame=fragments, has_bot=table)
    ds["PixelData"].is_undefined_length = True
    return dicom(ds, syntax)


def patched(content, old, new):
    assert content.count(old) == 1, (old, content.count(old))
    return content.replace(old, new)


def names(contents):
    return {f"IM{index:04}": content for index, content in enumerate(contents)}


def frame_values(content):
    """All frames of a file as pydicom reads them, rescaled, MONOCHROME1 turned round."""
    ds = pydicom.dcmread(io.BytesIO(content), force=True)
    if "TransferSyntaxUID" not in ds.file_meta:
        ds.file_meta.TransferSyntaxUID = EXPLICIT if content[4:6].isalpha() else IMPLICIT
    values = ds.pixel_array
    values = values.reshape(-1, *values.shape[-2:])
    if ds.PhotometricInterpretation == "MONOCHROME1":
        values = -1 - values if ds.PixelRepresentation else (1 << ds.BitsStored) - 1 - values.astype(numpy.int64)
    return ds, numpy.stack([apply_rescale(value, ds) for value in values])


ACQUISITION = {
    "echo_time_ms": 2.98, "repetition_time_ms": 2300, "inversion_time_ms": 900, "flip_angle_deg": 9,
    "sequence_name": "*tfl3d1", "description": "t1 sagittal", "body_part": "BRAIN", "manufacturer": "Maker",
    "field_strength_t": 3, "contrast_agent": None,
}


def stack_affine(ds, first, step):
    """RAS from LPS, as nibabel's "DICOM affine definitions" derive it."""
    orientation = numpy.array(ds.ImageOrientationPatient, dtype=float)
    row_mm, column_mm = (float(value) for value in ds.PixelSpacing)
    lps = numpy.eye(4)
    lps[:3, 0] = orientation[:3] * column_mm
    lps[:3, 1] = orientation[3:] * row_mm
    lps[:3, 2] = step
    lps[:3, 3] = first
    return numpy.diag([-1, -1, 1, 1]) @ lps


def dicom_expectation(contents, slices=None, **over):
    """Expectation for single-frame files of one volume; `slices` resamples (positions in slices)."""
    read = []
    for content in contents:
        ds, values = frame_values(content)
        orientation = numpy.array(ds.ImageOrientationPatient, dtype=float)
        normal = numpy.cross(orientation[:3], orientation[3:])
        position = numpy.array(ds.ImagePositionPatient, dtype=float)
        read.append((float(position @ normal), position, values[0], ds))
    read.sort(key=lambda entry: entry[0])
    ds, first, last = read[0][3], read[0][1], read[-1][1]
    volume = numpy.stack([values for _, _, values, _ in read]).astype(float)
    number_of_slices = len(read)
    if slices is not None:
        at = numpy.array([place for place, *_ in read])
        wanted = at[0] + (at[-1] - at[0]) * numpy.linspace(0, 1, slices)
        volume = numpy.apply_along_axis(lambda line: numpy.interp(wanted, at, line), 0, volume)
        number_of_slices = slices
    if number_of_slices > 1:
        step = (last - first) / (number_of_slices - 1)
    else:
        step = normal * float(ds.get("SpacingBetweenSlices", ds.SliceThickness))
    return {
        "format": "dicom",
        "dims": [int(ds.Columns), int(ds.Rows), number_of_slices],
        "volumes": 1,
        "affine": [[number(value) for value in row] for row in stack_affine(ds, first, step)[:3]],
        "values": [number(value) for value in volume.ravel()],
        **over,
    }


def stack(name, what, contents, warnings=(), extra=None, slices=None, shuffle=True, **over):
    """A case of single-frame files; given in an order that is not theirs in space."""
    expected = dicom_expectation(contents, slices, **over)
    files = names(contents[::-1] if shuffle else contents)
    case(name, what, {**files, **(extra or {})}, **expected, warnings=list(warnings))


def dicom_syntaxes():
    plain = lambda syntax: [dicom(dataset(index), syntax) for index in range(4)]
    stack("dicom_explicit", "Explicit little-endian, and all that is read of the acquisition.", plain(EXPLICIT),
          title="Series 1: t1 sagittal", files=4, acquisition=ACQUISITION,
          series=[{"key": "series-1", "title": "Series 1: t1 sagittal", "dims": [16, 12, 4], "spacing_mm": [0.75, 1.25, 2.5]}])
    stack("dicom_implicit", "Implicit little-endian.", plain(IMPLICIT), acquisition=ACQUISITION)
    big = []
    for index in range(2):
        ds = dataset(index)
        ds.PixelData = pixels(index).astype(">u2").tobytes()
        big.append(dicom(ds, BIG))
    stack("dicom_big_endian", "Explicit big-endian.", big, acquisition=ACQUISITION)
    stack("dicom_deflated", "A deflated data set.", plain(DEFLATED)[:2])
    stack("dicom_no_preamble", "Meta group without preamble.", [content[132:] for content in plain(EXPLICIT)[:2]])
    for title, syntax in {"implicit": IMPLICIT, "explicit": EXPLICIT}.items():
        bare = []
        for index in range(2):
            ds = dataset(index)
            ds["PixelData"].VR = "OW"
            target = io.BytesIO()
            pydicom.dcmwrite(target, ds, implicit_vr=syntax == IMPLICIT, little_endian=True)
            bare.append(target.getvalue())
        stack(f"dicom_bare_{title}", f"A bare data set, {title}: no preamble, no meta group.", bare)
    few = [dataset(index) for index in range(2)]
    case("dicom_zip", "A series in a zip, in folders.", {"study.zip": packed({f"a/b/{name}": content for name, content in names(plain(EXPLICIT)[:2]).items()})},
         **dicom_expectation(plain(EXPLICIT)[:2]), warnings=[])
    lying = [patched(content, EXPLICIT.encode() + b"\0", IMPLICIT.encode() + b"\0\0\0") for content in plain(EXPLICIT)[:2]]
    case("dicom_wrong_syntax", "The meta group says implicit, the data set is explicit.", names(lying),
         **dicom_expectation(plain(EXPLICIT)[:2]), warnings=[])
    stack("dicom_private_sequences", "Private sequences of undefined length, nested, are stepped over.",
          [dicom(with_private(ds)) for ds in few])
    padded = [content + bytes(128) for content in plain(EXPLICIT)[:2]]
    case("dicom_padded", "Zero bytes after the pixels.", names(padded), **dicom_expectation(plain(EXPLICIT)[:2]), warnings=[])


def with_private(ds):
    inner = Dataset()
    inner.add_new(0x00091001, "LO", "inside")
    inner.add_new(0x00091002, "SQ", Sequence([Dataset()]))
    inner[0x00091002].is_undefined_length = True
    inner.is_undefined_length_sequence_item = True
    outer = Dataset()
    outer.add_new(0x00091003, "SQ", Sequence([inner, inner]))
    outer[0x00091003].is_undefined_length = True
    outer.is_undefined_length_sequence_item = True
    block = ds.private_block(0x0009, "GOLDEN", create=True)
    block.add_new(0x10, "SQ", Sequence([outer]))
    ds[block.get_tag(0x10)].is_undefined_length = True
    ds.ReferencedImageSequence = Sequence([Dataset()])
    ds.ReferencedImageSequence[0].ReferencedSOPInstanceUID = ROOT_UID
    return ds


def dicom_pixels():
    def each(name, what, change, count=2, encode=None, **more):
        datasets = [change(dataset(index), index) for index in range(count)]
        contents = [encode(ds) if encode else dicom(ds) for ds in datasets]
        stack(name, what, contents, **more)

    each("dicom_8_bit", "8-bit pixels.", lambda ds, i: set_pixels(ds, pixels(i, numpy.uint8, 250)))
    each("dicom_signed", "Signed 16-bit pixels.", lambda ds, i: set_pixels(ds, (pixels(i).astype(numpy.int16) - 1500)))
    each("dicom_32_bit", "32-bit pixels.", lambda ds, i: set_pixels(ds, pixels(i).astype(numpy.uint32) * 70000))

    def signed_12(ds, i):
        values = pixels(i).astype(numpy.int32) - 1800
        return set_pixels(ds, (values & 0xFFF).astype(numpy.uint16), 12)

    def mark_signed(ds, i):
        ds = signed_12(ds, i)
        ds.PixelRepresentation = 1
        return ds

    each("dicom_signed_12_of_16", "Signed 12-bit pixels in 16 bits, the upper bits clear.", mark_signed)

    def overlay(ds, i):
        set_pixels(ds, pixels(i) | (numpy.uint16(i + 1) << 12), 12)
        return ds

    # pydicom leaves the upper bits in; the standard (PS3.5 8.1.1) says they are no part of the pixel.
    clean = dicom_expectation([dicom(dataset(index)) for index in range(2)])
    case("dicom_overlay_bits", "Other things in the bits above BitsStored are masked off.",
         names([dicom(overlay(dataset(index), index)) for index in range(2)]), **clean, warnings=[])

    def shifted(ds, i):
        set_pixels(ds, pixels(i) << 4)
        ds.BitsStored, ds.HighBit = 12, 15
        return ds

    case("dicom_high_bit", "12 bits stored in the upper bits of 16.",
         names([dicom(shifted(dataset(index), index)) for index in range(2)]), **clean, warnings=[])

    def inverted(ds, i):
        ds.PhotometricInterpretation = "MONOCHROME1"
        return ds

    each("dicom_monochrome1", "MONOCHROME1: white is 0.", inverted)

    def rescaled(ds, i):
        ds.RescaleSlope, ds.RescaleIntercept = str(0.5 + i), str(-100 + 7 * i)
        return ds

    each("dicom_rescale", "Rescale slope and intercept, another pair for each slice.", rescaled)

    def same(ds, i):
        return ds

    eight = lambda ds, i: set_pixels(ds, pixels(i, numpy.uint8, 250))
    each("dicom_rle", "RLE, 16 bits.", same, encode=lambda ds: compressed(ds, RLE, rle))
    each("dicom_rle_8_bit", "RLE, 8 bits.", eight, encode=lambda ds: compressed(ds, RLE, rle))
    each("dicom_jpeg_baseline", "JPEG baseline, 8 bits.", eight,
         encode=lambda ds: compressed(ds, BASELINE, lambda frame: imagecodecs.jpeg8_encode(frame, level=95)),
         tolerance=1)  # inverse cosine transforms may round either way
    extended = lambda frame: patched(imagecodecs.jpeg8_encode(frame, level=95), b"\xff\xc0\x00\x0b", b"\xff\xc1\x00\x0b")
    each("dicom_jpeg_extended_8_bit", "JPEG extended (SOF1) with 8 bits.", eight, encode=lambda ds: compressed(ds, EXTENDED, extended), tolerance=1)
    lossless = lambda bits: lambda frame: imagecodecs.ljpeg_encode(frame, bitspersample=bits)
    each("dicom_jpeg_lossless", "JPEG lossless, 12 bits.", same, encode=lambda ds: compressed(ds, LOSSLESS, lossless(12)))

    each("dicom_jpeg_process_14", "JPEG lossless, process 14 with another predictor than the first.", same,
         encode=lambda ds: compressed(ds, PROCESS_14, predicted))

    def wide(ds, i):
        return set_pixels(ds, pixels(i, high=65000))

    each("dicom_jpeg_lossless_16_bit", "JPEG lossless, 16 bits.", wide, encode=lambda ds: compressed(ds, LOSSLESS, lossless(16)))
    each("dicom_jpeg_lossless_fragments", "A JPEG in three fragments.", same,
         encode=lambda ds: compressed(ds, LOSSLESS, lossless(12), fragments=3))
    each("dicom_jpeg_ls", "JPEG-LS lossless.", same, encode=lambda ds: compressed(ds, JPEG_LS, imagecodecs.jpegls_encode))
    each("dicom_jpeg_ls_near", "JPEG-LS near-lossless.", same,
         encode=lambda ds: compressed(ds, JPEG_LS_NEAR, lambda frame: imagecodecs.jpegls_encode(frame, level=3)))
    each("dicom_jpeg_ls_8_bit", "JPEG-LS, 8 bits.", eight, encode=lambda ds: compressed(ds, JPEG_LS, imagecodecs.jpegls_encode))
    codestream = lambda **options: lambda frame: imagecodecs.jpeg2k_encode(frame, codecformat="J2K", resolutions=2, **options)
    each("dicom_jpeg_2000", "JPEG 2000 lossless.", same,
         encode=lambda ds: compressed(ds, J2K, codestream(reversible=True, bitspersample=12)))
    each("dicom_jpeg_2000_16_bit", "JPEG 2000 lossless, 16 bits.", wide, encode=lambda ds: compressed(ds, J2K, codestream(reversible=True)))
    each("dicom_jpeg_2000_signed", "JPEG 2000 lossless, signed.", lambda ds, i: set_pixels(ds, (pixels(i).astype(numpy.int16) - 1500)),
         encode=lambda ds: compressed(ds, J2K, codestream(reversible=True)))


    each("dicom_jpeg_2000_lossy", "JPEG 2000 lossy (9-7 wavelet).", same,
         encode=lambda ds: compressed(ds, J2K_LOSSY, codestream(reversible=False, level=60, bitspersample=12)), tolerance=1)  # rounding of the wavelet


def predicted(frame):
    """JPEG lossless whose predictor is the fourth (left + above - above left), 12 bits, one table (ITU-T T.81, annex H)."""
    values = frame.astype(int)
    height, width = values.shape
    guess = numpy.full_like(values, 1 << 11)
    guess[0, 1:] = values[0, :-1]
    guess[1:, 0] = values[:-1, 0]
    guess[1:, 1:] = values[1:, :-1] + values[:-1, 1:] - values[:-1, :-1]
    bits = ""
    for difference in (values - guess).ravel():
        size = int(abs(int(difference))).bit_length()
        # Sixteen codes of five bits each: the size itself.
        bits += f"{size:05b}"
        if size:
            bits += f"{int(difference) if difference > 0 else int(difference) + (1 << size) - 1:0{size}b}"
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    segment = lambda marker, content: bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content
    table = bytes([0, 0, 0, 0, 0, 16] + [0] * 11 + list(range(16)))
    return (b"\xff\xd8" + segment(0xC3, struct.pack(">BHHBBBB", 12, height, width, 1, 1, 0x11, 0)) + segment(0xC4, table)
            + segment(0xDA, bytes([1, 1, 0, 4, 0, 0])) + scan + b"\xff\xd9")


def rle(frame):
    runner = EncodeRunner(RLE)
    runner.set_options(rows=frame.shape[0], columns=frame.shape[1], samples_per_pixel=1, number_of_frames=1,
                       bits_allocated=frame.itemsize * 8, bits_stored=frame.itemsize * 8, pixel_representation=0,
                       photometric_interpretation="MONOCHROME2", pixel_keyword="PixelData")
    return bytes(_encode_frame(frame.tobytes(), runner))


def dicom_geometry():
    full = [dataset(index) for index in range(6)]
    contents = [dicom(ds) for ds in full]
    stack("dicom_missing_slice", "One slice of six is missing: filled in between its neighbours, with a warning.",
          contents[:2] + contents[3:], slices=6, warnings=["1 of 6 slices is missing"])
    failure("dicom_many_missing", "Four of ten slices are missing.",
            names([dicom(dataset(index)) for index in (0, 1, 2, 3, 8, 9)]), "Geometry", "4 of 10 slices are missing")
    uneven = []
    for index, along in enumerate((0.0, 2.5, 5.8, 7.5, 10.0)):
        position = numpy.array([-20.0, 11.5, -30.25]) + along * TURN[:, 2]
        uneven.append(dicom(dataset(index, ImagePositionPatient=[f"{value:.6f}" for value in position])))
    stack("dicom_uneven", "Unevenly spaced slices are interpolated, with a warning.", uneven, slices=5,
          warnings=["unevenly spaced (1.70 to 3.30 mm)"])
    failure("hostile_dicom_far_slice", "A slice a billion millimetres away.",
            names(contents[:3] + [dicom(dataset(3, ImagePositionPatient=["1e9", "1e9", "1e9"]))]), "Geometry", "range from")
    tilted = []
    for index in range(4):
        position = numpy.array([-20.0, 11.5, -30.25]) + index * (2.5 * TURN[:, 2] + 0.5 * TURN[:, 1])
        tilted.append(dicom(dataset(index, ImagePositionPatient=[f"{value:.6f}" for value in position])))
    stack("dicom_tilted", "A tilted stack: the affine is sheared, with a warning.", tilted, warnings=["tilted", ])
    case("dicom_twice", "A file given twice.", {**names(contents[:3]), "copy": contents[1]}, **dicom_expectation(contents[:3]),
         warnings=["1 image given twice"])
    stack("dicom_single_slice", "One slice: its thickness is the spacing.", contents[:1])
    stack("dicom_spacing_between", "SpacingBetweenSlices before SliceThickness.", [dicom(dataset(0, SpacingBetweenSlices="3.0"))])
    unplaced = [dicom(dataset(index, ImagePositionPatient=None, ImageOrientationPatient=None)) for index in range(3)]
    values = numpy.stack([frame_values(content)[1][0] for content in unplaced])
    affine = numpy.diag([-SPACING[1], -SPACING[0], 2.5, 1.0])
    case("dicom_no_position", "No positions: stacked by instance number, with a warning that sides are assumed.",
         names(unplaced[::-1]), format="dicom", dims=[COLUMNS, ROWS, 3], volumes=1,
         affine=[[number(value) for value in row] for row in affine[:3]],
         values=[number(value) for value in values.ravel()], warnings=["do not say where the slices lie"])
    spaceless = [dicom(dataset(index, PixelSpacing=None)) for index in range(2)]
    expected = dicom_expectation([dicom(dataset(index, PixelSpacing=["1", "1"])) for index in range(2)])
    case("dicom_no_spacing", "No pixel spacing: 1 mm, with a warning.", names(spaceless), **expected,
         unit_stated=False, warnings=["pixel spacing"])
    ct = [dicom(dataset(index, Modality="CT")) for index in range(2)]
    stack("dicom_ct", "Another modality is read, with a warning.", ct, warnings=["modality CT"], unit_stated=True)
    gauss = dicom(dataset(0, MagneticFieldStrength="15000", SequenceName=None, ProtocolName="T1_MPRAGE", ContrastBolusAgent="Gd",
                          SpecificCharacterSet="ISO_IR 192", SeriesDescription="Schädel axial\n ", InversionTime=None, StudyDate="20190307"))
    stack("dicom_acquisition", "Gauss, protocol name, contrast agent, date, UTF-8 with a line break, and what is missing.", [gauss],
          acquisition={"field_strength_t": 1.5, "sequence_name": "T1_MPRAGE", "protocol_name": "T1_MPRAGE", "contrast_agent": "Gd", "description": "Schädel axial",
                       "inversion_time_ms": None, "study_date": "2019-03-07"})
    lying = [dicom(dataset(index, SeriesDescription="unnamed", ProtocolName="t2_tirm_sag_dark-fluid", SequenceName="*tir2d1_16", EchoTime="128",
                           RepetitionTime="9000", InversionTime="2500", BodyPartExamined="KNEE", ContrastBolusAgent="Gadovist"))
             for index in range(2)]
    stack("dicom_contradicts", "Fields of a sagittal FLAIR of a knee with contrast agent (core/tests/identify.rs holds them against a T1w head).", lying,
          acquisition={"description": "unnamed", "protocol_name": "t2_tirm_sag_dark-fluid", "sequence_name": "*tir2d1_16", "echo_time_ms": 128,
                       "repetition_time_ms": 9000, "body_part": "KNEE", "contrast_agent": "Gadovist"})
    density = dict(SeriesDescription="series 4", SequenceName="*tse2d1_5", EchoTime="22", RepetitionTime="2300", InversionTime=None, PixelSpacing=["12", "12"])
    stack("dicom_proton_density", "Times of proton density, over a field of view as wide as a head.", [dicom(dataset(index, **density)) for index in range(2)],
          acquisition={"echo_time_ms": 22, "repetition_time_ms": 2300, "inversion_time_ms": None})
    stack("dicom_age", "The age of a person of one and a half years.", [dicom(dataset(0, PatientAge="018M"))], age_years=1.5)
    latin = dicom(dataset(0, SpecificCharacterSet="ISO_IR 100", SeriesDescription="Schädel"))
    stack("dicom_latin_1", "ISO 8859-1 text.", [latin], title="Series 1: Schädel")


def timed(volume, index, **fields):
    ds = dataset(index, SOPInstanceUID=f"{ROOT_UID}.1.{volume * 100 + index + 1}", InstanceNumber=volume * 100 + index + 1, **fields)
    ds.PixelData = (pixels(index) // (volume + 1)).tobytes()
    return dicom(ds)


def dicom_series():
    moments = [[timed(volume, index, TemporalPositionIdentifier=3 - volume) for index in range(3)] for volume in range(3)]
    everything = [content for volume in moments for content in volume]
    for chosen in (0, 2):
        # Temporal positions run against instance numbers: volume 0 is the one with position 1.
        case(f"dicom_4d_volume_{chosen}", "Three moments at the same positions: a 4-D series, by temporal position.", names(everything),
             selection={"volume": chosen}, **dicom_expectation(moments[2 - chosen], volumes=3, files=9), warnings=[])
    beats = [[timed(volume, index, TriggerTime=str(12.5 + 40.0 * volume + index)) for index in range(3)] for volume in range(3)]
    # Each slice has its own heartbeats: 52.5, 53.5, 54.5 ms after the R wave.
    case("dicom_cine_trigger_time", "Three phases of a heartbeat, told apart by trigger time alone.",
         names([content for volume in beats[::-1] for content in volume]),
         selection={"volume": 1}, **dicom_expectation(beats[1], volumes=3, files=9), time_ms=53.5, warnings=[])
    spaced = [[timed(volume, index, TemporalPositionIdentifier=volume + 1, TemporalResolution="31.25") for index in range(2)] for volume in range(3)]
    case("dicom_cine_temporal_resolution", "Three phases without trigger times: temporal position and resolution.",
         names([content for volume in spaced for content in volume]),
         selection={"volume": 2}, **dicom_expectation(spaced[2], volumes=3, files=6), time_ms=62.5, warnings=[])
    # A breath-hold a slice, a series each; the second slice was taken again, brighter, as series 9.
    def breath_hold(series, index, factor=1):
        files = []
        for phase in range(2):
            ds = dataset(index, series=series, SeriesDescription=f"cine {series}", TriggerTime=str(30.0 * phase + index),
                         SOPInstanceUID=f"{ROOT_UID}.{series}.{phase * 100 + index + 1}", InstanceNumber=phase + 1)
            ds.PixelData = (pixels(index) // (4 * (phase + 1)) * factor).tobytes()
            files.append(dicom(ds))
        return files
    slices = [breath_hold(4, 0), breath_hold(5, 1), breath_hold(6, 2), breath_hold(9, 1, factor=2)]
    second_phase = [slices[0][1], slices[3][1], slices[2][1]]
    case("dicom_cine_series_a_slice", "A cine stack whose slices are a series each, one of them taken twice.",
         names([content for hold in slices for content in hold]), selection={"series": "series-5", "volume": 1},
         **dicom_expectation(second_phase, volumes=2, files=6, title="Series 4: cine 4, slices of 3 series"), time_ms=31,
         series=[{"dims": [COLUMNS, ROWS, depth], "volumes": 2} for depth in (1, 1, 1, 1, 3)],
         warnings=["their slices again: 1"])
    echoes = [[timed(volume, index, EchoTime=str(5.0 + 7.5 * volume), EchoNumbers=volume + 1) for index in range(2)] for volume in range(2)]
    case("dicom_two_echoes", "Two echoes in one series: two volumes, each with its echo time.", names(echoes[1] + echoes[0]),
         selection={"volume": 1}, **dicom_expectation(echoes[1], volumes=2, acquisition={"echo_time_ms": 12.5}), warnings=[])
    case("dicom_incomplete_volume", "The second moment stops early: left out, with a warning.", names(moments[2] + moments[1][:1]),
         **dicom_expectation(moments[2]), warnings=["1 image left out"])
    failure("dicom_unknown_volume", "A volume that is not there.", names(moments[0]), "UnknownVolume", "has 1", selection={"volume": 1})

    one = [dicom(dataset(index, series=5, SeriesDescription="t2 axial")) for index in range(2)]
    two = [dicom(dataset(index, series=2)) for index in range(3)]
    listed = [{"key": "series-1", "title": "Series 2: t1 sagittal", "files": 3}, {"key": "series-2", "title": "Series 5: t2 axial", "files": 2}]
    case("dicom_two_series", "Two series in one folder: listed by number, the larger is taken.", names(one + two),
         **dicom_expectation(two), series=listed, warnings=[])
    case("dicom_two_series_chosen", "Two series in one folder: the one that was asked for.", names(one + two), selection={"series": "series-2"},
         **dicom_expectation(one), series=listed, warnings=[])
    views = []
    for index, turn in enumerate((numpy.eye(3), rotation((1, 0, 0), 90), rotation((0, 1, 0), -90) @ rotation((0, 0, 1), 90))):
        ds = dataset(index, ImageOrientationPatient=[f"{value:.9f}" for value in turn[:, :2].T.ravel()], SeriesDescription="localizer")
        views.append(dicom(ds))
    case("dicom_localiser", "A localiser of three planes: three stacks of one slice.", names(views), selection={"series": "series-2"},
         dims=[COLUMNS, ROWS, 1], series=[{"title": f"Series 1: localizer, part {part}"} for part in (1, 2, 3)], warnings=[])
    small = dataset(2, series=2)
    set_pixels(small, pixels(2)[:8, :8], 12)
    case("dicom_mixed_sizes", "A slice of another size: a stack of its own.", names([dicom(small)] + two[:2]),
         **dicom_expectation(two[:2]), series=[{"dims": [16, 12, 2]}, {"dims": [8, 8, 1]}], warnings=[])


def report():
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.88.11", ROOT_UID + ".99", "SR"
    ds.SeriesInstanceUID, ds.PatientName, ds.CompletionFlag = ROOT_UID + ".98", "SECRET^NAME", "COMPLETE"
    return dicom(ds)


def colour():
    ds = dataset(0, series=8, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    ds.PixelData = bytes(3 * ROWS * COLUMNS)
    return dicom(ds)


def dicom_strays():
    good_ones = [dicom(dataset(index)) for index in range(2)]
    extra = {"DICOMDIR": report(), "LIESMICH.TXT": b"text\n", "colour": colour(), "empty": b""}
    case("dicom_among_others", "A report, a colour picture, a text and an empty file beside a series.", {**names(good_ones), **extra},
         **dicom_expectation(good_ones), warnings=["1 with colour pictures", "1 file that is no scan was left out", "Left out: The file is empty"])
    broken = dicom(dataset(2))[:-100]
    case("dicom_one_broken", "A slice whose pixels are cut off beside whole ones: left out, with a warning.",
         {**names(good_ones), "IM9999": broken}, **dicom_expectation(good_ones), warnings=["Left out: The DICOM file is incomplete"])
    failure("error_dicom_report", "Only a report.", {"report": report()}, "NoImages", "1 with reports")
    failure("error_dicom_mosaic", "A Siemens mosaic.", {"mosaic": dicom(dataset(0, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]))},
            "NoImages", "dcm2niix")
    failure("error_dicom_colour", "Only a colour picture.", {"colour": colour()}, "NoImages", "1 with colour pictures")
    nifti = as_bytes(image(ramp((20, 20, 3))))
    case("series_of_both_formats", "A DICOM series beside a NIfTI file: both are listed, the larger is taken.",
         {**names(good_ones), "scan.nii": nifti}, **expectation(read_back(nifti)), series=[{"key": "series-1"}, {"key": "file-3"}], warnings=[])


def frame_groups(ds, positions, **per_frame):
    shared = Dataset()
    measures = Dataset()
    measures.PixelSpacing, measures.SliceThickness = ds.PixelSpacing, "2.5"
    plane = Dataset()
    plane.ImageOrientationPatient = ds.ImageOrientationPatient
    echo, timing = Dataset(), Dataset()
    echo.EffectiveEchoTime = 4.6
    timing.RepetitionTime, timing.FlipAngle = "8.5", "12"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([plane])
    shared.MREchoSequence, shared.MRTimingAndRelatedParametersSequence = Sequence([echo]), Sequence([timing])
    groups = []
    for at, position in enumerate(positions):
        group, place, content, values = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = position
        content.TemporalPositionIndex = per_frame["temporal"][at] if "temporal" in per_frame else 1
        values.RescaleSlope, values.RescaleIntercept = str(1 + at), "-10"
        group.PlanePositionSequence, group.FrameContentSequence = Sequence([place]), Sequence([content])
        group.PixelValueTransformationSequence = Sequence([values])
        groups.append(group)
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "EchoTime", "RepetitionTime", "FlipAngle"):
        delattr(ds, keyword)
    return ds


def enhanced(order, temporal=None):
    """An enhanced multi-frame file whose frames lie at the slices in `order`."""
    ds = dataset(0, SOPClassUID=ENHANCED_MR, NumberOfFrames=len(order))
    positions = [dataset(index).ImagePositionPatient for index in order]
    orientation, spacing = ds.ImageOrientationPatient, ds.PixelSpacing
    ds.PixelData = b"".join((pixels(index) // 40).tobytes() for index in order)
    frame_groups(ds, positions, **({"temporal": temporal} if temporal else {}))
    values = [(pixels(index) // 40).astype(float) * (1 + at) - 10 for at, index in enumerate(order)]
    return ds, positions, orientation, spacing, values


ENHANCED_ACQUISITION = {"echo_time_ms": 4.6, "repetition_time_ms": 8.5, "flip_angle_deg": 12}


def enhanced_expectation(order, values, positions, orientation, spacing, **over):
    holder = Dataset()
    holder.ImageOrientationPatient, holder.PixelSpacing = orientation, spacing
    by_slice = sorted(range(len(order)), key=lambda at: order[at])
    first, last = (numpy.array(positions[by_slice[end]], dtype=float) for end in (0, -1))
    affine = stack_affine(holder, first, (last - first) / (len(order) - 1))
    return {"format": "dicom", "dims": [COLUMNS, ROWS, len(order)], "affine": [[number(v) for v in row] for row in affine[:3]],
            "values": [number(v) for at in by_slice for v in values[at].ravel()], "files": 1, "acquisition": ENHANCED_ACQUISITION, **over}


def dicom_enhanced():
    expected = enhanced_expectation
    order = [2, 0, 3, 1]
    ds, positions, orientation, spacing, values = enhanced(order)
    expectation_ = expected(order, values, positions, orientation, spacing, volumes=1)
    case("dicom_enhanced", "An enhanced multi-frame file: functional groups say place, rescale and timing.", {"IM0001": dicom(ds)},
         **expectation_, warnings=[])
    case("dicom_enhanced_implicit", "The same in implicit little-endian.", {"IM0001": dicom(enhanced(order)[0], IMPLICIT)}, **expectation_, warnings=[])
    case("dicom_enhanced_rle", "The same in RLE, one fragment a frame.", {"IM0001": compressed(enhanced(order)[0], RLE, rle)}, **expectation_, warnings=[])
    case("dicom_enhanced_fragments", "The same in JPEG lossless, two fragments a frame, by the offset table.",
         {"IM0001": compressed(enhanced(order)[0], LOSSLESS, lambda frame: imagecodecs.ljpeg_encode(frame, bitspersample=12), fragments=2)},
         **expectation_, warnings=[])
    order, temporal = [0, 1, 0, 1], [1, 1, 2, 2]
    ds, positions, orientation, spacing, values = enhanced(order, temporal)
    case("dicom_enhanced_4d", "An enhanced file of two moments.", {"IM0001": dicom(ds)}, selection={"volume": 1},
         **expected(order[2:], values[2:], positions[2:], orientation, spacing, volumes=2), warnings=[])
    beats = enhanced(order, temporal)[0]
    for group, delay in zip(beats.PerFrameFunctionalGroupsSequence, (20.0, 20.0, 57.5, 58.5)):
        cardiac = Dataset()
        cardiac.NominalCardiacTriggerDelayTime = delay
        group.CardiacSynchronizationSequence = Sequence([cardiac])
    case("dicom_enhanced_cine", "An enhanced file of two phases, each frame with its delay after the R wave.", {"IM0001": dicom(beats)},
         selection={"volume": 1}, **expected(order[2:], values[2:], positions[2:], orientation, spacing, volumes=2), time_ms=58, warnings=[])
    frames = dataset(0, NumberOfFrames=3)
    frames.PixelData = b"".join(pixels(index).tobytes() for index in range(3))
    expected_plain = dicom_expectation([dicom(dataset(index)) for index in range(3)])
    case("dicom_multi_frame_plain", "A multi-frame file with one position: stacked by thickness, with a warning.", {"IM0001": dicom(frames)},
         **expected_plain, warnings=["share one position"])


def dicom_broken():
    content = dicom(dataset(0))
    failure("error_dicom_cut", "Pixels that end early.", {"IM0001": content[:-100]}, "Truncated", "DICOM file", "384", "284")
    failure("error_dicom_header_cut", "A data set that ends inside an element.", {"IM0001": content[:700]}, "Truncated", "DICOM file")
    failure("error_dicom_short", "Fewer pixels than rows and columns ask for.", {"IM0001": dicom(dataset(0, PixelData=bytes(100)))}, "Truncated",
            "DICOM image", "384", "100")
    failure("error_dicom_rows", "No rows.", {"IM0001": dicom(dataset(0, Rows=0))}, "Header", "Rows")
    failure("error_dicom_bits", "24 bits a pixel.", {"IM0001": dicom(dataset(0, BitsAllocated=24))}, "Header", "BitsAllocated", "24")
    failure("error_dicom_bits_stored", "More bits stored than there are.", {"IM0001": dicom(dataset(0, BitsStored=17))}, "Header", "BitsStored")
    failure("error_dicom_high_bit", "A high bit below the stored bits.", {"IM0001": dicom(dataset(0, HighBit=3))}, "Header", "HighBit")
    wrap = lambda syntax, part, **fields: {"IM0001": compressed(dataset(0, **fields), syntax, lambda frame: part)}
    failure("error_dicom_htj2k", "High-Throughput JPEG 2000.", wrap(HTJ2K, bytes(64)), "TransferSyntax", "High-Throughput", HTJ2K, "gdcmconv")
    failure("error_dicom_mpeg", "Video.", wrap("1.2.840.10008.1.2.4.102", bytes(64)), "TransferSyntax", "MPEG")
    for name, syntax in (("parts", J2K_PARTS), ("parts_lossy", J2K_PARTS_LOSSY)):
        failure(f"error_dicom_jpeg_2000_{name}", "JPEG 2000 part 2.", wrap(syntax, bytes(64)), "TransferSyntax", "several components", syntax, "gdcmconv")
    # pydicom does not know this one yet.
    xl = patched(wrap(HTJ2K, bytes(64))["IM0001"], HTJ2K.encode(), JPEG_XL.encode())
    failure("error_dicom_jpeg_xl", "JPEG XL.", {"IM0001": xl}, "TransferSyntax", "JPEG XL", JPEG_XL, "gdcmconv")
    # The pixels are on a server; the file holds their address.
    for name, syntax in (("jpip", JPIP), ("jpip_deflated", JPIP_DEFLATED)):
        elsewhere = dataset(0, PixelData=None, PixelDataProviderURL="https://example.org/one")
        failure(f"error_dicom_{name}", "Pixels on a server (JPIP).", {"IM0001": dicom(elsewhere, syntax)}, "TransferSyntax", "JPIP", syntax)
    failure("error_dicom_private_syntax", "A private transfer syntax.", wrap("1.2.3.4", bytes(64)), "TransferSyntax", "private", "1.2.3.4")
    twelve = imagecodecs.jpeg_encode(pixels(0), bitspersample=12)
    failure("error_dicom_jpeg_12_bit", "JPEG with 12 bits.", wrap(EXTENDED, twelve), "TransferSyntax", "12 bits")
    good_jpeg = imagecodecs.ljpeg_encode(pixels(0), bitspersample=12)
    failure("error_dicom_jpeg_cut", "A JPEG that ends early.", wrap(LOSSLESS, good_jpeg[:60]), "Damaged", "ends early")
    other = imagecodecs.ljpeg_encode(pixels(0)[:8], bitspersample=12)
    failure("error_dicom_jpeg_size", "A JPEG of another size than the file says.", wrap(LOSSLESS, other), "Damaged", "16 x 8", "16 x 12")
    failure("error_dicom_jpeg_ls_cut", "A JPEG-LS that ends early.", wrap(JPEG_LS, imagecodecs.jpegls_encode(pixels(0))[:60]), "Damaged")
    failure("error_dicom_jpeg_2000_junk", "A JPEG 2000 that is none.", wrap(J2K, b"not a codestream"), "Damaged")
    failure("error_dicom_rle_cut", "RLE that ends early.", wrap(RLE, rle(pixels(0))[:120]), "Damaged", "run-length")
    failure("error_dicom_rle_segments", "RLE with the segments of another depth.", wrap(RLE, rle(pixels(0, numpy.uint8, 250))), "Damaged",
            "1 run-length")
    long = bytearray(content)
    at = long.rindex(b"\xe0\x7f\x10\x00OW")
    struct.pack_into("<I", long, at + 8, 0xFFFFFFF0)
    failure("hostile_dicom_length", "Pixels that claim 4 GB.", {"IM0001": bytes(long)}, "Truncated", "4294967280")
    text = bytearray(content)
    at = text.index(b"\x08\x00\x3e\x10LO")
    struct.pack_into("<H", text, at + 6, 0xFFFF)
    failure("hostile_dicom_text_length", "A description that claims 64 kB.", {"IM0001": bytes(text)}, "Truncated", "65535")
    failure("hostile_dicom_frames", "Two billion frames.", {"IM0001": dicom(dataset(0, NumberOfFrames=2147483647))}, "Header", "NumberOfFrames")
    failure("hostile_dicom_frames_short", "60000 frames promised by one.", {"IM0001": dicom(dataset(0, NumberOfFrames=60000))}, "Truncated")
    failure("hostile_dicom_size", "65535 x 65535 pixels.", {"IM0001": dicom(dataset(0, Rows=65535, Columns=65535))}, "TooLarge", "65535 x 65535")
    start = content[: content.index(b"\x08\x00\x05\x00")]
    open_sequence = struct.pack("<HH2sHI", 0x0009, 0x1001, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    failure("hostile_dicom_depth", "Sequences nested 2000 deep.", {"IM0001": start + open_sequence * 2000}, "Damaged", "nested too deeply")
    wanted = struct.pack("<HH2sHI", 0x5200, 0x9229, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    failure("hostile_dicom_depth_wanted", "Functional groups nested 2000 deep.", {"IM0001": start + wanted * 2000}, "Damaged", "nested too deeply")
    deflated = dicom(dataset(0), DEFLATED)
    meta = deflated[: 132 + 12 + struct.unpack_from("<I", deflated, 140)[0]]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(257)) + packer.flush()
    failure("hostile_dicom_deflate_bomb", "A deflated data set of 257 MiB.", {"IM0001": meta + bomb}, "TooLarge", "256 MiB")
    flat = dicom(dataset(0, ImageOrientationPatient=["0"] * 6))
    flat_affine = numpy.diag([-SPACING[1], -SPACING[0], 2.5, 1.0])
    case("dicom_orientation_zero", "An orientation of zeros counts as none.", {"IM0001": flat}, dims=[COLUMNS, ROWS, 1],
         affine=[[number(v) for v in row] for row in flat_affine[:3]], warnings=["do not say where the slices lie"])


def dicom_packed():
    """Ways of packing files and pixels."""
    one = dicom(dataset(0))
    failure("error_dicom_gzip", "A DICOM file in gzip.", {"IM0001.dcm.gz": zipped(one)}, "Unrecognised", "a DICOM file inside gzip", "Unpack it")
    failure("error_tar", "A tar of DICOM files.", {"study.tar": tarred({"IM0001": one})}, "Unrecognised", "a tar archive", "Unpack it")
    failure("error_tar_gzip", "A tar in gzip.", {"study.tar.gz": zipped(tarred({"IM0001": one}))}, "Unrecognised", "a tar archive", "Unpack it")

    order = [2, 0, 3, 1]
    ds, positions, orientation, spacing, values = enhanced(order)
    expected = enhanced_expectation(order, values, positions, orientation, spacing, volumes=1)
    # pydicom has no decoder for it: a fragment is a frame's pixels as they are.
    case("dicom_enhanced_encapsulated_uncompressed", "Uncompressed pixels, a fragment a frame.",
         {"IM0001": compressed(enhanced(order)[0], UNCOMPRESSED, lambda frame: frame.tobytes())}, **expected, warnings=[])
    stack_of = [dataset(index) for index in range(2)]
    case("dicom_encapsulated_uncompressed", "Uncompressed pixels in three fragments, 8 bits.",
         names([compressed(set_pixels(ds, pixels(index, numpy.uint8, 250)), UNCOMPRESSED, lambda frame: frame.tobytes(), fragments=3)
                for index, ds in enumerate(stack_of)]),
         **dicom_expectation([dicom(set_pixels(dataset(index), pixels(index, numpy.uint8, 250))) for index in range(2)]), warnings=[])
    case("dicom_enhanced_no_offset_table", "RLE without an offset table, one fragment a frame.",
         {"IM0001": compressed(enhanced(order)[0], RLE, rle, table=False)}, **expected, warnings=[])
    # Without a table, pydicom finds a JPEG's last fragment by the marker at its end; the coding is lossless.
    content = compressed(enhanced(order)[0], PROCESS_14, predicted, fragments=2, table=False)
    raw = pydicom.dcmread(io.BytesIO(content))
    frames = list(generate_frames(raw.PixelData, number_of_frames=4))
    assert [frame.rstrip(b"\0") for frame in frames] == [predicted(frame) for frame in numpy.frombuffer(enhanced(order)[0].PixelData, "<u2").reshape(4, ROWS, COLUMNS)]
    case("dicom_enhanced_fragments_no_offset_table", "JPEG lossless, two fragments a frame, told apart by their end markers.",
         {"IM0001": content}, **expected, warnings=[])
    failure("error_dicom_fragments", "RLE in two fragments a frame, without an offset table: where a frame begins is nowhere.",
            {"IM0001": compressed(enhanced(order)[0], RLE, rle, fragments=2, table=False)}, "Damaged", "offset table is missing")

    eight = []
    for index in range(2):
        ds = set_pixels(dataset(index), pixels(index, numpy.uint8, 250))
        ds.PixelData = numpy.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
        eight.append(patched(dicom(ds, BIG), b"\x7f\xe0\x00\x10OB", b"\x7f\xe0\x00\x10OW"))
    straight = dicom_expectation([dicom(set_pixels(dataset(index), pixels(index, numpy.uint8, 250))) for index in range(2)])
    assert dicom_expectation(eight)["values"] == straight["values"]
    stack("dicom_big_endian_8_bit", "Explicit big-endian, 8-bit pixels in words: pairs are swapped.", eight)


def dicom_stacks():
    """Slices and volumes that are not as they should be."""
    told = enhanced([0, 1])
    ds, shared = told[0], told[0].SharedFunctionalGroupsSequence[0]
    modifier = Dataset()
    modifier.InversionTimes = [1100.0, 2500.0]
    shared.MRModifierSequence = Sequence([modifier])
    ds.PulseSequenceName = "*tir3d1"
    del ds.InversionTime, ds.SequenceName
    case("dicom_enhanced_inversion", "An enhanced file with inversion times and the name of its pulse sequence.", {"IM0001": dicom(ds)},
         **enhanced_expectation([0, 1], told[4], *told[1:4], volumes=1) | {
             "acquisition": {**ENHANCED_ACQUISITION, "inversion_time_ms": 1100, "sequence_name": "*tir3d1"}}, warnings=[])

    def weighted(volume, missing, slices=5):
        return [timed(volume, index, DiffusionBValue=1000.0 * volume) for index in range(slices) if index != missing]

    # The first by b-value is the one that lacks a slice; it must not borrow one of the second.
    case("dicom_b_values_missing_slice", "Two b-values, a slice of the first is missing: the second is whole, with a warning.",
         names(weighted(0, 1, 3) + weighted(1, None, 3)), **dicom_expectation(weighted(1, None, 3), volumes=1), warnings=["2 images left out"])
    case("dicom_b_values_missing_slice_each", "Two b-values, another slice of each is missing: the first is filled in, with warnings.",
         names(weighted(0, 1) + weighted(1, 3)), **dicom_expectation(weighted(0, 1), slices=5, volumes=1),
         warnings=["4 images left out", "1 of 5 slices is missing"])
    # Without diffusion weighting, then three directions with the same; the second slice of the first is missing.
    def directions(number, directed=False):
        volumes = []
        for volume in range(4):
            volumes.append([])
            for index in range(4):
                ds = dataset(index, SOPInstanceUID=f"{ROOT_UID}.1.{volume * 100 + index + 1}", InstanceNumber=number(volume, index),
                             DiffusionBValue=1000.0 * (volume > 0))
                if directed and volume:
                    ds.DiffusionGradientOrientation = [float(volume == axis) for axis in (1, 2, 3)]
                ds.PixelData = (pixels(index) // (volume + 1)).tobytes()
                volumes[-1].append(dicom(ds))
        return volumes

    def lacking(volumes):
        return [content for at, volume in enumerate(volumes) for index, content in enumerate(volume) if (at, index) != (1, 1)]

    for told, what, volumes in (
        ("by_number", "instance numbers, volume after volume", directions(lambda volume, index: 4 * volume + index + 1)),
        ("slice_by_slice", "instance numbers, slice after slice", directions(lambda volume, index: 4 * index + volume + 1)),
        ("by_gradient", "the direction of the gradient", directions(lambda volume, index: 1, directed=True)),
    ):
        # Every other slice has its directions the other way round in the order of files.
        turned = [volumes[0], *([of if index % 2 else to for index, (of, to) in enumerate(zip(volumes[4 - at], volumes[at]))] for at in (1, 2, 3))]
        case(f"dicom_directions_{told}", f"A slice of the first of three directions is missing, which is told by {what}: the others are whole.",
             names([content for content in sum(turned, []) if content != volumes[1][1]]), selection={"volume": 1},
             **dicom_expectation(volumes[2], volumes=3, files=15),
             warnings=["3 images left out: at other positions"])
    untold = directions(lambda volume, index: 1)
    case("dicom_directions_untold", "A slice of one of three directions is missing, and nothing tells them apart: all are left out.",
         names(lacking(untold)), **dicom_expectation(untold[0], volumes=1, files=15), warnings=["11 images left out: images are missing"])
    failure("error_dicom_directions_untold", "Three directions that nothing tells apart, and a slice of one is missing.",
            names(lacking([[], *untold[1:]])), "Geometry", "do not say which volume each of the others belongs to")
    pair = [[timed(volume, index, ImageType=["ORIGINAL", "PRIMARY", kind, "ND"]) for index in range(3)] for volume, kind in enumerate("PM")]
    for volume, (title, contents) in enumerate({"magnitude": pair[1], "phase": pair[0]}.items()):
        case(f"dicom_{title}", f"Magnitude and phase in one series: two volumes, the {title}.", names(pair[0] + pair[1]),
             selection={"volume": volume}, **dicom_expectation(contents, volumes=2, files=6), warnings=[])
    astray = []
    for index, beside in enumerate((0.0, 1.0, -0.25, 0.0)):
        position = numpy.array([-20.0, 11.5, -30.25]) + 2.5 * index * TURN[:, 2] + beside * TURN[:, 0]
        astray.append(dicom(dataset(index, ImagePositionPatient=[f"{value:.6f}" for value in position])))
    stack("dicom_off_the_line", "A slice that lies 1 mm beside the line of the others: ignored, with a warning.", astray,
          warnings=["do not lie on one line (up to 1.0 mm beside it)"])
    one_thick = dicom_expectation([dicom(dataset(0, SliceThickness="1"))])
    case("dicom_no_thickness", "One slice that states no thickness: 1 mm, with a warning.", names([dicom(dataset(0, SliceThickness=None))]),
         **one_thick, unit_stated=False, warnings=["do not state the slice thickness"])
    frames = dataset(0, NumberOfFrames=3, SliceThickness=None)
    frames.PixelData = b"".join(pixels(index).tobytes() for index in range(3))
    holder = dataset(0)
    first = numpy.array(holder.ImagePositionPatient, dtype=float)
    affine = stack_affine(holder, first, numpy.cross(*numpy.array(holder.ImageOrientationPatient, dtype=float).reshape(2, 3)))
    case("dicom_multi_frame_no_thickness", "A multi-frame file with one position and no thickness: 1 mm apart, with warnings.", {"IM0001": dicom(frames)},
         format="dicom", dims=[COLUMNS, ROWS, 3], volumes=1, affine=[[number(v) for v in row] for row in affine[:3]],
         values=[number(v) for index in range(3) for v in pixels(index).ravel()], unit_stated=False,
         warnings=["share one position", "do not state the slice thickness"])
