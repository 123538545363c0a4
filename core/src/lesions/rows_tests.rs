//! Rows of drawn lesions.

use super::*;
use crate::lesions::lesions_csv;
use crate::lesions::table::Signal;
use crate::volume::{Label, Side};

/// A brain of 40^3 voxels of 1 mm: left white matter (1), a ventricle (2) and a thin cortex (3).
fn brain() -> (LabelMap, LabelTable) {
    let dims = [40; 3];
    let mut data = vec![0_u8; 64_000];
    for z in 2..38 {
        for y in 2..38 {
            for x in 2..38 {
                let shell = [x, y, z].iter().any(|&v| v == 2 || v == 37);
                let ventricle = [x, y, z].iter().all(|&v| (18..22).contains(&v));
                data[offset(dims, [x, y, z])] = if shell { 3 } else { 1 + u8::from(ventricle) };
            }
        }
    }
    let affine = Affine([[1.0, 0.0, 0.0, -20.0], [0.0, 1.0, 0.0, -20.0], [0.0, 0.0, 1.0, -20.0]]);
    let label = |index, id, name: &str| Label {
        index,
        id,
        name: name.into(),
        color: [0; 3],
        side: Some(Side::Left),
        pair: None,
    };
    let labels = vec![
        label(1, 2, "Left-Cerebral-White-Matter"),
        label(2, 4, "Left-Lateral-Ventricle"),
        label(3, 3, "Left-Cerebral-Cortex"),
    ];
    (LabelMap { data, dims, affine }, LabelTable { labels })
}

fn paint(map: &mut LabelMap, low: [usize; 3], high: [usize; 3]) {
    paint_as(1, map, low, high);
}

fn paint_as(class: u8, map: &mut LabelMap, low: [usize; 3], high: [usize; 3]) {
    for z in low[2]..high[2] {
        for y in low[1]..high[1] {
            for x in low[0]..high[0] {
                map.data[offset(map.dims, [x, y, z])] = class;
            }
        }
    }
}

#[test]
fn lesions_are_measured_and_placed() {
    let (brain, table) = brain();
    let kinds = LabelTable {
        labels: vec![Label { name: "White-Matter-Lesion".into(), ..table.labels[0].clone() }],
    };
    let mut map = LabelMap { data: vec![0; 64_000], ..brain.clone() };
    paint(&mut map, [23, 19, 19], [27, 22, 22]); // 36 voxels, 2 mm from the ventricle
    paint(&mut map, [8, 8, 8], [11, 11, 11]); // 27 voxels, deep
    paint(&mut map, [30, 30, 30], [32, 32, 32]); // 8 voxels: too small
    paint(&mut map, [0, 0, 0], [2, 40, 2]); // outside the brain
    // The first brighter than what is around it, the second like it.
    let mut grey = vec![100.0; 64_000];
    let bright = (0..64_000).filter(|&at| map.data[at] != 0 && at % 40 >= 23);
    bright.for_each(|at| grey[at] = 140.0);
    let rows = lesions(&mut map, &vec![0.75; 64_000], &kinds, (&brain, &table), &grey);
    assert_eq!(rows.len(), 2);
    assert_eq!([rows[0].signal, rows[1].signal], [Some(Signal::Bright), None]);
    // The table says so in its last column but one; what was stored without it can be read.
    let lines = lesions_csv(&rows);
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines[0].ends_with(",voxel_z,signal,oedema_ml"), "{}", lines[0]);
    assert!(lines[1].ends_with(",bright,") && lines[2].ends_with(",9,9,9,,"), "{lines:?}");
    let mut stored = serde_json::to_value(&rows[0]).unwrap_or_default();
    assert_eq!(stored["signal"], "bright");
    if let Some(fields) = stored.as_object_mut() {
        fields.remove("signal");
        fields.remove("oedema_ml");
    }
    let read = serde_json::from_value::<Lesion>(stored);
    let read = read.map(|row| (row.number, row.signal, row.oedema_ml));
    assert_eq!(read.ok(), Some((1, None, None)));
    assert_eq!((rows[0].number, rows[0].place), (1, Place::Periventricular));
    assert!((rows[0].millilitres - 0.036).abs() < 1e-9);
    // Between opposite corners of 4 x 3 x 3 voxels: sqrt(9 + 4 + 4).
    assert!((rows[0].diameter_mm - 17.0_f64.sqrt()).abs() < 1e-9);
    assert_eq!((rows[1].place, rows[1].voxel), (Place::Deep, [9, 9, 9]));
    assert!(rows[1].centre_mm.iter().all(|mm| (mm + 11.0).abs() < 1e-9));
    assert_eq!(rows[1].side, Some(Side::Left));
    // What is no lesion is gone from the map.
    assert_eq!(map.data.iter().filter(|&&class| class != 0).count(), 63);
}

