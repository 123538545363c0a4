//! The measured facts of a report: what each section may say, with the numbers behind it.
//!
//! A fact is a claim that a measurement supports. It knows which of the plain sentences
//! says the same, so that nothing is lost where the decoder leaves a fact out.

use super::claims::Claim;
use crate::lesions::{Lesion, Signal};
use crate::measure::{Judgement, Measure, Region, StructureVolume, base_name};
use crate::report::closing::quality_in_short;
use crate::report::findings::{AT_EDGE, comparable, partner, sum};
use crate::report::sentence::Source as Place;
use crate::report::sides::{Difference, SideErrors, difference};
use crate::report::sums::keys;
use crate::report::{ASYMMETRY_NAMED_PERCENT, Report, Section, Sentence};
use crate::volume::Side;

/// Key of the section on image quality.
pub(super) const QUALITY: &str = "image_quality";

/// Difference between the sides in percent from which it is called moderate and marked;
/// mild begins at [`ASYMMETRY_NAMED_PERCENT`]. Words, not a norm.
const MODERATE_PERCENT: f64 = 20.0;
const MARKED_PERCENT: f64 = 40.0;

/// Longest diameter in millimetres from which a lesion is called small, medium-sized and
/// large; smaller ones are punctate. Words, not a norm.
const SMALL_MM: f64 = 5.0;
const MEDIUM_MM: f64 = 10.0;
const LARGE_MM: f64 = 20.0;

/// Foci that the impression names at most.
const FOCI_NAMED: usize = 2;

/// Where the numbers of a fact come from.
#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Report(&'a Report),
    Pair(&'a StructureVolume, &'a StructureVolume),
    Structure(&'a StructureVolume),
    Lesion(&'a Lesion),
    Measure(&'a Measure),
}

/// A claim with its measurement.
#[derive(Clone, Debug)]
pub(super) struct Fact<'a> {
    pub claim: Claim,
    source: Source<'a>,
    /// The plain sentence of the section that says it.
    pub plain: Option<usize>,
}

impl Fact<'_> {
    /// Begins a sentence about the fact: what a click on it leads to, and how it reads.
    pub fn sentence(&self) -> Sentence {
        let sentence = match self.source {
            Source::Report(_) => Sentence::new().leads_to(self.place()),
            Source::Pair(left, right) => {
                Sentence::new().about(if self.claim.side == "right" { right } else { left }.index)
            }
            Source::Structure(row) => Sentence::new().about(row.index),
            Source::Lesion(lesion) => Sentence::new().leads_to(Place::Lesion(lesion.number)),
            Source::Measure(measure) => Sentence::new().about_measure(&measure.key),
        };
        if self.stands_out() { sentence.attention() } else { sentence }
    }

    /// Where a click leads that is about several facts like this one.
    pub fn place(&self) -> Place {
        match (self.source, self.claim.kind.as_str()) {
            (Source::Report(_), "brain") => sum(keys::BRAIN),
            (Source::Measure(_), _) | (_, "overall") => Place::Quality,
            (Source::Lesion(_), _) => Place::Lesions,
            _ => Place::Structures,
        }
    }

    /// Whether a reader is to notice it.
    pub fn stands_out(&self) -> bool {
        matches!(self.claim.kind.as_str(), "cut" | "cuts" | "missing" | "focus")
            || matches!(self.claim.size.as_str(), "mild" | "moderate" | "marked" | "look" | "poor")
            || (self.claim.kind == "found" && self.claim.size == "some")
    }

    /// Adds the number of a placeholder, where the measurement has it.
    pub fn fill(&self, sentence: Sentence, placeholder: &str) -> Option<Sentence> {
        let limit =
            |sentence: Sentence| sentence.number("limit", ASYMMETRY_NAMED_PERCENT, ("%", 0), None);
        Some(match (self.source, placeholder) {
            (_, "<limit>") => limit(sentence),
            (Source::Pair(left, _), "<left>") => {
                sentence.millilitres("volume", left.millilitres, Some(left.index))
            }
            (Source::Pair(_, right), "<right>") => {
                sentence.millilitres("volume", right.millilitres, Some(right.index))
            }
            (Source::Pair(left, right), "<percent>") => {
                let larger = if self.claim.side == "right" { right } else { left };
                sentence.percent("asymmetry index", left.asymmetry_percent?, Some(larger.index))
            }
            (Source::Structure(row), "<ml>") => {
                sentence.millilitres("volume", row.millilitres, Some(row.index))
            }
            (Source::Measure(measure), "<value>") => {
                let form = (measure.unit.as_str(), usize::from(measure.decimals));
                sentence
                    .number(&measure.name, measure.value?, form, None)
                    .read_from(Place::Measure(measure.key.clone()))
            }
            (Source::Report(report), "<ml>") => {
                sentence.millilitres("brain volume", report.totals.brain_millilitres, None)
            }
            (Source::Report(report), "<share>") => {
                let share =
                    100.0 * report.totals.brain_millilitres / report.totals.icv_millilitres?;
                sentence.percent("share of the intracranial volume", share, None)
            }
            (Source::Report(report), "<found>") => {
                sentence.count("structures found", report.totals.found)
            }
            (Source::Report(report), "<all>") => {
                sentence.count("structures of the pack", report.totals.structures)
            }
            (Source::Report(report), "<count>") => {
                sentence.count("structures at the edge", report.totals.cut)
            }
            _ => return None,
        })
    }
}

