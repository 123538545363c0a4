//! Numbers and names as they are shown: thousands grouped, a true minus sign,
//! as many digits as the measurement deserves.
//!
//! Everything here is plain text in, plain text out, so that it is tested natively.

/// Groups the digits of a whole number by thousands: `1234567` is `1,234,567`.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with a fixed count of decimals, thousands grouped, and a minus sign
/// (U+2212) that is as wide as a digit. Not a number and infinity are a dash.
pub fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole = whole.parse::<u64>().map_or_else(|_| whole.to_owned(), grouped);
    let zero = text.chars().all(|c| c == '0' || c == '.');
    let sign = if value < 0.0 && !zero { "\u{2212}" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Millilitres with three significant digits at most: `1,182`, `18.4`, `4.07`, `0.31`.
pub fn millilitres(value: f64) -> String {
    fixed(
        value,
        if value.abs() >= 100.0 {
            0
        } else if value.abs() >= 10.0 {
            1
        } else {
            2
        },
    )
}

/// A percentage without its sign: two decimals below 1, one below 100.
pub fn percent(value: f64) -> String {
    fixed(
        value,
        if value.abs() < 1.0 {
            2
        } else if value.abs() < 100.0 {
            1
        } else {
            0
        },
    )
}

/// A percentage that always carries its sign, for asymmetries: `+3.1`, `−0.4`, `0.0`.
pub fn signed_percent(value: f64) -> String {
    let text = fixed(value, 1);
    if value > 0.0 && text != "0.0" { format!("+{text}") } else { text }
}

/// A measured value of unknown size with about three significant digits.
pub fn measured(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".into();
    }
    if size < 0.001 {
        return format!("{value:.2e}").replace('-', "\u{2212}");
    }
    fixed(
        value,
        if size >= 100.0 {
            0
        } else if size >= 10.0 {
            1
        } else if size >= 1.0 {
            2
        } else {
            3
        },
    )
}

