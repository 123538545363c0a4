//! How scans become the network's input, in words: spacing, window, orientation, intensity.
//! It is not in a checkpoint, and a network gives wrong answers with another one.

use super::ConvertError;
use crate::model::{EncoderConfig, Orientation, Preprocessing};
use crate::volume::IntensityRule;

/// What the user says of it; the rest is as the encoder was pretrained.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grid<'a> {
    /// Millimetres along each axis, `native` where a scan keeps its own: `1.5,1.5,native`, or one
    /// for all.
    pub spacing: Option<&'a str>,
    /// Voxels of a window along each axis: `192,192,32`, or one for all.
    pub window: Option<&'a str>,
    /// `RAS`, or `slices`: in-plane axes as they are, the axis of the thickest slices last.
    pub orientation: Option<&'a str>,
    /// `zscore`, or `percentile:LOW-HIGH`.
    pub intensity: Option<&'a str>,
}

impl Grid<'_> {
    /// Whether something is left to what the encoder was pretrained with.
    pub fn assumes(&self) -> bool {
        [self.spacing, self.window, self.orientation, self.intensity].contains(&None)
    }
}

/// What was said, and for the rest what the encoder was trained on: PRISM's 96-voxel crops at
/// 1 mm, z-scored, or the compact network's 2 mm grid.
///
/// # Errors
/// [`ConvertError::Words`] that says what is not understood, or which window does not fit.
pub fn preprocessing(
    encoder: &EncoderConfig,
    said: &Grid<'_>,
) -> Result<Preprocessing, ConvertError> {
    let (mm, rule, side) = match encoder {
        EncoderConfig::Swin(_) => (1.0, IntensityRule::ZscoreNonzero, [96, 96, 96]),
        EncoderConfig::ResidualPyramid { .. } => {
            (2.0, IntensityRule::Percentile { low: 0.5, high: 99.5 }, [96, 112, 96])
        }
    };
    let given = Preprocessing {
        orientation: said.orientation.map_or(Ok(Orientation::Ras), orientation)?,
        spacing_mm: said.spacing.map_or(Ok([Some(mm); 3]), |words| three(words, spacing))?,
        field_mm: None,
        intensity: said.intensity.map_or(Ok(rule), intensity)?,
        window: said.window.map_or(Ok(side), |words| three(words, voxels))?,
        overlap: 0.5,
    };
    match problem(encoder, &given) {
        None => Ok(given),
        Some(problem) => Err(ConvertError::Words(problem)),
    }
}

/// One line for people.
pub fn described(given: &Preprocessing) -> String {
    let axes = match given.orientation {
        Orientation::Ras => "RAS axes",
        Orientation::Slices => "slices last",
    };
    let spacing = given.spacing_mm.map(|mm| mm.map_or("native".into(), |mm| mm.to_string()));
    let window = given.window.map(|side| side.to_string());
    let intensity = match given.intensity {
        IntensityRule::ZscoreNonzero => "z-scored".to_owned(),
        IntensityRule::Percentile { low, high } => format!("percentiles {low} to {high} as 0 to 1"),
    };
    let (spacing, window) = (spacing.join(" × "), window.join(" × "));
    format!("{axes}, spacing {spacing} mm, windows of {window} voxels, {intensity}")
}

/// Why the windows do not fit the encoder, if they do not.
fn problem(encoder: &EncoderConfig, given: &Preprocessing) -> Option<String> {
    let (multiple, smallest) = (encoder.multiple(), encoder.smallest_side());
    for (side, mm) in given.window.into_iter().zip(given.spacing_mm) {
        if side == 0 || side > 512 || !side.is_multiple_of(multiple) {
            return Some(format!(
                "a window of {side} voxels does not fit the encoder; sides are multiples of {multiple}, \
                 512 at most"
            ));
        }
        if side < smallest && mm.is_some() {
            return Some(format!(
                "a window of {side} voxels leaves one voxel of the deepest map along that axis, which \
                 goes for thick slices at the scan's own spacing alone; give {smallest} or more, or \
                 \"native\" as the spacing of that axis (--spacing 1.5,1.5,native)"
            ));
        }
    }
    let deepest: usize = given.window.iter().map(|side| side / multiple).product();
    (deepest < 2).then(|| {
        format!(
            "windows of {multiple} voxels a side leave one voxel of the deepest map, whose norm needs \
             several; give {smallest} or more along two axes"
        )
    })
}

