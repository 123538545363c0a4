//! Observations beside those of the structures: lesions, the heart's function, change.

use serde_json::{Value, json};

use super::Ids;
use super::codes::{self, DICOM, SNOMED, coding, concept, quantity, words};
use super::observations::{MILLILITRE_DECIMALS, note, observation, volume_code, volume_key};
use crate::lesions::{Lesion, Place};
use crate::report::cine::{CUT, RIGHT_WEAK};
use crate::report::comparison::{MISSED, Rate, in_time, looked_for, rate, until};
use crate::report::sentence::clean;
use crate::report::{LesionFacts, Report, UNIT_ASSUMED, lesions as sentences};

/// How places are marked as lesions.
const MARKED: &str = "Marked by a neural network; not confirmed by a reader";

fn probability(value: f64) -> Value {
    json!({
        "code": concept(coding(DICOM, "122157", "Probability"), "Probability"),
        "valueQuantity": quantity(100.0 * value, "%", 2),
    })
}

fn lesion_code() -> Value {
    coding(SNOMED, "301766008", "Lesion of Brain")
}

/// How many, how large together, how likely; and one a lesion. Empty where nothing was
/// looked for.
pub fn lesions(report: &Report) -> Vec<(String, Value)> {
    let Some(facts) = &report.lesions else { return Vec::new() };
    let mut all = vec![("lesions".to_owned(), together(facts))];
    all.extend(facts.lesions.iter().map(|row| (format!("lesion-{}", row.number), lesion(row))));
    all
}

fn together(facts: &LesionFacts) -> Value {
    let summary = &facts.summary;
    let mut all = observation(volume_code());
    all["bodySite"] = concept(coding(SNOMED, "12738006", "Brain"), "brain");
    all["valueQuantity"] = quantity(summary.millilitres, "mL", MILLILITRE_DECIMALS);
    let mut components = vec![json!({
        "code": words("Places marked as lesions"),
        "valueInteger": summary.lesions,
    })];
    components.extend(summary.probability.map(probability));
    all["component"] = json!(components);
    all["method"] = words(MARKED);
    all["note"] = json!([{ "text": sentences::caution(facts.false_alarms).text }]);
    all
}

fn lesion(row: &Lesion) -> Value {
    let mut lesion = observation(volume_code());
    let region = clean(row.region.as_deref().unwrap_or("brain"));
    lesion["bodySite"] = words(&region);
    lesion["valueQuantity"] = quantity(row.millilitres, "mL", MILLILITRE_DECIMALS);
    let mut components = vec![
        json!({
            "code": words("Marked as"),
            "valueCodeableConcept": concept(lesion_code(), &clean(&row.kind)),
        }),
        json!({
            "code": concept(coding(SNOMED, "103339001", "Long axis"), "Longest diameter"),
            "valueQuantity": quantity(row.diameter_mm, "mm", 1),
        }),
        probability(f64::from(row.probability)),
    ];
    if let Some(side) = row.side {
        components.push(json!({
            "code": concept(coding(SNOMED, "272741003", "Laterality"), "Side"),
            "valueCodeableConcept": codes::side(side),
        }));
    }
    if row.place != Place::Unknown {
        components.push(json!({
            "code": words("Place in the brain"),
            "valueString": row.place.words(),
        }));
    }
    if let Some(signal) = row.signal {
        components.push(json!({
            "code": words("Signal in the first sequence"),
            "valueString": signal.words(),
        }));
    }
    lesion["component"] = json!(components);
    lesion
}

/// Volumes, stroke volumes, ejection fractions and mass of ventricles that were found; the
/// method says where they are from a part of the phases.
pub fn function(report: &Report) -> Vec<(String, Value)> {
    let Some(phases) = report.heart.as_ref().map(|heart| &heart.report) else { return Vec::new() };
    phases
        .rows()
        .into_iter()
        .filter_map(|row| {
            let (code, place) = codes::function(row.key)?;
            let mut number = observation(concept(code, row.name));
            number["bodySite"] = place;
            number["valueQuantity"] = quantity(row.value?, row.unit, 2);
            number["method"] = words(&row.formula);
            if phases.cut {
                note(&mut number, CUT);
            } else if !row.usable {
                note(&mut number, RIGHT_WEAK);
            }
            if !phases.unit_stated && row.unit != "%" {
                note(&mut number, UNIT_ASSUMED);
            }
            Some((format!("function-{}", row.key), number))
        })
        .collect()
}

/// The change of each structure between the scans, in millilitres and percent, with its
/// intervals.
pub fn changes(report: &Report, ids: &Ids) -> Vec<(String, Value)> {
    let Some(facts) = &report.comparison else { return Vec::new() };
    let code = format!("Change of volume {}", until(facts));
    facts
        .changes
        .iter()
        .flatten()
        .map(|change| {
            let [before, after] = in_time(facts, change);
            let mut row = observation(words(&code));
            row["bodySite"] = words(&clean(&change.name));
            row["valueQuantity"] = quantity(after - before, "mL", MILLILITRE_DECIMALS);
            row["interpretation"] = json!([words(if change.changed {
                "outside the interval of repeated measurements"
            } else {
                "no change outside the interval of repeated measurements"
            })]);
            let mut components = vec![json!({
                "code": words("Half of the interval"),
                "valueQuantity": quantity(change.interval_ml, "mL", MILLILITRE_DECIMALS),
            })];
            if let Some(Rate { percent, interval, yearly }) = rate(facts, change) {
                let unit = if yearly { "percent a year" } else { "percent" };
                for (name, value) in [("Change", percent), ("Half of the interval", interval)] {
                    components.push(json!({
                        "code": words(&format!("{name}, {unit}")),
                        "valueQuantity": quantity(value, "%", 3),
                    }));
                }
            }
            row["component"] = json!(components);
            let known = report.structures.iter().find(|known| known.index == change.index);
            if let Some(known) = known {
                row["derivedFrom"] = json!([{ "reference": ids.urn(&volume_key(known)) }]);
            }
            (format!("change-{}", change.index), row)
        })
        .collect()
}

/// Lesions that changed between the scans, with what repeats show; none where they were not
/// looked for.
pub fn lesion_change(report: &Report) -> Option<(String, Value)> {
    let comparison = report.comparison.as_ref()?;
    let facts = looked_for(comparison)?;
    let number = |code: &str, count: usize| json!({ "code": words(code), "valueInteger": count });
    let volume = |code: &str, millilitres: f64| {
        let millilitres = quantity(millilitres, "mL", MILLILITRE_DECIMALS);
        json!({ "code": words(code), "valueQuantity": millilitres })
    };
    let mut all_ml = 0.0_f64;
    let mut components = Vec::new();
    for (fate, count, millilitres) in &facts.changed {
        all_ml += *millilitres;
        components.push(number(&format!("{fate} lesions"), *count));
        components.push(volume(&format!("volume of {fate} lesions"), *millilitres));
    }
    components.push(number("spots no larger than repeats show", facts.smaller));
    components.push(volume("largest spot that repeats show", facts.largest_null_ml));
    let code = format!("Volume of lesions that changed {}", until(comparison));
    let mut change = observation(words(&code));
    change["bodySite"] = concept(coding(SNOMED, "12738006", "Brain"), "brain");
    change["valueQuantity"] = quantity(all_ml, "mL", MILLILITRE_DECIMALS);
    change["component"] = json!(components);
    change["method"] = words(MARKED);
    change["note"] = json!([{ "text": MISSED }]);
    Some(("lesion-change".to_owned(), change))
}
