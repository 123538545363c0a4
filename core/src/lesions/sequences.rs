//! Which series of a study lesions are looked for in: those of a head that are weighted as the
//! packs were taught (training/lesions/intensities.py).

use std::cmp::Reverse;

use crate::formats::{Acquisition, Series};
use crate::identify::fields::stated_sequence;
use crate::identify::{AFTER_CONTRAST, Fits, Identification, Route};

/// Most sequences at once: a study is T1w, T1w after contrast, T2w and FLAIR, and perhaps one
/// of them twice.
pub const MOST_SEQUENCES: usize = 6;

/// Weightings that were taught.
const TAUGHT: [&str; 4] = ["T1w", "T2w", "FLAIR", "PD"];

/// Words of a series' description for what the fields' rules have no name for.
const OTHERS: [(&str, &str); 16] = [
    ("tof", "angiography"),
    ("mra", "angiography"),
    ("mrv", "angiography"),
    ("angio", "angiography"),
    ("mip", "a projection"),
    ("trace", "diffusion"),
    ("tracew", "diffusion"),
    ("fa", "diffusion"),
    ("perfusion", "perfusion"),
    ("asl", "perfusion"),
    ("bold", "functional imaging"),
    ("fmri", "functional imaging"),
    ("localizer", "a localiser"),
    ("localiser", "a localiser"),
    ("scout", "a localiser"),
    ("survey", "a localiser"),
];

/// The series of a study in the order in which they are asked: the finest first, localisers last.
pub fn finest_first<'a>(series: impl Iterator<Item = &'a Series>) -> Vec<&'a Series> {
    let mut series: Vec<&Series> = series.collect();
    let voxels = |one: &Series| one.dims.iter().fold(1, |n: usize, &side| n.saturating_mul(side));
    series.sort_by_key(|one| Reverse(voxels(one)));
    series
}

/// Why a series that nobody named is left out by its header alone, if it is.
pub fn left_by_header(series: &Series) -> Option<String> {
    let volumes = series.volumes;
    (volumes > 1).then(|| {
        format!("it has {volumes} volumes, as diffusion, perfusion and functional imaging have")
    })
}

/// Whether lesions are looked for in a scan: `No` where the file names another sequence, or
/// where the pack (`fits`) is not for it; `Unsure` where neither file nor image says which
/// sequence or body part it is.
pub fn taken(fits: Option<&Fits>, found: &Identification, acquisition: &Acquisition) -> Route {
    let by_file = found.sequence_by_file.as_deref().filter(|&name| name != AFTER_CONTRAST);
    let named = by_file.or_else(|| stated_sequence(acquisition));
    let other = named.filter(|name| !TAUGHT.contains(name));
    let other = other.or_else(|| if named.is_some() { None } else { described(acquisition) });
    if let Some(other) = other {
        return Route::No(format!(
            "the file names it {other}, and lesions are looked for in {}",
            TAUGHT.join(", ")
        ));
    }
    let given = found.sequence.given.as_deref();
    if let Some(given) = given.filter(|given| !TAUGHT.contains(given)) {
        let wanted = TAUGHT.join(", ");
        return Route::No(format!("it looks like {given}, and lesions are looked for in {wanted}"));
    }
    match fits.map_or(Route::Fits, |fits| fits.route(found)) {
        Route::Fits if named.is_none() && given.is_none() => {
            let why = found.sequence_note.as_ref().map(|note| format!(" ({note})"));
            Route::Unsure(format!("its sequence is unknown{}", why.unwrap_or_default()))
        }
        route => route,
    }
}

/// What a series' description calls it.
fn described(acquisition: &Acquisition) -> Option<&'static str> {
    let lower = acquisition.description.as_deref()?.to_lowercase();
    lower
        .split(|c: char| !c.is_alphanumeric())
        .find_map(|word| OTHERS.iter().find(|(name, _)| *name == word).map(|(_, what)| *what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Format;
    use crate::identify::Answer;
    use crate::identify::geometry::{Direction, Plane};

    fn answer(given: Option<&str>) -> Answer {
        Answer {
            given: given.map(str::to_owned),
            probabilities: Vec::new(),
            distance: None,
            most_distance: None,
        }
    }

    fn identification(part: &str, looks: Option<&str>) -> Identification {
        Identification {
            sequence: answer(looks),
            sequence_note: None,
            sequence_by_file: None,
            body_part: answer(Some(part)),
            skull: None,
            plane: Plane { direction: Direction::Isotropic, tilt_degrees: 0.0 },
            extent_mm: [200.0; 3],
            stack: None,
            warnings: Vec::new(),
        }
    }

    fn asked(part: &str, looks: Option<&str>, description: Option<&str>) -> Route {
        let found = identification(part, looks);
        let acquisition =
            Acquisition { description: description.map(str::to_owned), ..Acquisition::default() };
        let fits = Fits { body_part: vec!["head".into()], ..Fits::default() };
        taken(Some(&fits), &found, &acquisition)
    }

    #[test]
    fn the_finest_series_goes_first_and_one_of_many_volumes_is_left_out() {
        let series = |key: &str, dims, volumes| Series {
            key: key.into(),
            title: String::new(),
            format: Format::Dicom,
            dims,
            spacing_mm: [1.0; 3],
            unit_stated: true,
            volumes,
            files: 1,
            acquisition: Acquisition::default(),
        };
        let study = [
            series("localiser", [256, 256, 3], 1),
            series("t2", [512, 512, 22], 1),
            series("t1", [256, 256, 176], 1),
            series("dwi", [128, 128, 30], 4),
        ];
        let order: Vec<&str> = finest_first(study.iter()).iter().map(|one| &*one.key).collect();
        assert_eq!(order, ["t1", "t2", "dwi", "localiser"]);
        let left = |at: usize| left_by_header(&study[at]);
        assert!(left(3).is_some_and(|why| why.contains("4 volumes")) && left(1).is_none());
    }

    #[test]
    fn what_a_pack_was_taught_is_taken_and_what_the_file_names_otherwise_is_not() {
        for (looks, description) in [
            (Some("FLAIR"), None),
            (None, Some("AX T1 MPRAGE post")),
            (Some("T2w"), Some("t2_tse_tra")),
            // A name that is taken goes before other words beside it.
            (Some("T1w"), Some("T1 MIP")),
        ] {
            assert_eq!(asked("head", looks, description), Route::Fits, "{description:?}");
        }
        // They look like something that is taken.
        for description in ["ep2d_diff DWI", "SWI_Images", "TOF_3D_multi-slab", "3-plane localizer"]
        {
            let route = asked("head", Some("T2w"), Some(description));
            assert!(matches!(&route, Route::No(why) if why.contains("names it")), "{route:?}");
        }
        assert!(matches!(asked("head", Some("cine"), None), Route::No(_)));
        assert!(matches!(asked("heart", Some("T2w"), Some("T2")), Route::No(_)));
        // A diffusion weighting that the file states and no name.
        let mut found = identification("head", Some("T2w"));
        found.sequence_by_file = Some("diffusion".into());
        let route = |found: &Identification| taken(None, found, &Acquisition::default());
        assert!(matches!(route(&found), Route::No(why) if why.contains("names it diffusion")));
        found = identification("head", Some("T1w"));
        found.sequence_by_file = Some(AFTER_CONTRAST.into());
        assert_eq!(route(&found), Route::Fits);
        let unknown = asked("head", None, None);
        assert_eq!(unknown, Route::Unsure("its sequence is unknown".into()));
    }
}
