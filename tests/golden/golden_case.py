"""What all golden cases share: one folder a case, and files that come out the same every time."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent / "formats"


def number(value):
    value = float(value)
    return int(value) if value == int(value) and abs(value) < 2**53 else value


def case(name, what, files, /, **expected):
    """One folder: `files` maps names to bytes; `expected` goes to expected.json."""
    folder = ROOT / name
    folder.mkdir(parents=True)
    for file_name, content in files.items():
        (folder / file_name).write_bytes(content)
    text = json.dumps({"what": what, **expected}, indent=1, ensure_ascii=False)
    # One line a list of numbers, so that a changed case gives a diff that can be read.
    lines, depth_lists = [], 0
    for line in text.split("\n"):
        stripped = line.strip()
        simple = stripped.rstrip(",").lstrip("-").replace(".", "").replace("e", "").replace("-", "").isdigit()
        if depth_lists and (simple or stripped in ("]", "],")):
            lines[-1] += stripped if lines[-1].endswith("[") or stripped.startswith("]") else " " + stripped
        else:
            lines.append(line)
        depth_lists = lines[-1].rstrip().endswith("[") or (depth_lists and not stripped.startswith("]"))
    (folder / "expected.json").write_text("\n".join(lines) + "\n", encoding="utf-8")


def failure(name, what, files, variant, *contains, **more):
    case(name, what, files, error={"variant": variant, "contains": list(contains)}, **more)


def zipped(content, level=9):
    return gzip.compress(content, level, mtime=0)


def packed(files, compression=zipfile.ZIP_DEFLATED):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = compression
            archive.writestr(info, content)
    return target.getvalue()


def tarred(files):
    """A tar without its padding to 10 kB."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    size = sum(512 + -(-len(content) // 512) * 512 for content in files.values())
    return target.getvalue()[: size + 1024]
