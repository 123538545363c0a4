"""Golden cases of NIfTI files and of zips that hold them; expectations by nibabel."""

import io
import json
import struct
import zipfile

import nibabel
import numpy

from golden_case import case, failure, number, packed, zipped

nibabel.imageglobals.logger.setLevel("CRITICAL")
SHAPE = (5, 4, 3)
OBLIQUE = numpy.array(
    [[0.9, -0.2, 0.1, -12.5], [0.25, 1.1, -0.15, 7.25], [-0.05, 0.3, 1.9, 30.0], [0, 0, 0, 1]]
)


def ramp(shape=SHAPE, dtype=numpy.int16, low=-7, step=3):
    values = numpy.arange(int(numpy.prod(shape)), dtype=numpy.float64).reshape(shape, order="F")
    return (values * step + low).astype(dtype)


def image(data, affine=OBLIQUE, kind=nibabel.Nifti1Image, order="<", sform=1, qform=0, units=("mm", "sec")):
    header = kind.header_class(endianness=order)
    header.set_data_dtype(data.dtype.newbyteorder(order))
    result = kind(data, affine, header)
    result.set_sform(affine, sform)
    result.set_qform(affine if qform else None, qform)
    result.header.set_xyzt_units(*units)
    return result


def as_bytes(nifti, **fields):
    """The file's bytes, header fields changed after nibabel's own checks.

    With an affine given, nibabel's to_bytes rewrites slope and orientation codes, so both
    are put back through the packed header.
    """
    content = bytearray(nifti.to_bytes())
    size = struct.unpack("<i", content[:4])[0]
    big = size not in (348, 540)
    two = (struct.unpack(">i", content[:4])[0] if big else size) == 540
    order = ">" if big else "<"
    places = NIFTI2 if two else NIFTI1
    for field, value in fields.items():
        at, code = places[field.rstrip("_0123456789") if field not in places else field]
        struct.pack_into(order + code, content, at, *value if isinstance(value, (tuple, list)) else (value,))
    return bytes(content)


NIFTI1 = {
    "sizeof_hdr": (0, "i"), "dim": (40, "8h"), "datatype": (70, "h"), "bitpix": (72, "h"), "pixdim": (76, "8f"),
    "vox_offset": (108, "f"), "scl_slope": (112, "f"), "scl_inter": (116, "f"), "xyzt_units": (123, "B"),
    "qform_code": (252, "h"), "sform_code": (254, "h"), "quatern": (256, "3f"), "qoffset": (268, "3f"),
    "srow": (280, "12f"), "magic": (344, "4s"),
}
NIFTI2 = {
    "sizeof_hdr": (0, "i"), "magic": (4, "8s"), "datatype": (12, "h"), "dim": (16, "8q"), "pixdim": (104, "8d"),
    "vox_offset": (168, "q"), "scl_slope": (176, "d"), "scl_inter": (184, "d"), "qform_code": (344, "i"),
    "sform_code": (348, "i"), "srow": (400, "12d"), "xyzt_units": (500, "i"),
}


def read_back(content, name="scan.nii", kind=None):
    kind = kind or (nibabel.Nifti2Image if content[4:7] == b"n+2" else nibabel.Nifti1Image)
    return kind.from_bytes(content)


def expectation(nifti, volume=0, affine=None, data=None):
    """What nibabel reads: dims, affine, all voxels of one volume (x fastest), number of volumes."""
    if data is None:
        data = numpy.asarray(nifti.dataobj)
    dims = list(data.shape[:3]) + [1] * (3 - data.ndim)
    stack = data.reshape(dims + [-1], order="F")
    affine = nifti.affine if affine is None else numpy.asarray(affine, dtype=float)
    return {
        "format": "nifti2" if isinstance(nifti, nibabel.Nifti2Image) else "nifti1",
        "dims": [int(side) for side in dims],
        "volumes": int(stack.shape[3]),
        "affine": [[number(value) for value in row] for row in affine[:3]],
        "values": [number(value) for value in stack[..., volume].ravel(order="F")],
    }


def good(name, what, content, volume=0, warnings=(), file_name="scan.nii", compress=False, written=None, acquisition=None,
         unit_stated=None, **over):
    nifti = read_back(content)
    expected = expectation(nifti, volume, **over)
    if written:
        expected["written"] = written
    if acquisition:
        expected["acquisition"] = acquisition
    if unit_stated is not None:
        expected["unit_stated"] = unit_stated
    if volume:
        expected = {"selection": {"volume": volume}, **expected}
    case(name, what, {file_name: zipped(content) if compress else content}, **expected, warnings=list(warnings))


TYPES = {
    "u8": numpy.uint8, "i8": numpy.int8, "u16": numpy.uint16, "i16": numpy.int16, "u32": numpy.uint32,
    "i32": numpy.int32, "u64": numpy.uint64, "i64": numpy.int64, "f32": numpy.float32, "f64": numpy.float64,
}
VERSIONS = {1: nibabel.Nifti1Image, 2: nibabel.Nifti2Image}
ORDERS = {"": "<", "_big": ">"}


