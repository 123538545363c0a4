//! Which pack fits a scan: each pack says in its own description what it is for.

use serde::{Deserialize, Serialize};

use super::heads::Answer;
use super::{Identification, Stack};

/// What a pack is for. Empty lists and missing bounds leave the choice open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fits {
    /// Body parts, as the head of that name calls them.
    #[serde(default)]
    pub body_part: Vec<String>,
    /// Sequences.
    #[serde(default)]
    pub sequence: Vec<String>,
    /// Least and most of the longest side of the field of view, mm: tells a whole head
    /// from a crop around one structure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extent_mm: Option<[f64; 2]>,
    /// Fewest and most slices, along the axis of the largest spacing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slices: Option<[usize; 2]>,
    /// Least thickness of a slice, in widths of its pixels (the larger one).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_thickness: Option<f64>,
}

/// Whether one pack fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// It does.
    Fits,
    /// It may: what would decide is unknown, for the reason given.
    Unsure(String),
    /// It does not, for the reason given.
    No(String),
}

/// Every pack's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routing {
    /// Title of each pack in the order given, and whether it fits.
    pub packs: Vec<(String, Route)>,
    /// Why none can fit, whatever the packs are for: the voxels are those of no scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl Routing {
    /// Asks the packs, each with its title and what it is for (`None`: it does not say).
    pub fn of<'a>(
        identification: &Identification,
        packs: impl IntoIterator<Item = (&'a str, Option<&'a Fits>)>,
    ) -> Self {
        let ask = |(title, fits): (&str, Option<&Fits>)| {
            let route = match fits {
                Some(fits) => fits.route(identification),
                None => Route::Unsure("it does not say which scans it is for".into()),
            };
            (title.to_owned(), route)
        };
        Self {
            packs: packs.into_iter().map(ask).collect(),
            cause: identification.computed().map(|map| map.words().into()),
        }
    }

    /// The first pack that fits.
    pub fn best(&self) -> Option<usize> {
        self.packs.iter().position(|(_, route)| *route == Route::Fits)
    }

    /// Which pack fits, or that none does and why, the cause first.
    pub fn words(&self) -> String {
        if let Some((title, _)) = self.best().and_then(|at| self.packs.get(at)) {
            return format!("{title} fits this scan.");
        }
        if let Some(cause) = &self.cause {
            return format!("{cause} No model fits it.");
        }
        let reasons = self.packs.iter().filter_map(|(title, route)| match route {
            Route::Fits => None,
            Route::Unsure(why) | Route::No(why) => Some(format!("{title}: {why}")),
        });
        let reasons: Vec<String> = reasons.collect();
        format!("No model fits this scan. {}.", reasons.join("; "))
    }
}

impl Fits {
    /// Whether a pack for this fits a scan.
    pub fn route(&self, scan: &Identification) -> Route {
        let asked = [
            ("body part", &self.body_part, &scan.body_part),
            ("sequence", &self.sequence, &scan.sequence),
        ];
        let mut unsure = None;
        for (what, wanted, answer) in asked {
            match judged(wanted, answer) {
                Judged::Open => {}
                Judged::No(given) => {
                    return Route::No(format!("it is for {}, this is {given}", wanted.join(", ")));
                }
                Judged::Unknown => {
                    unsure.get_or_insert_with(|| {
                        format!("it is for {}, and the {what} is unknown", wanted.join(", "))
                    });
                }
            }
        }
        if let Some(why) = self.wrong_size(scan.extent_mm) {
            return Route::No(why);
        }
        if let Some(why) = scan.stack.and_then(|stack| self.wrong_stack(stack)) {
            return Route::No(why);
        }
        unsure.map_or(Route::Fits, Route::Unsure)
    }

    /// Why a field of view of these sides (mm) is none for the pack, if it is not. It needs no
    /// network, so that it can be asked before any run.
    pub fn wrong_size(&self, extent_mm: [f64; 3]) -> Option<String> {
        let [least, _] = self.extent_mm?;
        let longest = longest(extent_mm);
        if longest < least {
            return Some(format!(
                "it wants a field of view of {least:.0} mm or more, this is {longest:.0} mm"
            ));
        }
        self.too_large(extent_mm)
    }

    /// The part of [`Self::wrong_size`] that says that the field of view is too large.
    pub fn too_large(&self, extent_mm: [f64; 3]) -> Option<String> {
        let [_, most] = self.extent_mm?;
        let longest = longest(extent_mm);
        (longest > most)
            .then(|| format!("it wants a crop of at most {most:.0} mm, this is {longest:.0} mm"))
    }

    /// Why slices of this number and thickness are none for the pack, if they are not.
    pub fn wrong_stack(&self, Stack { slices, thickness }: Stack) -> Option<String> {
        if let Some([fewest, most]) = self.slices
            && !(fewest..=most).contains(&slices)
        {
            let thick = if self.least_thickness.is_some() { "thick " } else { "" };
            return Some(format!(
                "it is for stacks of {fewest} to {most} {thick}slices, this has {slices}"
            ));
        }
        let least = self.least_thickness?;
        // One slice has no distance to the next: its thickness means little.
        (slices > 1 && thickness < least).then(|| {
            format!(
                "it is for slices at least {least:.1} times as thick as their pixels are wide, \
                 these are {thickness:.1} times"
            )
        })
    }
}

fn longest(extent_mm: [f64; 3]) -> f64 {
    extent_mm.into_iter().fold(0.0, f64::max)
}

enum Judged<'a> {
    Open,
    Unknown,
    No(&'a str),
}

