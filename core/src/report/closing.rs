//! Image quality, impression and method.

use super::findings::{comparable, partner, sum};
use super::sentence::{Sentence, Source, list, plural, separator};
use super::sides::{Difference, SideErrors, difference};
use super::sums::keys;
use super::{
    ASYMMETRY_NAMED_PERCENT, ASYMMETRY_SMALLEST_MILLILITRES, NOT_A_DEVICE, ReportInput, Section,
    SideAgreement,
};
use crate::lesions::SMALLEST_ML;
use crate::measure::{Judgement, Measure, Quality, StructureVolume, Totals};
use crate::volume::Side;

/// Characters of a hash that are shown.
const HASH_SHOWN: usize = 12;

/// Measures with a judgement, one sentence each where it is not good.
pub(super) fn image_quality(input: &ReportInput) -> Section {
    let quality = &input.quality;
    let mut sentences = Vec::new();
    let judged: Vec<&Measure> = quality
        .measures
        .iter()
        .filter(|m| matches!(m.judgement, Judgement::Good | Judgement::Look | Judgement::Poor))
        .collect();
    let good: Vec<&&Measure> = judged.iter().filter(|m| m.judgement == Judgement::Good).collect();
    if !judged.is_empty() {
        let mut sentence = Sentence::new()
            .leads_to(Source::Quality)
            .count("measures on the good side of their threshold", good.len())
            .say(" of ")
            .count("measures with a threshold", judged.len())
            .say(plural(judged.len(), " measure", " measures"))
            .say(" with a threshold ")
            .say(plural(good.len(), "lies", "lie"))
            .say(" on the good side of it");
        for (at, measure) in good.iter().enumerate() {
            sentence = written(
                sentence.say(if at == 0 { ": " } else { separator(at, good.len()) }),
                measure,
            );
        }
        sentences.push(sentence.say("."));
    }
    for measure in judged.iter().filter(|m| m.judgement != Judgement::Good) {
        let sentence = Sentence::new().about_measure(&measure.key).attention();
        sentences.push(written(sentence, measure).say(if measure.judgement == Judgement::Poor {
            ": beyond the limit given in the table of image quality; volumes from this scan are to be distrusted."
        } else {
            ": look at the images, see the threshold in the table of image quality."
        }));
    }
    sentences.extend(not_assessed(quality));
    sentences.extend(quality.warnings.iter().map(|warning| Sentence::warning(warning)));
    if sentences.is_empty() {
        sentences.push(Sentence::plain("Image quality was not measured."));
    }
    for sentence in sentences.iter_mut().filter(|sentence| sentence.origin().is_none()) {
        sentence.source = Some(Source::Quality);
    }
    Section { key: "image_quality".into(), title: "Image quality".into(), sentences }
}

/// `name value unit`, with the name in lower case inside a sentence.
fn written(sentence: Sentence, measure: &Measure) -> Sentence {
    let name = if sentence.text.is_empty() {
        measure.name.clone()
    } else {
        let mut chars = measure.name.chars();
        chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
    };
    let sentence = sentence.say(&name).say(" ");
    match measure.value {
        Some(value) => sentence
            .number(&measure.name, value, (&measure.unit, usize::from(measure.decimals)), None)
            .read_from(Source::Measure(measure.key.clone())),
        None => sentence.say("not assessed"),
    }
}

/// One sentence for each reason.
fn not_assessed(quality: &Quality) -> Vec<Sentence> {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for measure in quality.judged(Judgement::NotAssessed) {
        let name = measure.name.to_lowercase();
        match reasons.iter_mut().find(|(reason, _)| *reason == measure.rule) {
            Some((_, names)) => names.push(name),
            None => reasons.push((&measure.rule, vec![name])),
        }
    }
    reasons
        .into_iter()
        .map(|(reason, names)| {
            Sentence::new()
                .leads_to(Source::Quality)
                .say("Not assessed: ")
                .say(&list(&names))
                .say(" (")
                .say(reason)
                .say(").")
        })
        .collect()
}

