//! Where things lie: world, the scan's own frame, a plane, a pixel.
//!
//! Three spaces meet here. **World** is RAS+ millimetres. **Frame** is millimetres
//! along the scan's own axes, renamed to the nearest of R, A, S and flipped so that
//! they grow towards right, front and head: an oblique scan is square in it, and a
//! slice of the scan is a plane of constant frame coordinate, so no plane is ever
//! resampled across slices. **Pixels** are CSS pixels of one plane, from its top
//! left corner. Nothing here touches the browser: it is tested natively.

use prism_core::volume::{Affine, AffineError, offset};

/// Letters of the growing end of each frame axis.
const GROWING: [char; 3] = ['R', 'A', 'S'];
/// Letters of the falling end of each frame axis.
const FALLING: [char; 3] = ['L', 'P', 'I'];

/// One of the three orthogonal planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// Seen from below the feet (radiological) or above the head.
    Axial,
    /// Seen from the front (radiological) or the back.
    Coronal,
    /// Seen from the patient's left: the front is on the left.
    Sagittal,
}

impl Plane {
    /// In the order of the panes.
    pub const ALL: [Self; 3] = [Self::Axial, Self::Coronal, Self::Sagittal];

    /// Position in per-plane arrays.
    pub const fn at(self) -> usize {
        self as usize
    }

    /// Frame axis that runs across the screen.
    pub const fn across(self) -> usize {
        match self {
            Self::Axial | Self::Coronal => 0,
            Self::Sagittal => 1,
        }
    }

    /// Frame axis that runs up the screen.
    pub const fn upward(self) -> usize {
        match self {
            Self::Axial => 1,
            Self::Coronal | Self::Sagittal => 2,
        }
    }

    /// Frame axis perpendicular to the plane.
    pub const fn through(self) -> usize {
        match self {
            Self::Axial => 2,
            Self::Coronal => 1,
            Self::Sagittal => 0,
        }
    }

    /// +1 where the frame axis across the plane grows to the right of the screen.
    /// The front is on the left of a sagittal plane in either convention.
    pub const fn rightward(self, radiological: bool) -> f64 {
        match self {
            Self::Sagittal => -1.0,
            Self::Axial | Self::Coronal if radiological => -1.0,
            Self::Axial | Self::Coronal => 1.0,
        }
    }

    /// Letters at the left, right, top and bottom edge of the screen.
    pub fn letters(self, radiological: bool) -> [char; 4] {
        let across = self.across();
        let (left, right) = if self.rightward(radiological) > 0.0 {
            (FALLING[across], GROWING[across])
        } else {
            (GROWING[across], FALLING[across])
        };
        [left, right, GROWING[self.upward()], FALLING[self.upward()]]
    }
}

/// Letter of a signed coordinate on a world axis (0 = R/L, 1 = A/P, 2 = S/I).
pub fn side_letter(axis: usize, value: f64) -> char {
    if value < 0.0 { FALLING[axis] } else { GROWING[axis] }
}

/// Letters of a frame direction, the strongest first, at most two: `A`, `AL`.
pub fn direction_letters(direction: [f64; 3]) -> String {
    let mut axes = [0, 1, 2];
    axes.sort_by(|&a, &b| direction[b].abs().total_cmp(&direction[a].abs()));
    let strong = |axis: &&usize| direction[**axis].abs() > 0.38;
    axes.iter().filter(strong).take(2).map(|&axis| side_letter(axis, direction[axis])).collect()
}

/// The scan's grid and its frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Voxels along the frame axes.
    pub counts: [usize; 3],
    /// Millimetres between slices along the frame axes.
    pub spacing_mm: [f64; 3],
    /// Voxel axis of each frame axis, and whether both grow the same way.
    axes: [(usize, bool); 3],
    world_from_voxel: Affine,
    voxel_from_world: Affine,
}

impl Frame {
    /// Frame of a grid of `dims` voxels.
    ///
    /// # Errors
    /// [`AffineError`] when the affine places no volume.
    pub fn new(dims: [usize; 3], affine: Affine) -> Result<Self, AffineError> {
        let voxel_from_world = affine.inverse()?;
        let spacing = affine.spacing_mm();
        let mut axes = [(0, true); 3];
        for (voxel, (world, growing)) in affine.closest_axes().into_iter().enumerate() {
            axes[world] = (voxel, growing);
        }
        Ok(Self {
            counts: axes.map(|(voxel, _)| dims[voxel]),
            spacing_mm: axes.map(|(voxel, _)| spacing[voxel]),
            axes,
            world_from_voxel: affine,
            voxel_from_world,
        })
    }

    /// Size of the field of view along the frame axes in millimetres.
    pub fn extent_mm(&self) -> [f64; 3] {
        [0, 1, 2].map(|axis| self.counts[axis] as f64 * self.spacing_mm[axis])
    }

