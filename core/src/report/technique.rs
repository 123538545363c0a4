//! Technique and comparison: what was read.

use super::sentence::{Sentence, Source, plural, separator};
use super::{HeadAnswer, LesionFacts, ReportInput, ScanFacts, Section};
use crate::identify::heads::Answer;
use crate::identify::{Identification, geometry::Direction};

/// Geometry and acquisition of the scan, and the warnings from reading it.
pub(super) fn technique(input: &ReportInput) -> Section {
    let scan = &input.scan;
    let mut sentences = vec![geometry(scan)];
    if scan.volumes > 1 {
        sentences.push(
            Sentence::new()
                .say("The file holds ")
                .count("volumes in the file", scan.volumes)
                .say(" volumes, of which number ")
                .count("volume read, from 1", scan.volume + 1)
                .say(" was read."),
        );
    }
    if scan.obliquity_degrees >= 1.0 {
        sentences.push(
            Sentence::new()
                .say("Its axes are tilted by up to ")
                .number("tilt", scan.obliquity_degrees, ("degrees", 1), None)
                .say(" against those of the body; volumes are not affected by this."),
        );
    }
    sentences.extend(parameters(scan));
    sentences.extend(free_text(scan));
    sentences.push(match &scan.contrast_agent {
        Some(agent) => {
            Sentence::new().say("The file names a contrast agent: ").quote(agent).say(".")
        }
        None => Sentence::plain(
            "The file names no contrast agent, which does not show that none was given.",
        ),
    });
    sentences.extend(input.identified.iter().flat_map(identified));
    sentences.extend(input.answers.iter().filter_map(answer));
    sentences.extend(input.lesions.as_ref().and_then(sequences));
    let warnings = input.identified.iter().flat_map(|found| &found.warnings);
    let warnings = input.warnings.iter().chain(warnings);
    sentences.extend(warnings.map(|warning| Sentence::warning(warning)));
    for sentence in &mut sentences {
        sentence.source.get_or_insert(Source::Scan);
    }
    Section { key: "technique".into(), title: "Technique".into(), sentences }
}

fn geometry(scan: &ScanFacts) -> Sentence {
    let mut sentence = Sentence::new().say("A volume of ");
    for (axis, &voxels) in scan.dims.iter().enumerate() {
        sentence = sentence
            .say(if axis == 0 { "" } else { " x " })
            .count(["voxels along x", "voxels along y", "voxels along z"][axis], voxels);
    }
    let assumed = scan.unit_assumed;
    sentence =
        sentence.say(if assumed { " voxels whose size is not stated (" } else { " voxels of " });
    for (axis, &spacing) in scan.spacing_mm.iter().enumerate() {
        let name = ["spacing along x", "spacing along y", "spacing along z"][axis];
        let unit = if axis == 2 && !assumed { "mm" } else { "" };
        sentence =
            sentence.say(if axis == 0 { "" } else { " x " }).number(name, spacing, (unit, 2), None);
        if let Some(value) = sentence.values.last_mut() {
            value.unit = "mm".into();
        }
    }
    sentence = sentence
        .say(if assumed {
            " if millimetres), stored in the order "
        } else {
            ", stored in the order "
        })
        .quote(&scan.orientation);
    if scan.format.is_empty() {
        sentence.say(".")
    } else {
        sentence.say(", was read as ").quote(&scan.format).say(".")
    }
}

fn parameters(scan: &ScanFacts) -> Option<Sentence> {
    let known: Vec<(&str, f64, (&str, usize))> = [
        ("field strength", scan.field_strength_t, ("T", 1)),
        ("echo time", scan.echo_time_ms, ("ms", 2)),
        ("repetition time", scan.repetition_time_ms, ("ms", 0)),
        ("inversion time", scan.inversion_time_ms, ("ms", 0)),
        ("flip angle", scan.flip_angle_deg, ("degrees", 0)),
    ]
    .into_iter()
    .filter_map(|(name, value, form)| value.map(|value| (name, value, form)))
    .collect();
    if known.is_empty() {
        return Some(Sentence::plain(
            "The file states no acquisition parameters (field strength, echo and repetition time).",
        ));
    }
    let mut sentence = Sentence::new().say("Acquired with ");
    for (at, &(name, value, form)) in known.iter().enumerate() {
        sentence = sentence
            .say(super::sentence::separator(at, known.len()))
            .say(name)
            .say(" ")
            .number(name, value, form, None);
    }
    Some(sentence.say(", as the file states."))
}

