"""Writes codes.json: the codes of a FHIR report with the names that published lists give them.

    python tests/golden/fhir/make_codes.py

DICOM PS3.16's lists come from pydicom, which generates them from the standard; what they lack (FHIR's own
code systems, LOINC's imaging documents) is written here with its source.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydicom.sr._concepts_dict import concepts

SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
}

# Code and the context group that is named; the display is looked up there.
LISTED = {
    "SCT": {
        **dict.fromkeys("68523003 66720007 53118009 33060004 25991003 11000004 89278009".split(), 7140),
        **dict.fromkeys("49841001 35918002 119238007 5366008 4958002 427667007 14738005".split(), 7140),
        **dict.fromkeys("40146001 42695009 65216001 35764002".split(), 7153),
        "128319008": 7140,
        "12738006": 7151,
        "118565006": 7469,
        "272741003": 210,
        "7771000": 244,
        "24028007": 244,
        "103339001": 7470,
        "301766008": 7194,
        "87878005": 7151,
        "53085002": 7151,
        "90096001": 3835,
    },
    "LN": {
        "8821-1": 3468,
        "8822-9": 3468,
        "8823-7": 3469,
        "8824-5": 3469,
        "8811-2": 3833,
        "8818-7": 3833,
        "18087-7": 12203,
    },
    "DCM": {"110700": 7140, "122157": None},
}

OTHERS = {
    "http://loinc.org": {
        "24590-2": ("MR Brain", "LOINC, imaging documents (OID 1.3.6.1.4.1.12009.10.2.5)"),
        "18748-4": ("Diagnostic imaging study", "LOINC, imaging documents"),
    },
    "http://terminology.hl7.org/CodeSystem/v2-0074": {
        "RAD": ("Radiology", "HL7 v2 table 0074"),
    },
    "http://terminology.hl7.org/CodeSystem/observation-category": {
        "imaging": ("Imaging", "FHIR R4, observation-category"),
    },
    "http://terminology.hl7.org/CodeSystem/data-absent-reason": {
        "unknown": ("Unknown", "FHIR R4, data-absent-reason"),
        "not-performed": ("Not Performed", "FHIR R4, data-absent-reason"),
    },
}


def names(scheme: str, code: str) -> list[tuple[str, list[int]]]:
    return [entry[code] for entry in concepts[scheme].values() if code in entry]


def main() -> None:
    codes: dict[str, dict] = {
        system: {code: {"display": name, "source": source} for code, (name, source) in listed.items()}
        for system, listed in OTHERS.items()
    }
    for scheme, listed in LISTED.items():
        for code, group in listed.items():
            # Codes outside context groups are DICOM's own definitions.
            name = next(name for name, groups in names(scheme, code) if group is None or group in groups)
            source = f"DICOM PS3.16 CID {group}" if group else "DICOM PS3.16 annex D"
            codes.setdefault(SYSTEMS[scheme], {})[code] = {"display": name, "source": source}
    path = Path(__file__).with_name("codes.json")
    path.write_text(json.dumps({"command": "python tests/golden/fhir/make_codes.py", "codes": codes}, indent=1) + "\n")
    print(path, sum(map(len, codes.values())), "codes")


if __name__ == "__main__":
    main()
