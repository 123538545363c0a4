//! Scan values to the half floats that the planes draw, and to those that are read out.

use js_sys::{ArrayBuffer, Float32Array, Uint16Array};

/// Most bytes of values that the page is given beside the half floats: 512 x 512 x 512 voxels
/// in 16 bits, half as many as floats.
const MOST_VALUE_BYTES: usize = 256 << 20;

/// Half-float bits of a value in [0, 1], rounded to the nearest, ties to even.
/// Values outside are clipped; not a number becomes 0.
pub fn half_bits(value: f32) -> u16 {
    if value.is_nan() || value <= 0.0 {
        return 0;
    }
    if value >= 1.0 {
        return 0x3c00;
    }
    // 2^-14: below lie the subnormal halves, steps of 2^-24.
    if value < 6.103_515_6e-5 {
        return (value * 16_777_216.0).round_ties_even() as u16;
    }
    // The exponents' biases differ by 127 - 15; 13 bits of the mantissa go.
    let bits = value.to_bits();
    let rounded = bits + 0xfff + ((bits >> 13) & 1);
    ((rounded >> 13) - (112 << 10)) as u16
}

/// Lowest and highest finite value; `(0, 0)` where there is none.
pub fn range(data: &[f32]) -> (f32, f32) {
    let (low, high) = data
        .iter()
        .filter(|value| value.is_finite())
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| {
            (low.min(value), high.max(value))
        });
    if low <= high { (low, high) } else { (0.0, 0.0) }
}

/// The data as half floats, 0 at the low and 1 at the high end of `range`.
pub fn display(data: &[f32], (low, high): (f32, f32)) -> Uint16Array {
    let scale = if high > low { 1.0 / (high - low) } else { 0.0 };
    converted(data, |value| half_bits((value - low) * scale))
}

/// The data in 16 bits. Goes through a small buffer: the whole of it exists once, outside
/// WebAssembly memory.
fn converted(data: &[f32], convert: impl Fn(f32) -> u16) -> Uint16Array {
    const CHUNK: usize = 1 << 16;
    let out = Uint16Array::new_with_length(data.len() as u32);
    let mut buffer = Vec::with_capacity(CHUNK.min(data.len()));
    let mut at = 0;
    for chunk in data.chunks(CHUNK) {
        buffer.clear();
        buffer.extend(chunk.iter().map(|&value| convert(value)));
        let end = at + chunk.len() as u32;
        out.subarray(at, end).copy_from(&buffer);
        at = end;
    }
    out
}

/// Whether all values are whole numbers that lie less than 65536 above the lowest, `low`.
fn are_whole(data: &[f32], low: f32) -> bool {
    data.iter().all(|&value| value.fract() == 0.0 && value - low <= f32::from(u16::MAX))
}

/// The values themselves, for reading single voxels out: what they are above the low end of
/// the range in 16 bits where that is exact, else 32-bit floats. `None` where these would be
/// too many bytes.
pub fn values(data: &[f32], low: f32) -> Option<ArrayBuffer> {
    let whole = are_whole(data, low);
    let bytes = data.len() * if whole { size_of::<u16>() } else { size_of::<f32>() };
    if bytes > MOST_VALUE_BYTES {
        return None;
    }
    if !whole {
        return Some(Float32Array::from(data).buffer());
    }
    Some(converted(data, |value| (value - low) as u16).buffer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_those_of_ieee_754() {
        // numpy: numpy.float16(x).view(numpy.uint16)
        let cases = [
            (0.0, 0x0000),
            (1.0, 0x3c00),
            (0.5, 0x3800),
            (0.333_333_34, 0x3555),
            (0.999_9, 0x3c00),
            (0.999_5, 0x3bff),
            (0.1, 0x2e66),
            (6.103_515_6e-5, 0x0400),
            (6.0e-5, 0x03ef),
            (5.960_464_5e-8, 0x0001),
            (1e-9, 0x0000),
            (0.999_999, 0x3c00),
        ];
        for (value, expected) in cases {
            assert_eq!(half_bits(value), expected, "{value}");
        }
    }

    #[test]
    fn whole_numbers_are_told_from_others() {
        assert!(are_whole(&[-1024.0, 0.0, 64511.0], -1024.0));
        assert!(!are_whole(&[-1024.0, 0.0, 64512.0], -1024.0), "65536 above the lowest");
        assert!(!are_whole(&[0.0, 0.5], 0.0));
        assert!(!are_whole(&[0.0, f32::NAN], 0.0));
        assert!(!are_whole(&[0.0, f32::INFINITY], 0.0));
        assert!(!are_whole(&[0.0, f32::NEG_INFINITY], 0.0));
    }

    #[test]
    fn what_is_no_value_is_black() {
        assert_eq!(half_bits(f32::NAN), 0);
        assert_eq!(half_bits(-3.0), 0);
        assert_eq!(half_bits(f32::INFINITY), 0x3c00);
        assert_eq!(range(&[f32::NAN, 2.0, -1.0, f32::INFINITY]), (-1.0, 2.0));
        assert_eq!(range(&[f32::NAN]), (0.0, 0.0));
    }
}