def nifti_types():
    for code, dtype in TYPES.items():
        data = ramp(dtype=dtype, low=0 if code.startswith("u") else -7, step=4 if code == "u8" else 2)
        limits = numpy.finfo(dtype) if code.startswith("f") else numpy.iinfo(dtype)
        if code == "f64":
            data[0, 0, 0], data[1, 0, 0] = 1e30, 0.1
        else:
            data[0, 0, 0], data[1, 0, 0] = limits.min, limits.max
        for version, kind in VERSIONS.items():
            for title, order in ORDERS.items():
                good(f"nifti{version}_type_{code}{title}", f"Voxels of type {code}, its least and greatest value among them.",
                     as_bytes(image(data, kind=kind, order=order)))
    for code, dtype in {"c64": numpy.complex64, "c128": numpy.complex128}.items():
        data = (ramp() + 1j * ramp(low=40, step=-2)).astype(dtype)
        for version, kind in VERSIONS.items():
            for title, order in ORDERS.items():
                content = as_bytes(image(data, kind=kind, order=order), scl_slope=0.5, scl_inter=3.0)
                good(f"nifti{version}_type_{code}{title}", f"Complex voxels of type {code}, scaled: their magnitudes, with a warning.",
                     content, data=numpy.abs(numpy.asarray(read_back(content).dataobj)), warnings=["complex"])
    good("nifti1_big_endian", "Big-endian NIfTI-1.", as_bytes(image(ramp(), order=">")))
    good("nifti1_big_endian_f64", "Big-endian NIfTI-1, doubles.",
         as_bytes(image(ramp(dtype=numpy.float64) / 8, order=">")))
    two = nibabel.Nifti2Image
    good("nifti2", "NIfTI-2.", as_bytes(image(ramp(), kind=two)))
    good("nifti2_big_endian", "Big-endian NIfTI-2.", as_bytes(image(ramp(dtype=numpy.float32), kind=two, order=">")))
    good("nifti1_gzip", "NIfTI-1 in gzip.", as_bytes(image(ramp())), compress=True, file_name="scan.nii.gz")
    good("nifti2_gzip", "NIfTI-2 in gzip.", as_bytes(image(ramp(), kind=two)), compress=True, file_name="scan.nii.gz")
    content = as_bytes(image(ramp()))
    case("nifti1_gzip_two_members", "Gzip may hold several members, as parallel packers write.",
         {"scan.nii.gz": zipped(content[:400]) + zipped(content[400:])}, **expectation(read_back(content)), warnings=[])
    case("nifti1_gzip_padded", "Zero bytes after the last gzip member.",
         {"scan.nii.gz": zipped(content) + bytes(64)}, **expectation(read_back(content)), warnings=["longer"])
    case("nifti1_misleading_name", "The format is found by content: gzip named as DICOM.",
         {"IM0001.dcm": zipped(content)}, **expectation(read_back(content)), warnings=[])


def long_double(numbers, order="<", complex_voxels=False, kind=nibabel.Nifti1Image, **fields):
    """A file of 128-bit floats, which nibabel on x86 neither writes nor reads: its header of a twin in doubles, and
    `numbers`, 16 little-endian bytes each."""
    data = ramp(dtype=numpy.complex128 if complex_voxels else numpy.float64)
    code, bits = (2048, 256) if complex_voxels else (1536, 128)
    content = as_bytes(image(data, kind=kind, order=order), datatype=code, **fields)
    if order == ">":
        numbers = [number[::-1] for number in numbers]
    result = bytearray(content[: len(content) - data.nbytes] + b"".join(numbers))
    struct.pack_into(order + "h", result, 14 if kind is nibabel.Nifti2Image else 72, bits)
    return bytes(result)


def x87(values, padding=bytes(6)):
    """numpy's long doubles on x86, with bytes of our choice where it leaves what was in memory."""
    assert numpy.finfo(numpy.longdouble).nmant == 63, "run this on x86"
    content = numpy.asarray(values, numpy.longdouble).ravel(order="F").tobytes()
    return [content[at : at + 10] + padding for at in range(0, len(content), 16)]


def quadruple(values):
    """Doubles widened to IEEE 754 binary128, bit by bit; 0 or normal."""
    numbers = []
    for bits in numpy.asarray(values, numpy.float64).ravel(order="F").view(numpy.uint64).tolist():
        exponent = bits >> 52 & 0x7FF
        head = exponent + 16383 - 1023 if exponent else 0
        numbers.append((bits >> 63 << 127 | head << 112 | (bits & (1 << 52) - 1) << 60).to_bytes(16, "little"))
    return numbers


def good_long(name, what, numbers, data, order="<", complex_voxels=False, kind=nibabel.Nifti1Image, warnings=(), compress=False, **fields):
    """Expected: geometry by nibabel from a twin, values by numpy."""
    content = long_double(numbers, order, complex_voxels, kind, **fields)
    files = {"scan.nii.gz": zipped(content)} if compress else {"scan.nii": content}
    twin = read_back(as_bytes(image(ramp(), kind=kind, order=order)), kind=kind)
    case(name, what, files, **expectation(twin, data=data), warnings=list(warnings))


