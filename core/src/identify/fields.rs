//! What a file says of its acquisition, held against what the image shows.
//!
//! Rules of thumb of clinical spin-echo and gradient-echo imaging (for example McRobbie et
//! al., MRI from Picture to Proton, ch. 3): T1 weighting has echoes under 30 ms, T2
//! weighting over 60 ms, FLAIR an inversion time of 1.5 to 3 s; spin-echo T1 weighting
//! repeats within 1 s, prepared gradient echoes within 3, T2 weighting after 2 s or more,
//! FLAIR after 5. They are wide, so that only what cannot be is pointed out. Proton density
//! has the echo of T1 weighting at the repetition time of T2 weighting.

use super::geometry::{Direction, Plane};
use super::heads::Answer;
use crate::formats::Acquisition;

/// Longest echo of a T1-weighted scan, ms.
const LONGEST_T1: f64 = 40.0;

/// Shortest echo of a T2-weighted spin-echo scan, ms; 3D sequences with long echo trains
/// state effective ones.
const SHORTEST_T2: f64 = 50.0;

/// Inversion times of FLAIR, ms.
const FLAIR_INVERSION: [f64; 2] = [1300.0, 3200.0];

/// Longest repetition time of a T1-weighted scan, ms.
const LONGEST_T1_REPETITION: f64 = 4000.0;

/// Shortest repetition time of a T2-weighted spin echo and of FLAIR, ms.
const SHORTEST_T2_REPETITION: f64 = 1000.0;
const SHORTEST_FLAIR_REPETITION: f64 = 3500.0;

/// From this repetition time on, in ms, a short echo means proton density.
const LONG_REPETITION: f64 = 1500.0;

/// From this tilt on, in degrees, a stack has no plane that its name could contradict.
const TILTED: f64 = 35.0;

/// Sentences about fields that contradict the image; none where either side is silent.
pub fn contradictions(
    acquisition: &Acquisition,
    sequence: &Answer,
    body_part: &Answer,
    plane: &Plane,
) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(given) = sequence.given.as_deref() {
        found.extend(times(acquisition, given));
        if let Some(named) = stated_sequence(acquisition).filter(|&named| named != given) {
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
    found.extend(other_plane(acquisition, plane));
    found
}

/// Why the sequence that a scan looks like is withheld: "it looks T2w, but ..."; `None` where the
/// file leaves it standing. Names and times are often wrong: both have to deny it, but for
/// proton density, of which one is enough.
pub fn withheld(acquisition: &Acquisition, looks: &str) -> Option<String> {
    let density = proton_density(acquisition).filter(|_| looks == "T2w");
    let why = density.or_else(|| denied(acquisition, looks))?;
    Some(format!("it looks {looks}, but {why}"))
}

/// That the file names another sequence and states times that this one cannot have.
fn denied(acquisition: &Acquisition, looks: &str) -> Option<String> {
    let named = stated_sequence(acquisition).filter(|&named| named != looks)?;
    let times = impossible_times(acquisition, looks)?;
    Some(format!("the file names it {named} and states {times}"))
}

/// Why a scan that looks T2-weighted is of proton density by its file; `None` where the file
/// does not say so. The heads know no class of proton density, and a scan of it looks
/// T2-weighted to them.
fn proton_density(acquisition: &Acquisition) -> Option<String> {
    if stated_sequence(acquisition) == Some("PD") {
        return Some("the file names it PD".into());
    }
    let echo = positive(acquisition.echo_time_ms).filter(|&time| time < SHORTEST_T2)?;
    let repetition =
        positive(acquisition.repetition_time_ms).filter(|&time| time >= LONG_REPETITION)?;
    Some(format!(
        "the file states an echo time of {echo:.0} ms at a repetition time of {repetition:.0} ms, as proton density has"
    ))
}

/// What stands beside the answer T1w: that the file states a contrast agent, which no head
/// can tell.
pub fn contrast_agent(acquisition: &Acquisition) -> Option<String> {
    let agent = acquisition.contrast_agent.as_deref()?.trim().to_lowercase();
    // What scanners write where none was given.
    let none = ["", "no", "none", "n", "n/a", "without", "0"].contains(&agent.as_str());
    (!none).then(|| "the file states a contrast agent".into())
}

/// The sequence that the file's fields name: description, protocol, pulse sequence, the
/// first that names one clearly.
pub fn stated_sequence(acquisition: &Acquisition) -> Option<&'static str> {
    names(acquisition).find_map(named_sequence)
}

