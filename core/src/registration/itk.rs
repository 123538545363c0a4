//! Affine maps in the text form of ITK's transform files, which ANTs, 3D Slicer and
//! SimpleITK read.
//!
//! ITK's world is LPS: x to the left, y to the back. A transform takes points of the
//! fixed scan to the moving one, as resampling needs it, and as here.

use super::RegistrationError;
use crate::volume::Affine;

const HEAD: &str = "#Insight Transform File V1.0";

/// Sign of each axis between RAS and LPS.
const SIGN: [f64; 3] = [-1.0, -1.0, 1.0];

/// RAS to LPS or back.
pub fn other_handed(map: &Affine) -> Affine {
    let mut result = *map;
    for (row, values) in result.0.iter_mut().enumerate() {
        for (column, value) in values.iter_mut().enumerate() {
            *value *= SIGN[row] * SIGN.get(column).copied().unwrap_or(1.0);
        }
    }
    result
}

/// An ITK transform file for a map of RAS points.
pub fn write_affine(map: &Affine) -> String {
    let lps = other_handed(map);
    let matrix = lps.0.iter().flat_map(|row| &row[..3]);
    let shift = lps.0.iter().map(|row| &row[3]);
    let numbers: Vec<String> = matrix.chain(shift).map(|value| format!("{value}")).collect();
    format!(
        "{HEAD}\n#Transform 0\nTransform: AffineTransform_double_3_3\nParameters: {}\n\
         FixedParameters: 0 0 0\n",
        numbers.join(" ")
    )
}

/// A map of RAS points from an ITK transform file with one affine transform, or one of
/// its kinds that lists a matrix.
///
/// # Errors
/// [`RegistrationError::TransformFile`] with what is missing.
pub fn read_affine(text: &str) -> Result<Affine, RegistrationError> {
    let wrong = |what: &str| RegistrationError::TransformFile(what.into());
    if !text.starts_with("#Insight Transform File") {
        return Err(wrong("its first line is not that of an ITK transform file"));
    }
    let line = |name: &str| -> Option<&str> {
        text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
    };
    let kind = line("Transform:").ok_or_else(|| wrong("it holds no transform"))?;
    if !kind.starts_with("AffineTransform") && !kind.starts_with("MatrixOffsetTransformBase") {
        return Err(wrong("its transform is not an affine one"));
    }
    let numbers = |name: &str, count: usize| -> Result<Vec<f64>, RegistrationError> {
        let values: Result<Vec<f64>, _> =
            line(name).unwrap_or_default().split_whitespace().map(str::parse).collect();
        let values = values.map_err(|_| wrong("a parameter is not a number"))?;
        if values.len() == count && values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(wrong("it does not hold 12 parameters and 3 fixed ones"))
        }
    };
    let (p, centre) = (numbers("Parameters:", 12)?, numbers("FixedParameters:", 3)?);
    // ITK: y = M (x - c) + t + c.
    let rows = [0, 1, 2].map(|row| {
        let m = [p[3 * row], p[3 * row + 1], p[3 * row + 2]];
        let turned: f64 = m.iter().zip(&centre).map(|(a, b)| a * b).sum();
        [m[0], m[1], m[2], p[9 + row] + centre[row] - turned]
    });
    let map = other_handed(&Affine(rows));
    map.check()?;
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_simpleitk_writes_is_read() {
        // SimpleITK: t = AffineTransform(3); t.SetMatrix((0.9, 0.1, 0, -0.2, 1.1, 0.05, 0, 0.1, 1));
        // t.SetTranslation((5, -3, 2)); t.SetCenter((10, 20, 30)); t.TransformPoint((1, 2, 3))
        // is (5.1, -2.35, 3.2).
        let text = "#Insight Transform File V1.0\n#Transform 0\n\
            Transform: AffineTransform_double_3_3\n\
            Parameters: 0.9 0.1 0 -0.2 1.1 0.05 0 0.1 1 5 -3 2\nFixedParameters: 10 20 30\n";
        let map = read_affine(text).expect("an affine transform");
        // The same point in RAS.
        let [x, y, z] = map.apply([-1.0, -2.0, 3.0]);
        for (value, expected) in [-x, -y, z].iter().zip([5.1, -2.35, 3.2]) {
            assert!((value - expected).abs() < 1e-9, "{x} {y} {z}");
        }
        let again = read_affine(&write_affine(&map)).expect("what was written");
        for (a, b) in map.0.iter().flatten().zip(again.0.iter().flatten()) {
            assert!((a - b).abs() < 1e-12);
        }
    }

    #[test]
    fn other_files_are_refused() {
        let wrong =
            |text: &str| matches!(read_affine(text), Err(RegistrationError::TransformFile(_)));
        assert!(wrong("nothing"));
        assert!(wrong("#Insight Transform File V1.0\nTransform: Euler3DTransform_double_3_3\n"));
        assert!(wrong(
            "#Insight Transform File V1.0\nTransform: AffineTransform_double_3_3\nParameters: 1 2\n"
        ));
    }
}