def nifti_long_doubles():
    third = ramp(dtype=numpy.longdouble) / 3
    complex_third = third + 1j * (ramp(dtype=numpy.longdouble, low=40, step=-2) / 7)
    parts = numpy.stack([complex_third.real, complex_third.imag])
    for version, kind in VERSIONS.items():
        for title, order in ORDERS.items():
            good_long(f"nifti{version}_type_f128{title}", "Voxels of 80 bits in 128, as numpy on x86 stores long doubles, scaled.",
                      x87(third), third * 0.5 + 3, order, kind=kind, compress=True, scl_slope=0.5, scl_inter=3.0)
            good_long(f"nifti{version}_type_c256{title}", "Complex voxels of two long doubles of x86, scaled: their magnitudes, with a warning.",
                      x87(parts), numpy.abs(complex_third * 0.5 + 3), order, True, kind, warnings=["complex"], scl_slope=0.5, scl_inter=3.0)
    odd = third.copy()
    odd[2, 1, 0], odd[0, 3, 2], odd[4, 3, 2], odd[1, 1, 1] = numpy.nan, numpy.inf, -numpy.inf, numpy.longdouble("1e-4000")
    good_long("nifti1_f128_not_numbers", "NaN and infinite long doubles become 0, with a warning; one too small for a double is 0.",
              x87(odd), numpy.where(numpy.isfinite(odd), odd, 0), warnings=["3 voxels not a number"])
    # The upper bytes of a double, 100.3, that was in memory before: a sound exponent in quadruple precision.
    for title, order in ORDERS.items():
        good_long(f"nifti1_f128_padding{title}", "Long doubles of x86 whose unused bytes hold something.",
                  x87(third, b"\x33\x33\x33\x13\x59\x40"), third, order)
    wide = numpy.asarray(third, numpy.float64)
    for title, order in ORDERS.items():
        good_long(f"nifti1_f128_quadruple{title}", "Quadruple precision, as on AArch64.", quadruple(wide), wide, order)
    whole = ramp(dtype=numpy.float64, step=16)
    good_long("nifti1_f128_quadruple_whole", "Whole numbers in quadruple precision: to the x87, zeros.", quadruple(whole), whole)
    # The larger double comes first in the file.
    pairs = [bytes(8) + value.tobytes() for value in whole.ravel(order="F")]
    good_long("nifti1_f128_pair_big", "Pairs of doubles, as big-endian PowerPC wrote them.", pairs, whole, ">")
    good_long("nifti1_f128_zeros", "Zeros are zeros in each layout.", [bytes(16)] * 60, numpy.zeros(SHAPE))
    failure("error_f128_layout", "Big-endian numbers that are whole in quadruple precision, and from 1.9 to 4 as pairs of doubles.",
            {"scan.nii": long_double(quadruple(whole), ">")}, "VoxelType", "128-bit floats that fit", "IEEE 754", "PowerPC")
    failure("error_f128_data_cut", "128-bit floats that end early.", {"scan.nii": long_double(x87(third))[:-3]}, "Truncated", "1312", "1309")
    failure("error_c256_data_cut", "Complex numbers of 256 bits that end early.", {"scan.nii": long_double(x87(parts), "<", True)[:-3]},
            "Truncated", "2272", "2269")
    failure("hostile_volumes_c256", "4 billion of the largest volumes of 256-bit numbers, 2^64 bytes but for 4 GiB.",
            {"scan.nii": as_bytes(image(ramp(), kind=nibabel.Nifti2Image), datatype=2048, dim=(4, 512, 512, 512, 2**32 - 1, 1, 1, 1))},
            "Truncated", str(2**64 - 2**32 + 544))


def nifti_scaling():
    content = as_bytes(image(ramp()), scl_slope=0.5, scl_inter=-20.25)
    good("nifti1_scaled", "scl_slope and scl_inter.", content)
    good("nifti1_scale_slope_zero", "Slope 0 means no scaling, whatever the intercept.",
         as_bytes(image(ramp()), scl_slope=0.0, scl_inter=100.0))
    good("nifti1_scale_slope_nan", "A slope that is no number means no scaling.",
         as_bytes(image(ramp()), scl_slope=float("nan"), scl_inter=0.0))
    good("nifti2_scaled", "Scaling in NIfTI-2.",
         as_bytes(image(ramp(), kind=nibabel.Nifti2Image), scl_slope=-1.5, scl_inter=3.0))
    data = ramp(dtype=numpy.float32)
    data[2, 1, 0], data[0, 3, 2], data[4, 3, 2] = numpy.nan, numpy.inf, -numpy.inf
    content = as_bytes(image(data))
    clean = numpy.where(numpy.isfinite(data), data, 0)
    good("nifti1_not_numbers", "NaN and infinite voxels become 0, with a warning.", content,
         data=clean, warnings=["3 voxels not a number"])


def rotation(axis, degrees):
    axis = numpy.asarray(axis, dtype=float)
    axis /= numpy.linalg.norm(axis)
    x, y, z = axis
    cross = numpy.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = numpy.radians(degrees)
    return numpy.eye(3) + numpy.sin(angle) * cross + (1 - numpy.cos(angle)) * cross @ cross


