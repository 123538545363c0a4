//! What a file says of its acquisition, held against what the image shows.
//!
//! Rules of thumb of clinical spin-echo and gradient-echo imaging (for example McRobbie et
//! al., MRI from Picture to Proton, ch. 3): T1 weighting has echoes under 30 ms, T2
//! weighting over 60 ms, FLAIR an inversion time of 1.5 to 3 s. They are wide, so that only
//! what cannot be is pointed out.

use super::heads::Answer;
use crate::formats::Acquisition;

/// Longest echo of a T1-weighted scan, ms.
const LONGEST_T1: f64 = 40.0;

/// Shortest echo of a T2-weighted spin-echo scan, ms; 3D sequences with long echo trains
/// state effective ones.
const SHORTEST_T2: f64 = 50.0;

/// Inversion times of FLAIR, ms.
const FLAIR_INVERSION: [f64; 2] = [1300.0, 3200.0];

/// Sentences about fields that contradict the image; none where either side is silent.
pub fn contradictions(
    acquisition: &Acquisition,
    sequence: &Answer,
    body_part: &Answer,
) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(given) = sequence.given.as_deref() {
        found.extend(times(acquisition, given));
        let words = [&acquisition.description, &acquisition.sequence_name];
        let named = words.into_iter().flatten().find_map(|text| named_sequence(text));
        if let Some(named) = named.filter(|&named| named != given) {
            found.push(format!("The file names the sequence {named}, the image looks {given}."));
        }
    }
    let stated = acquisition.body_part.as_deref().and_then(named_part);
    if let (Some(stated), Some(given)) = (stated, body_part.given.as_deref())
        && stated != given
    {
        let field = acquisition.body_part.as_deref().unwrap_or_default();
        found.push(format!("The file says body part {field}, the image looks like {given}."));
    }
    found
}

fn times(acquisition: &Acquisition, given: &str) -> Option<String> {
    let echo = acquisition.echo_time_ms.filter(|&time| time > 0.0);
    let inversion = acquisition.inversion_time_ms.filter(|&time| time > 0.0);
    match (given, echo, inversion) {
        ("T1w", Some(echo), _) if echo > LONGEST_T1 => Some(format!(
            "The image looks T1-weighted, but the file states an echo time of {echo:.0} ms."
        )),
        ("T2w" | "FLAIR", Some(echo), _) if echo < SHORTEST_T2 => Some(format!(
            "The image looks {given}, but the file states an echo time of {echo:.0} ms."
        )),
        ("FLAIR", _, Some(time)) if !(FLAIR_INVERSION[0]..=FLAIR_INVERSION[1]).contains(&time) => {
            Some(format!(
                "The image looks FLAIR, but the file states an inversion time of {time:.0} ms."
            ))
        }
        ("T2w", Some(_), Some(time))
            if (FLAIR_INVERSION[0]..=FLAIR_INVERSION[1]).contains(&time) =>
        {
            Some(format!(
                "The image looks T2w, but the file states an inversion time of {time:.0} ms, as FLAIR has."
            ))
        }
        _ => None,
    }
}

/// The sequence that a description names, if it names one clearly.
fn named_sequence(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    let has = |word: &str| lower.contains(word);
    if has("flair") || has("dark-fluid") || has("dark fluid") {
        // T1-weighted FLAIR is another contrast altogether.
        return if has("t1") { None } else { Some("FLAIR") };
    }
    let named = [("T1w", has("t1") || has("mprage")), ("T2w", has("t2") && !has("t2*"))];
    let mut named = named.into_iter().filter_map(|(name, is)| is.then_some(name));
    match (named.next(), named.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// A body part of DICOM in the head's terms, if it is one of them.
fn named_part(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    match lower.trim() {
        "brain" | "head" | "skull" | "headneck" => Some("head"),
        "heart" | "cardiac" => Some("heart"),
        "knee" | "abdomen" | "pelvis" | "neck" | "hip" | "shoulder" | "breast" | "liver"
        | "cspine" | "lspine" | "tspine" | "spine" | "prostate" | "ankle" | "foot" | "hand"
        | "wrist" | "elbow" => Some("other"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(class: &str) -> Answer {
        Answer {
            given: Some(class.into()),
            probabilities: vec![(class.into(), 0.97)],
            distance: None,
            most_distance: None,
        }
    }

    // Times of real series: a T1 post-contrast spin echo, a FLAIR, a proton-density FSE.
    fn stated(
        echo: f64,
        repetition: f64,
        inversion: Option<f64>,
        description: &str,
    ) -> Acquisition {
        Acquisition {
            echo_time_ms: Some(echo),
            repetition_time_ms: Some(repetition),
            inversion_time_ms: inversion,
            description: Some(description.into()),
            body_part: Some("BRAIN".into()),
            ..Acquisition::default()
        }
    }

    #[test]
    fn honest_files_are_left_alone() {
        let head = given("head");
        let post = stated(10.0, 650.0, None, "T1post");
        assert!(contradictions(&post, &given("T1w"), &head).is_empty());
        let flair = stated(127.764, 9000.0, Some(2250.0), "FLAIR_reg");
        assert!(contradictions(&flair, &given("FLAIR"), &head).is_empty());
        assert!(contradictions(&Acquisition::default(), &given("T2w"), &head).is_empty());
    }

    #[test]
    fn what_cannot_be_is_said() {
        let flair = stated(127.764, 9000.0, Some(2250.0), "FLAIR_reg");
        let found = contradictions(&flair, &given("T1w"), &given("heart"));
        assert_eq!(
            found,
            [
                "The image looks T1-weighted, but the file states an echo time of 128 ms.",
                "The file names the sequence FLAIR, the image looks T1w.",
                "The file says body part BRAIN, the image looks like heart.",
            ]
        );
        let density = stated(22.0, 2300.0, None, "FSE PD AXIAL OBL");
        let found = contradictions(&density, &given("T2w"), &given("head"));
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn an_unknown_image_contradicts_nothing() {
        let unknown = Answer { given: None, ..given("T1w") };
        let flair = stated(127.764, 9000.0, Some(2250.0), "FLAIR_reg");
        assert!(contradictions(&flair, &unknown, &given("head")).is_empty());
    }

    #[test]
    fn names_that_say_two_things_say_nothing() {
        assert_eq!(named_sequence("t1_mprage_sag"), Some("T1w"));
        assert_eq!(named_sequence("T1 FLAIR"), None);
        assert_eq!(named_sequence("T1 and T2 map"), None);
        assert_eq!(named_sequence("localizer"), None);
    }
}
