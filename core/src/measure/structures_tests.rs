//! Volumes and positions against geometry worked out in numpy; the expressions stand
//! beside the numbers.

use super::*;
use crate::volume::{Label, offset};

fn label(index: u8, id: u16, name: &str) -> Label {
    Label { index, id, name: name.into(), color: [1, 2, 3], side: None, pair: None }
}

fn paired(index: u8, id: u16, name: &str, side: Side, pair: u8) -> Label {
    Label { side: Some(side), pair: Some(pair), ..label(index, id, name) }
}

fn map(dims: [usize; 3], affine: Affine, of: impl Fn([usize; 3]) -> u8) -> LabelMap {
    let mut data = Vec::new();
    for z in 0..dims[2] {
        for y in 0..dims[1] {
            for x in 0..dims[0] {
                data.push(of([x, y, z]));
            }
        }
    }
    LabelMap { data, dims, affine }
}

fn hippocampi() -> LabelTable {
    LabelTable {
        labels: vec![
            paired(1, 17, "Left-Hippocampus", Side::Left, 2),
            paired(2, 53, "Right-Hippocampus", Side::Right, 1),
            label(3, 24, "CSF"),
        ],
    }
}

fn near(actual: f64, expected: f64, tolerance: f64) {
    assert!((actual - expected).abs() <= tolerance, "{actual} is not {expected}");
}

#[test]
fn a_sphere_in_a_turned_grid_has_its_volume() {
    // M = Rz(30 deg) @ Rx(20 deg) @ diag(1, 1.25, 2), rounded to 6 decimals;
    // w = M @ ijk + t; mask = |w - c| < 16; numpy 2.4:
    // mask.sum() = 6874, det(M) = 2.499998530304995, 17.184989897316537 mL,
    // M @ argwhere(mask).mean(0) + t = [-11.47754095, 0.32022687, 13.72490973];
    // 4/3 pi 16^3 = 17.157 mL.
    let affine = Affine([
        [0.866_025, -0.587_308, 0.342_02, -30.0],
        [0.5, 1.017_247, -0.592_396, -28.0],
        [0.0, 0.427_525, 1.879_385, -31.0],
    ]);
    let centre = [-11.472, 0.309, 13.713];
    let labels = map([60, 48, 40], affine, |voxel| {
        let world = affine.apply(voxel.map(|v| v as f64));
        let distance: f64 = (0..3).map(|a| (world[a] - centre[a]).powi(2)).sum();
        u8::from(distance < 256.0)
    });
    let rows = structures(&labels, &hippocampi());
    assert_eq!(rows[0].voxels, 6874);
    near(rows[0].millilitres, 17.184_989_897_316_537, 1e-9);
    near(rows[0].millilitres, 17.157_284_678_805_055, 0.05);
    let Some(centroid) = rows[0].centroid_mm else { unreachable!("found") };
    for (value, expected) in centroid.iter().zip([-11.477_540_95, 0.320_226_87, 13.724_909_73]) {
        near(*value, expected, 1e-7);
    }
    assert_eq!(rows[0].edge_voxels, 0);
    assert_eq!((rows[1].voxels, rows[1].centroid_mm, rows[1].nearest_voxel), (0, None, None));
}

#[test]
fn scattered_labels_match_numpy() {
    // L = (i*i + 3*j*k + 5*j + k*k*i) % 7 on (11, 7, 5); A below; for each label
    // len(idx), len(idx) * det(A) / 1000, A @ idx.mean(0) + t,
    // idx[(((idx - idx.mean(0)) @ A.T)**2).sum(1).argmin()],
    // ((idx == 0) | (idx == dims - 1)).any(1).sum()
    let affine = Affine([[0.9, 0.3, -0.2, 4.0], [-0.1, 1.6, 0.25, -5.0], [0.15, -0.2, 3.1, 6.0]]);
    let labels = map([11, 7, 5], affine, |[i, j, k]| {
        let value = (i * i + 3 * j * k + 5 * j + k * k * i) % 7;
        if value <= 3 { value as u8 } else { 9 }
    });
    let rows = structures(&labels, &hippocampi());
    type Expected = (u64, f64, [f64; 3], [usize; 3], u64);
    let expected: [Expected; 3] = [
        (72, 0.335_322, [9.306_944_444, -0.157_638_889, 13.1375], [5, 3, 2], 46),
        (44, 0.204_919, [8.927_272_727, -0.917_045_455, 11.656_818_182], [4, 3, 2], 29),
        (65, 0.302_721_25, [8.830_769_231, 0.155_384_615, 12.757_692_308], [2, 3, 2], 35),
    ];
    for (row, (voxels, millilitres, centroid, nearest, edge)) in rows.iter().zip(expected) {
        assert_eq!((row.voxels, row.nearest_voxel, row.edge_voxels), (voxels, Some(nearest), edge));
        near(row.millilitres, millilitres, 1e-9);
        for (value, expected) in row.centroid_mm.unwrap_or_default().iter().zip(centroid) {
            near(*value, expected, 1e-8);
        }
    }
}