def rigid(matrix, spacing, offset):
    affine = numpy.eye(4)
    affine[:3, :3] = matrix @ numpy.diag(spacing)
    affine[:3, 3] = offset
    return affine


def written(affine):
    """Orientation fields that nibabel writes for an affine, sform and qform both."""
    header = nibabel.Nifti1Image(numpy.zeros(SHAPE, numpy.float32), affine).header
    header.set_sform(affine, 1)
    header.set_qform(affine, 1)
    fields = {"pixdim": header["pixdim"][:4]}
    fields["quatern"] = [header[f"quatern_{axis}"] for axis in "bcd"]
    fields["qoffset"] = [header[f"qoffset_{axis}"] for axis in "xyz"]
    for axis in "xyz":
        fields[f"srow_{axis}"] = header[f"srow_{axis}"]
    return {name: [number(value) for value in values] for name, values in fields.items()}


def nifti_orientation():
    turned = rigid(rotation((1, 2, 3), 25), (0.9, 1.1, 3.0), (-80, 22.5, 14))
    good("nifti1_qform", "Only a qform: rotation by quaternion.", as_bytes(image(ramp(), turned, sform=0, qform=1)),
         written=written(turned))
    mirrored = turned @ numpy.diag([1, 1, -1, 1])
    good("nifti1_qform_mirrored", "A qform with qfac -1.", as_bytes(image(ramp(), mirrored, sform=0, qform=1)),
         written=written(mirrored))
    half = rigid(rotation((0, 1, 0), 180), (1, 2, 3), (10, -20, 30))
    good("nifti1_qform_half_turn", "A qform that is a half turn: the quaternion's real part is 0.",
         as_bytes(image(ramp(), half, sform=0, qform=1)))
    both = image(ramp(), turned, sform=0, qform=1)
    both.set_sform(OBLIQUE, 2)
    good("nifti1_sform_before_qform", "Both are given and differ: the sform counts.", as_bytes(both), written=written(OBLIQUE))
    # nibabel would return the singular matrix; the qform is the only usable orientation.
    good("nifti1_sform_singular", "An sform that places nothing: the qform counts, with a warning.",
         as_bytes(both, srow=(0,) * 12), affine=both.get_qform(), warnings=["sform matrix places nothing"])
    plain = as_bytes(image(ramp(), numpy.diag([2.0, 3.0, 4.0, 1.0]), sform=0, qform=0))
    # nifti1.h method 1 (x = pixdim[1] * i ...); nibabel flips x and centres the volume instead.
    good("nifti1_no_orientation", "Neither sform nor qform: spacing only, with a warning that sides are assumed.",
         plain, affine=numpy.diag([2.0, 3.0, 4.0, 1.0]), warnings=["left and right"])
    good("nifti2_qform", "A qform in NIfTI-2.", as_bytes(image(ramp(), turned, kind=nibabel.Nifti2Image, sform=0, qform=1)))
    # From here on nibabel, which ignores units, gives the numbers before scaling to millimetres.
    for unit, factor in {"metre": 1000.0, "micron": 0.001}.items():
        affine = OBLIQUE / factor
        affine[3, 3] = 1
        content = as_bytes(image(ramp(), affine, units=({"metre": "meter"}.get(unit, unit), "sec")))
        scaled = read_back(content).affine * factor
        good(f"nifti1_unit_{unit}", f"Lengths in {unit}s are scaled to millimetres.", content, affine=scaled, unit_stated=True)
    good("nifti1_unit_unknown", "No unit of length: millimetres, with a warning.",
         as_bytes(image(ramp(), units=("unknown", "unknown"))), warnings=["unit of length"], unit_stated=False)
    content = as_bytes(image(ramp(), numpy.diag([2.0, 3.0, 4.0, 1.0]), sform=0, qform=0),
                       pixdim=(1, 2, 0, float("nan"), 1, 1, 1, 1))
    good("nifti1_spacing_missing", "Spacing 0 and NaN: 1 mm, with a warning an axis.", content,
         affine=numpy.diag([2.0, 1.0, 1.0, 1.0]), unit_stated=False,
         warnings=["left and right", "spacing along y", "spacing along z"])


