//! Values that are no file: a hash of a tensor's name and its place, as training/golden_swin.py
//! computes them, too. core/tests/swin.rs includes this file.

/// Uniform in [-1, 1): splitmix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
/// Generators") of FNV-1a(name) + index, its upper 24 bits; as in training/golden_swin.py.
pub fn noise(name: &str, count: usize) -> Vec<f32> {
    let seed = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |seed, byte| {
        (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (0..count as u64)
        .map(|index| {
            let z = seed.wrapping_add(index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            let z = z ^ z >> 31;
            ((z >> 40) as f64 / f64::from(1 << 23) - 1.0) as f32
        })
        .collect()
}

/// Unit gain for matrices and kernels, norms around 1, biases around 0.
pub fn weight(name: &str, shape: &[usize]) -> Vec<f32> {
    let values = noise(name, shape.iter().product());
    if shape.len() > 1 {
        let gain = (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt() as f32;
        values.into_iter().map(|value| value * gain).collect()
    } else if name.ends_with(".weight") {
        values.into_iter().map(|value| 1.0 + 0.5 * value).collect()
    } else {
        values.into_iter().map(|value| 0.3 * value).collect()
    }
}
