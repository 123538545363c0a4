//! Findings by region: volumes, sides, and what is cut or missing.

use super::sentence::{Sentence, Source, plural, separator};
use super::sides::{Difference, SideErrors, difference};
use super::sums::{self, keys};
use super::{ASYMMETRY_SMALLEST_MILLILITRES, Section};
use crate::measure::caution::ratio_decimals;
use crate::measure::{Caution, Region, StructureVolume, Tissue, Totals, base_name};
use crate::volume::Side;

/// One section a region that the pack has labels in.
pub(super) fn findings(
    rows: &[StructureVolume],
    totals: &Totals,
    errors: Option<&SideErrors>,
) -> Vec<Section> {
    if rows.is_empty() {
        let none = Sentence::plain("No structures were segmented.").leads_to(Source::Structures);
        return vec![Section {
            key: "findings".into(),
            title: "Findings".into(),
            sentences: vec![none],
        }];
    }
    Region::ALL
        .into_iter()
        .filter_map(|region| {
            let here: Vec<&StructureVolume> =
                rows.iter().filter(|row| row.region == region).collect();
            (!here.is_empty()).then(|| section(region, &here, (rows, totals), errors))
        })
        .collect()
}

fn section(
    region: Region,
    here: &[&StructureVolume],
    (rows, totals): (&[StructureVolume], &Totals),
    errors: Option<&SideErrors>,
) -> Section {
    let mut sentences = Vec::new();
    sentences.extend(total(region, here, totals));
    for row in here.iter().filter(|row| row.voxels > 0) {
        match partner(row, rows) {
            // A pair is told once, with its left side, where both were found.
            Some(other) if other.voxels > 0 => {
                if row.side == Some(Side::Left) {
                    sentences.push(pair(row, other, errors));
                }
            }
            Some(other) => sentences.push(
                Sentence::new()
                    .about(row.index)
                    .attention()
                    .say("The ")
                    .say(&row.display_name)
                    .say(" measures ")
                    .millilitres("volume", row.millilitres, Some(row.index))
                    .say("; the ")
                    .say(&other.display_name)
                    .say(" was not found."),
            ),
            None => sentences.push(single(row, totals)),
        }
    }
    sentences.extend(untrusted(here));
    sentences.extend(cut(here));
    sentences.extend(missing(here, rows));
    let (key, title) = if !totals.is_brain {
        ("findings".to_owned(), "Findings".to_owned())
    } else {
        (key(region), format!("Findings: {}", lower_first(region.title())))
    };
    Section { key, title, sentences }
}

/// What the name of a number of voxels at the edge begins with; the sides follow.
pub(super) const AT_EDGE: &str = "voxels at the edge: ";

/// Key of a region's section.
pub(super) fn key(region: Region) -> String {
    format!("findings_{}", region.title().to_lowercase().replace(' ', "_"))
}

/// The row on the other side, where sides and pairs agree.
pub(super) fn partner<'a>(
    row: &StructureVolume,
    rows: &'a [StructureVolume],
) -> Option<&'a StructureVolume> {
    let other = rows.iter().find(|other| Some(other.index) == row.pair)?;
    (row.side.is_some() && other.side.is_some() && row.side != other.side).then_some(other)
}

/// Whether a difference between the sides may be named at all: both lie inside the
/// field of view and are not tiny.
pub(super) fn comparable(left: &StructureVolume, right: &StructureVolume) -> bool {
    left.edge_voxels == 0
        && right.edge_voxels == 0
        && left.millilitres.min(right.millilitres) >= ASYMMETRY_SMALLEST_MILLILITRES
}

