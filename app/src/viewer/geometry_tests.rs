//! Tests of [`super`]: sides, flips and round trips on grids in several orientations.

use super::*;

/// Sagittal acquisition as scanners store it: x runs to the back, y to the feet, z
/// to the right ("PIR"), 1 x 1 x 3 mm.
fn sagittal() -> Frame {
    let affine = Affine([[0.0, 0.0, 3.0, -88.5], [-1.0, 0.0, 0.0, 120.0], [0.0, -1.0, 0.0, 130.0]]);
    frame([256, 240, 60], affine)
}

fn frame(dims: [usize; 3], affine: Affine) -> Frame {
    let Ok(frame) = Frame::new(dims, affine) else { unreachable!("not singular") };
    frame
}

fn projection(plane: Plane, radiological: bool, frame: &Frame) -> Projection {
    Projection {
        plane,
        radiological,
        size: [400.0, 300.0],
        scale: 1.25,
        pan_mm: [7.0, -3.0],
        centre: frame.centre(),
    }
}

fn close<const N: usize>(a: [f64; N], b: [f64; N]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
}

#[test]
fn radiological_puts_the_patients_right_on_the_left() {
    assert_eq!(Plane::Axial.letters(true), ['R', 'L', 'A', 'P']);
    assert_eq!(Plane::Axial.letters(false), ['L', 'R', 'A', 'P']);
    assert_eq!(Plane::Coronal.letters(true), ['R', 'L', 'S', 'I']);
    for radiological in [true, false] {
        assert_eq!(Plane::Sagittal.letters(radiological), ['A', 'P', 'S', 'I']);
    }
}

#[test]
fn a_world_point_lands_on_the_side_its_letter_names() {
    // Whatever the storage order, a point further to the patient's right, front or
    // head must be drawn nearer to the edge that carries that letter.
    let las = Affine([[-2.0, 0.0, 0.0, 90.0], [0.0, 2.0, 0.0, -126.0], [0.0, 0.0, 2.0, -72.0]]);
    let oblique =
        Affine([[1.96, -0.3, 0.1, -80.0], [0.28, 1.9, -0.5, -100.0], [-0.02, 0.5, 1.9, -60.0]]);
    for frame in [sagittal(), frame([91, 109, 91], las), frame([91, 109, 91], oblique)] {
        let middle = frame.world_from_frame(frame.centre());
        for plane in Plane::ALL {
            for radiological in [true, false] {
                let projection = projection(plane, radiological, &frame);
                let from = projection.pixel(frame.frame_from_world(middle));
                let [left, right, top, bottom] = plane.letters(radiological);
                for (axis, letters) in [['R', 'L'], ['A', 'P'], ['S', 'I']].iter().enumerate() {
                    let mut moved = middle;
                    moved[axis] += 20.0;
                    let to = projection.pixel(frame.frame_from_world(moved));
                    let towards = letters[0];
                    if towards == left || letters[1] == right {
                        assert!(to[0] < from[0] - 10.0, "{plane:?} {towards}");
                    } else if towards == right || letters[1] == left {
                        assert!(to[0] > from[0] + 10.0, "{plane:?} {towards}");
                    }
                    if towards == top || letters[1] == bottom {
                        assert!(to[1] < from[1] - 10.0, "{plane:?} {towards}");
                    }
                }
            }
        }
    }
}

#[test]
fn frame_and_world_are_inverse() {
    let frame = sagittal();
    assert_eq!(frame.counts, [60, 256, 240]);
    assert_eq!(frame.spacing_mm, [3.0, 1.0, 1.0]);
    let world = [12.5, -33.0, 41.25];
    assert!(close(frame.world_from_frame(frame.frame_from_world(world)), world));
    let voxel = [17.0, 3.5, 40.0];
    assert!(close(frame.voxel_from_frame(frame.frame_from_voxel(voxel)), voxel));
    // Frame 0 is the left, back, foot corner.
    assert!(close(frame.world_from_frame([0.0; 3]), [-88.5, -135.0, -109.0]));
}

#[test]
fn pixel_and_point_are_inverse() {
    let frame = sagittal();
    for plane in Plane::ALL {
        let projection = projection(plane, true, &frame);
        let point = [60.0, 100.0, 80.0];
        assert!(close(projection.point(projection.pixel(point), point), point));
    }
}

