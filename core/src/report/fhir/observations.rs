//! The measurements as Observations: sums, structures, differences between the sides,
//! image quality.

use serde_json::{Value, json};

use super::codes::{self, SNOMED, coding, concept, quantity, words};
use super::{Ids, others};
use crate::measure::{Judgement, Measure, StructureVolume, base_name};
use crate::report::findings::partner;
use crate::report::sentence::clean;
use crate::report::{Report, UNIT_ASSUMED};
use crate::volume::Side;

/// Decimals of a volume in millilitres: a tenth of a cubic millimetre.
pub(super) const MILLILITRE_DECIMALS: i32 = 4;

/// All measurements, each with a key that no other has.
pub fn observations(report: &Report, ids: &Ids) -> Vec<(String, Value)> {
    let mut all = sums(report);
    for row in report.arranged() {
        all.push((volume_key(row), volume(row)));
    }
    for left in report.arranged().into_iter().filter(|row| row.side == Some(Side::Left)) {
        if let Some(right) = partner(left, &report.structures)
            && let Some(percent) = left.asymmetry_percent
        {
            all.push((format!("asymmetry-{}", left.index), difference(left, right, percent, ids)));
        }
    }
    all.extend(others::lesions(report));
    all.extend(others::function(report));
    all.extend(others::changes(report, ids));
    all.extend(others::lesion_change(report));
    if report.unit_assumed {
        // The phases of the heart come from files of their own.
        for (_, observation) in all.iter_mut().filter(|(key, _)| !key.starts_with("function-")) {
            if observation["valueQuantity"]["unit"] == "mL" {
                note(observation, UNIT_ASSUMED);
            }
        }
    }
    for measure in &report.quality.measures {
        all.push((format!("quality-{}", measure.key), quality(measure)));
    }
    all
}

/// What every Observation begins with.
pub(super) fn observation(code: Value) -> Value {
    json!({
        "resourceType": "Observation",
        "status": "preliminary",
        "category": [concept(
            coding("http://terminology.hl7.org/CodeSystem/observation-category", "imaging",
                   "Imaging"),
            "Imaging",
        )],
        "code": code,
    })
}

/// Adds a note behind those that are there.
pub(super) fn note(observation: &mut Value, text: &str) {
    let mut notes = observation["note"].as_array().cloned().unwrap_or_default();
    notes.push(json!({ "text": text }));
    observation["note"] = json!(notes);
}

pub(super) fn volume_code() -> Value {
    concept(coding(SNOMED, "118565006", "Volume"), "Volume")
}

pub(super) fn volume_key(row: &StructureVolume) -> String {
    format!("volume-{}", row.index)
}

fn sums(report: &Report) -> Vec<(String, Value)> {
    let totals = &report.totals;
    let brain = totals.is_brain.then(|| coding(SNOMED, "12738006", "Brain"));
    let sums = [
        (
            "brain",
            Some(totals.brain_millilitres).filter(|_| totals.found > 0),
            brain,
            if totals.is_brain { "brain" } else { "all labelled structures" },
            Some(&totals.brain_definition),
        ),
        (
            "intracranial",
            totals.icv_millilitres,
            Some(coding(SNOMED, "128319008", "Intracranial structure")),
            "intracranial volume",
            Some(&totals.icv_definition),
        ),
        (
            "ventricles",
            totals.ventricles_millilitres,
            Some(coding(SNOMED, "35764002", "Brain ventricle")),
            "ventricles and choroid plexus",
            None,
        ),
    ];
    sums.into_iter()
        .filter_map(|(key, value, site, text, definition)| {
            let mut sum = observation(volume_code());
            sum["valueQuantity"] = quantity(value?, "mL", MILLILITRE_DECIMALS);
            sum["bodySite"] = site.map_or_else(|| words(text), |site| concept(site, text));
            if let Some(definition) = definition {
                sum["note"] = json!([{ "text": clean(definition) }]);
            }
            Some((key.to_owned(), sum))
        })
        .collect()
}

fn volume(row: &StructureVolume) -> Value {
    let mut volume = observation(volume_code());
    let name = clean(&row.display_name);
    volume["bodySite"] = match site(row) {
        Some(site) => concept(site, &name),
        None => words(&name),
    };
    let mut components = Vec::new();
    if let Some(side) = row.side {
        components.push(json!({
            "code": concept(coding(SNOMED, "272741003", "Laterality"), "Side"),
            "valueCodeableConcept": codes::side(side),
        }));
    }
    if row.voxels == 0 {
        volume["dataAbsentReason"] = concept(
            coding(
                "http://terminology.hl7.org/CodeSystem/data-absent-reason",
                "unknown",
                "Unknown",
            ),
            "The structure was not found.",
        );
    } else {
        volume["valueQuantity"] = quantity(row.millilitres, "mL", MILLILITRE_DECIMALS);
        if let Some(percent) = row.percent_of_icv {
            components.push(json!({
                "code": words("Share of the intracranial volume"),
                "valueQuantity": quantity(percent, "%", 4),
            }));
        }
    }
    if row.edge_voxels > 0 {
        volume["note"] = json!([{ "text": format!(
            "{} voxels lie at the edge of the field of view: the volume is probably too small.",
            row.edge_voxels
        ) }]);
    }
    if let Some(caution) = row.caution.as_ref().filter(|_| row.voxels > 0) {
        note(&mut volume, &clean(&caution.words()));
    }
    if !components.is_empty() {
        volume["component"] = json!(components);
    }
    volume
}

/// The code of a structure that is known to be one of the brain.
fn site(row: &StructureVolume) -> Option<Value> {
    row.tissue.and_then(|_| codes::structure(row.id))
}

fn difference(left: &StructureVolume, right: &StructureVolume, percent: f64, ids: &Ids) -> Value {
    let mut difference = observation(words("Asymmetry index, 100 (L - R) / ((L + R) / 2)"));
    let name = clean(base_name(&left.display_name));
    difference["bodySite"] = match site(left) {
        Some(site) => concept(site, &name),
        None => words(&name),
    };
    difference["valueQuantity"] = quantity(percent, "%", 2);
    difference["derivedFrom"] =
        json!([left, right].map(|row| json!({ "reference": ids.urn(&volume_key(row)) })));
    difference
}

fn quality(measure: &Measure) -> Value {
    let mut quality = observation(words(&clean(&measure.name)));
    match measure.value.filter(|value| value.is_finite()) {
        Some(value) => {
            quality["valueQuantity"] =
                quantity(value, &measure.unit, i32::from(measure.decimals) + 2);
        }
        None => {
            quality["dataAbsentReason"] = concept(
                coding(
                    "http://terminology.hl7.org/CodeSystem/data-absent-reason",
                    "not-performed",
                    "Not Performed",
                ),
                "not assessed",
            );
        }
    }
    if matches!(measure.judgement, Judgement::Good | Judgement::Look | Judgement::Poor) {
        quality["interpretation"] = json!([words(measure.judgement.name())]);
    }
    let note = clean(&format!("{} {} {}", measure.explanation, measure.rule, measure.source));
    if !note.is_empty() {
        quality["note"] = json!([{ "text": note }]);
    }
    quality
}