/// What the report comes down to.
pub(super) fn impression(input: &ReportInput, totals: &Totals) -> Section {
    let mut sentences = Vec::new();
    if input.structures.is_empty() {
        let words = "No structures were segmented, so nothing was measured.";
        sentences.push(Sentence::plain(words).leads_to(Source::Structures));
    } else {
        sentences.push(found(totals));
        let errors = input.pack.side_errors.as_ref();
        let (sides, unsure) = sides(&input.structures, errors);
        if let Some(sides) = sides {
            sentences.push(sides);
            sentences.extend(unsure);
            sentences.extend(input.pack.sides.map(reliance));
        }
        if totals.cut > 0 {
            sentences.push(
                Sentence::new()
                    .leads_to(Source::Structures)
                    .attention()
                    .count("structures at the edge", totals.cut)
                    .say(plural(totals.cut, " structure reaches", " structures reach"))
                    .say(" the edge of the field of view and may be incomplete."),
            );
        }
    }
    sentences.extend(input.lesions.as_ref().map(super::lesions::in_short));
    sentences.extend(input.heart.as_ref().and_then(super::heart::in_short));
    sentences.extend(input.comparison.as_ref().and_then(super::comparison::in_short));
    sentences.push(quality_in_short(&input.quality));
    let no_norm = Sentence::plain(
        "No norm is applied: volumes are not compared with people of the same age and sex, and \
         this report makes no diagnosis.",
    );
    // The method says what is named, and from where on.
    sentences.push(no_norm.leads_to(Source::Run));
    sentences.push(Sentence::plain(NOT_A_DEVICE));
    Section { key: "impression".into(), title: "Impression".into(), sentences }
}

fn found(totals: &Totals) -> Sentence {
    let sentence = Sentence::new()
        .leads_to(Source::Structures)
        .count("structures found", totals.found)
        .say(" of ")
        .count("structures of the pack", totals.structures)
        .say(plural(totals.structures, " structure", " structures"))
        .say(plural(totals.found, " was", " were"))
        .say(" found; ")
        .say(if totals.is_brain { "the brain measures " } else { "together they measure " })
        .millilitres("brain volume", totals.brain_millilitres, None)
        .read_from(sum(keys::BRAIN));
    match totals.ventricles_millilitres {
        Some(ventricles) => sentence
            .say(" and its ventricles ")
            .millilitres("volume of the ventricles", ventricles, None)
            .read_from(sum(keys::VENTRICLES))
            .say("."),
        None => sentence.say("."),
    }
}

/// Pairs beyond the limit, the largest difference first, or that there is none; and how many differ
/// by no more than the pack's error allows, or where that is not known.
fn sides(
    rows: &[StructureVolume],
    errors: Option<&SideErrors>,
) -> (Option<Sentence>, Vec<Sentence>) {
    let mut pairs: Vec<(&StructureVolume, &StructureVolume, f64, Difference)> = rows
        .iter()
        .filter(|row| row.side == Some(Side::Left))
        .filter_map(|left| {
            let right = partner(left, rows)?;
            let difference = difference(left, right, errors)?;
            let pair = (left, right, left.asymmetry_percent?, difference);
            comparable(left, right).then_some(pair)
        })
        .collect();
    if pairs.is_empty() {
        return (None, Vec::new());
    }
    let compared = pairs.len();
    let (within, unknown): (Vec<&_>, Vec<&_>) = pairs
        .iter()
        .filter(|pair| pair.3 == Difference::Unsure)
        .partition(|pair| SideErrors::limit(errors, pair.0).is_some());
    let rest = [within_error(within.len()), unknown_error(unknown.len())];
    let rest: Vec<Sentence> = rest.into_iter().flatten().collect();
    let beyond = if rest.is_empty() { "" } else { " beyond the error of this model" };
    pairs.retain(|pair| pair.3 == Difference::Named);
    pairs.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
    let limit =
        |sentence: Sentence| sentence.number("limit", ASYMMETRY_NAMED_PERCENT, ("%", 0), None);
    let Some(&(left, right, asymmetry, _)) = pairs.first() else {
        let sentence = Sentence::new()
            .leads_to(Source::Structures)
            .say("None of ")
            .count("pairs compared", compared)
            .say(plural(compared, " pair", " pairs"))
            .say(" of structures differs between the sides by ");
        let sentence = limit(sentence).say(" or more").say(beyond).say(".");
        return (Some(sentence), rest);
    };
    let larger = if asymmetry > 0.0 { left } else { right };
    let sentence = Sentence::new()
        .about(larger.index)
        .attention()
        .say("The largest difference between the sides")
        .say(beyond)
        .say(" is in the ")
        .say(crate::measure::base_name(&left.display_name))
        .say(if asymmetry > 0.0 { ": the left is larger by " } else { ": the right is larger by " })
        .percent("asymmetry index", asymmetry, Some(larger.index))
        .say(" (")
        .millilitres("volume", left.millilitres, Some(left.index))
        .say(" left, ")
        .millilitres("volume", right.millilitres, Some(right.index))
        .say(" right)");
    let others: Vec<&str> =
        pairs[1..].iter().map(|pair| crate::measure::base_name(&pair.0.display_name)).collect();
    let sentence = match (others.is_empty(), !rest.is_empty()) {
        (true, true) => sentence.say("; no other pair is beyond it."),
        (true, false) => limit(sentence.say("; no other pair reaches the limit of ")).say("."),
        (false, true) => sentence.say("; beyond it are also: ").say(&list(&others)).say("."),
        (false, false) => {
            let sentence = limit(sentence.say("; the limit of "));
            sentence.say(" is also reached by: ").say(&list(&others)).say(".")
        }
    };
    (Some(sentence), rest)
}