def nifti_unusable():
    """Orientations that place nothing, beside others or alone."""
    none = (float("nan"),) * 12
    spacing, offset = (0.9, 1.1, 3.0), (-80, 22.5, 14)
    turned = rigid(rotation((1, 2, 3), 25), spacing, offset)
    # nifti1.h method 1, where neither orientation is usable.
    plain = numpy.diag([*numpy.float32(spacing), 1.0])
    alone = ["qform holds no rotation; it was not used", "left and right"]
    content = as_bytes(image(ramp(), turned, sform=0, qform=1), quatern=none[:3])
    assert numpy.isnan(read_back(content).affine).any()
    good("nifti1_qform_not_numbers", "A qform whose quaternion is no numbers: spacing only, with warnings.", content, affine=plain, warnings=alone)
    both = image(ramp(), turned, sform=1, qform=1)
    good("nifti1_sform_and_qform_unusable", "An sform of zeros and a qform that is no numbers: spacing only, with a warning each.",
         as_bytes(both, srow=(0,) * 12, quatern=none[:3]), affine=plain, warnings=["sform matrix places nothing; it was not used", *alone])
    good("nifti1_sform_singular_alone", "An sform of zeros and no qform: nothing else was used.",
         as_bytes(image(ramp(), turned), srow=(0,) * 12), affine=plain, warnings=["sform matrix places nothing; it was not used", "left and right"])
    # nibabel's threshold is three times the precision of a float: within it, a half turn.
    half = image(ramp(), rigid(rotation((1, 2, 2), 180), spacing, offset), sform=0, qform=1)
    content = as_bytes(half, quatern=numpy.float32((1 / 3 + 1e-7, 2 / 3, 2 / 3 + 5e-8)).tolist())
    header = read_back(content).header
    assert -3.5e-7 < 1 - sum(float(header[f"quatern_{axis}"]) ** 2 for axis in "bcd") < -1e-7
    good("nifti1_qform_rounded", "A quaternion that rounding made longer than 1 is a half turn.", content)
    content = as_bytes(half, quatern=(0.4, 0.8, 0.8))
    try:
        read_back(content)
        raise AssertionError("nibabel reads it")
    except ValueError as error:
        assert "w2 should be positive" in str(error)
    case("nifti1_qform_too_long", "A quaternion of length 1.2, which nibabel refuses: spacing only, with warnings.", {"scan.nii": content},
         **{**expectation(read_back(as_bytes(half))), "affine": [[number(value) for value in row] for row in plain[:3]]}, warnings=alone)
    both = image(ramp(), turned, kind=nibabel.Nifti2Image, sform=1, qform=1)
    good("nifti2_sform_not_numbers", "A NIfTI-2 sform that is no numbers: the qform counts, with a warning.",
         as_bytes(both, srow=none), affine=both.get_qform(), warnings=["sform matrix places nothing; its qform was used"])
    # nibabel ignores units.
    good("nifti1_unit_undefined", "A unit of length that NIfTI does not define: millimetres, with a warning.",
         as_bytes(image(ramp()), xyzt_units=5 | 8), warnings=["code 5"], unit_stated=False)


def nifti_beside():
    described = image(ramp())
    described.header["descrip"] = b"TE=3;Time=102030.000"
    content = as_bytes(described)
    case("nifti1_sidecar_silent", "A JSON of the same name that tells nothing of the acquisition: the description counts.",
         {"scan.nii": content, "scan.json": b'{"schema": 1}'}, **expectation(read_back(content)),
         acquisition={"echo_time_ms": 3, "repetition_time_ms": None}, warnings=[])


def in_two_files(kind, order="<"):
    """Header and voxels of the ramp as two files, and what nibabel reads from them."""
    empty = lambda: {part: nibabel.FileHolder(fileobj=io.BytesIO()) for part in ("header", "image")}
    parts, data = empty(), ramp()
    pair = kind(data, OBLIQUE, kind.header_class(endianness=order))
    pair.header.set_data_dtype(data.dtype.newbyteorder(order))
    pair.header.set_xyzt_units("mm", "sec")
    pair.to_file_map(parts)
    contents = [parts[part].fileobj.getvalue() for part in ("header", "image")]
    again = empty()
    for part, content in zip(("header", "image"), contents):
        again[part].fileobj.write(content)
        again[part].fileobj.seek(0)
    expected = expectation(kind.from_file_map(again))
    return *contents, {**expected, "format": "nifti2" if kind is nibabel.Nifti2Pair else "nifti1"}