/// Seconds as a person would say them: `0.8 s`, `12 s`, `2 min 05 s`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        "–".into()
    } else if seconds < 0.995 {
        format!("{:.0} ms", seconds * 1000.0)
    } else if seconds < 9.95 {
        format!("{seconds:.1} s")
    } else if seconds < 59.5 {
        format!("{seconds:.0} s")
    } else {
        let whole = seconds.round() as u64;
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

/// Seconds of what still goes on, whole ones: `8 s`, `2 min 05 s`.
pub fn elapsed(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    if whole < 60 {
        format!("{whole} s")
    } else {
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

/// Bytes in decimal units, as browsers show downloads.
pub fn bytes(count: f64) -> String {
    if count < 1e3 {
        format!("{count:.0} B")
    } else if count < 1e6 {
        format!("{:.0} kB", count / 1e3)
    } else if count < 1e9 {
        format!("{:.1} MB", count / 1e6)
    } else {
        format!("{:.2} GB", count / 1e9)
    }
}

/// Three values with a multiplication sign between: `256 × 256 × 176`.
pub fn by<T: std::fmt::Display>(values: [T; 3]) -> String {
    let [x, y, z] = values;
    format!("{x} × {y} × {z}")
}

/// Voxel spacing in millimetres without trailing zeros: `1 × 1 × 1.2 mm`; where the files do
/// not state it or its unit: `not stated (1 × 1 × 1.2 if millimetres)`.
pub fn spacing(values: [f64; 3], stated: bool) -> String {
    let values = by(values.map(trimmed));
    if stated { format!("{values} mm") } else { format!("not stated ({values} if millimetres)") }
}

/// What stands beside a number, usually its unit, marked where it rests on what was assumed:
/// `mL`, `mL (assumed)`.
pub fn unit(words: &str, assumed: bool) -> String {
    format!("{words}{}", if assumed { " (assumed)" } else { "" })
}

/// Spacing of a model's grid, in millimetres; an axis may keep the scan's own.
pub fn grid_spacing(values: [Option<f64>; 3]) -> String {
    let known = values.map(|value| value.map_or_else(|| "own slices".to_owned(), trimmed));
    format!("{} mm", by(known))
}

/// Up to three decimals, trailing zeros removed.
pub fn trimmed(value: f64) -> String {
    let text = fixed(value, 3);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// The same text with a large first letter.
pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The name of a file without folders and scan suffixes: what a download is named after.
pub fn file_stem(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let stem = [".nii.gz", ".nii", ".nrrd", ".zip", ".dcm", ".ima", ".img", ".hdr"]
        .iter()
        .find_map(|suffix| {
            let cut = base.len().checked_sub(suffix.len())?;
            let (stem, tail) = (base.get(..cut)?, base.get(cut..)?);
            tail.eq_ignore_ascii_case(suffix).then_some(stem)
        })
        .unwrap_or(base);
    let safe: String = stem
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
        .take(80)
        .collect();
    if safe.trim_matches(['_', '.']).is_empty() { "scan".into() } else { safe }
}

/// `1 file`, `2 files`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count as u64), if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_thousands() {
        let cases =
            [(0, "0"), (999, "999"), (1000, "1,000"), (12_345, "12,345"), (9_876_543, "9,876,543")];
        for (value, expected) in cases {
            assert_eq!(grouped(value), expected);
        }
    }

    #[test]
    fn negative_zero_has_no_sign() {
        assert_eq!(fixed(-0.04, 1), "0.0");
        assert_eq!(fixed(-0.06, 1), "\u{2212}0.1");
        assert_eq!(fixed(-1234.5, 1), "\u{2212}1,234.5");
        assert_eq!(fixed(f64::NAN, 1), "–");
    }

    #[test]
    fn volumes_keep_three_digits() {
        let cases =
            [(1182.4, "1,182"), (100.2, "100"), (18.44, "18.4"), (4.068, "4.07"), (0.312, "0.31")];
        for (value, expected) in cases {
            assert_eq!(millilitres(value), expected);
        }
    }

    #[test]
    fn asymmetry_carries_its_sign() {
        assert_eq!(signed_percent(3.12), "+3.1");
        assert_eq!(signed_percent(-3.12), "\u{2212}3.1");
        assert_eq!(signed_percent(0.01), "0.0");
    }

    #[test]
    fn measured_values_follow_their_size() {
        let cases =
            [(0.0, "0"), (0.01234, "0.012"), (1.2345, "1.23"), (12.345, "12.3"), (1234.5, "1,234")];
        for (value, expected) in cases {
            assert_eq!(measured(value), expected);
        }
        assert_eq!(measured(0.000_012), "1.20e\u{2212}5");
    }

    #[test]
    fn durations_read_as_said() {
        let cases = [
            (0.0423, "42 ms"),
            (0.999, "1.0 s"),
            (9.94, "9.9 s"),
            (12.4, "12 s"),
            (59.7, "1 min 00 s"),
            (125.0, "2 min 05 s"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(duration(seconds), expected);
        }
        let cases = [(-0.1, "0 s"), (0.9, "0 s"), (59.7, "59 s"), (125.0, "2 min 05 s")];
        for (seconds, expected) in cases {
            assert_eq!(elapsed(seconds), expected);
        }
    }

    #[test]
    fn spacing_drops_trailing_zeros() {
        assert_eq!(spacing([1.0, 0.9375, 1.2], true), "1 × 0.938 × 1.2 mm");
        assert_eq!(trimmed(100.0), "100");
    }

    #[test]
    fn what_is_assumed_is_said_beside_the_number() {
        assert_eq!(spacing([1.5, 1.5, 10.0], false), "not stated (1.5 × 1.5 × 10 if millimetres)");
        assert_eq!(unit("mL", false), "mL");
        assert_eq!(unit("LV, mL", true), "LV, mL (assumed)");
    }

    #[test]
    fn only_the_first_letter_grows() {
        assert_eq!(capitalised("left ventral DC"), "Left ventral DC");
        assert_eq!(capitalised("élan"), "Élan");
        assert_eq!(capitalised(""), "");
    }

    #[test]
    fn download_names_are_safe() {
        let cases = [
            ("folder/sub-01_T1w.nii.gz", "sub-01_T1w"),
            ("Scan 3 (copy).NII", "Scan_3__copy_"),
            ("IM0001.dcm", "IM0001"),
            ("brain.nrrd", "brain"),
            ("../..", "scan"),
            ("", "scan"),
        ];
        for (name, expected) in cases {
            assert_eq!(file_stem(name), expected);
        }
    }
}