fn claim(kind: &str, name: &str, side: &str, size: &str) -> Claim {
    Claim {
        kind: kind.into(),
        name: name.into(),
        side: side.into(),
        size: size.into(),
        signal: String::new(),
    }
}

fn side_of(row: &StructureVolume) -> &'static str {
    match row.side {
        Some(Side::Left) => "left",
        Some(Side::Right) => "right",
        None => "",
    }
}

/// The facts of a section and the name it has for the decoder; none where it words none.
pub(super) fn facts<'a>(report: &'a Report, section: &Section) -> Option<(String, Vec<Fact<'a>>)> {
    let key = section.key.as_str();
    if key == QUALITY {
        return Some((key.into(), quality(report, section)));
    }
    if !report.totals.is_brain {
        return None;
    }
    if key == "impression" {
        return Some((key.into(), impression(report, section)));
    }
    let (region, name) = [
        (Region::CerebralHemispheres, "cerebral_hemispheres"),
        (Region::VentriclesAndFluid, "ventricles_and_fluid"),
        (Region::DeepGreyMatter, "deep_grey_matter"),
        (Region::MedialTemporalLobe, "medial_temporal_lobe"),
        (Region::PosteriorFossa, "posterior_fossa"),
    ]
    .into_iter()
    .find(|(region, _)| key == crate::report::findings::key(*region))?;
    Some((name.into(), of_region(report, section, region)))
}

/// The sentence that has a value of this name, of this structure where it has one.
fn with_value(section: &Section, name: &str, structure: Option<u8>) -> Option<usize> {
    section.sentences.iter().position(|sentence| {
        sentence.values.iter().any(|value| {
            let named =
                if name == AT_EDGE { value.name.starts_with(name) } else { value.name == name };
            named && (structure.is_none() || value.structure == structure)
        })
    })
}

fn of_region<'a>(report: &'a Report, section: &Section, region: Region) -> Vec<Fact<'a>> {
    let errors = report.side_errors.as_ref();
    let mut facts = Vec::new();
    if region == Region::CerebralHemispheres && report.totals.found > 0 {
        facts.push(Fact {
            claim: claim("brain", "", "", ""),
            source: Source::Report(report),
            plain: with_value(section, "brain volume", None),
        });
    }
    let missing = |row: &StructureVolume| {
        section.sentences.iter().position(|sentence| {
            sentence.text.contains("ot found") && sentence.text.contains(&row.display_name)
        })
    };
    for row in report.structures.iter().filter(|row| row.region == region) {
        let name = base_name(&row.display_name);
        let mut push = |claim, source, plain| facts.push(Fact { claim, source, plain });
        if row.voxels == 0 {
            let claim = claim("missing", name, side_of(row), "");
            push(claim, Source::Structure(row), missing(row));
            continue;
        }
        let plain = with_value(section, "volume", Some(row.index));
        match partner(row, &report.structures) {
            None => push(claim("single", name, "", ""), Source::Structure(row), plain),
            Some(right) if row.side == Some(Side::Left) && right.voxels > 0 => {
                if let Some((side, size)) = compared(row, right, errors) {
                    push(claim("pair", name, side, size), Source::Pair(row, right), plain);
                }
            }
            Some(_) => {}
        }
        if row.edge_voxels > 0 {
            let plain = with_value(section, AT_EDGE, Some(row.index));
            push(claim("cut", name, side_of(row), ""), Source::Structure(row), plain);
        }
        // The plain report tells lesions in a section of their own.
        facts.extend(focus(report, row));
    }
    facts
}

/// The largest lesion of a structure whose grey differs from what is around it.
fn focus<'a>(report: &'a Report, row: &StructureVolume) -> Option<Fact<'a>> {
    // Of several sequences the signal is the first one's, which the decoder has no words for.
    let single = report.lesions.iter().filter(|facts| facts.summary.sequences == 1);
    let lesions = single.flat_map(|facts| &facts.lesions);
    let (lesion, signal) = lesions
        .filter(|lesion| lesion.region.as_deref() == Some(row.display_name.as_str()))
        .find_map(|lesion| Some((lesion, lesion.signal?)))?;
    let claim = Claim {
        signal: Signal::word(signal).into(),
        ..claim("focus", base_name(&row.display_name), side_of(row), extent(lesion))
    };
    Some(Fact { claim, source: Source::Lesion(lesion), plain: None })
}