def nifti_shapes():
    four = ramp((4, 3, 2, 3))
    for volume in (0, 2):
        good(f"nifti1_4d_volume_{volume}", f"Volume {volume} of a 4-D file.", as_bytes(image(four)), volume=volume)
    good("nifti2_4d_volume_2", "A volume of a 4-D NIfTI-2 file.", as_bytes(image(four, kind=nibabel.Nifti2Image)), volume=2)
    good("nifti2_4d_big_volume_1", "A volume of a big-endian 4-D NIfTI-2 file.",
         as_bytes(image(four.astype(numpy.float32), kind=nibabel.Nifti2Image, order=">")), volume=1)
    good("nifti1_4d_gzip_volume_1", "A volume out of the middle of a compressed 4-D file.", as_bytes(image(four)),
         volume=1, compress=True, file_name="scan.nii.gz")
    for unit, step, milliseconds in (("sec", 0.03125, 62.5), ("msec", 31.25, 62.5), ("unknown", 1, None)):
        timed = image(four, units=("mm", unit))
        timed.header.set_zooms((*timed.header.get_zooms()[:3], step))
        content = as_bytes(timed)
        case(f"nifti1_cine_{unit}", f"Phases of a heartbeat, their spacing in a unit of time ({unit}).", {"scan.nii": content},
             selection={"volume": 2}, **expectation(read_back(content), 2), time_ms=milliseconds, warnings=[])
    good("nifti1_5d_volume_5", "Dimensions past the third are counted through.",
         as_bytes(image(ramp((3, 3, 2, 2, 3)))), volume=5)
    good("nifti1_trailing_ones", "dim[0] of 5 with trailing ones is a 3-D file.",
         as_bytes(image(ramp((4, 3, 2, 1, 1)))))
    good("nifti1_2d", "A single slice.", as_bytes(image(ramp((5, 4)))))
    content = as_bytes(image(ramp()))
    good("nifti1_dims_past_count", "Entries of dim past dim[0] mean nothing.",
         content[:40] + struct.pack("<8h", 3, 5, 4, 3, 0, -5, 0, 77) + content[56:])
    extended = image(ramp())
    extended.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"for the test"))
    good("nifti1_extension", "Voxels begin after a header extension.", as_bytes(extended))
    case("nifti1_longer", "More bytes than the header says: ignored, with a warning.", {"scan.nii": content + bytes(9)},
         **expectation(read_back(content)), warnings=["longer"])
    header, voxels, expected = in_two_files(nibabel.Nifti1Pair)
    case("nifti1_pair", "A header and its voxels in two files of one name, among others.",
         {"Scan.hdr": header, "scan.img": voxels, "readme.txt": b"two parts\n"}, **expected,
         series=[{"key": "file-1", "title": "Scan", "files": 2}], warnings=["1 file that is no scan was left out"])
    case("nifti1_pair_gzip", "Both parts of a pair in gzip.",
         {"a.hdr.gz": zipped(header), "a.img.gz": zipped(voxels)}, **expected, warnings=[])
    for title, order in ORDERS.items():
        header_2, voxels_2, expected_2 = in_two_files(nibabel.Nifti2Pair, order)
        case(f"nifti2_pair{title}", "A NIfTI-2 header and its voxels in two files.", {"scan.hdr": header_2, "scan.img": voxels_2},
             **expected_2, files=2, warnings=[])
    failure("error_pair_missing", "A header without its voxels.", {"scan.hdr": header}, "MissingPair", "Drop both files")
    # BIDS, "Magnetic Resonance Imaging": times are in seconds.
    sidecar = {"EchoTime": 0.00298, "RepetitionTime": 2.3, "InversionTime": 0.9, "FlipAngle": 9, "MagneticFieldStrength": 3,
               "Manufacturer": "Maker", "SeriesDescription": "t1 sagittal", "SequenceName": "tfl3d1", "BodyPartExamined": "BRAIN",
               "PatientName": "SECRET^NAME"}
    told = {"echo_time_ms": 2.98, "repetition_time_ms": 2300, "inversion_time_ms": 900, "flip_angle_deg": 9, "field_strength_t": 3,
            "manufacturer": "Maker", "description": "t1 sagittal", "sequence_name": "tfl3d1", "body_part": "BRAIN", "contrast_agent": None}
    case("nifti1_sidecar", "A JSON sidecar of the same name says how the scan was acquired.",
         {"sub_T1w.nii.gz": zipped(content), "sub_T1w.json": json.dumps(sidecar).encode()}, **expectation(read_back(content)),
         acquisition=told, files=1, warnings=[])
    case("nifti1_sidecar_broken", "A sidecar that is no JSON is a stray file.", {"a.nii": content, "a.json": b'{"EchoTime": '},
         **expectation(read_back(content)), acquisition={"echo_time_ms": None}, warnings=["1 file that is no scan"])
    for writer, (text, times) in {
        "spm": (b"3T 3D GR TR=2300ms/TE=2.98ms/FA=9deg 01-Jan-2010", (2.98, 2300, 9)),
        "dcm2niix": (b"TE=3;Time=102030.000", (3, None, None)),
        "other": (b"DATE=20100101 FSL5.0", (None, None, None)),
    }.items():
        described = image(ramp())
        described.header["descrip"] = text
        good(f"nifti1_description_{writer}", f"Times in the description, as of {writer}.", as_bytes(described),
             acquisition=dict(zip(("echo_time_ms", "repetition_time_ms", "flip_angle_deg"), times)))
    other = as_bytes(image(ramp((6, 4, 3), low=100)))
    case("series_of_two_files", "Two NIfTI files: the one with most voxels is taken.",
         {"first.nii": content, "second.nii.gz": zipped(other)}, **expectation(read_back(other)),
         series=[{"key": "file-1", "title": "first", "dims": [5, 4, 3]}, {"key": "file-2", "title": "second", "dims": [6, 4, 3]}],
         warnings=[])
    case("series_chosen", "Two NIfTI files: the one that was asked for is taken.",
         {"first.nii": content, "second.nii.gz": zipped(other)}, selection={"series": "file-1"},
         **expectation(read_back(content)), warnings=[])
    failure("error_unknown_series", "A series that is not there.", {"first.nii": content}, "UnknownSeries", "file-1 (first)",
            selection={"series": "file-9"})
    failure("error_unknown_volume", "A volume that is not there.", {"scan.nii": as_bytes(image(four))}, "UnknownVolume",
            "Volume 3", "has 3", selection={"volume": 3})