#[test]
fn boxes_of_known_size_have_the_asymmetry_of_the_formula() {
    // 10 x 10 x 10 and 8 x 10 x 10 voxels of 1 x 1 x 2 mm: 2 mL and 1.6 mL;
    // 100 * (2 - 1.6) / ((2 + 1.6) / 2) = 22.22222222222222.
    let labels = map([30, 20, 14], Affine::from_spacing([1.0, 1.0, 2.0]), |[x, y, z]| {
        let inside = (5..15).contains(&y) && (2..12).contains(&z);
        match x {
            2..12 if inside => 1,
            15..23 if inside => 2,
            _ => 0,
        }
    });
    let rows = structures(&labels, &hippocampi());
    near(rows[0].millilitres, 2.0, 1e-12);
    near(rows[1].millilitres, 1.6, 1e-12);
    for row in &rows[..2] {
        near(row.asymmetry_percent.unwrap_or_default(), 22.222_222_222_222_22, 1e-9);
    }
    near(rows[0].percent_of_brain, 100.0 * 2.0 / 3.6, 1e-9);
    // No fluid was labelled, so no intracranial volume is claimed.
    assert_eq!((rows[2].voxels, rows[0].percent_of_icv), (0, None));
    assert_eq!(asymmetry_percent(0.0, 1.0), None);
}

#[test]
fn a_ring_is_entered_at_its_rim() {
    let labels = map([21, 21, 3], Affine::from_spacing([1.0; 3]), |[x, y, z]| {
        let r2 = (x as f64 - 10.0).powi(2) + (y as f64 - 10.0).powi(2);
        u8::from(z == 1 && (36.0..64.0).contains(&r2))
    });
    let row = &structures(&labels, &hippocampi())[0];
    let centroid = row.centroid_mm.unwrap_or_default();
    near(centroid[0], 10.0, 1e-9);
    let voxel = row.nearest_voxel.unwrap_or_default();
    assert_eq!(labels.data[offset(labels.dims, voxel)], 1);
    let r2: f64 = voxel[..2].iter().map(|&v| (v as f64 - 10.0).powi(2)).sum();
    near(r2, 36.0, 1e-9);
}

#[test]
fn faces_are_named_in_the_world() {
    // Stored LPS: voxel x runs to the left, y to the back.
    let affine = Affine([[-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
    let labels = map([6, 6, 6], affine, |[x, y, z]| u8::from(x == 0 && y == 5 && z < 3));
    let row = &structures(&labels, &hippocampi())[0];
    assert_eq!(row.edge_faces, [Face::Right, Face::Posterior, Face::Inferior]);
    assert_eq!(row.edge_voxels, 3);
}

#[test]
fn the_intracranial_volume_needs_fluid_around_the_brain() {
    let brain = |fluid: usize| {
        let labels = map([100, 10, 1], Affine::from_spacing([1.0; 3]), |[x, _, _]| {
            if x < fluid { 3 } else { 1 + u8::from(x % 2 == 0) }
        });
        Totals::of(&structures(&labels, &hippocampi()))
    };
    // A quarter of the voxels is fluid: brain 0.75 mL, all 1 mL.
    let whole = brain(25);
    near(whole.brain_millilitres, 0.75, 1e-12);
    near(whole.icv_millilitres.unwrap_or_default(), 1.0, 1e-12);
    // One percent is a sliver between the ventricles.
    let sliver = brain(1);
    assert_eq!(sliver.icv_millilitres, None);
    assert!(sliver.icv_definition.contains("too little fluid"), "{}", sliver.icv_definition);
    assert!(whole.is_brain && whole.ventricles_millilitres.is_none());
}

#[test]
fn other_packs_refer_to_all_labels() {
    let table = LabelTable {
        labels: vec![label(1, 2, "Liver"), label(2, 3, "Spleen"), label(3, 24, "Aorta")],
    };
    let labels = map([10, 1, 1], Affine::from_spacing([10.0; 3]), |[x, _, _]| match x {
        0..6 => 1,
        6..9 => 2,
        _ => 0,
    });
    let rows = structures(&labels, &table);
    let totals = Totals::of(&rows);
    assert!(!totals.is_brain);
    near(totals.brain_millilitres, 9.0, 1e-12);
    near(rows[0].percent_of_brain, 100.0 * 6.0 / 9.0, 1e-9);
    assert_eq!((totals.structures, totals.found, totals.cut), (3, 2, 2));
}
