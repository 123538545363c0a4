//! What a file says of its acquisition, held against what the image shows; and what only it can
//! say: sequences that no head knows, and contrast agent.
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

const DENSITY: &str = "PD";
const DIFFUSION: &str = "diffusion";
/// Susceptibility-weighted and functional imaging, too.
const STAR: &str = "T2*";

/// Sequences that no head knows: only a file can name them.
const FOREIGN: [&str; 3] = [DENSITY, DIFFUSION, STAR];

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

/// Why the sequence that a scan looks like is not answered, and what the file calls it instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// "it looks T2w, but ...".
    pub why: String,
    /// The sequence by the file, where no head knows it.
    pub by_file: Option<&'static str>,
}

/// Whether the sequence that a scan looks like is withheld; `None` where the file leaves it
/// standing. Names and times are often wrong: both have to deny it. But a sequence that no
/// head knows looks like one of theirs: of it the name alone is enough, and of proton density
/// the times.
pub fn withheld(acquisition: &Acquisition, looks: &str) -> Option<Withheld> {
    let foreign = foreign(acquisition).map(|(name, why)| (Some(name), why));
    let density = || proton_density(acquisition).filter(|_| looks == "T2w");
    let denied = || denied(acquisition, looks).map(|why| (None, why));
    let (by_file, why) = foreign.or_else(density).or_else(denied)?;
    Some(Withheld { why: format!("it looks {looks}, but {why}"), by_file })
}

/// The sequence that the file names, for a scan of which the image says none; `None` where its
/// times deny the name.
pub fn by_file(acquisition: &Acquisition) -> Option<&'static str> {
    foreign(acquisition).map(|(name, _)| name).or_else(|| {
        stated_sequence(acquisition).filter(|name| impossible_times(acquisition, name).is_none())
    })
}

/// The sequence of a file that names one which no head knows, and what says so.
fn foreign(acquisition: &Acquisition) -> Option<(&'static str, String)> {
    if let Some(b) = positive(acquisition.b_value) {
        return Some((DIFFUSION, format!("the file states a b-value of {b:.0} s/mm²")));
    }
    let named = stated_sequence(acquisition).filter(|named| FOREIGN.contains(named))?;
    Some((named, format!("the file names it {named}")))
}

/// That the file names another sequence and states times that this one cannot have.
fn denied(acquisition: &Acquisition, looks: &str) -> Option<String> {
    let named = stated_sequence(acquisition).filter(|&named| named != looks)?;
    let times = impossible_times(acquisition, looks)?;
    Some(format!("the file names it {named} and states {times}"))
}

/// Why a scan that looks T2-weighted is none by its times, and what it is where the pulse
/// sequence is a spin echo: without one, echo-planar functional imaging has the same times.
fn proton_density(acquisition: &Acquisition) -> Option<(Option<&'static str>, String)> {
    let echo = positive(acquisition.echo_time_ms).filter(|&time| time < SHORTEST_T2)?;
    let repetition =
        positive(acquisition.repetition_time_ms).filter(|&time| time >= LONG_REPETITION)?;
    let (name, have) = if names(acquisition).any(spin_echo) {
        (Some(DENSITY), "proton density has")
    } else {
        (None, "proton density or functional imaging has")
    };
    let why = format!(
        "the file states an echo time of {echo:.0} ms at a repetition time of {repetition:.0} ms, as {have}"
    );
    Some((name, why))
}

/// Whether a name is that of a spin echo: "*tse2d1_5", "FSE", "se2d".
fn spin_echo(name: &str) -> bool {
    let lower = name.to_lowercase();
    words(&lower).any(|word| {
        word == "se"
            || ["tse", "fse", "frfse", "se2d", "se3d"].iter().any(|mark| word.starts_with(mark))
    })
}

/// Why a T1-weighted scan is one after contrast agent, which no head can tell: the file states
/// an agent, or is named so. A name that says "without" decides against both: the agent is
/// often stated for all series of a study.
pub fn after_contrast(acquisition: &Acquisition) -> Option<&'static str> {
    let Acquisition { description, protocol_name, .. } = acquisition;
    let mut texts = [description, protocol_name].into_iter().filter_map(|text| text.as_deref());
    match texts.find_map(named_contrast) {
        Some(false) => None,
        _ if states_agent(acquisition) => Some("the file states a contrast agent"),
        Some(true) => Some("the file names it after contrast agent"),
        None => None,
    }
}

