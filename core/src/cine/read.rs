//! Which volumes of some files are phases of one heartbeat.

use crate::formats::{Selection, Series, Study};

/// The phases in a study, in order: all volumes of the chosen series where it has several,
/// else one volume of every series that has the chosen one's size and spacing. Whether they
/// lie on one grid shows when they are loaded.
///
/// Without a choice it is the series with most volumes, of equal ones the largest.
///
/// # Errors
/// [`FormatError::UnknownSeries`](crate::formats::FormatError::UnknownSeries).
pub fn phases_of(
    study: &Study<'_>,
    series: Option<&str>,
) -> Result<Vec<Selection>, crate::formats::FormatError> {
    let most = || study.series().map(|series| series.volumes).max().unwrap_or(1);
    let chosen = match series {
        None if most() > 1 => {
            let most = most();
            let several = study.series().filter(|series| series.volumes == most);
            // The last of equals by this order is the largest; of equal sizes the first.
            several.reduce(|a, b| if voxels(b) > voxels(a) { b } else { a })
        }
        key => Some(study.chosen(&Selection { series: key.map(Into::into), volume: 0 })?),
    };
    let Some(chosen) = chosen else { return Ok(Vec::new()) };
    let one = |series: &Series, volume| Selection { series: Some(series.key.clone()), volume };
    if chosen.volumes > 1 {
        return Ok((0..chosen.volumes).map(|volume| one(chosen, volume)).collect());
    }
    let alike = |other: &&Series| {
        let near = |axis: usize| (other.spacing_mm[axis] - chosen.spacing_mm[axis]).abs() < 0.01;
        other.dims == chosen.dims && (0..3).all(near)
    };
    Ok(study.series().filter(alike).map(|series| one(series, 0)).collect())
}

fn voxels(series: &Series) -> usize {
    series.dims.iter().product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{InputFile, nifti};
    use crate::volume::{Affine, Volume};

    fn file(name: &str, dims: [usize; 3]) -> InputFile {
        let data = vec![1.0; dims.iter().product()];
        let volume = Volume { data, dims, affine: Affine::from_spacing([1.5, 1.5, 10.0]) };
        let bytes = nifti::write_volume(&volume).unwrap_or_default();
        InputFile { name: name.into(), bytes }
    }

    #[test]
    fn files_of_one_size_are_phases() {
        let files = [
            file("a.nii.gz", [6, 5, 4]),
            file("b.nii.gz", [6, 5, 4]),
            file("scout.nii.gz", [4, 4, 3]),
        ];
        let study = Study::open(&files).unwrap_or_else(|error| unreachable!("{error}"));
        let phases = phases_of(&study, None).unwrap_or_default();
        let keys: Vec<_> = phases.iter().filter_map(|phase| phase.series.as_deref()).collect();
        assert_eq!(keys, ["file-1", "file-2"]);
        let scout = phases_of(&study, Some("file-3")).unwrap_or_default();
        assert_eq!(scout.len(), 1);
        assert!(phases_of(&study, Some("file-9")).is_err());
    }
}