    /// Middle of the field of view.
    pub fn centre(&self) -> [f64; 3] {
        [0, 1, 2].map(|axis| self.last(axis) / 2.0)
    }

    /// Frame coordinate of the centre of the last slice; the first lies at 0.
    fn last(&self, axis: usize) -> f64 {
        self.counts[axis].saturating_sub(1) as f64 * self.spacing_mm[axis]
    }

    /// Voxel index (fractions allowed) of a frame point.
    pub fn voxel_from_frame(&self, point: [f64; 3]) -> [f64; 3] {
        let mut voxel = [0.0; 3];
        for (axis, &(voxel_axis, growing)) in self.axes.iter().enumerate() {
            let along = if growing { point[axis] } else { self.last(axis) - point[axis] };
            voxel[voxel_axis] = along / self.spacing_mm[axis];
        }
        voxel
    }

    /// Frame point of a voxel index.
    pub fn frame_from_voxel(&self, voxel: [f64; 3]) -> [f64; 3] {
        [0, 1, 2].map(|axis| {
            let (voxel_axis, growing) = self.axes[axis];
            let along = voxel[voxel_axis] * self.spacing_mm[axis];
            if growing { along } else { self.last(axis) - along }
        })
    }

    /// World point (mm) of a frame point.
    pub fn world_from_frame(&self, point: [f64; 3]) -> [f64; 3] {
        self.world_from_voxel.apply(self.voxel_from_frame(point))
    }

    /// Frame point of a world point (mm).
    pub fn frame_from_world(&self, world: [f64; 3]) -> [f64; 3] {
        self.frame_from_voxel(self.voxel_from_world.apply(world))
    }

    /// The nearest world point that lies on or between voxel centres.
    pub fn clamped(&self, world: [f64; 3]) -> [f64; 3] {
        let point = self.frame_from_world(world);
        self.world_from_frame([0, 1, 2].map(|axis| point[axis].clamp(0.0, self.last(axis))))
    }

    /// Slice nearest to a frame point, counted from 0 at the left, back or foot end.
    pub fn slice(&self, axis: usize, point: [f64; 3]) -> usize {
        let index = (point[axis] / self.spacing_mm[axis]).round().max(0.0) as usize;
        index.min(self.counts[axis].saturating_sub(1))
    }

    /// A frame point moved onto the centre of its slice along `axis`.
    pub fn on_slice(&self, axis: usize, mut point: [f64; 3]) -> [f64; 3] {
        point[axis] = self.slice(axis, point) as f64 * self.spacing_mm[axis];
        point
    }

    /// A world point `by` slices further along a frame axis, on that slice's centre.
    pub fn stepped(&self, world: [f64; 3], axis: usize, by: i64) -> [f64; 3] {
        let mut point = self.frame_from_world(world);
        let last = self.counts[axis].saturating_sub(1) as i64;
        let slice = (self.slice(axis, point) as i64).saturating_add(by).clamp(0, last);
        point[axis] = slice as f64 * self.spacing_mm[axis];
        self.world_from_frame(point)
    }

    /// The voxel that holds a world point, if the grid does.
    pub fn voxel_at(&self, dims: [usize; 3], world: [f64; 3]) -> Option<[usize; 3]> {
        voxel_under(&self.voxel_from_world, dims, world)
    }

    /// For each voxel axis, 1 where slices are so thick (half as much again as the
    /// finest axis) that blending them would invent detail, otherwise 0.
    pub fn thick_axes(&self) -> [f32; 3] {
        let spacing = self.world_from_voxel.spacing_mm();
        let finest = spacing.iter().copied().fold(f64::INFINITY, f64::min);
        spacing.map(|s| if s > 1.5 * finest { 1.0 } else { 0.0 })
    }
}

/// The voxel of a grid that holds a world point.
pub fn voxel_under(
    voxel_from_world: &Affine,
    dims: [usize; 3],
    world: [f64; 3],
) -> Option<[usize; 3]> {
    let voxel = voxel_from_world.apply(world).map(f64::round);
    let inside = (0..3).all(|axis| voxel[axis] >= 0.0 && voxel[axis] < dims[axis] as f64);
    inside.then(|| voxel.map(|v| v as usize))
}

/// How a plane is zoomed and moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlaneView {
    /// 1 shows the whole field of view.
    pub zoom: f64,
    /// Shift of the image to the right and up, in millimetres.
    pub pan_mm: [f64; 2],
}

impl Default for PlaneView {
    fn default() -> Self {
        Self { zoom: 1.0, pan_mm: [0.0; 2] }
    }
}

/// Smallest and largest zoom.
pub const ZOOM_RANGE: (f64, f64) = (0.5, 24.0);

