//! What the page hands to the viewer: display copies of the scan and its labels.
//!
//! The worker keeps the volumes; the page only holds these typed arrays, which go to
//! the graphics card as they are and from which single voxels are read.

use std::rc::Rc;

use leptos::prelude::{LocalStorage, Signal};
use prism_core::volume::{Affine, LabelTable};
use wasm_bindgen::{JsCast, JsValue};

/// The scan for display: half-precision intensities in [0, 1].
#[derive(Clone, Debug)]
pub struct DisplayVolume {
    /// Voxels along x, y, z.
    pub dims: [usize; 3],
    /// World (RAS+, mm) from voxel indices.
    pub affine: Affine,
    /// Scan units of the intensities 0 and 1.
    pub range: (f32, f32),
    /// IEEE 754 half-precision bits, x fastest.
    pub half: js_sys::Uint16Array,
}

/// The values of a scan as its file holds them, which half precision is too coarse for: only
/// single voxels are read, where a person points.
#[derive(Clone, Debug)]
pub struct Values {
    /// The half floats of the same scan, by which it is known.
    half: js_sys::ArrayBuffer,
    held: Held,
}

#[derive(Clone, Debug)]
enum Held {
    /// Whole numbers above the lowest value.
    Whole(f32, js_sys::Uint16Array),
    Floats(js_sys::Float32Array),
}

impl Values {
    /// Values that came beside half floats: 16 bits a voxel above `low`, or 32-bit floats.
    /// `None` where either is no buffer.
    pub fn new(half: &JsValue, values: &JsValue, low: f32) -> Option<Self> {
        let half: &js_sys::ArrayBuffer = half.dyn_ref()?;
        let values: &js_sys::ArrayBuffer = values.dyn_ref()?;
        let held = if values.byte_length() == half.byte_length() {
            Held::Whole(low, js_sys::Uint16Array::new(values))
        } else {
            Held::Floats(js_sys::Float32Array::new(values))
        };
        Some(Self { half: half.clone(), held })
    }

    /// The value of a voxel of `volume`, in scan units; `None` of another scan.
    pub(super) fn at(&self, volume: &DisplayVolume, voxel: u32) -> Option<f64> {
        if volume.half.buffer() != self.half {
            return None;
        }
        // Past the end there is nothing to read.
        match &self.held {
            Held::Whole(low, above) if voxel < above.length() => {
                Some(f64::from(*low) + f64::from(above.get_index(voxel)))
            }
            Held::Floats(values) if voxel < values.length() => {
                Some(f64::from(values.get_index(voxel)))
            }
            _ => None,
        }
    }
}

/// Labels for display.
#[derive(Clone, Debug)]
pub struct DisplayLabels {
    /// Voxels along x, y, z; usually the scan's, but any grid will do.
    pub dims: [usize; 3],
    /// World (RAS+, mm) from voxel indices.
    pub affine: Affine,
    /// Label-table index per voxel, x fastest, 0 for background.
    pub indices: js_sys::Uint8Array,
    /// Names and colours.
    pub table: LabelTable,
}

/// Colours for display, laid over the scan.
#[derive(Clone, Debug)]
pub struct DisplayColours {
    /// Voxels along x, y, z; any grid will do.
    pub dims: [usize; 3],
    /// World (RAS+, mm) from voxel indices.
    pub affine: Affine,
    /// Red, green, blue and alpha of each voxel, x fastest; colours multiplied by alpha.
    pub rgba: js_sys::Uint8Array,
}

/// The scan on show, if there is one.
pub type VolumeSignal = Signal<Option<Rc<DisplayVolume>>, LocalStorage>;
/// The labels on show, if there are any.
pub type LabelsSignal = Signal<Option<Rc<DisplayLabels>>, LocalStorage>;
/// The colours on show, if there are any; structures are then not drawn in planes.
pub type ColoursSignal = Signal<Option<Rc<DisplayColours>>, LocalStorage>;

/// Why the planes cannot be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewerError {
    /// The browser offers no WebGL 2.
    #[error(
        "this browser offers no WebGL 2, which the planes need: \
         update it or switch hardware acceleration on"
    )]
    NoWebGl2,
    /// An axis is longer than the graphics card takes.
    #[error(
        "the {what} has {dims:?} voxels, this graphics card draws at most {limit} along an axis: \
         crop or resample it to see it; measurements are not affected"
    )]
    TooLarge {
        /// "scan" or "label map".
        what: &'static str,
        /// Voxels along x, y, z.
        dims: [usize; 3],
        /// Longest axis in voxels.
        limit: usize,
    },
    /// The graphics card has no room for a texture.
    #[error(
        "the graphics card has no memory left for the {what} ({megabytes} MB): close other tabs"
    )]
    OutOfMemory {
        /// "scan" or "label map".
        what: &'static str,
        /// Size of the texture.
        megabytes: usize,
    },
    /// The data does not fill the grid.
    #[error("the {what} holds {actual} voxels, its size asks for {expected}")]
    Size {
        /// "scan" or "label map".
        what: &'static str,
        /// Product of the dimensions.
        expected: usize,
        /// Length of the data.
        actual: usize,
    },
    /// The affine places no volume.
    #[error("the {what} cannot be placed: {reason}")]
    Affine {
        /// "scan" or "label map".
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A shader was refused by the driver.
    #[error("the graphics driver refused a drawing program: {0}")]
    Program(String),
    /// The browser took the graphics context away.
    #[error("the browser took the graphics card away; the planes come back when it returns")]
    ContextLost,
    /// The browser made no picture.
    #[error("the browser made no picture of the planes")]
    Screenshot,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_limit() {
        let error = ViewerError::TooLarge { what: "scan", dims: [4096, 4096, 20], limit: 2048 };
        assert!(error.to_string().contains("at most 2048"), "{error}");
    }
}
