//! Buffers that checkpoints carry although the geometry gives them.

use super::ConvertError;
use super::checkpoint::Checkpoint;

/// Takes every relative position index out of the checkpoint; returns how many.
///
/// # Errors
/// [`ConvertError::Tensor`] when one does not hold what its window gives: the weights
/// then belong to another kind of attention.
pub fn take(checkpoint: &mut Checkpoint) -> Result<usize, ConvertError> {
    let names: Vec<String> = checkpoint
        .tensors
        .keys()
        .filter(|name| name.ends_with(".relative_position_index"))
        .cloned()
        .collect();
    for name in &names {
        let Some(entry) = checkpoint.tensors.remove(name) else { continue };
        let wrong = |why: &str| ConvertError::Tensor { name: name.clone(), why: why.into() };
        let side = match entry.shape[..] {
            [tokens, others] if tokens == others => (2..=16).find(|&w: &usize| w.pow(3) == tokens),
            _ => None,
        };
        let side = side.ok_or_else(|| wrong("its shape belongs to no cubic window"))?;
        if entry.integers(name)? != relative_position_index(side) {
            return Err(wrong("it is not the index of a window's relative positions"));
        }
    }
    Ok(names.len())
}

/// Row of the bias table for each pair of tokens of a window (MONAI `WindowAttention`):
/// `(dx + w - 1) (2w - 1)^2 + (dy + w - 1) (2w - 1) + dz + w - 1`, last axis fastest.
fn relative_position_index(side: usize) -> Vec<i64> {
    let (w, span) = (side as i64, 2 * side as i64 - 1);
    let token = |i: i64| [i / (w * w), i / w % w, i % w];
    let tokens = w * w * w;
    let mut index = Vec::with_capacity((tokens * tokens) as usize);
    for i in 0..tokens {
        let [x, y, z] = token(i);
        for j in 0..tokens {
            let [u, v, s] = token(j);
            index.push(((x - u + w - 1) * span + y - v + w - 1) * span + z - s + w - 1);
        }
    }
    index
}