#[test]
fn zoom_keeps_the_point_under_the_cursor() {
    let frame = sagittal();
    let view = PlaneView { zoom: 1.0, pan_mm: [7.0, -3.0] };
    let before = projection(Plane::Coronal, true, &frame);
    let pixel = [310.0, 40.0];
    let after_view = before.zoomed(view, pixel, 2.0);
    let after = Projection { scale: before.scale * 2.0, pan_mm: after_view.pan_mm, ..before };
    assert_eq!(after_view.zoom, 2.0);
    assert!(close(after.point(pixel, [0.0; 3]), before.point(pixel, [0.0; 3])));
    assert_eq!(before.zoomed(view, pixel, 1e6).zoom, ZOOM_RANGE.1);
}

#[test]
fn scrolling_lands_on_slice_centres_and_stops_at_the_ends() {
    let frame = sagittal();
    let between = frame.world_from_frame([40.0, 10.0, 10.0]);
    let stepped = frame.frame_from_world(frame.stepped(between, 0, 1));
    assert!(close(stepped, [42.0, 10.0, 10.0]), "slice 13 of 3 mm becomes 14: {stepped:?}");
    let end = frame.frame_from_world(frame.stepped(between, 0, 10_000));
    assert!(close(end, [177.0, 10.0, 10.0]));
    assert_eq!(frame.slice(0, end), 59);
    let start = frame.frame_from_world(frame.stepped(between, 0, -10_000));
    assert_eq!(frame.slice(0, start), 0);
}

#[test]
fn voxel_under_the_cursor_is_the_nearest_centre() {
    let frame = sagittal();
    let world = frame.world_from_frame(frame.frame_from_voxel([10.4, 20.6, 30.0]));
    assert_eq!(frame.voxel_at([256, 240, 60], world), Some([10, 21, 30]));
    assert_eq!(frame.voxel_at([256, 240, 60], [500.0, 0.0, 0.0]), None);
    let edge = frame.world_from_frame(frame.frame_from_voxel([-0.6, 0.0, 0.0]));
    assert_eq!(frame.voxel_at([256, 240, 60], edge), None);
}

#[test]
fn only_thick_slices_are_kept_apart() {
    assert_eq!(sagittal().thick_axes(), [0.0, 0.0, 1.0]);
    assert_eq!(frame([9, 9, 9], Affine::from_spacing([1.0, 1.0, 1.2])).thick_axes(), [0.0; 3]);
}

#[test]
fn fit_shows_every_plane_whole() {
    let extent = [180.0, 220.0, 150.0];
    let scale = fit_scale([500.0, 400.0], extent, None);
    assert!((scale - 0.96 * 400.0 / 220.0).abs() < 1e-9);
    let sagittal = fit_scale([500.0, 400.0], extent, Some(Plane::Sagittal));
    assert!((sagittal - 0.96 * 500.0 / 220.0).abs() < 1e-9);
}

#[test]
fn scale_bar_is_a_round_length() {
    assert_eq!(scale_bar_mm(500.0, 2.0), 50.0);
    assert_eq!(scale_bar_mm(500.0, 100.0), 1.0);
}

#[test]
fn directions_have_letters() {
    assert_eq!(direction_letters([0.0, 1.0, 0.0]), "A");
    assert_eq!(direction_letters([-0.7, 0.7, 0.1]).len(), 2);
    assert_eq!(direction_letters([-0.9, 0.43, 0.0]), "LA");
}

#[test]
fn rays_are_spared_the_empty_surroundings() {
    let dims = [80, 80, 80];
    let ball = |at: usize| {
        let voxel = [at % 80, at / 80 % 80, at / 6400].map(|v| v as f64 - 40.0);
        voxel.iter().map(|v| v * v).sum::<f64>() < 100.0
    };
    for [low, high] in content_box(dims, ball) {
        assert!(low <= 30.0 / 80.0 && low > 25.0 / 80.0, "{low}");
        assert!((50.0 / 80.0..56.0 / 80.0).contains(&high), "{high}");
    }
    assert_eq!(content_box(dims, |_| false), [[0.0, 1.0]; 3]);
}
