//! The table of lesions as CSV (RFC 4180), written as [`crate::report::structures_csv`] is.

use super::table::{Lesion, Signal};
use crate::volume::Side;

/// One line a lesion below a header.
pub fn lesions_csv(lesions: &[Lesion]) -> String {
    let mut text = String::from(
        "number,kind,volume_ml,longest_diameter_mm,place,region,side,probability,\
         r_mm,a_mm,s_mm,voxel_x,voxel_y,voxel_z,signal,oedema_ml\r\n",
    );
    for lesion in lesions {
        let side = match lesion.side {
            Some(Side::Left) => "left",
            Some(Side::Right) => "right",
            None => "",
        };
        let [r, a, s] = lesion.centre_mm;
        let [x, y, z] = lesion.voxel;
        let oedema = lesion.oedema_ml.map_or_else(String::new, |ml| format!("{ml:.4}"));
        text.push_str(&format!(
            "{},{},{:.4},{:.1},{},{},{side},{:.3},{r:.2},{a:.2},{s:.2},{x},{y},{z},{},{oedema}\r\n",
            lesion.number,
            lesion.kind,
            lesion.millilitres,
            lesion.diameter_mm,
            lesion.place.words(),
            lesion.region.as_deref().unwrap_or(""),
            lesion.probability,
            lesion.signal.map_or("", Signal::word),
        ));
    }
    text
}
