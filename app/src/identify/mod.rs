//! What the scan shows, and what is done about it: the pack that fits runs by itself, and
//! it is said why the others do not.
//!
//! | file | what |
//! | --- | --- |
//! | `ask` | the question to the worker, and what the page makes of the answer |
//! | `panel` | sequence, body part, plane, skull, age, in the scan's panel |

mod ask;
mod panel;

use std::sync::Arc;

use leptos::prelude::*;
use prism_core::identify::{Estimates, Identification, Route, Routing};
use serde::{Deserialize, Serialize};

use crate::facts::{DeviceChoice, PackCard};
use crate::packs::{LESIONS, Models};
use crate::protocol::RequestId;
pub use panel::Identified;

/// What the worker found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Sequence, body part, plane, skull.
    pub identification: Identification,
    /// Age and sex, or why not.
    pub estimates: Estimates,
}

/// Everything the page knows of it. `Copy`: a bundle of signals.
#[derive(Clone, Copy)]
pub struct Identifying {
    /// Of the scan that is shown.
    pub found: RwSignal<Option<Arc<Found>>>,
    /// The request, on which device, and whether what fits shall run then.
    asking: StoredValue<Option<(RequestId, DeviceChoice, bool)>>,
}

impl Identifying {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { found: RwSignal::new(None), asking: StoredValue::new(None) }
    }
}

impl Default for Identifying {
    fn default() -> Self {
        Self::new()
    }
}

/// The packs there are, the chosen one first: runs that fit equally well go to it.
fn candidates(models: Models) -> Vec<PackCard> {
    let chosen = models.card();
    let mut cards: Vec<PackCard> = chosen.into_iter().collect();
    let shipped = models.shipped.get();
    let shipped = shipped.into_iter().filter(|one| one.file != LESIONS);
    let others = shipped.map(|one| one.card).chain(models.kept.get());
    for card in others.filter(PackCard::segments) {
        if cards.iter().all(|known| known.sha256 != card.sha256) {
            cards.push(card);
        }
    }
    cards
}

/// Whether each of the packs fits.
fn routing(found: &Found, cards: &[PackCard]) -> Routing {
    let asked = cards.iter().map(|card| (card.title.as_str(), card.fits.as_ref()));
    Routing::of(&found.identification, asked)
}

/// Which of the packs runs by itself: one that fits, or the chosen one where it does not say
/// what it is for.
fn runs(routing: &Routing, cards: &[PackCard]) -> Option<usize> {
    let silent = cards.first().is_some_and(|card| card.fits.is_none());
    let first = routing.packs.first().map(|(_, route)| route);
    match first {
        Some(Route::Unsure(_)) if silent => Some(0),
        _ => routing.best(),
    }
}

/// The estimates with the volumes (numbers of structures in files, mL) that a run of a pack measured
/// in the same scan; as they were where they do not wait for that pack.
fn completed(
    estimates: &Estimates,
    sha256: &str,
    volumes: impl Iterator<Item = (u16, f64)>,
) -> Estimates {
    if estimates.waiting.as_ref().is_none_or(|waiting| waiting.pack != sha256) {
        return estimates.clone();
    }
    let volumes: Vec<(u16, f64)> = volumes.collect();
    estimates.with_volumes(&volumes).unwrap_or_else(|error| Estimates {
        refused: Some(error.to_string()),
        waiting: None,
        ..estimates.clone()
    })
}

/// Why lesions and the abnormality map, both for whole heads, are not run by themselves.
/// `lesions`: the pack that finds lesions, where the list has one.
fn by_hand(found: &Found, lesions: Option<&PackCard>) -> String {
    const BOTH: &str = "Lesions and the abnormality map";
    let scan = &found.identification;
    if scan.computed().is_some() {
        return format!("{BOTH} are for scans, not for maps computed from one.");
    }
    let route = |card: &PackCard| Some((card.title.clone(), card.fits.as_ref()?.route(scan)));
    match lesions.and_then(route) {
        Some((_, Route::Fits)) => format!(
            "{BOTH} fit this scan. They are not started by themselves, as they also mark healthy heads: start them under Lesions."
        ),
        Some((title, Route::No(why))) => {
            format!("{BOTH} do not fit this scan ({title}: {why}).")
        }
        Some((title, Route::Unsure(why))) => format!(
            "Whether lesions and the abnormality map fit is unknown ({title}: {why}). They are started under Lesions, and also mark healthy heads."
        ),
        None => format!(
            "{BOTH} are for heads and started by hand, under Lesions: they also mark healthy heads."
        ),
    }
}