/// Three values with commas between them, or one for all axes.
fn three<T: Copy>(
    words: &str,
    value: impl Fn(&str) -> Result<T, ConvertError>,
) -> Result<[T; 3], ConvertError> {
    let values = words.split(',').map(|word| value(word.trim())).collect::<Result<Vec<T>, _>>()?;
    match values[..] {
        [all] => Ok([all; 3]),
        [x, y, z] => Ok([x, y, z]),
        _ => Err(ConvertError::Words(format!("\"{words}\" is neither one value nor three, a,b,c"))),
    }
}

fn spacing(word: &str) -> Result<Option<f64>, ConvertError> {
    if word == "native" {
        return Ok(None);
    }
    let mm = word.parse::<f64>().ok().filter(|mm| (0.05..=50.0).contains(mm));
    let wrong = || {
        ConvertError::Words(format!("\"{word}\" is no spacing: 0.05 to 50 millimetres, or native"))
    };
    mm.map(Some).ok_or_else(wrong)
}

fn voxels(word: &str) -> Result<usize, ConvertError> {
    word.parse()
        .map_err(|_| ConvertError::Words(format!("\"{word}\" is no number of a window's voxels")))
}

fn orientation(word: &str) -> Result<Orientation, ConvertError> {
    match word {
        "RAS" => Ok(Orientation::Ras),
        "slices" => Ok(Orientation::Slices),
        _ => Err(ConvertError::Words(format!("\"{word}\" is none of: RAS, slices"))),
    }
}

fn intensity(words: &str) -> Result<IntensityRule, ConvertError> {
    let percentiles = || {
        let (low, high) = words.strip_prefix("percentile:")?.split_once('-')?;
        let (low, high): (f64, f64) = (low.parse().ok()?, high.parse().ok()?);
        let ordered = 0.0 <= low && low < high && high <= 100.0;
        ordered.then_some(IntensityRule::Percentile { low, high })
    };
    match words {
        "zscore" => Ok(IntensityRule::ZscoreNonzero),
        _ => percentiles().ok_or_else(|| {
            ConvertError::Words(format!(
                "\"{words}\" is none of: zscore, percentile:LOW-HIGH (as percentile:0.5-99.5)"
            ))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SwinConfig;

    fn swin() -> EncoderConfig {
        EncoderConfig::Swin(SwinConfig::published("swin-b").unwrap())
    }

    #[test]
    fn what_is_said_takes_the_place_of_what_is_assumed() {
        let assumed = preprocessing(&swin(), &Grid::default()).unwrap();
        assert_eq!((assumed.spacing_mm, assumed.window), ([Some(1.0); 3], [96; 3]));
        let words = "RAS axes, spacing 1 × 1 × 1 mm, windows of 96 × 96 × 96 voxels, z-scored";
        assert_eq!(described(&assumed), words);
        let said = Grid {
            spacing: Some("1.5,1.5,native"),
            window: Some("192,192,32"),
            orientation: Some("slices"),
            intensity: Some("percentile:1-99"),
        };
        assert!(Grid::default().assumes() && !said.assumes());
        let given = preprocessing(&swin(), &said).unwrap();
        assert_eq!(given.spacing_mm, [Some(1.5), Some(1.5), None]);
        assert_eq!((given.window, given.orientation), ([192, 192, 32], Orientation::Slices));
        assert_eq!(given.intensity, IntensityRule::Percentile { low: 1.0, high: 99.0 });
    }

    #[test]
    fn windows_that_do_not_fit_are_refused_with_the_reason() {
        let refused = |spacing: &'static str, window: &'static str| {
            let said = Grid { spacing: Some(spacing), window: Some(window), ..Grid::default() };
            preprocessing(&swin(), &said).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(refused("1", "192,192,32").contains("give 64 or more, or \"native\""));
        assert!(refused("1", "100").contains("multiples of 32"));
        assert!(refused("native", "32").contains("64 or more along two axes"));
        assert_eq!(refused("native", "192,192,32"), "");
        for wrong in ["0", "1,1", "x", "1,1,1,1"] {
            assert_ne!(refused(wrong, "96"), "", "{wrong}");
        }
        for wrong in ["percentile:99-1", "percentile", "none"] {
            let said = Grid { intensity: Some(wrong), ..Grid::default() };
            assert!(preprocessing(&swin(), &said).is_err(), "{wrong}");
        }
    }
}