fn total(region: Region, here: &[&StructureVolume], totals: &Totals) -> Option<Sentence> {
    match region {
        Region::CerebralHemispheres => Some(brain(totals)),
        Region::Other if !totals.is_brain => Some(
            Sentence::new()
                .say("All labelled structures together measure ")
                .millilitres("labelled volume", totals.brain_millilitres, None)
                .say(".")
                .leads_to(sum(keys::BRAIN)),
        ),
        Region::Other => None,
        _ => {
            let counted: Vec<&&StructureVolume> = here
                .iter()
                .filter(|row| row.voxels > 0 && row.tissue != Some(Tissue::Fluid))
                .collect();
            let volume: f64 = counted.iter().map(|row| row.millilitres).sum();
            let source = sum(sums::of_region(region).unwrap_or_default());
            let words = match region {
                Region::VentriclesAndFluid => "The ventricles together measure ",
                Region::DeepGreyMatter => "The deep grey matter of both sides measures ",
                Region::MedialTemporalLobe => "Hippocampus and amygdala of both sides measure ",
                _ => "Cerebellum and brainstem together measure ",
            };
            let (of, whole) = match (region, totals.icv_millilitres) {
                (Region::VentriclesAndFluid, Some(icv)) => (" of the intracranial volume.", icv),
                (Region::VentriclesAndFluid, None) => {
                    (" against the volume of the brain.", totals.brain_millilitres)
                }
                _ => (" of the brain.", totals.brain_millilitres),
            };
            (counted.len() > 1 && whole > 0.0).then(|| {
                Sentence::new()
                    .say(words)
                    .millilitres("volume of the region", volume, None)
                    .say(", ")
                    .percent("share", 100.0 * volume / whole, None)
                    .say(of)
                    .leads_to(source)
            })
        }
    }
}

/// Source of a sum.
pub(super) fn sum(key: &str) -> Source {
    Source::Sum(key.into())
}

fn brain(totals: &Totals) -> Sentence {
    let sentence = Sentence::new()
        .leads_to(sum(keys::BRAIN))
        .say("The labelled brain tissue, without ventricles and cerebrospinal fluid, measures ")
        .millilitres("brain volume", totals.brain_millilitres, None);
    let Some(icv) = totals.icv_millilitres else { return sentence.say(".") };
    sentence
        .say(", which is ")
        .percent("share of the intracranial volume", 100.0 * totals.brain_millilitres / icv, None)
        .say(" of the intracranial volume of ")
        .millilitres("intracranial volume", icv, None)
        .read_from(sum(keys::INTRACRANIAL))
        .say(".")
}

fn pair(left: &StructureVolume, right: &StructureVolume, errors: Option<&SideErrors>) -> Sentence {
    let name = base_name(&left.display_name);
    let sentence = Sentence::new()
        .say("The left ")
        .say(name)
        .say(" measures ")
        .millilitres("volume", left.millilitres, Some(left.index))
        .say(" and the right ")
        .millilitres("volume", right.millilitres, Some(right.index));
    let (Some(asymmetry), Some(difference)) =
        (left.asymmetry_percent, difference(left, right, errors))
    else {
        return sentence.say(".").about(left.index);
    };
    let larger = if asymmetry >= 0.0 { left } else { right };
    let sentence = sentence.about(larger.index);
    if difference == Difference::Cut {
        return sentence.say("; the sides are not compared, because the structure is cut.");
    }
    if asymmetry.abs() < 0.05 {
        return sentence.say("; the sides are equal in volume.");
    }
    let sentence = sentence
        .say(if asymmetry > 0.0 { "; the left is larger by " } else { "; the right is larger by " })
        .percent("asymmetry index", asymmetry, Some(larger.index));
    let from = |sentence: Sentence, limit: f64| {
        let decimals = usize::from(limit.fract() != 0.0);
        sentence.number("limit from which a difference is named", limit, ("%", decimals), None)
    };
    match (difference, SideErrors::limit(errors, left)) {
        (Difference::Even | Difference::Cut, _) => sentence.say("."),
        (Difference::Tiny, _) => sentence.say(", which says little in a structure this small."),
        (Difference::Unsure | Difference::Named, None) => sentence.say(
            "; the error of this model in this structure is not known, so that this report names \
             no difference.",
        ),
        (Difference::Unsure, Some(limit)) => {
            let within = ", within the error of this model in this structure, in which it names a \
                          difference from ";
            from(sentence.say(within), limit).say(".")
        }
        (Difference::Named, Some(limit)) => from(sentence.attention().say(", beyond the "), limit)
            .say(" from which this report names a difference."),
    }
}