/// Foci that the impression names, of different structures, the largest first.
fn largest_foci(report: &Report) -> Vec<Fact<'_>> {
    let mut foci: Vec<Fact<'_>> =
        report.structures.iter().filter_map(|row| focus(report, row)).collect();
    let size = |fact: &Fact<'_>| match fact.source {
        Source::Lesion(lesion) => lesion.millilitres,
        _ => 0.0,
    };
    foci.sort_by(|a, b| size(b).total_cmp(&size(a)));
    foci.truncate(FOCI_NAMED);
    foci
}

/// How large a lesion is, in a word of the grammar.
fn extent(lesion: &Lesion) -> &'static str {
    match lesion.diameter_mm {
        long if long >= LARGE_MM => "large",
        long if long >= MEDIUM_MM => "medium",
        long if long >= SMALL_MM => "small",
        _ => "punctate",
    }
}

/// The larger side and how much larger it is, in words; `None` where that is within the pack's
/// error, which the decoder has no words for.
fn compared(
    left: &StructureVolume,
    right: &StructureVolume,
    errors: Option<&SideErrors>,
) -> Option<(&'static str, &'static str)> {
    let percent = left.asymmetry_percent?;
    let size = match difference(left, right, errors)? {
        Difference::Cut => return Some(("", "cut")),
        Difference::Even => return Some(("", "even")),
        Difference::Tiny => return Some(("", "tiny")),
        Difference::Unsure => return None,
        Difference::Named if percent.abs() >= MARKED_PERCENT => "marked",
        Difference::Named if percent.abs() >= MODERATE_PERCENT => "moderate",
        Difference::Named => "mild",
    };
    Some((if percent > 0.0 { "left" } else { "right" }, size))
}

fn judgement(judgement: Judgement) -> Option<&'static str> {
    match judgement {
        Judgement::Good => Some("good"),
        Judgement::Look => Some("look"),
        Judgement::Poor => Some("poor"),
        _ => None,
    }
}

fn quality<'a>(report: &'a Report, section: &Section) -> Vec<Fact<'a>> {
    report
        .quality
        .measures
        .iter()
        .filter_map(|measure| {
            let size = judgement(measure.judgement)?;
            Some(Fact {
                claim: claim("quality", &measure.key, "", size),
                source: Source::Measure(measure),
                plain: with_value(section, &measure.name, None),
            })
        })
        .collect()
}

fn impression<'a>(report: &'a Report, section: &Section) -> Vec<Fact<'a>> {
    let totals = &report.totals;
    let mut facts = Vec::new();
    let mut push = |claim, source, plain| facts.push(Fact { claim, source, plain });
    if totals.structures == 0 {
        return facts;
    }
    let found = if totals.found == totals.structures { "all" } else { "some" };
    let plain = with_value(section, "structures found", None);
    push(claim("found", "", "", found), Source::Report(report), plain);
    let errors = report.side_errors.as_ref();
    let mut compared_any = false;
    let mut unequal = 0;
    for left in report.structures.iter().filter(|row| row.side == Some(Side::Left)) {
        let Some(right) = partner(left, &report.structures) else { continue };
        if !comparable(left, right) {
            continue;
        }
        compared_any = true;
        let Some((side, size)) = compared(left, right, errors) else {
            unequal += usize::from(left.asymmetry_percent.is_some());
            continue;
        };
        if size != "even" {
            unequal += 1;
            let name = base_name(&left.display_name);
            let plain = with_value(section, "asymmetry index", None);
            push(claim("pair", name, side, size), Source::Pair(left, right), plain);
        }
    }
    if compared_any && unequal == 0 {
        let plain = with_value(section, "pairs compared", None);
        push(claim("no_asymmetry", "", "", ""), Source::Report(report), plain);
    }
    if totals.cut > 0 {
        let plain = with_value(section, "structures at the edge", None);
        push(claim("cuts", "", "", ""), Source::Report(report), plain);
    }
    facts.extend(largest_foci(report));
    // Measures may be there of which none was judged.
    let worst = [Judgement::Poor, Judgement::Look, Judgement::Good]
        .into_iter()
        .find(|worst| report.quality.judged(*worst).next().is_some());
    if let Some(worst) = worst {
        let text = quality_in_short(&report.quality).text;
        let plain = section.sentences.iter().position(|sentence| sentence.text == text);
        let size = judgement(worst).unwrap_or_default();
        let claim = claim("overall", "", "", size);
        facts.push(Fact { claim, source: Source::Report(report), plain });
    }
    facts
}