fn judged<'a>(wanted: &[String], answer: &'a Answer) -> Judged<'a> {
    match &answer.given {
        _ if wanted.is_empty() => Judged::Open,
        None => Judged::Unknown,
        Some(given) if wanted.contains(given) => Judged::Open,
        Some(given) => Judged::No(given),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Computed;
    use super::super::geometry::{Direction, Plane};
    use super::*;

    fn answer(given: Option<&str>) -> Answer {
        Answer {
            given: given.map(str::to_owned),
            probabilities: given.map(|class| (class.to_owned(), 0.9)).into_iter().collect(),
            distance: None,
            most_distance: None,
        }
    }

    fn scan(part: Option<&str>, sequence: Option<&str>, side: f64) -> Identification {
        Identification {
            sequence: answer(sequence),
            sequence_note: None,
            sequence_by_file: None,
            body_part: answer(part),
            skull: None,
            plane: Plane { direction: Direction::Isotropic, tilt_degrees: 0.0 },
            extent_mm: [side / 2.0, side, side / 3.0],
            stack: None,
            warnings: Vec::new(),
        }
    }

    /// As the packs that ship describe themselves.
    fn packs() -> Vec<(String, Fits)> {
        #[derive(Deserialize)]
        struct Listed {
            file: String,
            fits: Option<Fits>,
        }
        let index = include_str!("../../../public/packs/index.json");
        let listed: Vec<Listed> = serde_json::from_str(index).unwrap_or_default();
        let named = |one: Listed| {
            let name = one.file.strip_suffix(".safetensors")?.to_owned();
            Some((name, one.fits?))
        };
        listed.into_iter().filter_map(named).collect()
    }

    fn ask(scan: &Identification, packs: &[(String, Fits)]) -> Routing {
        Routing::of(scan, packs.iter().map(|(title, fits)| (title.as_str(), Some(fits))))
    }

    fn best(scan: &Identification) -> Option<String> {
        let mut packs = packs();
        ask(scan, &packs).best().map(|at| packs.swap_remove(at).0)
    }

    #[test]
    fn every_kind_of_scan_finds_its_pack() {
        let finds = |part, sequence, side: f64, pack: &str| {
            assert_eq!(best(&scan(Some(part), sequence, side)).as_deref(), Some(pack));
        };
        finds("head", Some("FLAIR"), 240.0, "brain");
        // Any contrast: an unknown one, too.
        finds("head", None, 240.0, "brain");
        finds("head", Some("T1w"), 52.0, "hippocampus");
        finds("heart", Some("cine"), 384.0, "cardiac");
    }

    #[test]
    fn what_fits_nowhere_is_told_why() {
        let knee = scan(Some("other"), None, 160.0);
        assert_eq!(best(&knee), None);
        let routing = ask(&knee, &packs());
        assert!(routing.words().starts_with("No model fits this scan. brain: it is for head"));
        assert_eq!(best(&scan(None, None, 240.0)), None);
        assert_eq!(best(&scan(Some("head"), Some("T2w"), 52.0)), None);
    }

    #[test]
    fn of_a_map_the_cause_is_said_and_not_that_its_body_part_is_unknown() {
        let map = Identification {
            warnings: vec![Computed::Labels.words().into()],
            ..scan(None, None, 240.0)
        };
        let words = ask(&map, &packs()).words();
        assert_eq!(words, format!("{} No model fits it.", Computed::Labels.words()));
    }

    #[test]
    fn a_stack_of_other_slices_is_told_why() {
        // As training/configs/cardiac.toml has it.
        let fits: Fits = serde_json::from_str(
            r#"{ "body_part": ["heart"], "slices": [3, 24], "least_thickness": 2.5 }"#,
        )
        .unwrap_or_default();
        let heart = scan(Some("heart"), Some("cine"), 384.0);
        let ask = |slices, thickness| {
            fits.route(&Identification {
                stack: Some(Stack { slices, thickness }),
                ..heart.clone()
            })
        };
        assert_eq!(ask(10, 6.7), Route::Fits);
        assert_eq!(
            ask(83, 1.2),
            Route::No("it is for stacks of 3 to 24 thick slices, this has 83".into())
        );
        let cubes = ask(20, 1.0);
        assert!(
            matches!(&cubes, Route::No(why) if why.ends_with("these are 1.0 times")),
            "{cubes:?}"
        );
        assert!(matches!(ask(1, 0.7), Route::No(_)));
        // Packs without limits, and identifications that were kept without their slices.
        let open = Fits { body_part: vec!["heart".into()], ..Fits::default() };
        let stack = Stack { slices: 83, thickness: 1.2 };
        assert_eq!(open.wrong_stack(stack), None);
        assert_eq!(fits.route(&heart), Route::Fits);
    }

    #[test]
    fn a_field_of_view_is_too_large_only_above_its_upper_limit() {
        let fits = Fits { extent_mm: Some([20.0, 90.0]), ..Fits::default() };
        assert!(
            fits.too_large([91.0, 50.0, 50.0]).is_some_and(|why| why.contains("at most 90 mm"))
        );
        let small = [10.0; 3];
        assert!(fits.too_large(small).is_none() && fits.wrong_size(small).is_some());
        assert!(fits.too_large([90.0, 50.0, 50.0]).is_none());
    }

    #[test]
    fn unknown_is_not_a_no() {
        let odd = scan(None, Some("T1w"), 240.0);
        let route = packs()[0].1.route(&odd);
        assert!(matches!(route, Route::Unsure(why) if why.contains("body part is unknown")));
        let silent = Routing::of(&odd, [("imported", None)]);
        assert!(matches!(silent.packs[0].1, Route::Unsure(_)));
    }
}