#[cfg(test)]
mod tests {
    use prism_core::identify::geometry::{Direction, Plane};
    use prism_core::identify::heads::Answer;
    use prism_core::identify::{Computed, Fits};

    use super::*;

    fn answer(given: Option<&str>) -> Answer {
        Answer {
            given: given.map(Into::into),
            probabilities: given.map(|class| (class.to_owned(), 0.97)).into_iter().collect(),
            distance: None,
            most_distance: None,
        }
    }

    fn found(part: Option<&str>) -> Found {
        Found {
            identification: Identification {
                sequence: answer(Some("T1w")),
                sequence_note: None,
                sequence_by_file: None,
                body_part: answer(part),
                skull: None,
                plane: Plane { direction: Direction::Axial, tilt_degrees: 0.0 },
                extent_mm: [160.0, 240.0, 240.0],
                stack: None,
                warnings: Vec::new(),
            },
            estimates: Estimates::default(),
        }
    }

    fn card(title: &str, part: Option<&str>) -> PackCard {
        let fits = part.map(|part| Fits { body_part: vec![part.into()], ..Fits::default() });
        PackCard {
            name: title.into(),
            title: title.into(),
            version: "1".into(),
            sha256: title.into(),
            labels: Default::default(),
            spacing_mm: serde_json::from_str("[1.0, 1.0, 1.0]").unwrap(),
            fits,
            provenance: serde_json::Value::Null,
            scores: serde_json::Value::Null,
            parameters: 0,
            bytes: 0,
            heads: Vec::new(),
        }
    }

    fn first_to_run(part: Option<&str>, cards: &[PackCard]) -> Option<usize> {
        runs(&routing(&found(part), cards), cards)
    }

    #[test]
    fn the_pack_that_fits_runs_and_else_none() {
        let cards = [card("brain", Some("head")), card("cardiac", Some("heart"))];
        assert_eq!(first_to_run(Some("head"), &cards), Some(0));
        assert_eq!(first_to_run(Some("heart"), &cards), Some(1));
        assert_eq!(first_to_run(Some("other"), &cards), None);
        assert_eq!(first_to_run(None, &cards), None);
    }

    #[test]
    fn what_is_started_by_hand_says_whether_it_fits() {
        let lesions = card("Lesions", Some("head"));
        let said = |part| by_hand(&found(part), Some(&lesions));
        assert!(said(Some("head")).contains("fit this scan. They are not started by themselves"));
        let heart = said(Some("heart"));
        assert!(
            heart.ends_with("do not fit this scan (Lesions: it is for head, this is heart)."),
            "{heart}"
        );
        assert!(said(None).contains("unknown (Lesions: it is for head, and the body part is"));
        let mut map = found(None);
        map.identification.warnings = vec![Computed::Labels.words().into()];
        assert!(by_hand(&map, Some(&lesions)).contains("not for maps"));
    }

    #[test]
    fn a_sex_waits_for_the_volumes_of_its_pack() {
        let estimates: Estimates = serde_json::from_value(serde_json::json!({
            "age": null, "sex": null, "sex_caution": null, "refused": null,
            "waiting": {"pack": "brain", "ages": [19.0, 55.0], "head": {
                "info": {
                    "name": "sex", "inputs": ["volume 2"], "outputs": ["female", "male"],
                    "kind": "classification", "temperature": 1.0, "least_probability": 0.8,
                },
                // The logit of "female" is -3 ln(mL / 200).
                "weight": [-3.0, 0.0], "bias": [0.0, 0.0], "mean": [5.298_317_4],
                "deviation": [1.0], "whitening": [], "centres": [],
            }},
        }))
        .unwrap();
        let after =
            |sha256: &str, id: u16| completed(&estimates, sha256, [(id, 100.0)].into_iter());
        assert_eq!(after("cardiac", 2), estimates);
        let found = after("brain", 2);
        assert!(found.waiting.is_none() && found.refused.is_none(), "{found:?}");
        // (100 / 200)^-3 = 8 to 1.
        let sex = found.sex.unwrap();
        assert!(sex.is("female") && (sex.probabilities[0].1 - 8.0 / 9.0).abs() < 1e-4, "{sex:?}");
        assert!(after("brain", 3).refused.is_some_and(|why| why.contains("structure 2")));
    }

    #[test]
    fn a_chosen_pack_that_does_not_say_runs_as_ever() {
        let cards = [card("someone's", None), card("brain", Some("head"))];
        assert_eq!(first_to_run(Some("other"), &cards), Some(0));
    }
}