/// Fields with names, in the order in which people choose them.
fn names(acquisition: &Acquisition) -> impl Iterator<Item = &str> {
    let Acquisition { description, protocol_name, sequence_name, .. } = acquisition;
    [description, protocol_name, sequence_name].into_iter().filter_map(|name| name.as_deref())
}

/// A time that was set, ms.
fn positive(time: Option<f64>) -> Option<f64> {
    time.filter(|&time| time > 0.0)
}

fn times(acquisition: &Acquisition, given: &str) -> Option<String> {
    let said = impossible_times(acquisition, given)?;
    let given = if given == "T1w" { "T1-weighted" } else { given };
    Some(format!("The image looks {given}, but the file states {said}."))
}

/// The stated times that a sequence cannot have: "an echo time of 128 ms and ...".
fn impossible_times(acquisition: &Acquisition, given: &str) -> Option<String> {
    let echo = positive(acquisition.echo_time_ms);
    let repetition = positive(acquisition.repetition_time_ms);
    let inversion = positive(acquisition.inversion_time_ms);
    let of_flair = |time: f64| (FLAIR_INVERSION[0]..=FLAIR_INVERSION[1]).contains(&time);
    let echo = echo.filter(|&time| match given {
        "T1w" => time > LONGEST_T1,
        "T2w" | "FLAIR" => time < SHORTEST_T2,
        _ => false,
    });
    let repetition = repetition.filter(|&time| match given {
        "T1w" => time > LONGEST_T1_REPETITION,
        "T2w" => time < SHORTEST_T2_REPETITION,
        "FLAIR" => time < SHORTEST_FLAIR_REPETITION,
        _ => false,
    });
    let inversion = inversion.filter(|&time| match given {
        "T2w" => of_flair(time),
        "FLAIR" => !of_flair(time),
        _ => false,
    });
    let said = [("an echo", echo), ("a repetition", repetition), ("an inversion", inversion)];
    let said: Vec<String> = said
        .into_iter()
        .filter_map(|(what, time)| time.map(|time| format!("{what} time of {time:.0} ms")))
        .collect();
    let as_flair = if given == "T2w" && inversion.is_some() { ", as FLAIR has" } else { "" };
    (!said.is_empty()).then(|| format!("{}{as_flair}", said.join(" and ")))
}