fn single(row: &StructureVolume, totals: &Totals) -> Sentence {
    let sentence = Sentence::new().about(row.index);
    let sentence = if row.tissue == Some(Tissue::Fluid) {
        sentence.say("The labelled cerebrospinal fluid outside the ventricles measures ")
    } else {
        sentence.say("The ").say(&row.display_name).say(" measures ")
    };
    let sentence = sentence.millilitres("volume", row.millilitres, Some(row.index));
    let is_brain = row.tissue.is_some_and(Tissue::is_brain);
    let (share, of) = match row.percent_of_icv {
        Some(percent) if !is_brain => (percent, " of the intracranial volume."),
        _ if is_brain => (row.percent_of_brain, " of the brain."),
        _ if !totals.is_brain => (row.percent_of_brain, " of all labelled structures."),
        _ => return sentence.say("."),
    };
    let name = format!("share{}", of.trim_end_matches('.'));
    sentence.say(", ").percent(&name, share, Some(row.index)).say(of)
}

/// Structures, of those that were found, whose volumes the pack is known to get wrong.
fn untrusted(here: &[&StructureVolume]) -> Option<Sentence> {
    let mut told: Vec<(&str, &StructureVolume, &Caution)> = Vec::new();
    for row in here.iter().copied().filter(|row| row.voxels > 0) {
        let name = row.side.map_or(row.display_name.as_str(), |_| base_name(&row.display_name));
        let known = told.iter().any(|(other, _, _)| *other == name);
        if let Some(caution) = row.caution.as_ref().filter(|_| !known) {
            told.push((name, row, caution));
        }
    }
    let &(_, first, caution) = told.first()?;
    let mut sentence = Sentence::new()
        .about(first.index)
        .say("Against outlines drawn by hand in ")
        .count("scans with outlines", caution.scans)
        .say(plural(caution.scans, " scan", " scans"))
        .say(", these volumes of this model are no measurements: ");
    for (at, &(name, row, caution)) in told.iter().enumerate() {
        sentence = sentence.say(separator(at, told.len())).say(name).say(" (");
        sentence = match (caution.ratio, caution.icc) {
            (Some(ratio), _) => sentence
                .number("volume ratio", ratio, ("", ratio_decimals(ratio)), Some(row.index))
                .say(" times as large"),
            (None, icc) => {
                let icc = icc.unwrap_or_default();
                sentence.say(if icc < 0.0 { "ICC minus " } else { "ICC " }).number(
                    "intraclass correlation",
                    icc,
                    ("", 2),
                    Some(row.index),
                )
            }
        };
        sentence = sentence.say(")");
    }
    Some(sentence.say("."))
}

fn cut(here: &[&StructureVolume]) -> Option<Sentence> {
    let cut: Vec<&&StructureVolume> = here.iter().filter(|row| row.edge_voxels > 0).collect();
    let first = cut.first()?;
    let mut sentence = Sentence::new()
        .about(first.index)
        .attention()
        .say("At the edge of the field of view, so that the volume is probably too small: ");
    for (at, row) in cut.iter().enumerate() {
        let faces: Vec<&str> = row.edge_faces.iter().map(|face| face.name()).collect();
        sentence = sentence
            .say(separator(at, cut.len()))
            .say(&row.display_name)
            .say(" (")
            .number(
                &format!("{AT_EDGE}{}", super::sentence::list(&faces)),
                row.edge_voxels as f64,
                ("", 0),
                Some(row.index),
            )
            .say(plural(row.edge_voxels as usize, " voxel at the ", " voxels at the "))
            .say(&super::sentence::list(&faces))
            .say(plural(faces.len(), " side)", " sides)"));
    }
    Some(sentence.say("."))
}

/// Structures that were not found and that no sentence on the other side names.
fn missing(here: &[&StructureVolume], rows: &[StructureVolume]) -> Option<Sentence> {
    let names: Vec<&str> = here
        .iter()
        .filter(|row| row.voxels == 0)
        .filter(|row| partner(row, rows).is_none_or(|other| other.voxels == 0))
        .map(|row| row.display_name.as_str())
        .collect();
    (!names.is_empty()).then(|| {
        Sentence::new()
            .leads_to(Source::Structures)
            .attention()
            .say("Not found: ")
            .say(&super::sentence::list(&names))
            .say(".")
    })
}

fn lower_first(title: &str) -> String {
    let mut chars = title.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