def nifti_broken():
    content = as_bytes(image(ramp()))
    two = as_bytes(image(ramp(), kind=nibabel.Nifti2Image))
    packed_file = zipped(content)
    failure("error_empty", "A file without bytes.", {"scan.nii": b""}, "Empty", "0 bytes")
    failure("error_text", "A text file.", {"notes.nii": b"not a scan\n"}, "Unrecognised", "a text file", "DICOM")
    failure("error_picture", "A picture.", {"slice.png": b"\x89PNG\r\n\x1a\n" + bytes(40)}, "Unrecognised", "PNG")
    failure("error_freesurfer", "A FreeSurfer volume.", {"orig.mgz": zipped(struct.pack(">7i", 1, 4, 4, 4, 1, 0, 0) + bytes(300))},
            "Unrecognised", "FreeSurfer", "mri_convert")
    failure("error_header_cut", "A header that ends early.", {"scan.nii": content[:200]}, "Truncated", "header", "348", "200")
    failure("error_header_cut_2", "A NIfTI-2 header that ends early.", {"scan.nii": two[:400]}, "Truncated", "header", "540")
    failure("error_header_cut_gzip", "A compressed header that ends early.", {"scan.nii.gz": zipped(content[:300])}, "Truncated",
            "header", "348", "300")
    failure("error_data_cut", "Voxels that end early.", {"scan.nii": content[:-3]}, "Truncated", "image data", "472", "469")
    failure("error_data_cut_gzip", "Compressed voxels that end early.", {"scan.nii.gz": zipped(content[:-3])}, "Truncated", "472")
    failure("error_gzip_cut", "A gzip stream that ends early.", {"scan.nii.gz": packed_file[:-40]}, "Truncated", "image data")
    broken = bytearray(packed_file)
    broken[-6] ^= 1
    failure("error_gzip_checksum", "A wrong gzip checksum.", {"scan.nii.gz": bytes(broken)}, "Damaged", "checksum")
    case("hostile_gzip_bomb", "A small header before a stream of 64 MiB: the rest is never unpacked.",
         {"scan.nii.gz": zipped(content + bytes(64 << 20))}, **expectation(read_back(content)), warnings=["longer"])
    failure("hostile_promise_gzip", "512 x 512 x 512 voxels promised by 300 bytes: refused before allocation.",
            {"scan.nii.gz": zipped(as_bytes(image(ramp()), dim=(3, 512, 512, 512, 1, 1, 1, 1)))}, "Truncated", "image data")
    failure("hostile_promise", "512 x 512 x 512 voxels promised by 500 bytes.",
            {"scan.nii": as_bytes(image(ramp()), dim=(3, 512, 512, 512, 1, 1, 1, 1))}, "Truncated", "268435808")
    failure("hostile_size", "More voxels than can be held.", {"scan.nii": as_bytes(image(ramp()), dim=(3, 32767, 32767, 32767, 1, 1, 1, 1))},
            "TooLarge", "32767 x 32767 x 32767")
    failure("hostile_size_overflow", "NIfTI-2 sides whose product overflows 64 bits.",
            {"scan.nii": as_bytes(image(ramp(), kind=nibabel.Nifti2Image), dim=(3, 2**62, 2**62, 16, 1, 1, 1, 1))}, "TooLarge")
    failure("hostile_volumes_overflow", "NIfTI-2 volumes whose number overflows 64 bits.",
            {"scan.nii": as_bytes(image(ramp(), kind=nibabel.Nifti2Image), dim=(6, 5, 4, 3, 2**62, 2**62, 16, 1))}, "Header", "dim[4]")
    failure("hostile_volumes", "4 billion volumes promised by 500 bytes.",
            {"scan.nii": as_bytes(image(ramp(), kind=nibabel.Nifti2Image), dim=(4, 5, 4, 3, 2**32 - 1, 1, 1, 1))}, "Truncated")
    failure("error_dim_negative", "A negative side.", {"scan.nii": as_bytes(image(ramp()), dim=(3, 5, -4, 3, 1, 1, 1, 1))}, "Header",
            "dim[2]", "-4")
    failure("error_dim_zero", "A side of 0.", {"scan.nii": as_bytes(image(ramp()), dim=(3, 5, 4, 0, 1, 1, 1, 1))}, "Header", "dim[3]", "0")
    failure("error_dim_count", "9 dimensions.", {"scan.nii": as_bytes(image(ramp()), dim=(9, 5, 4, 3, 1, 1, 1, 1))}, "Header", "dim[0]", "9")
    failure("error_offset", "Voxels placed beyond reason.", {"scan.nii": as_bytes(image(ramp()), vox_offset=1e30)}, "Header", "vox_offset")
    failure("error_offset_nan", "Voxels placed at a byte that is no number.", {"scan.nii": as_bytes(image(ramp()), vox_offset=float("nan"))},
            "Header", "vox_offset")
    case("nifti1_offset_inside_header", "vox_offset inside the header: read from behind it, with a warning.",
         {"scan.nii": as_bytes(image(ramp()), vox_offset=100.0)}, **expectation(read_back(content)), warnings=["vox_offset 100"])
    failure("error_analyze", "A header without magic is ANALYZE.", {"scan.hdr": as_bytes(image(ramp()), magic=b"\0\0\0\0")[:348]},
            "Analyze", "which side is left")
    failure("error_size_field", "The magic is right, the size field is not.", {"scan.nii": as_bytes(image(ramp()), sizeof_hdr=347)},
            "Header", "sizeof_hdr", "347")
    failure("error_magic_2", "A NIfTI-2 header with a wrong magic.",
            {"scan.nii": as_bytes(image(ramp(), kind=nibabel.Nifti2Image), magic=b"n+2\0\n\n\n\n")}, "Header", "magic")
    for code, title in {128: "colours", 2304: "colours", 1: "single bits", 999: "of type 999"}.items():
        failure(f"error_type_{code}", f"Voxels of type {code}.", {"scan.nii": as_bytes(image(ramp()), datatype=code)}, "VoxelType", title)
    case("nifti1_among_broken", "A broken file beside a good one: loaded, with a warning.",
         {"a.nii": content[:200], "b.nii": content}, **expectation(read_back(content)), warnings=["Left out: The header is incomplete"])


