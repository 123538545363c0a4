//! The reader's sentences of scans that are not shown, while the page is open.

use prism_core::report::Edits;

use crate::protocol::ScanFacts;

/// The reader's sentences by what is known of their scans.
#[derive(Debug, Default)]
pub struct Kept(Vec<(ScanFacts, Edits)>);

impl Kept {
    /// Keeps the sentences of one scan and takes out those of another.
    pub fn turn(&mut self, from: Option<&ScanFacts>, to: &ScanFacts, edits: Edits) -> Edits {
        if let Some(from) = from.filter(|_| !edits.is_empty()) {
            self.0.push((from.clone(), edits));
        }
        let place = self.0.iter().position(|(scan, _)| same(scan, to));
        place.map(|at| self.0.swap_remove(at).1).unwrap_or_default()
    }

    /// Whether none are kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether two readings are of one scan: the same series and volume with the same grid and the
/// same grey values, as far as their range and quality tell, whatever was opened beside it.
pub fn same(one: &ScanFacts, other: &ScanFacts) -> bool {
    (&one.series, one.volume, one.grid, one.range, one.window, &one.quality)
        == (&other.series, other.volume, other.grid, other.range, other.window, &other.quality)
}

#[cfg(test)]
mod tests {
    use prism_core::formats::{Acquisition, Format, Series};
    use prism_core::measure::Quality;
    use prism_core::volume::Affine;

    use super::*;
    use crate::protocol::Grid;

    /// A scan of a name that every folder has, by its darkest and brightest grey.
    fn scan(range: (f32, f32)) -> ScanFacts {
        let series = Series {
            key: "t1.nii".into(),
            title: "t1.nii".into(),
            format: Format::Nifti1,
            dims: [2; 3],
            spacing_mm: [1.0; 3],
            unit_stated: true,
            volumes: 1,
            files: 1,
            acquisition: Acquisition::default(),
        };
        ScanFacts {
            study: vec![series.clone()],
            series,
            volume: 0,
            grid: Grid { dims: [2; 3], affine: Affine::from_spacing([1.0; 3]) },
            range,
            window: range,
            sides_assumed: false,
            warnings: Vec::new(),
            quality: Quality::default(),
            seconds: 1.0,
        }
    }

    #[test]
    fn sentences_come_back_with_their_scan_and_with_no_other() {
        let mut edits = Edits::default();
        edits.set("impression", "2 mL.", "About 2 mL.");
        let (first, second) = (scan((0.0, 9.0)), scan((0.0, 8.0)));
        let mut kept = Kept::default();
        assert!(kept.turn(None, &first, Edits::default()).is_empty());
        assert!(kept.turn(Some(&first), &second, edits.clone()).is_empty());
        assert!(!kept.is_empty());
        // Read once more, with another file and in another time.
        let again = ScanFacts { seconds: 2.0, study: Vec::new(), ..first.clone() };
        assert_eq!(kept.turn(Some(&second), &again, Edits::default()), edits);
        assert!(kept.is_empty());
        // Opened again while it is shown.
        assert_eq!(kept.turn(Some(&first), &again, edits.clone()), edits);
        assert!(kept.is_empty());
    }
}