fn free_text(scan: &ScanFacts) -> Vec<Sentence> {
    [
        ("The series is described as ", &scan.description),
        ("The pulse sequence is named ", &scan.sequence_name),
        ("The body part is given as ", &scan.body_part),
        ("The scanner was made by ", &scan.manufacturer),
    ]
    .into_iter()
    .filter_map(|(words, text)| {
        let text = text.as_deref().filter(|text| !text.trim().is_empty())?;
        Some(Sentence::new().say(words).quote(text).say("."))
    })
    .collect()
}

/// What a pooled head says: the likeliest class, or every estimate.
fn answer(answer: &HeadAnswer) -> Option<Sentence> {
    let outputs: Vec<(&String, f64)> =
        answer.outputs.iter().zip(answer.values.iter().copied()).collect();
    if answer.unscored {
        let sentence = Sentence::new().say("What the head ").quote(&answer.head);
        return Some(sentence.say(" says is not shown: no scores on real scans bear it out."));
    }
    let sentence = Sentence::new().say("The network");
    if answer.probabilities {
        let (name, probability) = outputs.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        return Some(
            sentence
                .say(" takes the scan for ")
                .quote(name)
                .say(" (head ")
                .quote(&answer.head)
                .say(", probability ")
                .percent("probability", 100.0 * probability, None)
                .say("); an estimate from the image, not from the file."),
        );
    }
    if outputs.is_empty() {
        return None;
    }
    let mut sentence = sentence.say(" estimates ");
    for (at, &(name, value)) in outputs.iter().enumerate() {
        sentence = sentence
            .say(super::sentence::separator(at, outputs.len()))
            .quote(name)
            .say(if value < 0.0 { " at minus " } else { " at " })
            .number(name, value, ("", 2), None);
    }
    Some(sentence.say(" (head ").quote(&answer.head).say("); an estimate from the image."))
}

/// What the image shows, whatever the file says: sequence, body part, skull, plane.
fn identified(found: &Identification) -> Vec<Sentence> {
    // Of a sequence that is given the note says what the file adds; of others why it is not.
    let why = found.sequence_note.as_deref().filter(|_| found.sequence.given.is_none());
    let mut sentences =
        vec![shows("sequence", &found.sequence, why), shows("body part", &found.body_part, None)];
    if found.sequence_by_file.is_some() {
        let named = found.sequence_name();
        sentences.insert(1, Sentence::new().say("It is taken as ").quote(&named).say("."));
    }
    sentences.extend(found.skull.as_ref().map(|skull| shows("skull", skull, None)));
    let plane = &found.plane;
    sentences.push(if plane.direction == Direction::Isotropic {
        Sentence::plain("Its voxels are nearly as long as wide: no plane is special.")
    } else {
        Sentence::new()
            .say("Its slices are ")
            .say(&plane.words())
            .say(", tilted by ")
            .number("tilt of the slices", plane.tilt_degrees, ("degrees", 0), None)
            .say(" against the body.")
    });
    sentences
}

/// A head's answer: the class with its probability, or that none is likely enough, and `why`
/// it is withheld.
fn shows(what: &str, answer: &Answer, why: Option<&str>) -> Sentence {
    let end = |sentence: Sentence| match why {
        Some(why) => sentence.say(": ").quote(why).say("."),
        None => sentence.say("."),
    };
    let percent = |sentence: Sentence, probability: f64| {
        sentence.percent("probability", 100.0 * probability, None)
    };
    match (&answer.given, answer.probability(), answer.probabilities.first()) {
        (Some(given), Some(probability), _) => percent(
            Sentence::new()
                .say("By the image the ")
                .say(what)
                .say(" is ")
                .quote(given)
                .say(" (probability "),
            probability,
        )
        .say(")."),
        (_, _, Some((likely, probability))) => end(percent(
            Sentence::new()
                .say("By the image the ")
                .say(what)
                .say(" is not known (most likely ")
                .quote(likely)
                .say(", "),
            *probability,
        )
        .say(")")),
        _ => end(Sentence::new().say("By the image the ").say(what).say(" is not known")),
    }
}

/// The sequences that were read beside the scan.
fn sequences(lesions: &LesionFacts) -> Option<Sentence> {
    let all = &lesions.sequences;
    if all.is_empty() {
        return None;
    }
    let mut sentence = Sentence::new()
        .leads_to(Source::Lesions)
        .say("For lesions ")
        .count("further sequences", all.len())
        .say(plural(all.len(), " further sequence was read: ", " further sequences were read: "));
    for (at, sequence) in all.iter().enumerate() {
        sentence = sentence.say(separator(at, all.len())).quote(&sequence.name);
        sentence = match sequence.moved_mm {
            None => sentence.say(" (lies on the scan)"),
            Some(mm) => sentence
                .say(" (registered, moved by ")
                .number("distance moved", mm, ("mm", 1), None)
                .say(")"),
        };
    }
    Some(sentence.say("."))
}