/// How many pairs differ by no more than the pack's error allows; a sentence of its own, which stays
/// where others are worded anew.
fn within_error(pairs: usize) -> Option<Sentence> {
    let sentence = Sentence::new().leads_to(Source::Structures);
    let sentence = sentence.count("pairs that differ within the model's error", pairs);
    let sentence = sentence.say(plural(pairs, " pair differs", " pairs differ")).say(" by ");
    let sentence = sentence.number("limit", ASYMMETRY_NAMED_PERCENT, ("%", 0), None);
    (pairs > 0).then(|| sentence.say(" or more, but within the error of this model."))
}

/// As [`within_error`], of pairs in which the pack's error was not measured.
fn unknown_error(pairs: usize) -> Option<Sentence> {
    let sentence = Sentence::new().leads_to(Source::Structures);
    let sentence = sentence.count("pairs in which the model's error is not known", pairs);
    let sentence = sentence.say(plural(pairs, " pair differs", " pairs differ")).say(" by ");
    let sentence = sentence.number("limit", ASYMMETRY_NAMED_PERCENT, ("%", 0), None);
    let there = plural(pairs, "that structure", "those structures");
    (pairs > 0).then(|| {
        sentence
            .say(" or more, but the error of this model in ")
            .say(there)
            .say(" is not known, so that no difference is named.")
    })
}

/// How often what [`sides`] names was there.
fn reliance(sides: SideAgreement) -> Sentence {
    Sentence::new()
        .leads_to(Source::Run)
        .say("Against outlines drawn by hand in ")
        .count("scans with outlines", sides.scans)
        .say(plural(sides.scans, " scan", " scans"))
        .say(", ")
        .count("differences that were there", sides.right)
        .say(" of ")
        .count("differences that were named", sides.named)
        .say(plural(sides.named, " difference", " differences"))
        .say(" that this model named between the sides ")
        .say(plural(sides.right, "was", "were"))
        .say(" there, of ")
        .count("differences in the outlines", sides.drawn)
        .say(" in the outlines.")
}

pub(super) fn quality_in_short(quality: &Quality) -> Sentence {
    let poor: Vec<String> =
        quality.judged(Judgement::Poor).map(|m| m.name.to_lowercase()).collect();
    let look: Vec<String> =
        quality.judged(Judgement::Look).map(|m| m.name.to_lowercase()).collect();
    if !poor.is_empty() {
        return Sentence::new()
            .leads_to(Source::Quality)
            .attention()
            .say("Image quality limits the measurements: ")
            .say(&list(&poor))
            .say(".");
    }
    if !look.is_empty() {
        return Sentence::new()
            .leads_to(Source::Quality)
            .attention()
            .say("Look at the images for: ")
            .say(&list(&look))
            .say(".");
    }
    if quality.measures.is_empty() {
        return Sentence::plain("Image quality was not measured.").leads_to(Source::Quality);
    }
    let assessed = quality.judged(Judgement::Good).count();
    let missing = quality.judged(Judgement::NotAssessed).count();
    let sentence = Sentence::new().leads_to(Source::Quality);
    if assessed == 0 {
        return sentence.say("No measure of image quality that has a threshold could be assessed.");
    }
    let sentence = sentence.say("No measure of image quality is beyond its threshold");
    if missing == 0 {
        return sentence.say(".");
    }
    sentence
        .say("; ")
        .count("measures of quality that were not assessed", missing)
        .say(" could not be assessed.")
}