/// Whether a contrast agent is stated, other than what scanners write where none was given.
fn states_agent(acquisition: &Acquisition) -> bool {
    let Some(agent) = &acquisition.contrast_agent else { return false };
    let agent = agent.trim().to_lowercase();
    let dose = agent.trim_end_matches("ml").trim_end().parse::<f64>();
    let none = ["", "n", "na", "n/a", "nil", "non", "not applicable", "unknown"];
    dose != Ok(0.0)
        && !none.contains(&agent.as_str())
        && words(&agent).next().is_none_or(|first| !["no", "none", "without"].contains(&first))
}

/// Whether a name says that the scan was taken after contrast agent (`true`) or without
/// (`false`); `None` where it says neither, or both: "W/WO".
fn named_contrast(text: &str) -> Option<bool> {
    let lower = text.to_lowercase().replace("w/o", "without");
    let says = |any: &[&str]| words(&lower).any(|word| any.contains(&word));
    if says(&["pre", "precontrast", "no", "non", "noncontrast", "without", "wo", "native", "nativ"])
    {
        return (!says(&["w", "with", "mit", "post"])).then_some(false);
    }
    // "T1 +C" and "C+", but not "T1+cor".
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    let plus = lower.match_indices("+c").any(|(at, _)| edge(lower[at + 2..].chars().next()))
        || lower.match_indices("c+").any(|(at, _)| edge(lower[..at].chars().next_back()));
    let marks = ["post", "gd", "gad", "ce", "contrast", "postcontrast", "postgad", "postgd"];
    // "post op", after an operation.
    let other = ["op", "operative", "surgery", "treatment", "therapy", "rt", "tx", "processed"];
    let following = words(&lower).skip(1).map(Some).chain([None]);
    let marked = words(&lower).zip(following).any(|(word, next)| {
        // "T1post", "t1wce", "T1c".
        let bare = word.strip_prefix("t1w").or_else(|| word.strip_prefix("t1"));
        let rest = bare.unwrap_or(word);
        let mark = marks.contains(&rest) || rest.starts_with("gado") || bare == Some("c");
        mark && !(rest == "post" && next.is_some_and(|next| other.contains(&next)))
    });
    (plus || marked).then_some(true)
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

/// The sequence that a name states, if it states one clearly: T1w, T2w, FLAIR, PD, diffusion,
/// T2* or cine.
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
    // Functional imaging ("bold") is weighted by T2*; "*epfid2d1_64" is its pulse sequence.
    let star =
        ["t2*", "t2star", "t2_star", "t2 star", "fmri", "epfid", "suscept"].into_iter().any(has)
            || ["swi", "swan", "bold"].into_iter().any(is);
    // "b1000", and "*ep_b1000#3" of a pulse sequence.
    let b_value = words(&lower).any(|word| {
        word.strip_prefix('b').is_some_and(|b| {
            (3..=4).contains(&b.len()) && b.ends_with('0') && b.chars().all(|c| c.is_ascii_digit())
        })
    });
    let diffusion = ["dwi", "dti", "adc", "diff"].into_iter().any(is)
        || has("diffusion")
        || has("ep_b0")
        || b_value;
    let named = [
        ("T1w", weighted("t1") || has("mprage")),
        ("T2w", weighted("t2") && !star),
        (DENSITY, ["pd", "pdw", "pdfs"].into_iter().any(is) || has("proton")),
        (DIFFUSION, diffusion),
        (STAR, star),
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

/// A body part of DICOM (PS3.16, annex L) or of an operator in the head's terms, if it is one
/// of them.
fn named_part(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    let parts: Vec<&str> = words(&lower).collect();
    let any = |of: &[&str]| parts.iter().any(|part| of.contains(part));
    if any(&["brain", "head", "skull", "headneck", "cranium"]) {
        Some("head")
    } else if any(&["heart", "cardiac"]) {
        Some("heart")
    } else if parts.iter().any(|part| is_other(part)) {
        Some("other")
    } else {
        None
    }
}

/// Whether a word is a part of the body beside head and heart, alone or run together with
/// others: "abdomenpelvis", "cspine".
fn is_other(word: &str) -> bool {
    const PARTS: &str = "abd abdomen ankle aorta arm bladder breast calf cervix chest clavicle \
        elbow extremities extremity feet femur finger foot forearm hand hip humerus kidney knee \
        leg liver lung neck ovary pancreas pelvis prostate rectum sacrum scrotum shoulder spine \
        spleen thigh thorax tibia toe uterus wrist";
    let parts = || PARTS.split_whitespace();
    let one = word.strip_suffix('s').filter(|one| parts().any(|part| part == *one));
    let word = one.unwrap_or(word);
    let rest = |part: &'static str| word.strip_prefix(part);
    word.ends_with("spine")
        || parts().filter_map(rest).any(|rest| rest.is_empty() || is_other(rest))
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
        let (name, why) = proton_density(&by_times).unwrap();
        assert!(why.contains("22 ms") && why.contains("2300 ms"), "{why}");
        // Echo-planar functional imaging has these times, too; a spin echo tells.
        assert!(name.is_none() && why.ends_with("as proton density or functional imaging has"));
        let spin_echo = Acquisition { sequence_name: Some("*tse2d1_5".into()), ..by_times };
        let (name, why) = proton_density(&spin_echo).unwrap();
        assert!(name == Some("PD") && why.ends_with("as proton density has"), "{why}");
        let named = Acquisition {
            protocol_name: Some("FSE PD AXIAL OBL".into()),
            ..Acquisition::default()
        };
        assert_eq!(foreign(&named), Some(("PD", "the file names it PD".into())));
        // A T2 weighting, a T1 weighting, a dual echo's name, a silent file.
        assert_eq!(proton_density(&stated(90.0, 4000.0, None, "T2 TSE")), None);
        assert_eq!(proton_density(&stated(10.0, 650.0, None, "T1post")), None);
        assert_eq!(proton_density(&stated(90.0, 4000.0, None, "PD/T2")), None);
        assert_eq!(proton_density(&Acquisition::default()), None);
    }

    #[test]
    fn a_sequence_is_withheld_where_name_and_times_both_deny_it() {
        let flair = stated(127.764, 9000.0, Some(2250.0), "FLAIR_reg");
        let why = |acquisition: &Acquisition, looks: &str| {
            let found = withheld(acquisition, looks)?;
            assert_eq!(found.by_file, None, "{found:?}");
            Some(found.why)
        };
        assert_eq!(
            why(&flair, "T1w").as_deref(),
            Some(
                "it looks T1w, but the file names it FLAIR and states an echo time of 128 ms and a repetition time of 9000 ms"
            )
        );
        let said = why(&flair, "T2w").unwrap_or_default();
        assert!(said.ends_with("states an inversion time of 2250 ms, as FLAIR has"), "{said}");
        assert_eq!(withheld(&flair, "FLAIR"), None);
        // One of both alone: a warning says so.
        let unnamed = Acquisition { description: Some("series 3".into()), ..flair };
        assert_eq!(withheld(&unnamed, "T1w"), None);
        let misnamed = stated(10.0, 650.0, None, "FLAIR_reg");
        assert_eq!(withheld(&misnamed, "T1w"), None);
        assert_eq!(withheld(&Acquisition::default(), "T1w"), None);
        // The times of proton density are asked where the image looks T2-weighted.
        let density = stated(22.0, 2300.0, None, "series 3");
        let said = why(&density, "T2w").unwrap_or_default();
        assert!(
            said.starts_with("it looks T2w, but the file states an echo time of 22 ms"),
            "{said}"
        );
        assert_eq!(withheld(&density, "FLAIR"), None);
    }

    #[test]
    fn a_sequence_that_no_head_knows_is_named_by_the_file_whatever_the_image_looks_like() {
        let named = |file: &Acquisition, looks: &str| withheld(file, looks).and_then(|w| w.by_file);
        for looks in ["T1w", "T2w", "FLAIR", "cine"] {
            // The times are those of T2 weighting.
            let diffusion = stated(90.0, 5000.0, None, "DWI");
            assert_eq!(named(&diffusion, looks), Some("diffusion"));
            let star = stated(25.0, 700.0, None, "SWI_Images");
            assert_eq!(named(&star, looks), Some("T2*"));
            let density = stated(90.0, 5000.0, None, "AX PD FS");
            assert_eq!(named(&density, looks), Some("PD"));
            let functional = stated(30.0, 2000.0, None, "ep2d_bold_moco");
            assert_eq!(named(&functional, looks), Some("T2*"));
            let weighted = Acquisition { b_value: Some(1000.0), ..stated(90.0, 5000.0, None, "") };
            let found = withheld(&weighted, looks).unwrap();
            assert_eq!(found.by_file, Some("diffusion"));
            assert!(found.why.ends_with("the file states a b-value of 1000 s/mm²"), "{found:?}");
        }
        let plain = Acquisition { b_value: Some(0.0), ..stated(90.0, 5000.0, None, "T2 TSE") };
        assert_eq!(withheld(&plain, "T2w"), None);
    }

    #[test]
    fn of_an_unknown_image_the_file_speaks_where_its_times_allow_the_name() {
        assert_eq!(by_file(&stated(127.0, 9000.0, Some(2250.0), "FLAIR_reg")), Some("FLAIR"));
        assert_eq!(by_file(&stated(10.0, 650.0, None, "FLAIR_reg")), None);
        assert_eq!(by_file(&stated(90.0, 5000.0, None, "AX DWI")), Some("diffusion"));
        assert_eq!(by_file(&Acquisition::default()), None);
    }

    #[test]
    fn a_contrast_agent_counts_where_one_was_given() {
        let with = |agent: &str, description: &str| Acquisition {
            contrast_agent: Some(agent.into()),
            description: Some(description.into()),
            ..Acquisition::default()
        };
        let stated = Some("the file states a contrast agent");
        assert_eq!(after_contrast(&with("Gadovist", "AX T1")), stated);
        assert_eq!(after_contrast(&with("10 ML GADAVIST", "BRAIN W/WO CONTRAST")), stated);
        // Stated for the whole study, but not of this series.
        for without in ["T1 pre", "AX T1 W/O", "T1 without contrast", "T1 nativ"] {
            assert_eq!(after_contrast(&with("Gadovist", without)), None, "{without}");
        }
        for none in ["NONE ", "no contrast", "na", "N/A", "Unknown", "0 ml", "0.0ML", "without", ""]
        {
            assert_eq!(after_contrast(&with(none, "AX T1")), None, "{none}");
        }
        assert_eq!(after_contrast(&Acquisition::default()), None);
    }

    #[test]
    fn names_say_that_a_scan_was_taken_after_contrast_agent() {
        let named = |text: &str| {
            let file = Acquisition { description: Some(text.into()), ..Acquisition::default() };
            after_contrast(&file).is_some()
        };
        for text in [
            "T1post",
            "AX T1 POST",
            "t1_mprage_gd",
            "T1 +C",
            "SAG T1 C+",
            "t1wce",
            "t1c",
            "T1 Gadovist",
            "T1 with contrast",
            "AX T1 GAD FS",
        ] {
            assert!(named(text), "{text}");
        }
        for text in [
            "AX T1",
            "T1 +COR",
            "T1 post op",
            "T1 posterior",
            "T1 non contrast",
            "T1 w/o contrast",
            "T1 pre Gd",
            "t1 pre and post",
            "T1cor",
            "space",
        ] {
            assert!(!named(text), "{text}");
        }
    }

    #[test]
    fn body_parts_have_many_names() {
        for (text, part) in [
            ("BRAIN", Some("head")),
            ("HEADNECK", Some("head")),
            ("HEART", Some("heart")),
            ("Chest, heart", Some("heart")),
            ("CHEST", Some("other")),
            ("THORAX", Some("other")),
            ("UTERUS", Some("other")),
            ("KIDNEYS", Some("other")),
            ("FOREARM", Some("other")),
            ("LEG", Some("other")),
            ("UP_EXM EXTREMITY", Some("other")),
            ("C SPINE", Some("other")),
            ("LSSPINE", Some("other")),
            ("ABDOMENPELVIS", Some("other")),
            ("WHOLEBODY", None),
            ("FOREHEAD", None),
            ("", None),
        ] {
            assert_eq!(named_part(text), part, "{text}");
        }
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
        assert_eq!(named_sequence("ep2d_diff_3scan_trace"), Some("diffusion"));
        assert_eq!(named_sequence("AX DWI b1000"), Some("diffusion"));
        assert_eq!(named_sequence("*ep_b0"), Some("diffusion"));
        assert_eq!(named_sequence("*ep_b800#2"), Some("diffusion"));
        assert_eq!(named_sequence("lab1000"), None);
        assert_eq!(named_sequence("*epfid2d1_64"), Some("T2*"));
        assert_eq!(named_sequence("t2*_fl2d_tra"), Some("T2*"));
        assert_eq!(named_sequence("SWI_Images"), Some("T2*"));
        assert_eq!(named_sequence("cine_trufi_sax"), Some("cine"));
    }
}
