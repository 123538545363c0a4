"""Golden cases of NRRD files; voxels and directions as pynrrd reads them.

The world is RAS+ here: of left-posterior-superior, the first two coordinates change sign.
"""

import io
import tempfile
from pathlib import Path

import nrrd
import numpy

from golden_case import case, failure, number

DIRECTIONS = [[0.9, 0.25, -0.05], [-0.2, 1.1, 0.3], [0.1, -0.15, 1.9]]
ORIGIN = [-12.5, 7.25, 30.0]
# An axis that is none of space.
NONE = [numpy.nan] * 3
SIGNS = {"left-posterior-superior": (-1, -1, 1), "RAS": (1, 1, 1), "left-anterior-superior": (-1, 1, 1)}


def ramp(shape, dtype):
    return (numpy.arange(int(numpy.prod(shape)), dtype=numpy.float64).reshape(shape, order="F") * 3 - 7).astype(dtype)


def written(data, space="left-posterior-superior", encoding="gzip", **fields):
    header = {"space": space, "space directions": DIRECTIONS, "space origin": ORIGIN, "encoding": encoding, **fields}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.nrrd"
        nrrd.write(str(path), data, header)
        # The time of writing stands in a comment.
        return b"\n".join(line for line in path.read_bytes().split(b"\n") if not line.startswith(b"# on "))


def expectation(content, volume=0):
    stream = io.BytesIO(content)
    header = nrrd.read_header(stream)
    data = nrrd.read_data(header, stream)
    signs = SIGNS[header["space"]]
    columns = [numpy.array(direction, dtype=float) for direction in header["space directions"][:3]] + [header["space origin"]]
    stack = data.reshape(data.shape[:3] + (-1,), order="F")
    return {
        "format": "nrrd", "dims": [int(side) for side in data.shape[:3]], "volumes": int(stack.shape[3]),
        "affine": [[number(sign * column[axis]) + 0 for column in columns] for axis, sign in enumerate(signs)],
        "values": [number(value) for value in stack[..., volume].ravel(order="F")], "title": "scan", "files": 1,
    }


def good(name, what, content, volume=0, **more):
    expected = {"selection": {"volume": volume}, **expectation(content, volume)} if volume else expectation(content)
    case(name, what, {"scan.nrrd": content}, **expected, **more, warnings=[])


def nrrd_files():
    data = ramp((5, 4, 3), numpy.int16)
    good("nrrd_gzip", "NRRD as 3D Slicer writes it: LPS, gzip.", written(data))
    good("nrrd_raw_big_endian", "Big-endian floats as they are, RAS by its short name, millimetres stated.",
         written(ramp((5, 4, 3), ">f4") / 8, space="RAS", encoding="raw", **{"space units": ["mm", "mm", "mm"]}))
    good("nrrd_las", "A third named space.", written(ramp((5, 4, 3), numpy.uint8), space="left-anterior-superior"))
    four = {"space directions": DIRECTIONS + [NONE], "kinds": ["domain"] * 3 + ["list"]}
    good("nrrd_4d_volume_1", "Volumes behind the axes in space.", written(ramp((4, 3, 2, 3), numpy.int16), **four), volume=1)
    first = {"space directions": [NONE] + DIRECTIONS, "kinds": ["list"] + ["domain"] * 3}
    failure("error_nrrd_list_first", "Volumes in front of the axes in space.",
            {"scan.nrrd": written(ramp((3, 4, 3, 2), numpy.int16), **first)}, "Header", "space directions", "export it as NIfTI")
    content = written(data, encoding="raw")
    failure("error_nrrd_cut", "Voxels that end early.", {"scan.nrrd": content[:-20]}, "Truncated", "120", "100")
    failure("error_nrrd_detached", "Voxels in another file.",
            {"scan.nhdr": content[: content.index(b"\n\n")] + b"\ndata file: scan.raw\n\n"}, "Unrecognised", "another file")
    failure("error_nrrd_encoding", "Voxels written as text.",
            {"scan.nrrd": content.replace(b"encoding: raw", b"encoding: ascii")}, "Header", "encoding", "ascii")
    failure("error_nrrd_sizes", "More voxels than can be held.",
            {"scan.nrrd": content.replace(b"sizes: 5 4 3", b"sizes: 50000 40000 30000")}, "TooLarge", "50000 x 40000")
    failure("error_nrrd_end", "A header without its end.", {"scan.nrrd": content[:60]}, "Header", "empty line")