#[test]
fn a_mass_in_its_oedema_is_a_row_of_its_own() {
    let (brain, table) = brain();
    let kind = |index, name: &str| Label { index, name: name.into(), ..table.labels[0].clone() };
    let kinds = LabelTable {
        labels: vec![kind(1, "White-Matter-Lesion"), kind(2, "Mass"), kind(3, "Oedema")],
    };
    let mut map = LabelMap { data: vec![0; 64_000], ..brain.clone() };
    paint_as(3, &mut map, [5, 5, 5], [17, 17, 17]); // oedema, 12^3 voxels around
    paint_as(2, &mut map, [8, 8, 8], [13, 12, 12]); // a core of 5 x 4 x 4
    paint_as(1, &mut map, [9, 9, 9], [10, 10, 11]); // two voxels of another kind in the core
    let rows =
        lesions(&mut map, &vec![0.75; 64_000], &kinds, (&brain, &table), &vec![100.0; 64_000]);
    let seen: Vec<(&str, u8)> = rows.iter().map(|row| (row.kind.as_str(), row.class)).collect();
    assert_eq!(seen, [("oedema", 3), ("mass", 2)]);
    assert!((rows[0].millilitres - 1.648).abs() < 1e-9, "{}", rows[0].millilitres);
    // The two voxels are part of the core, which is 5 x 4 x 4 mm: sqrt(16 + 9 + 9).
    assert!((rows[1].millilitres - 0.080).abs() < 1e-9, "{}", rows[1].millilitres);
    assert!((rows[1].diameter_mm - 34.0_f64.sqrt()).abs() < 1e-9, "{}", rows[1].diameter_mm);
    // Rows and map agree kind by kind.
    assert_eq!([1, 2, 3].map(|class| map.counts()[class]), [0, 80, 1648]);
    // The mass names the oedema around it, in the table's last column, too.
    assert_eq!([rows[0].oedema_ml, rows[1].oedema_ml], [None, Some(rows[0].millilitres)]);
    assert_eq!(rows[0].oedema_words(), None);
    assert_eq!(rows[1].oedema_words().as_deref(), Some("with 1.6 mL of oedema around it"));
    let lines = lesions_csv(&rows);
    let last: Vec<_> = lines.lines().map(|line| line.rsplit(',').next()).collect();
    assert_eq!(last, [Some("oedema_ml"), Some(""), Some("1.6480")]);
}

#[test]
fn a_mass_names_only_oedema_that_shares_a_face_with_it() {
    let (brain, table) = brain();
    let kind = |index, name: &str| Label { index, name: name.into(), ..table.labels[0].clone() };
    let kinds = LabelTable { labels: vec![kind(2, "Mass"), kind(3, "Oedema")] };
    let mut map = LabelMap { data: vec![0; 64_000], ..brain.clone() };
    paint_as(2, &mut map, [25, 25, 25], [28, 28, 28]);
    paint_as(3, &mut map, [28, 25, 25], [30, 28, 28]); // 18 voxels at one side
    paint_as(3, &mut map, [25, 25, 22], [28, 28, 25]); // 27 voxels at another
    paint_as(3, &mut map, [28, 28, 28], [31, 31, 31]); // 27 voxels with a corner in common
    paint_as(2, &mut map, [8, 28, 28], [11, 31, 31]); // a mass alone
    let grey = vec![100.0; 64_000];
    let rows = lesions(&mut map, &vec![0.75; 64_000], &kinds, (&brain, &table), &grey);
    assert_eq!(rows.len(), 5);
    let masses = |x: usize| rows.iter().find(|row| row.class == 2 && row.voxel[0] == x);
    let near = masses(26).and_then(|row| row.oedema_ml).unwrap_or_default();
    assert!((near - 0.045).abs() < 1e-9, "{near}");
    let words = masses(26).and_then(Lesion::oedema_words);
    assert!(words.is_some_and(|words| words.starts_with("with 0.0")), "{near}");
    assert_eq!(masses(9).map(|row| row.oedema_ml), Some(None));
}
