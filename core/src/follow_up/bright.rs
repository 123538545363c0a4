//! Whether lesions are bright in two scans, as the search for changed ones needs it.
//!
//! Water decides both: where cortex, which holds more of it than white matter, is brighter
//! (T2w, FLAIR, PD), lesions of white matter are too; where it is darker (T1w), so are they.
//! The scan itself says so, whatever its file or the heads that identify it know.

use crate::volume::{LabelMap, LabelTable, Volume, percentile};

/// FreeSurfer ids of cerebral white matter and cortex.
const WHITE: [u16; 2] = [2, 41];
const CORTEX: [u16; 2] = [3, 42];

/// Cortex below this share of white matter is dark. By the brain pack's labels it is .52 to .84 of
/// it in four T1w scans, one with a contrast agent, and 1.01 to 1.13 in four FLAIR and a T2w
/// scan (ms_lesions, ms_longitudinal, kirby113).
const DARK: f32 = 0.93;

/// Fewest voxels of each by which a scan is judged.
const FEWEST: usize = 1000;

/// Scans in which changed lesions are not looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsuited {
    /// Cortex is darker than white matter.
    #[error(
        "new lesions are dark in T1w scans, and this search looks for bright ones; use FLAIR or T2w"
    )]
    Dark,
    /// Neither tissue is there to judge by.
    #[error(
        "the scans show too little white matter and cortex to tell whether lesions are bright in \
         them; use scans of the whole head"
    )]
    Unknown,
}

/// Whether lesions are bright in a scan; `labels`, on its grid, are indices of `table`.
///
/// # Errors
/// [`Unsuited`].
pub fn check(scan: &Volume, labels: &LabelMap, table: &LabelTable) -> Result<(), Unsuited> {
    let ids = table.ids();
    let median = |wanted: [u16; 2]| {
        let pairs = scan.data.iter().zip(&labels.data);
        let mut values: Vec<f32> = pairs
            .filter(|(_, label)| wanted.contains(&ids[usize::from(**label)]))
            .map(|(&value, _)| value)
            .collect();
        (values.len() >= FEWEST).then(|| percentile(&mut values, 50.0))
    };
    let (Some(white), Some(cortex)) = (median(WHITE), median(CORTEX)) else {
        return Err(Unsuited::Unknown);
    };
    if cortex < DARK * white { Err(Unsuited::Dark) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Affine, Label};

    #[test]
    fn a_t1w_scan_is_refused_and_one_with_bright_cortex_is_not() {
        let label = |index: u8, id: u16| Label {
            index,
            id,
            name: id.to_string(),
            color: [0; 3],
            side: None,
            pair: None,
        };
        let table = LabelTable { labels: vec![label(1, 2), label(2, 41), label(3, 42)] };
        let dims = [20, 20, 10];
        let labels: Vec<u8> = (0..4000).map(|at| [1, 2, 3, 0][at % 4]).collect();
        let judged = |white: f32, cortex: f32| {
            // A lesion and the ventricles do not move a median.
            let grey = |(at, &label): (usize, &u8)| match label {
                0 => 5000.0,
                _ if at % 10 == 0 => 3000.0,
                3 => cortex + (at % 7) as f32,
                _ => white + (at % 7) as f32,
            };
            let data = labels.iter().enumerate().map(grey).collect();
            let scan = Volume { data, dims, affine: Affine::IDENTITY };
            let map = LabelMap { data: labels.clone(), dims, affine: Affine::IDENTITY };
            check(&scan, &map, &table)
        };
        assert_eq!(judged(800.0, 600.0), Err(Unsuited::Dark));
        assert_eq!(judged(600.0, 800.0), Ok(()));
        // The least T1w of those measured, and the least FLAIR.
        assert_eq!(judged(1000.0, 842.0), Err(Unsuited::Dark));
        assert_eq!(judged(1000.0, 1011.0), Ok(()));
        let none = LabelMap { data: vec![0; 4000], dims, affine: Affine::IDENTITY };
        let scan = Volume { data: vec![1.0; 4000], dims, affine: Affine::IDENTITY };
        assert_eq!(check(&scan, &none, &table), Err(Unsuited::Unknown));
    }
}