/// Pixels a millimetre at which every plane fits a pane of `size` pixels (with a
/// margin of 4 %), so that planes side by side have one scale; with `only`, at
/// which that plane fits.
pub fn fit_scale(size: [f64; 2], extent_mm: [f64; 3], only: Option<Plane>) -> f64 {
    Plane::ALL
        .iter()
        .filter(|&&plane| only.is_none_or(|wanted| wanted == plane))
        .map(|plane| {
            let across = size[0] / extent_mm[plane.across()].max(1e-6);
            across.min(size[1] / extent_mm[plane.upward()].max(1e-6))
        })
        .fold(f64::INFINITY, f64::min)
        .max(1e-6)
        * 0.96
}

/// Pixels of one plane and the frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projection {
    /// The plane.
    pub plane: Plane,
    /// Patient's right on the left of the screen.
    pub radiological: bool,
    /// Width and height of the pane in CSS pixels.
    pub size: [f64; 2],
    /// CSS pixels a millimetre.
    pub scale: f64,
    /// Shift of the image to the right and up, in millimetres.
    pub pan_mm: [f64; 2],
    /// Frame point that an unmoved image has in the middle.
    pub centre: [f64; 3],
}

impl Projection {
    /// Pixel of a frame point.
    pub fn pixel(&self, point: [f64; 3]) -> [f64; 2] {
        let (across, upward) = (self.plane.across(), self.plane.upward());
        let right = self.plane.rightward(self.radiological) * (point[across] - self.centre[across]);
        let up = point[upward] - self.centre[upward];
        [
            self.size[0] / 2.0 + (right + self.pan_mm[0]) * self.scale,
            self.size[1] / 2.0 - (up + self.pan_mm[1]) * self.scale,
        ]
    }

    /// Frame point under a pixel, as deep in the scan as `depth`.
    pub fn point(&self, pixel: [f64; 2], depth: [f64; 3]) -> [f64; 3] {
        let (across, upward) = (self.plane.across(), self.plane.upward());
        let right = (pixel[0] - self.size[0] / 2.0) / self.scale - self.pan_mm[0];
        let up = (self.size[1] / 2.0 - pixel[1]) / self.scale - self.pan_mm[1];
        let mut point = depth;
        point[across] = self.centre[across] + self.plane.rightward(self.radiological) * right;
        point[upward] = self.centre[upward] + up;
        point
    }

    /// `view` zoomed by `factor` so that what lies under `pixel` stays there.
    pub fn zoomed(&self, view: PlaneView, pixel: [f64; 2], factor: f64) -> PlaneView {
        let zoom = (view.zoom * factor).clamp(ZOOM_RANGE.0, ZOOM_RANGE.1);
        let scale = self.scale * zoom / view.zoom;
        let offset = [pixel[0] - self.size[0] / 2.0, self.size[1] / 2.0 - pixel[1]];
        let shift =
            |axis: usize| view.pan_mm[axis] + offset[axis] * (1.0 / scale - 1.0 / self.scale);
        PlaneView { zoom, pan_mm: [shift(0), shift(1)] }
    }
}

/// Length in millimetres of a scale bar of about a fifth of `width` pixels.
pub fn scale_bar_mm(width: f64, scale: f64) -> f64 {
    let wanted = width * 0.22 / scale;
    [100.0, 50.0, 20.0, 10.0, 5.0, 2.0].into_iter().find(|&mm| mm <= wanted).unwrap_or(1.0)
}

/// Part of a grid that holds anything, as fractions of each axis; the whole grid when
/// nothing is found. Only every few voxels are asked (40 along an axis), with that
/// step as the margin: enough to spare rays the empty surroundings.
pub fn content_box(dims: [usize; 3], holds: impl Fn(usize) -> bool) -> [[f64; 2]; 3] {
    let step = dims.map(|n| (n / 40).max(1));
    let (mut low, mut high) = (dims, [0; 3]);
    for z in (0..dims[2]).step_by(step[2]) {
        for y in (0..dims[1]).step_by(step[1]) {
            for x in (0..dims[0]).step_by(step[0]) {
                if holds(offset(dims, [x, y, z])) {
                    for (axis, at) in [x, y, z].into_iter().enumerate() {
                        low[axis] = low[axis].min(at);
                        high[axis] = high[axis].max(at + 1);
                    }
                }
            }
        }
    }
    if high[0] == 0 {
        return [[0.0, 1.0]; 3];
    }
    [0, 1, 2].map(|axis| {
        let margin = step[axis] + 1;
        let from = low[axis].saturating_sub(margin) as f64;
        let to = (high[axis] + margin).min(dims[axis]) as f64;
        [from / dims[axis] as f64, to / dims[axis] as f64]
    })
}

#[cfg(test)]
#[path = "geometry_tests.rs"]
mod tests;
