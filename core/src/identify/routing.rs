//! Which pack fits a scan: each pack says in its own description what it is for.

use serde::{Deserialize, Serialize};

use super::Identification;
use super::heads::Answer;

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
        Self { packs: packs.into_iter().map(ask).collect() }
    }

    /// The first pack that fits.
    pub fn best(&self) -> Option<usize> {
        self.packs.iter().position(|(_, route)| *route == Route::Fits)
    }

    /// One sentence: which pack fits, or that none does and why.
    pub fn words(&self) -> String {
        if let Some((title, _)) = self.best().and_then(|at| self.packs.get(at)) {
            return format!("{title} fits this scan.");
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
        unsure.map_or(Route::Fits, Route::Unsure)
    }

    /// Why a field of view of these sides (mm) is none for the pack, if it is not. It needs no
    /// network, so that it can be asked before any run.
    pub fn wrong_size(&self, extent_mm: [f64; 3]) -> Option<String> {
        let [least, most] = self.extent_mm?;
        let longest = extent_mm.iter().copied().fold(0.0, f64::max);
        if longest < least {
            Some(format!(
                "it wants a field of view of {least:.0} mm or more, this is {longest:.0} mm"
            ))
        } else if longest > most {
            Some(format!("it wants a crop of at most {most:.0} mm, this is {longest:.0} mm"))
        } else {
            None
        }
    }
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
            body_part: answer(part),
            skull: None,
            plane: Plane { direction: Direction::Isotropic, tilt_degrees: 0.0 },
            extent_mm: [side / 2.0, side, side / 3.0],
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
    fn unknown_is_not_a_no() {
        let odd = scan(None, Some("T1w"), 240.0);
        let route = packs()[0].1.route(&odd);
        assert!(matches!(route, Route::Unsure(why) if why.contains("body part is unknown")));
        let silent = Routing::of(&odd, [("imported", None)]);
        assert!(matches!(silent.packs[0].1, Route::Unsure(_)));
    }
}