def archives():
    content = as_bytes(image(ramp()))
    case("zip_nifti", "A NIfTI file in a zip, in a folder, beside what macOS adds.",
         {"scan.zip": packed({"study/scan.nii": content, "__MACOSX/study/._scan.nii": b"shadow", "study/notes.txt": b"hello"})},
         **expectation(read_back(content)), warnings=["1 file that is no scan"])
    case("zip_stored", "A zip without compression.", {"scan.zip": packed({"scan.nii": content}, zipfile.ZIP_STORED)},
         **expectation(read_back(content)), warnings=[])
    header, voxels, expected = in_two_files(nibabel.Nifti1Pair)
    mirrored = numpy.frombuffer(voxels, "<i2")[::-1].tobytes()
    others = {"a/scan.hdr": header, "a/scan.img": mirrored}
    case("zip_two_pairs", "Pairs of one name in two folders: the second has its own voxels.",
         {"scan.zip": packed({**others, "b/scan.hdr": header, "b/scan.img": voxels})}, selection={"series": "file-3"},
         **expected, series=[{"key": "file-1", "title": "scan"}, {"key": "file-3", "title": "scan"}], warnings=[])
    failure("error_zip_two_pairs_cut", "Pairs of one name in two folders: the voxels of the second are cut.",
            {"scan.zip": packed({**others, "b/scan.hdr": header, "b/scan.img": voxels[:-2]})}, "Truncated", "File: scan.img",
            selection={"series": "file-3"})
    case("zip_two_pairs_one_missing", "Pairs of one name in two folders: the voxels of the first are missing, so it is left out.",
         {"scan.zip": packed({"a/scan.hdr": header, "b/scan.hdr": header, "b/scan.img": voxels})},
         **expected, series=[{"key": "file-2"}], warnings=["in the same folder"])
    case("zip_pair_in_two_folders", "The only header and the only voxels of a name, in two folders.",
         {"scan.zip": packed({"headers/scan.hdr": header, "voxels/scan.img": voxels})}, **expected, warnings=[])
    sidecars = {f"{folder}/T1w.{end}": part for folder, echo, nifti in (("a", 0.003, as_bytes(image(ramp()[::-1]))), ("b", 0.1, content))
                for end, part in (("nii", nifti), ("json", json.dumps({"EchoTime": echo, "SeriesDescription": folder}).encode()))}
    case("zip_two_sidecars", "Scans of one name in two folders: the second has its own sidecar.", {"scan.zip": packed(sidecars)},
         selection={"series": "file-3"}, **expectation(read_back(content)), acquisition={"echo_time_ms": 100, "description": "b"},
         series=[{"key": "file-1", "acquisition": {"echo_time_ms": 3, "description": "a"}}, {"key": "file-3"}], warnings=[])
    case("zip_sidecar_elsewhere", "A sidecar of the scan's name in another folder may be another scan's.",
         {"scan.zip": packed({"a/T1w.json": b'{"EchoTime": 0.003}', "b/T1w.nii": content})}, **expectation(read_back(content)),
         acquisition={"echo_time_ms": None}, warnings=["1 file that is no scan"])
    failure("error_zip_empty", "A zip without files.", {"scan.zip": packed({})}, "Unrecognised", "a zip archive without files")
    failure("error_zip_cut", "A zip whose directory is missing.", {"scan.zip": packed({"scan.nii": content})[:-60]}, "Damaged", "zip archive")
    broken = bytearray(packed({"scan.nii": content}, zipfile.ZIP_STORED))
    broken[300] ^= 1
    failure("error_zip_checksum", "A zip entry with a wrong checksum.", {"scan.zip": bytes(broken)}, "Damaged", "zip archive")
    locked = bytearray(packed({"scan.nii": content}, zipfile.ZIP_STORED))
    locked[6] |= 1
    locked[locked.rindex(b"PK\x01\x02") + 8] |= 1
    failure("error_zip_password", "A zip with a password.", {"scan.zip": bytes(locked)}, "Encrypted", "password")
    liar = bytearray(packed({"scan.nii": content}))
    struct.pack_into("<I", liar, liar.rindex(b"PK\x01\x02") + 24, 0xF0000000)
    failure("hostile_zip_size", "A zip entry that claims 4 GB.", {"scan.zip": bytes(liar)}, "Damaged", "impossible")
    failure("error_zip_nested", "A zip inside a zip.", {"scan.zip": packed({"inner.zip": packed({"scan.nii": content})})}, "Unrecognised", "a zip archive inside another")
