//! Reordering of voxel axes, to the closest RAS+ orientation or with the slices last, and back.
//!
//! Axes are only permuted and flipped, never interpolated, so a label map can be
//! carried back voxel for voxel.

use super::{Affine, LabelMap, Volume, offset};

/// Voxels whose sides differ by less than this part count as equally thick.
const SAME_THICKNESS: f64 = 1e-3;

/// How a grid's axes are permuted and flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reorientation {
    /// `source[i]`: the original axis that becomes axis `i`.
    source: [usize; 3],
    /// Whether that axis is reversed.
    flip: [bool; 3],
    original: [usize; 3],
}

impl Reorientation {
    /// The reorientation to RAS+ of a grid of `dims` voxels under `affine`.
    pub fn to_ras(affine: &Affine, dims: [usize; 3]) -> Self {
        let mut source = [0; 3];
        let mut flip = [false; 3];
        for (voxel, (world, positive)) in affine.closest_axes().into_iter().enumerate() {
            source[world] = voxel;
            flip[world] = !positive;
        }
        Self { source, flip, original: dims }
    }

    /// The in-plane axes in their own order, then the axis of the largest spacing (the last
    /// of equals). Slices that follow an organ have no body axis to be closest to, so
    /// nothing is flipped.
    pub fn slices_last(affine: &Affine, dims: [usize; 3]) -> Self {
        let spacing = affine.spacing_mm();
        let largest = spacing.iter().copied().fold(0.0, f64::max);
        let thick = |axis: &usize| spacing[*axis] >= largest * (1.0 - SAME_THICKNESS);
        let source = match (0..3).rev().find(thick) {
            Some(0) => [1, 2, 0],
            Some(1) => [0, 2, 1],
            _ => [0, 1, 2],
        };
        Self { source, flip: [false; 3], original: dims }
    }

    /// Dimensions after reorientation.
    pub fn dims(&self) -> [usize; 3] {
        self.source.map(|axis| self.original[axis])
    }

    /// The original axis that became the last one.
    pub const fn slice_axis(&self) -> usize {
        self.source[2]
    }

    /// Original voxel of a reoriented voxel.
    fn original_voxel(&self, voxel: [usize; 3]) -> [usize; 3] {
        let mut out = [0; 3];
        for (place, (&source, flip)) in voxel.into_iter().zip(self.source.iter().zip(self.flip)) {
            out[source] = if flip { self.original[source] - 1 - place } else { place };
        }
        out
    }

    /// Affine of the reoriented grid.
    pub fn affine(&self, affine: &Affine) -> Affine {
        let origin = affine.apply(self.original_voxel([0; 3]).map(|v| v as f64));
        let mut rows = [[0.0; 4]; 3];
        for (world, row) in rows.iter_mut().enumerate() {
            for (value, (&source, flip)) in row.iter_mut().zip(self.source.iter().zip(self.flip)) {
                *value = affine.0[world][source] * if flip { -1.0 } else { 1.0 };
            }
            row[3] = origin[world];
        }
        Affine(rows)
    }

    fn is_identity(&self) -> bool {
        self.source == [0, 1, 2] && self.flip == [false; 3]
    }

    /// Start and step in the original data for each reoriented axis.
    fn strides(&self) -> (usize, [isize; 3]) {
        let original =
            [1, self.original[0] as isize, (self.original[0] * self.original[1]) as isize];
        let start = offset(self.original, self.original_voxel([0; 3]));
        let mut strides = [0; 3];
        for axis in 0..3 {
            let stride = original[self.source[axis]];
            strides[axis] = if self.flip[axis] { -stride } else { stride };
        }
        (start, strides)
    }

    /// Visits every reoriented voxel in order with its place in the original data.
    fn for_each(&self, mut visit: impl FnMut(usize)) {
        let dims = self.dims();
        let (start, strides) = self.strides();
        for z in 0..dims[2] as isize {
            for y in 0..dims[1] as isize {
                let row = start as isize + z * strides[2] + y * strides[1];
                for x in 0..dims[0] as isize {
                    visit((row + x * strides[0]) as usize);
                }
            }
        }
    }

    /// The volume with its axes reordered.
    pub fn apply(&self, volume: &Volume) -> Volume {
        let data = if self.is_identity() {
            volume.data.clone()
        } else {
            let mut data = Vec::with_capacity(volume.data.len());
            self.for_each(|at| data.push(volume.data[at]));
            data
        };
        Volume { data, dims: self.dims(), affine: self.affine(&volume.affine) }
    }

    /// Labels of the reoriented grid, back in the original order and affine.
    pub fn undo(&self, labels: LabelMap, original: &Affine) -> LabelMap {
        let data = if self.is_identity() {
            labels.data
        } else {
            let mut data = vec![0; labels.data.len()];
            let mut values = labels.data.iter();
            self.for_each(|at| {
                if let Some(&value) = values.next() {
                    data[at] = value;
                }
            });
            data
        };
        LabelMap { data, dims: self.original, affine: *original }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sagittal() -> Volume {
        // PIR, 2 x 3 x 4 voxels; the value is the place in the file.
        let affine = Affine([[0.0, 0.0, 1.5, -3.0], [-1.0, 0.0, 0.0, 9.0], [0.0, -2.0, 0.0, 7.0]]);
        Volume { data: (0..24).map(|v| v as f32).collect(), dims: [2, 3, 4], affine }
    }

    #[test]
    fn every_voxel_keeps_its_place_in_the_world() {
        let scan = sagittal();
        let to_ras = Reorientation::to_ras(&scan.affine, scan.dims);
        let ras = to_ras.apply(&scan);
        assert_eq!(ras.affine.orientation(), "RAS");
        assert_eq!(ras.dims, [4, 2, 3]);
        let Ok(from_world) = scan.affine.inverse() else { unreachable!("not singular") };
        for z in 0..3 {
            for y in 0..2 {
                for x in 0..4 {
                    let world = ras.affine.apply([x as f64, y as f64, z as f64]);
                    let voxel = from_world.apply(world).map(|v| v.round() as usize);
                    assert_eq!(
                        ras.data[offset(ras.dims, [x, y, z])],
                        scan.data[offset(scan.dims, voxel)]
                    );
                }
            }
        }
    }

    #[test]
    fn undo_restores_the_file_order() {
        let scan = sagittal();
        let to_ras = Reorientation::to_ras(&scan.affine, scan.dims);
        let ras = to_ras.apply(&scan);
        let labels = LabelMap {
            data: ras.data.iter().map(|&v| v as u8).collect(),
            dims: ras.dims,
            affine: ras.affine,
        };
        let back = to_ras.undo(labels, &scan.affine);
        assert_eq!(back.dims, scan.dims);
        assert!(back.data.iter().enumerate().all(|(at, &v)| usize::from(v) == at));
    }
}