/// How, with what, on what, when.
pub(super) fn method(input: &ReportInput, totals: &Totals) -> Section {
    let mut sentences = Vec::new();
    let pack = &input.pack;
    if !input.structures.is_empty() {
        let sentence = Sentence::new()
            .say("Structures were labelled by a neural network on this device, with the pack ");
        let mut sentence = weights(sentence, &pack.name, &pack.version, &pack.sha256);
        if !pack.note.is_empty() {
            sentence = sentence.say("; its maker notes: ").quote(&pack.note);
        }
        sentences.push(sentence.say("."));
        if !pack.trained_on.is_empty() {
            let mut sentence = Sentence::new().say("It was trained on ");
            for (at, name) in pack.trained_on.iter().enumerate() {
                sentence = sentence.say(separator(at, pack.trained_on.len())).quote(name);
            }
            sentences.push(sentence.say("."));
        }
        sentences.extend(definitions(totals, pack.side_errors.as_ref()));
    }
    sentences.extend(input.lesions.as_ref().map(|lesions| {
        let sentence = Sentence::new().say("Lesions were marked with the pack ");
        let pack = &lesions.pack;
        weights(sentence, &pack.name, &pack.version, &pack.sha256)
            .say(", in all sequences together; a mark is at least ")
            .number("smallest mark", SMALLEST_ML, ("mL", 3), None)
            .say(" large and lies inside the brain.")
    }));
    sentences.extend(input.heart.as_ref().map(|heart| {
        let sentence = Sentence::new().say("The phases of the heart were outlined with the pack ");
        let pack = &heart.pack;
        weights(sentence, &pack.name, &pack.version, &pack.sha256).say(
            "; a volume is that of the voxels of all slices, the mass that of the myocardium's \
             volume at the density of myocardium.",
        )
    }));
    sentences.push(Sentence::plain(
        "Image quality follows published formulas with simplified masks; each is given with its \
         source and threshold in the table of image quality.",
    ));
    sentences.push(device(input));
    sentences.extend(timings(input));
    sentences.push(
        Sentence::new()
            .say("Run started ")
            .quote(&input.started)
            .say(" with ")
            .quote(&format!("{} {}", input.software.name, input.software.full_version()))
            .say("."),
    );
    for sentence in &mut sentences {
        sentence.source = Some(Source::Run);
    }
    sentences.push(Sentence::plain(NOT_A_DEVICE));
    Section { key: "method".into(), title: "Method".into(), sentences }
}

/// Adds which weights did it.
pub(super) fn weights(sentence: Sentence, name: &str, version: &str, sha256: &str) -> Sentence {
    let hash: String = sha256.chars().take(HASH_SHOWN).collect();
    sentence.quote(name).say(", version ").quote(version).say(", SHA-256 ").quote(&hash)
}

fn definitions(totals: &Totals, errors: Option<&SideErrors>) -> Vec<Sentence> {
    let mut sentences = vec![
        Sentence::plain(
            "Volumes count the voxels of a label times the volume of a voxel, on the scan's own \
             grid, without correction for partial volume.",
        ),
        Sentence::new()
            .say(if totals.is_brain { "Brain volume: " } else { "Shares refer to " })
            .say(&totals.brain_definition)
            .say("."),
    ];
    if totals.is_brain {
        sentences.push(
            Sentence::new().say("Intracranial volume: ").say(&totals.icv_definition).say("."),
        );
    }
    sentences.push(
        Sentence::new()
            .say("The asymmetry index is ")
            .quote("100 (L - R) / ((L + R) / 2)")
            .say("; it is named from ")
            .number("limit of the asymmetry", ASYMMETRY_NAMED_PERCENT, ("%", 0), None)
            .say(" in structures of at least ")
            .number("smallest volume of a side", ASYMMETRY_SMALLEST_MILLILITRES, ("mL", 1), None)
            .say(
                " on each side, which lies above the difference that repeated scans alone produce \
                 and is no norm (“Maclaren et al., Scientific Data 1, 2014, 140037”).",
            ),
    );
    sentences.extend(errors.map(|errors| {
        Sentence::new()
            .say("To that limit, twice the mean error of this model in the structure is added, against outlines drawn by hand in ")
            .count("scans with outlines", errors.scans)
            .say(plural(errors.scans, " scan", " scans"))
            .say("; where its error is not known, no difference is named.")
    }));
    sentences
}

fn device(input: &ReportInput) -> Sentence {
    let device = &input.device;
    let mut sentence = Sentence::new().say("Computed on ").quote(&device.kind);
    if !device.adapter.is_empty() {
        sentence = sentence.say(", adapter ").quote(&device.adapter);
    }
    if device.software {
        sentence = sentence.say(", which is emulated in software");
    }
    if device.half_precision {
        sentence = sentence.say(", with the network's maps in half precision");
    }
    if let Some(reason) = &device.fallback {
        sentence = sentence.say(", because ").quote(reason);
    }
    sentence.say("; the scan did not leave this device.")
}

fn timings(input: &ReportInput) -> Option<Sentence> {
    if input.timings.is_empty() {
        return None;
    }
    let mut sentence = Sentence::new().say("It took ");
    for (at, time) in input.timings.iter().enumerate() {
        sentence = sentence
            .say(separator(at, input.timings.len()))
            .number(&time.stage, time.seconds, ("s", 2), None)
            .say(" for ")
            .quote(&time.stage);
    }
    let total: f64 = input.timings.iter().map(|time| time.seconds).sum();
    Some(sentence.say(", in all ").number("total", total, ("s", 2), None).say("."))
}
