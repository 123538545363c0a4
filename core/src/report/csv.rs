//! The table of structures as CSV (RFC 4180).
//!
//! Written for machines: header names carry the unit, decimals have dots, empty fields
//! mean "not known", lines end in CR LF, and the text is UTF-8 without a byte-order mark.

use crate::measure::{Caution, StructureVolume};
use crate::volume::Side;

/// Columns, in order.
pub const COLUMNS: [&str; 22] = [
    "index",
    "id",
    "name",
    "display_name",
    "region",
    "side",
    "voxels",
    "volume_ml",
    "percent_of_brain",
    "percent_of_intracranial",
    "asymmetry_percent",
    "centroid_r_mm",
    "centroid_a_mm",
    "centroid_s_mm",
    "voxel_x",
    "voxel_y",
    "voxel_z",
    "edge_voxels",
    "edge_faces",
    "color",
    "unit_stated",
    "caution",
];

/// One line a structure, found or not, below a header. Where the file does not state the size
/// of its voxels or its unit, the millilitres are assumed ones.
pub fn structures_csv(rows: &[StructureVolume], unit_stated: bool) -> String {
    let mut text = line(COLUMNS.map(str::to_owned).as_slice());
    for row in rows {
        text.push_str(&line(&fields(row, unit_stated)));
    }
    text
}

fn fields(row: &StructureVolume, unit_stated: bool) -> [String; 22] {
    let optional = |value: Option<f64>, decimals: usize| {
        value.map_or_else(String::new, |value| format!("{value:.decimals$}"))
    };
    let centroid = |axis: usize| optional(row.centroid_mm.map(|mm| mm[axis]), 3);
    let voxel = |axis: usize| row.nearest_voxel.map_or_else(String::new, |v| v[axis].to_string());
    let faces: Vec<&str> = row.edge_faces.iter().map(|face| face.name()).collect();
    let [red, green, blue] = row.color;
    let caution = row.caution.as_ref().filter(|_| row.voxels > 0);
    [
        row.index.to_string(),
        row.id.to_string(),
        row.name.clone(),
        row.display_name.clone(),
        row.region.title().to_owned(),
        match row.side {
            Some(Side::Left) => "left".to_owned(),
            Some(Side::Right) => "right".to_owned(),
            None => String::new(),
        },
        row.voxels.to_string(),
        format!("{:.4}", row.millilitres),
        format!("{:.4}", row.percent_of_brain),
        optional(row.percent_of_icv, 4),
        optional(row.asymmetry_percent, 4),
        centroid(0),
        centroid(1),
        centroid(2),
        voxel(0),
        voxel(1),
        voxel(2),
        row.edge_voxels.to_string(),
        faces.join(" "),
        format!("#{red:02x}{green:02x}{blue:02x}"),
        unit_stated.to_string(),
        caution.map_or_else(String::new, Caution::words),
    ]
}

/// Fields separated by commas; those with a comma, a quote or a line break in quotes,
/// with quotes doubled.
fn line(fields: &[String]) -> String {
    let escaped: Vec<String> = fields
        .iter()
        .map(|field| {
            if field.contains([',', '"', '\r', '\n']) {
                format!("\"{}\"", field.replace('"', "\"\""))
            } else {
                field.clone()
            }
        })
        .collect();
    escaped.join(",") + "\r\n"
}
