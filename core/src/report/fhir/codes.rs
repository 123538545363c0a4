//! The codes of a FHIR report, each from a published list; what has none there is text.
//!
//! Structures: DICOM PS3.16, CID 7140 "Brain Structure for Volumetric Measurement" and
//! CID 7153 "CNS Segmentation Type" (SNOMED CT, ventral diencephalon DICOM). Volume and
//! laterality: the concepts of DICOM TID 1411 and CID 244. Longest diameter: CID 7470
//! "Linear Measurement". Lesions: CID 7194. Probability: DICOM. Heart: CID 3833 (ejection
//! fraction by MR), 3468 and 3469 (volumes), 3835 (stroke volume), 12203 (mass), LOINC and
//! SNOMED CT. Kind of report: LOINC's imaging documents (OID 1.3.6.1.4.1.12009.10.2.5). Units: UCUM.

use serde_json::{Value, json};

use crate::volume::Side;

/// SNOMED CT.
pub const SNOMED: &str = "http://snomed.info/sct";
/// LOINC.
pub const LOINC: &str = "http://loinc.org";
/// UCUM.
pub const UCUM: &str = "http://unitsofmeasure.org";
/// DICOM's own codes (PS3.16, annex D).
pub const DICOM: &str = "http://dicom.nema.org/resources/ontology/DCM";

/// A coding of a system.
pub fn coding(system: &str, code: &str, display: &str) -> Value {
    json!({ "system": system, "code": code, "display": display })
}

/// A concept with one coding and words.
pub fn concept(coding: Value, text: &str) -> Value {
    json!({ "coding": [coding], "text": text })
}

/// A concept in words alone.
pub fn words(text: &str) -> Value {
    json!({ "text": text })
}

/// The structure of a FreeSurfer id, without its side.
pub fn structure(id: u16) -> Option<Value> {
    let (code, display) = match id {
        2 | 41 => ("68523003", "Cerebral White Matter"),
        3 | 42 => ("40146001", "Cerebral cortex"),
        4 | 43 => ("66720007", "Lateral Ventricle"),
        5 | 44 => ("53118009", "Inferior Horn of Lateral Ventricle"),
        7 | 46 => ("33060004", "Cerebellar White Matter"),
        8 | 47 => ("25991003", "Cerebellar Cortex"),
        10 | 49 => ("42695009", "Thalamus"),
        11 | 50 => ("11000004", "Caudate Nucleus"),
        12 | 51 => ("89278009", "Putamen"),
        13 | 52 => ("14738005", "Globus Pallidus"),
        14 => ("49841001", "Third ventricle"),
        15 => ("35918002", "Fourth Ventricle"),
        16 => ("119238007", "Brain Stem"),
        17 | 53 => ("5366008", "Hippocampus"),
        18 | 54 => ("4958002", "Amygdala"),
        24 => ("65216001", "Cerebrospinal Fluid"),
        26 | 58 => ("427667007", "Nucleus Accumbens"),
        28 | 60 => return Some(coding(DICOM, "110700", "Ventral Diencephalon")),
        _ => return None,
    };
    Some(coding(SNOMED, code, display))
}

/// A number of the heart's function, by the key of its row; and the place it belongs to.
pub fn function(key: &str) -> Option<(Value, Value)> {
    let (system, code, display) = match key {
        "lv-edv" => (LOINC, "8821-1", "Left Ventricular ED Volume"),
        "lv-esv" => (LOINC, "8823-7", "Left Ventricular ES Volume"),
        "lv-ef" => (LOINC, "8811-2", "Left ventricular ejection fraction by MR"),
        "lv-mass" => (LOINC, "18087-7", "Left Ventricle Mass"),
        "rv-edv" => (LOINC, "8822-9", "Right Ventricular ED Volume"),
        "rv-esv" => (LOINC, "8824-5", "Right Ventricular ES Volume"),
        "rv-ef" => (LOINC, "8818-7", "Right ventricular ejection fraction by MR"),
        "lv-sv" | "rv-sv" => (SNOMED, "90096001", "Stroke Volume"),
        _ => return None,
    };
    let place = if key.starts_with('l') {
        concept(coding(SNOMED, "87878005", "Left ventricle"), "left ventricle")
    } else {
        concept(coding(SNOMED, "53085002", "Right ventricle"), "right ventricle")
    };
    Some((coding(system, code, display), place))
}

/// Left or right (CID 244).
pub fn side(side: Side) -> Value {
    match side {
        Side::Left => concept(coding(SNOMED, "7771000", "Left"), "left"),
        Side::Right => concept(coding(SNOMED, "24028007", "Right"), "right"),
    }
}

/// A quantity; the unit is coded where UCUM's code for it is known here.
pub fn quantity(value: f64, unit: &str, decimals: i32) -> Value {
    let scale = 10_f64.powi(decimals);
    let value = (value * scale).round() / scale;
    let code = match unit {
        "mL" | "mm" | "%" | "s" | "ms" | "g" => unit,
        "" => "1",
        "degrees" => "deg",
        _ => return json!({ "value": value, "unit": unit }),
    };
    json!({ "value": value, "unit": if unit.is_empty() { "1" } else { unit },
            "system": UCUM, "code": code })
}
