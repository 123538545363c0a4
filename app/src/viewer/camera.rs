//! The eye of the three-dimensional pane: a turntable around the middle of the scan.
//!
//! Directions are in the scan's frame (right, front, head). The projection is
//! parallel, as in radiology, so sizes can be compared across the picture.

/// Angles and magnification of the turntable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// Degrees around the body axis: 0 looks at the face, 90 at the patient's left.
    pub turn: f64,
    /// Degrees above the horizon, -90 to 90.
    pub tilt: f64,
    /// 1 shows the whole field of view.
    pub zoom: f64,
    /// Shift of the picture to the right and up, in millimetres.
    pub pan_mm: [f64; 2],
}

impl Default for Camera {
    fn default() -> Self {
        Self { turn: 32.0, tilt: 16.0, zoom: 1.0, pan_mm: [0.0; 2] }
    }
}

/// Unit vectors of the picture in the scan's frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axes {
    /// Towards the right edge.
    pub right: [f64; 3],
    /// Towards the top edge.
    pub up: [f64; 3],
    /// Away from the eye.
    pub forward: [f64; 3],
}

impl Camera {
    /// The camera after a drag by `pixels`: what is near follows the pointer.
    pub fn dragged(self, pixels: [f64; 2]) -> Self {
        let turn = (self.turn - pixels[0] * 0.4).rem_euclid(360.0);
        Self { turn, tilt: (self.tilt + pixels[1] * 0.4).clamp(-90.0, 90.0), ..self }
    }

    /// The camera with its magnification multiplied.
    pub fn zoomed(self, factor: f64) -> Self {
        Self { zoom: (self.zoom * factor).clamp(0.4, 12.0), ..self }
    }

    /// Directions of the picture.
    pub fn axes(&self) -> Axes {
        let (sin_turn, cos_turn) = self.turn.to_radians().sin_cos();
        let (sin_tilt, cos_tilt) = self.tilt.to_radians().sin_cos();
        // The eye stands in front (+A) for turn 0 and to the left (-R) for 90.
        let eye = [-sin_turn * cos_tilt, cos_turn * cos_tilt, sin_tilt];
        Axes {
            right: [-cos_turn, -sin_turn, 0.0],
            up: [sin_turn * sin_tilt, -cos_turn * sin_tilt, cos_tilt],
            forward: eye.map(|v| -v),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::geometry::direction_letters;
    use super::*;

    fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    }

    #[test]
    fn facing_the_patient_their_left_is_on_our_right() {
        let axes = Camera { turn: 0.0, tilt: 0.0, ..Camera::default() }.axes();
        assert_eq!(direction_letters(axes.right), "L");
        assert_eq!(direction_letters(axes.up), "S");
        assert_eq!(direction_letters(axes.forward), "P");
        let left = Camera { turn: 90.0, tilt: 0.0, ..Camera::default() }.axes();
        assert_eq!(direction_letters(left.right), "P");
        assert_eq!(direction_letters(left.forward), "R");
    }

    #[test]
    fn the_picture_is_never_mirrored() {
        for (turn, tilt) in [(0.0, 0.0), (32.0, 16.0), (200.0, -70.0), (315.0, 90.0)] {
            let axes = Camera { turn, tilt, ..Camera::default() }.axes();
            let out = cross(axes.right, axes.up);
            assert!(out.iter().zip(axes.forward).all(|(o, f)| (o + f).abs() < 1e-12), "{axes:?}");
        }
    }

    #[test]
    fn the_near_side_follows_the_pointer() {
        let camera = Camera { turn: 0.0, tilt: 0.0, ..Camera::default() };
        // The nose (+A) is nearest; dragging right must move it to the right.
        let axes = camera.dragged([25.0, 0.0]).axes();
        assert!(axes.right[1] > 0.0);
        let axes = camera.dragged([0.0, 25.0]).axes();
        assert!(axes.up[1] < 0.0, "dragging down moves it down");
    }
}
