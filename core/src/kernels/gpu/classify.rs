//! 1x1x1 convolution and the most likely class in one: no logit is ever written.

use burn::tensor::{DType, Int, Shape, Tensor};
use burn_wgpu::{CubeTensor, Wgpu};
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::conv::{LANES, Lanes, pack};
use super::{UNITS, element, groups, kept};

/// Voxels a thread classifies.
const VOXELS: usize = 4;

/// Vectors of classes a thread computes at a time.
const VECTORS: usize = 2;

/// As [`crate::kernels::classify`].
pub fn classify(x: &Tensor<5>, weight: &Tensor<5>, bias: &Tensor<1>) -> Tensor<5, Int> {
    let [batch, inputs, nx, ny, nz] = x.dims();
    let classes = weight.dims()[0];
    let x = kept(x.clone());
    let packed = pack(weight, Some(bias), VECTORS, DType::F32);
    let voxels = nx * ny * nz;
    let shape = Shape::from([batch, 1, nx, ny, nz].to_vec());
    let handle = x.client.empty(batch * voxels * size_of::<i32>());
    let (client, device) = (x.client.clone(), x.device.clone());
    let output = CubeTensor::new_contiguous(client.clone(), device, shape, handle, DType::I32);
    let threads = voxels.div_ceil(VOXELS);
    let element = element(&x);
    classify_kernel::launch(
        &client,
        groups(threads, batch, 1),
        CubeDim::new_1d(UNITS as u32),
        x.into_buffer_arg(),
        packed.into_buffer_arg(),
        output.clone().into_buffer_arg(),
        inputs as u32,
        classes as u32,
        voxels as u32,
        threads as u32,
        element,
    );
    Tensor::from_primitive::<Wgpu>(output)
}

#[cube(launch)]
fn classify_kernel<S: Float>(
    input: &[S],
    weight: &[Lanes],
    output: &mut [i32],
    inputs: u32,
    classes: u32,
    voxels: u32,
    threads: u32,
    #[define(S)] _element: ElemType,
) {
    if ABSOLUTE_POS_X >= threads {
        terminate!();
    }
    let block = comptime!((VECTORS * LANES) as u32);
    let vectors = comptime!(VECTORS as u32);
    let start = CUBE_POS_Y * inputs * voxels;
    let mut places = Sequence::<u32>::new();
    let mut best = Sequence::<RuntimeCell<f32>>::new();
    let mut winner = Sequence::<RuntimeCell<i32>>::new();
    #[unroll]
    for i in 0..comptime!(VOXELS) {
        let at = ABSOLUTE_POS_X + comptime!(i as u32) * threads;
        places.push(min(at, voxels - 1));
        best.push(RuntimeCell::<f32>::new(f32::min_value()));
        winner.push(RuntimeCell::<i32>::new(0));
    }
    for block_at in 0..classes.div_ceil(block) {
        let first = block_at * (inputs + 1) * vectors;
        let mut sums = Sequence::<RuntimeCell<Lanes>>::new();
        #[unroll]
        for _ in 0..comptime!(VOXELS) {
            #[unroll]
            for v in 0..comptime!(VECTORS) {
                sums.push(RuntimeCell::<Lanes>::new(weight[first as usize + v]));
            }
        }
        for channel in 0..inputs {
            let at_weight = first + (channel + 1) * vectors;
            #[unroll]
            for i in 0..comptime!(VOXELS) {
                let value = input[(start + channel * voxels + places[i]) as usize];
                let value = Lanes::new(f32::cast_from(value));
                #[unroll]
                for v in 0..comptime!(VECTORS) {
                    let sum = &sums[comptime!(i * VECTORS + v)];
                    sum.store(sum.read() + value * weight[at_weight as usize + v]);
                }
            }
        }
        #[unroll]
        for v in 0..comptime!(VECTORS) {
            #[unroll]
            for lane in 0..comptime!(LANES) {
                let class = block_at * block + comptime!((v * LANES + lane) as u32);
                if class < classes {
                    #[unroll]
                    for i in 0..comptime!(VOXELS) {
                        let logit = sums[comptime!(i * VECTORS + v)].read().extract(lane);
                        // The first of equals wins, as in burn's argmax.
                        let higher = logit > best[i].read();
                        best[i].store(select(higher, logit, best[i].read()));
                        winner[i].store(select(higher, i32::cast_from(class), winner[i].read()));
                    }
                }
            }
        }
    }
    #[unroll]
    for i in 0..comptime!(VOXELS) {
        let at = ABSOLUTE_POS_X + comptime!(i as u32) * threads;
        if at < voxels {
            output[(CUBE_POS_Y * voxels + at) as usize] = winner[i].read();
        }
    }
}
