//! A head that is linear in the encoder's maps: one 1x1x1 convolution a map, the
//! results upsampled and added. What a few examples are enough to fit.

use burn::tensor::{DType, Device, Tensor};

use crate::kernels;
use crate::model::config::MapShape;
use crate::model::layers::Pointwise;
use crate::model::pack::{PackError, TensorSource};

/// Logits of a linear head from the encoder's maps.
#[derive(Clone, Debug)]
pub struct LinearReader {
    /// Map, its stride, its convolution; finest first.
    parts: Vec<(usize, usize, Pointwise)>,
}

impl LinearReader {
    /// Takes `heads.{name}.maps.{map}.weight` and `.bias` from the pack for each of
    /// `maps`, whose channels and strides are in `shapes`.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape, or the encoder has
    /// no such map.
    pub fn load(
        source: &mut TensorSource,
        name: &str,
        classes: usize,
        maps: &[usize],
        shapes: &[MapShape],
        device: &Device,
    ) -> Result<Self, PackError> {
        let parts = maps
            .iter()
            .map(|&map| {
                let shape = shapes.get(map).ok_or_else(|| {
                    PackError::Architecture(format!(
                        "head {name} reads map {map}, which is not there"
                    ))
                })?;
                let tensor = format!("heads.{name}.maps.{map}");
                let conv = Pointwise::load(source, &tensor, shape.channels, classes, device)?;
                Ok((map, shape.stride, conv))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { parts })
    }

    /// Logits at the input's resolution.
    ///
    /// # Shapes
    /// maps `[batch, channels, x / stride, y / stride, z / stride]` to
    /// `[batch, classes, x, y, z]`
    pub fn forward(&self, maps: &[Tensor<5>]) -> Option<Tensor<5>> {
        let mut current: Option<(usize, Tensor<5>)> = None;
        for (map, stride, conv) in self.parts.iter().rev() {
            let here = conv.forward(maps.get(*map)?.clone()).cast(DType::F32);
            let sum = match current {
                None => here,
                Some((coarse, sum)) => raise(sum, coarse, *stride, Some(here)),
            };
            current = Some((*stride, sum));
        }
        current.map(|(stride, sum)| raise(sum, stride, 1, None))
    }
}

/// `x` at stride `from` upsampled to stride `to`, `skip` added there.
fn raise(x: Tensor<5>, from: usize, to: usize, skip: Option<Tensor<5>>) -> Tensor<5> {
    let (mut x, mut from, mut skip) = (x, from, skip);
    while from > to {
        from /= 2;
        let [batch, channels, nx, ny, nz] = x.dims();
        let target = skip.take_if(|_| from == to).unwrap_or_else(|| {
            Tensor::zeros([batch, channels, 2 * nx, 2 * ny, 2 * nz], &x.device())
        });
        x = kernels::upsample_add(x, target);
    }
    x
}
