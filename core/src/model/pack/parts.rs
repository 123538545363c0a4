//! Large weights in several tensors, each of a size that a GPU binds.

use burn::tensor::{Device, Tensor};

use super::{Pack, PackError, TensorSource};

/// Most bytes of a weight in one tensor, as [`weight_bytes`] counts: WebGPU binds 128 MiB of a
/// buffer by default, and a weight's copies are as large.
const LARGEST_PART: usize = 64 << 20;

/// The GPU computes so many output channels together.
const OUTPUTS: usize = 8;

impl Pack {
    /// Bytes that a GPU has to bind in one piece for the largest weight, in single precision.
    pub fn largest_weight(&self) -> u64 {
        self.tensors().map(|(name, shape)| weight_bytes(name, shape)).max().unwrap_or(0)
    }
}

impl TensorSource<'_> {
    /// As [`TensorSource::take`]; what is large comes in several tensors, cut along the first
    /// axis.
    ///
    /// # Errors
    /// As [`TensorSource::take`].
    pub fn take_parts<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        device: &Device,
    ) -> Result<Vec<Tensor<D>>, PackError> {
        let values = self.values(name, &shape)?;
        Ok(self.parts(values, shape, device))
    }

    /// As [`TensorSource::take_parts`], of values that are at hand.
    pub fn parts<const D: usize>(
        &self,
        values: Vec<f32>,
        shape: [usize; D],
        device: &Device,
    ) -> Vec<Tensor<D>> {
        let most = outputs_at_once(shape.iter().skip(1).product());
        // Without a pack there are only zeros, which cost nothing until they are copied.
        if self.pack.is_none() || shape[0] <= most {
            return vec![self.bring(values, shape, device)];
        }
        split(&values, shape, most)
            .map(|(part, shape)| self.bring(part.to_vec(), shape, device))
            .collect()
    }
}

/// Bytes of a weight's largest tensor as the GPU's convolutions keep it: outputs in eights, a
/// bias before each. What [`TensorSource::take_parts`] takes is cut: kernels of more than a
/// voxel, and matrices; tables are no weights.
fn weight_bytes(name: &str, shape: &[usize]) -> u64 {
    let outputs = shape.first().copied().unwrap_or(1);
    let outputs = outputs.checked_next_multiple_of(OUTPUTS).unwrap_or(outputs);
    let inputs = shape.iter().skip(1).fold(1_usize, |all, &side| all.saturating_mul(side));
    let matrix = shape.len() == 2 && name.ends_with(".weight");
    let kernel = shape.len() == 5 && shape[4] > 1;
    let outputs = if matrix || kernel { outputs.min(outputs_at_once(inputs)) } else { outputs };
    (inputs as u64).saturating_add(1).saturating_mul(outputs as u64).saturating_mul(4)
}

/// Outputs of a weight that one tensor holds.
fn outputs_at_once(inputs: usize) -> usize {
    let outputs = LARGEST_PART / inputs.saturating_add(1).saturating_mul(4);
    (outputs / OUTPUTS * OUTPUTS).max(OUTPUTS)
}

/// Values cut along the first axis into parts of at most `outputs`, each with its shape.
fn split<const D: usize>(
    values: &[f32],
    shape: [usize; D],
    outputs: usize,
) -> impl Iterator<Item = (&[f32], [usize; D])> {
    let inputs = shape.iter().skip(1).product::<usize>().max(1);
    values.chunks(outputs * inputs).map(move |part| {
        let mut shape = shape;
        shape[0] = part.len() / inputs;
        (part, shape)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_weight_is_cut_along_its_outputs() {
        let values: Vec<f32> = (0..10 * 2 * 3).map(|value| value as f32).collect();
        let parts: Vec<(&[f32], [usize; 3])> = split(&values, [10, 2, 3], 4).collect();
        let shapes: Vec<[usize; 3]> = parts.iter().map(|(_, shape)| *shape).collect();
        assert_eq!(shapes, [[4, 2, 3], [4, 2, 3], [2, 2, 3]]);
        let joined: Vec<f32> = parts.iter().flat_map(|(part, _)| part.to_vec()).collect();
        assert_eq!(joined, values);
    }

    #[test]
    fn every_published_weight_can_be_bound_by_default() {
        // maxStorageBufferBindingSize in the WebGPU specification.
        let limit = 128 << 20;
        let weights: [(&str, &[usize]); 7] = [
            // The largest of swin-b, swin-l and swin-h.
            ("encoder10.layer.conv1.conv.weight", &[768, 768, 3, 3, 3]),
            ("encoder10.layer.conv1.conv.weight", &[1536, 1536, 3, 3, 3]),
            ("encoder10.layer.conv1.conv.weight", &[3072, 3072, 3, 3, 3]),
            ("decoder5.transp_conv.conv.weight", &[3072, 1536, 2, 2, 2]),
            ("swinViT.layers4.0.downsample.reduction.weight", &[3072, 12_288]),
            ("latent_agg.0.weight", &[3072, 6144, 1, 1, 1]),
            ("swinViT.layers4.0.blocks.0.attn.relative_position_bias_table", &[2197, 24]),
        ];
        for (name, shape) in weights {
            let bytes = weight_bytes(name, shape);
            assert!(bytes <= limit, "{name} {shape:?}: {bytes}");
        }
        assert!(outputs_at_once(768 * 27) >= 768, "swin-b is not cut");
        assert_eq!(outputs_at_once(3072 * 27), 200);
        // A table is not cut.
        assert!(weight_bytes("relative_position_bias_table", &[1 << 20, 64]) > limit);
    }
}