/// The sequence that a name states, if it states one clearly: T1w, T2w, FLAIR, PD, DWI, T2*
/// or cine.
pub fn named_sequence(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    let has = |word: &str| lower.contains(word);
    let is = |word: &str| words(&lower).any(|one| one == word);
    // "t1w" and "3dt1", but neither "t19" nor "patient1".
    let weighted = |mark: &str| {
        let mut words = words(&lower).filter(|word| !word.starts_with("patient"));
        let no_digit = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_digit());
        words.any(|word| word.match_indices(mark).any(|(at, _)| no_digit(&word[at + mark.len()..])))
    };
    if has("flair") || has("dark-fluid") || has("dark fluid") {
        // T1-weighted FLAIR is another contrast altogether.
        return if weighted("t1") { None } else { Some("FLAIR") };
    }
    let star = has("t2*") || has("t2star") || has("t2_star") || is("swi") || is("swan");
    let diffusion = ["dwi", "dti", "adc", "diff"].into_iter().any(is) || has("diffusion");
    let named = [
        ("T1w", weighted("t1") || has("mprage")),
        ("T2w", weighted("t2") && !star),
        ("PD", is("pd") || is("pdw") || has("proton")),
        ("DWI", diffusion),
        ("T2*", star),
        ("cine", has("cine")),
    ];
    let mut named = named.into_iter().filter_map(|(name, is)| is.then_some(name));
    match (named.next(), named.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// Words of a name, as scanners join them.
fn words(lower: &str) -> impl Iterator<Item = &str> {
    lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The plane that a name states, if it states only one.
fn named_plane(text: &str) -> Option<Direction> {
    let lower = text.to_lowercase();
    let mut found = words(&lower).filter_map(|word| match word {
        "ax" | "axial" | "tra" | "transverse" | "transversal" => Some(Direction::Axial),
        "cor" | "coronal" => Some(Direction::Coronal),
        "sag" | "sagittal" => Some(Direction::Sagittal),
        _ => None,
    });
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

fn other_plane(acquisition: &Acquisition, plane: &Plane) -> Option<String> {
    if plane.direction == Direction::Isotropic || plane.tilt_degrees >= TILTED {
        return None;
    }
    let named = names(acquisition).find_map(named_plane)?;
    (named != plane.direction).then(|| {
        let [named, given] = [named, plane.direction].map(Direction::words);
        format!("The file names the plane {named}, the slices are {given}.")
    })
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

    const ISOTROPIC: Plane = Plane { direction: Direction::Isotropic, tilt_degrees: 0.0 };

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
        assert!(contradictions(&post, &given("T1w"), &head, &ISOTROPIC).is_empty());
        let flair = stated(127.764, 9000.0, Some(2250.0), "FLAIR_reg");
        assert!(contradictions(&flair, &given("FLAIR"), &head, &ISOTROPIC).is_empty());
        assert!(
            contradictions(&Acquisition::default(), &given("T2w"), &head, &ISOTROPIC).is_empty()
        );
    }

    #[test]
    fn what_cannot_be_is_said() {
        let flair = stated(127.764, 9000.0, Some(2250.0), "FLAIR_reg");
        let found = contradictions(&flair, &given("T1w"), &given("heart"), &ISOTROPIC);
        assert_eq!(
            found,
            [
                "The image looks T1-weighted, but the file states an echo time of 128 ms and a repetition time of 9000 ms.",
                "The file names the sequence FLAIR, the image looks T1w.",
                "The file says body part BRAIN, the image looks like heart.",
            ]
        );
    }

    #[test]
    fn repetition_times_count() {
        let head = given("head");
        let said = |image: &str, echo: f64, repetition: f64, inversion: Option<f64>| {
            let file = Acquisition { description: None, ..stated(echo, repetition, inversion, "") };
            contradictions(&file, &given(image), &head, &ISOTROPIC)
        };
        assert_eq!(
            said("T2w", 90.0, 600.0, None),
            ["The image looks T2w, but the file states a repetition time of 600 ms."]
        );
        assert_eq!(
            said("FLAIR", 90.0, 2300.0, Some(900.0)),
            [
                "The image looks FLAIR, but the file states a repetition time of 2300 ms and an inversion time of 900 ms."
            ]
        );
        assert_eq!(
            said("T2w", 100.0, 9000.0, Some(2500.0)),
            [
                "The image looks T2w, but the file states an inversion time of 2500 ms, as FLAIR has."
            ]
        );
        // A prepared gradient echo, a 3D FLAIR.
        assert!(said("T1w", 3.0, 2300.0, Some(900.0)).is_empty());
        assert!(said("FLAIR", 300.0, 4800.0, Some(1650.0)).is_empty());
    }

    #[test]
    fn proton_density_is_told_by_its_times_or_its_name() {
        let by_times = Acquisition {
            echo_time_ms: Some(22.0),
            repetition_time_ms: Some(2300.0),
            ..Acquisition::default()
        };
        let why = proton_density(&by_times).unwrap();
        assert!(why.contains("22 ms") && why.contains("2300 ms"), "{why}");
        let named = Acquisition {
            protocol_name: Some("FSE PD AXIAL OBL".into()),
            ..Acquisition::default()
        };
        assert_eq!(proton_density(&named).as_deref(), Some("the file names it PD"));
        // A T2 weighting, a T1 weighting, a dual echo's name, a silent file.
        assert_eq!(proton_density(&stated(90.0, 4000.0, None, "T2 TSE")), None);
        assert_eq!(proton_density(&stated(10.0, 650.0, None, "T1post")), None);
        assert_eq!(proton_density(&stated(90.0, 4000.0, None, "PD/T2")), None);
        assert_eq!(proton_density(&Acquisition::default()), None);
    }

    #[test]
    fn a_sequence_is_withheld_where_name_and_times_both_deny_it() {
        let flair = stated(127.764, 9000.0, Some(2250.0), "FLAIR_reg");
        assert_eq!(
            withheld(&flair, "T1w").as_deref(),
            Some(
                "it looks T1w, but the file names it FLAIR and states an echo time of 128 ms and a repetition time of 9000 ms"
            )
        );
        let why = withheld(&flair, "T2w").unwrap_or_default();
        assert!(why.ends_with("states an inversion time of 2250 ms, as FLAIR has"), "{why}");
        assert_eq!(withheld(&flair, "FLAIR"), None);
        // One of both alone: a warning says so.
        let unnamed = Acquisition { description: Some("series 3".into()), ..flair };
        assert_eq!(withheld(&unnamed, "T1w"), None);
        let misnamed = stated(10.0, 650.0, None, "FLAIR_reg");
        assert_eq!(withheld(&misnamed, "T1w"), None);
        assert_eq!(withheld(&Acquisition::default(), "T1w"), None);
        // Proton density needs one of both, and is asked where the image looks T2-weighted.
        let density = stated(22.0, 2300.0, None, "series 3");
        let why = withheld(&density, "T2w").unwrap_or_default();
        assert!(
            why.starts_with("it looks T2w, but the file states an echo time of 22 ms"),
            "{why}"
        );
        assert_eq!(withheld(&density, "FLAIR"), None);
    }

    #[test]
    fn a_contrast_agent_counts_where_one_was_given() {
        let with = |agent: &str| Acquisition {
            contrast_agent: Some(agent.into()),
            ..Acquisition::default()
        };
        assert!(contrast_agent(&with("Gadovist")).is_some());
        assert_eq!(contrast_agent(&with("NONE ")), None);
        assert_eq!(contrast_agent(&Acquisition::default()), None);
    }

    #[test]
    fn planes_that_are_named_are_held_against_the_slices() {
        let head = given("head");
        let said = |text: &str, direction, tilt_degrees| {
            let file = Acquisition { description: Some(text.into()), ..Acquisition::default() };
            contradictions(&file, &given("T1w"), &head, &Plane { direction, tilt_degrees })
        };
        assert_eq!(
            said("t1_se_SAG", Direction::Axial, 3.0),
            ["The file names the plane sagittal, the slices are axial."]
        );
        assert_eq!(said("T1 COR", Direction::Sagittal, 0.0).len(), 1);
        assert!(said("AX T1", Direction::Axial, 12.0).is_empty());
        // No plane is special, none is clear, two are named, none is.
        assert!(said("t1_mprage_sag", Direction::Isotropic, 0.0).is_empty());
        assert!(said("AX T1", Direction::Coronal, 40.0).is_empty());
        assert!(said("T1 AX from SAG", Direction::Coronal, 0.0).is_empty());
        assert!(said("T1 corrected", Direction::Axial, 0.0).is_empty());
    }

    #[test]
    fn the_protocol_speaks_where_description_and_pulse_sequence_are_silent() {
        let file = Acquisition {
            description: Some("series 3".into()),
            sequence_name: Some("*tir2d1_16".into()),
            protocol_name: Some("t2_tirm_dark-fluid".into()),
            ..Acquisition::default()
        };
        assert_eq!(stated_sequence(&file), Some("FLAIR"));
        let found = contradictions(&file, &given("T2w"), &given("head"), &ISOTROPIC);
        assert_eq!(found, ["The file names the sequence FLAIR, the image looks T2w."]);
    }

    #[test]
    fn an_unknown_image_contradicts_nothing() {
        let unknown = Answer { given: None, ..given("T1w") };
        let flair = stated(127.764, 9000.0, Some(2250.0), "FLAIR_reg");
        assert!(contradictions(&flair, &unknown, &given("head"), &ISOTROPIC).is_empty());
    }

    #[test]
    fn names_that_say_two_things_say_nothing() {
        assert_eq!(named_sequence("t1_mprage_sag"), Some("T1w"));
        assert_eq!(named_sequence("T1 FLAIR"), None);
        assert_eq!(named_sequence("T1 and T2 map"), None);
        assert_eq!(named_sequence("localizer"), None);
        assert_eq!(named_sequence("PD/T2 TSE"), None);
        assert_eq!(named_sequence("update"), None);
        assert_eq!(named_sequence("patient19_T2"), Some("T2w"));
        assert_eq!(named_sequence("patient1_FLAIR"), Some("FLAIR"));
    }

    #[test]
    fn other_sequences_have_names_too() {
        assert_eq!(named_sequence("FSE PD AXIAL OBL"), Some("PD"));
        assert_eq!(named_sequence("ep2d_diff_3scan_trace"), Some("DWI"));
        assert_eq!(named_sequence("AX DWI b1000"), Some("DWI"));
        assert_eq!(named_sequence("t2*_fl2d_tra"), Some("T2*"));
        assert_eq!(named_sequence("SWI_Images"), Some("T2*"));
        assert_eq!(named_sequence("cine_trufi_sax"), Some("cine"));
    }
}
