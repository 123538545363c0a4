//! The encoder's two deepest maps inside each structure: what the report decoder attends to.

use burn::tensor::Tensor;

use super::run::PipelineError;
use super::sliding::read;
use crate::volume::offset;

/// How many of the maps are read, from the deepest.
pub(super) const DEEPEST: usize = 2;

/// Most values of the maps together; larger ones are left on the device. The compact network has
/// 0.6 million of the largest input that it takes without windows.
const MOST_VALUES: usize = 1 << 20;

/// Means of the maps (`[1, channels, x, y, z]`, finer first) inside each label but background,
/// the channels of all maps one after another. Labels lie x fastest on the network's input of
/// `dims` voxels; each reads the map's cell that it lies in. `None` without maps or where they
/// are too large.
///
/// # Errors
/// [`PipelineError::Device`].
pub(super) async fn structure_maps(
    maps: Vec<Tensor<5>>,
    labels: &[u8],
    dims: [usize; 3],
) -> Result<Option<Vec<(u8, Vec<f32>)>>, PipelineError> {
    let size = |map: &Tensor<5>| map.dims().iter().product::<usize>();
    if maps.is_empty() || maps.iter().map(size).sum::<usize>() > MOST_VALUES {
        return Ok(None);
    }
    let mut structures: Vec<(u8, Vec<f32>)> = Vec::new();
    for map in maps {
        let [_, channels, x, y, z] = map.dims();
        let values = read(map).await?;
        let found = means((values.as_slice(), channels, [x, y, z]), labels, dims);
        if structures.is_empty() {
            structures = found;
        } else {
            // The same labels in the same order.
            for ((_, values), (_, more)) in structures.iter_mut().zip(found) {
                values.extend(more);
            }
        }
    }
    Ok(Some(structures))
}

/// Means of one map (`[channels, x, y, z]`, z fastest) inside each label, by rising label.
fn means(
    (map, channels, sides): (&[f32], usize, [usize; 3]),
    labels: &[u8],
    dims: [usize; 3],
) -> Vec<(u8, Vec<f32>)> {
    let cells: usize = sides.iter().product();
    let mut counts: Vec<Vec<f32>> = vec![Vec::new(); 256];
    for z in 0..dims[2] {
        for y in 0..dims[1] {
            for x in 0..dims[0] {
                let label = labels[offset(dims, [x, y, z])];
                if label == 0 {
                    continue;
                }
                let voxel = [x, y, z];
                let [i, j, k] = [0, 1, 2].map(|axis| voxel[axis] * sides[axis] / dims[axis]);
                let count = &mut counts[usize::from(label)];
                count.resize(cells, 0.0);
                count[(i * sides[1] + j) * sides[2] + k] += 1.0;
            }
        }
    }
    let present = (0..=u8::MAX).zip(&counts).filter(|(_, count)| !count.is_empty());
    present
        .map(|(label, count)| {
            let voxels: f32 = count.iter().sum();
            let mean = |channel: usize| {
                let cells = &map[channel * cells..(channel + 1) * cells];
                cells.iter().zip(count).map(|(value, count)| value * count).sum::<f32>() / voxels
            };
            (label, (0..channels).map(mean).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Device;

    #[test]
    fn means_are_those_of_numpy() {
        // labels = np.zeros((4, 4, 8), int); labels[0:3, 1, 0:2] = 5; labels[3, :, 6] = 2
        // near = np.arange(2 * 2 * 2 * 4.0).reshape(2, 2, 2, 4); deep = 7 - np.arange(2.0).reshape(2, 1, 1, 1)
        // [near.repeat(2, 1).repeat(2, 2).repeat(2, 3)[:, labels == n].mean(1) for n in (2, 5)]
        let dims = [4, 4, 8];
        let mut labels = vec![0; 128];
        for z in 0..2 {
            (0..3).for_each(|x| labels[offset(dims, [x, 1, z])] = 5);
        }
        (0..4).for_each(|y| labels[offset(dims, [3, y, 6])] = 2);
        let tensor = |values: Vec<f32>, shape: [usize; 5]| {
            Tensor::<5>::from_data(burn::tensor::TensorData::new(values, shape), &Device::flex())
        };
        let near = tensor((0..32_u8).map(f32::from).collect(), [1, 2, 2, 2, 4]);
        let deep = tensor(vec![7.0, 7.0, 7.0, 7.0, 6.0, 6.0, 6.0, 6.0], [1, 2, 1, 1, 4]);
        let found = pollster::block_on(structure_maps(vec![near, deep], &labels, dims));
        let expected: Vec<(u8, Vec<f32>)> =
            vec![(2, vec![13.0, 29.0, 7.0, 6.0]), (5, vec![8.0 / 3.0, 16.0 + 8.0 / 3.0, 7.0, 6.0])];
        let Ok(Some(found)) = found else { unreachable!("the CPU answers") };
        for ((label, values), (expected_label, expected)) in found.iter().zip(&expected) {
            assert_eq!((label, values.len()), (expected_label, 4));
            for (value, expected) in values.iter().zip(expected) {
                assert!((value - expected).abs() < 1e-5, "{found:?}");
            }
        }
        assert_eq!(found.len(), 2);
        let none = pollster::block_on(structure_maps(Vec::new(), &labels, dims));
        assert_eq!(none, Ok(None));
    }
}
