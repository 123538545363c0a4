//! Results to `.nii.gz` bytes: NIfTI-1, little-endian, sform and qform alike.

use crate::formats::{FormatError, gzip};
use crate::volume::{Affine, LabelMap, LabelTable, Volume};

const VOXEL_START: usize = 352;
/// NIFTI_INTENT_LABEL: the values are numbers of labels.
const INTENT_LABEL: i16 = 1002;
/// NIFTI_INTENT_VECTOR: a vector a voxel.
const INTENT_VECTOR: i16 = 1007;
/// NIFTI_XFORM_SCANNER_ANAT.
const SCANNER: i16 = 1;
/// Millimetres and seconds.
const UNITS: u8 = 2 | 8;

/// A label map as `.nii.gz`: the table's ids (for the brain, FreeSurfer's) as 16-bit
/// integers, 0 where the table has no label. Equal maps give equal bytes.
///
/// # Errors
/// [`FormatError::Write`] for sides or affines that NIfTI-1 cannot hold, and for data whose
/// length is not the product of its dimensions.
pub fn write_labels(map: &LabelMap, table: &LabelTable) -> Result<Vec<u8>, FormatError> {
    let ids = table.ids();
    let signed = ids.iter().all(|&id| i16::try_from(id).is_ok());
    let datatype = if signed { 4 } else { 512 };
    let header = header(map.dims, map.data.len(), &map.affine, datatype, 16, INTENT_LABEL)?;
    let voxels: Vec<u8> =
        map.data.iter().flat_map(|&index| ids[usize::from(index)].to_le_bytes()).collect();
    pack(&header, &voxels)
}

/// A volume as `.nii.gz`, 32-bit floats. Equal volumes give equal bytes.
///
/// # Errors
/// As [`write_labels`].
pub fn write_volume(volume: &Volume) -> Result<Vec<u8>, FormatError> {
    let header = header(volume.dims, volume.data.len(), &volume.affine, 16, 32, 0)?;
    let voxels: Vec<u8> = volume.data.iter().flat_map(|value| value.to_le_bytes()).collect();
    pack(&header, &voxels)
}

/// Displacements as `.nii.gz` in the convention of ITK and ANTs: five dimensions, the last
/// of three, intent vector, components in LPS millimetres. `displacement` holds RAS+
/// millimetres from a fixed point to the moving one, x fastest.
///
/// # Errors
/// As [`write_labels`].
pub fn write_displacement(
    displacement: &[[f32; 3]],
    dims: [usize; 3],
    affine: &Affine,
) -> Result<Vec<u8>, FormatError> {
    let mut header = header(dims, displacement.len(), affine, 16, 32, INTENT_VECTOR)?;
    for (field, value) in [(40, 5_i16), (48, 1), (50, 3)] {
        header[field..field + 2].copy_from_slice(&value.to_le_bytes());
    }
    // pixdim[5] is without meaning, and 0 is refused by some readers.
    header[96..100].copy_from_slice(&1.0_f32.to_le_bytes());
    let component = |axis: usize, sign: f32| {
        displacement.iter().flat_map(move |moved| (sign * moved[axis]).to_le_bytes())
    };
    let voxels: Vec<u8> =
        component(0, -1.0).chain(component(1, -1.0)).chain(component(2, 1.0)).collect();
    pack(&header, &voxels)
}

fn pack(header: &[u8], voxels: &[u8]) -> Result<Vec<u8>, FormatError> {
    gzip::pack(&[header, voxels]).map_err(|error| FormatError::Write {
        field: "the compressed file",
        expected: "writable".into(),
        actual: error.to_string(),
    })
}

fn header(
    dims: [usize; 3],
    voxels: usize,
    affine: &Affine,
    datatype: i16,
    bits: i16,
    intent: i16,
) -> Result<Vec<u8>, FormatError> {
    let cannot = |field, expected: &str, actual: String| FormatError::Write {
        field,
        expected: expected.into(),
        actual,
    };
    let mut sides = [1_i16; 8];
    sides[0] = 3;
    for (axis, &side) in dims.iter().enumerate() {
        sides[axis + 1] = i16::try_from(side)
            .ok()
            .filter(|&side| side > 0)
            .ok_or_else(|| cannot("a side", "1 to 32767 voxels", side.to_string()))?;
    }
    if dims.iter().product::<usize>() != voxels {
        return Err(cannot(
            "the number of voxels",
            &format!("that of {dims:?}"),
            voxels.to_string(),
        ));
    }
    affine.check().map_err(|error| {
        cannot("the orientation", "a matrix that spans space", error.to_string())
    })?;
    let spacing = affine.spacing_mm();
    let (quaternion, qfac, exact) = quaternion(affine);

    let mut bytes = vec![0; VOXEL_START];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    let float = |value: f64| (value as f32).to_le_bytes();
    put(0, &348_i32.to_le_bytes());
    for (axis, side) in sides.iter().enumerate() {
        put(40 + 2 * axis, &side.to_le_bytes());
    }
    put(68, &intent.to_le_bytes());
    put(70, &datatype.to_le_bytes());
    put(72, &bits.to_le_bytes());
    for (axis, length) in [qfac, spacing[0], spacing[1], spacing[2], 1.0].into_iter().enumerate() {
        put(76 + 4 * axis, &float(length));
    }
    put(108, &float(VOXEL_START as f64));
    put(112, &float(1.0));
    put(123, &[UNITS]);
    put(148, b"Prism");
    // A sheared affine has no quaternion: then only the sform may speak.
    put(252, &if exact { SCANNER } else { 0 }.to_le_bytes());
    put(254, &SCANNER.to_le_bytes());
    for (index, value) in quaternion.into_iter().enumerate() {
        put(256 + 4 * index, &float(value));
    }
    for (axis, row) in affine.0.iter().enumerate() {
        put(268 + 4 * axis, &float(row[3]));
        for (column, &value) in row.iter().enumerate() {
            put(280 + 16 * axis + 4 * column, &float(value));
        }
    }
    put(344, b"n+1\0");
    Ok(bytes)
}

/// (b, c, d) of the rotation nearest to the affine's axes, qfac, and whether they are that
/// rotation but for the spacing (to 0.1 %).
///
/// The nearest rotation is the orthogonal factor of the polar decomposition, by Newton's
/// iteration (Higham, SIAM J. Sci. Stat. Comput. 7, 1986); the quaternion follows
/// nifti1_io's `nifti_mat44_to_quatern`.
fn quaternion(affine: &Affine) -> ([f64; 3], f64, bool) {
    let spacing = affine.spacing_mm();
    let mut axes = Affine(
        affine.0.map(|row| [row[0] / spacing[0], row[1] / spacing[1], row[2] / spacing[2], 0.0]),
    );
    let qfac = if axes.determinant() < 0.0 { -1.0 } else { 1.0 };
    for row in &mut axes.0 {
        row[2] *= qfac;
    }
    let mut rotation = axes;
    for _ in 0..60 {
        let Ok(inverse) = rotation.inverse() else { break };
        let mut change = 0.0_f64;
        let mut next = rotation;
        for row in 0..3 {
            for column in 0..3 {
                let mean = 0.5 * (rotation.0[row][column] + inverse.0[column][row]);
                change = change.max((mean - rotation.0[row][column]).abs());
                next.0[row][column] = mean;
            }
        }
        rotation = next;
        if change < 1e-14 {
            break;
        }
    }
    let exact = (0..3).all(|row| {
        (0..3).all(|column| (rotation.0[row][column] - axes.0[row][column]).abs() < 1e-3)
    });
    let m = rotation.0;
    let trace = m[0][0] + m[1][1] + m[2][2] + 1.0;
    let (a, mut b, mut c, mut d);
    if trace > 0.5 {
        a = 0.5 * trace.sqrt();
        b = 0.25 * (m[2][1] - m[1][2]) / a;
        c = 0.25 * (m[0][2] - m[2][0]) / a;
        d = 0.25 * (m[1][0] - m[0][1]) / a;
    } else {
        let x = 1.0 + m[0][0] - m[1][1] - m[2][2];
        let y = 1.0 + m[1][1] - m[0][0] - m[2][2];
        let z = 1.0 + m[2][2] - m[0][0] - m[1][1];
        if x > 1.0 {
            b = 0.5 * x.sqrt();
            c = 0.25 * (m[0][1] + m[1][0]) / b;
            d = 0.25 * (m[0][2] + m[2][0]) / b;
            a = 0.25 * (m[2][1] - m[1][2]) / b;
        } else if y > 1.0 {
            c = 0.5 * y.sqrt();
            b = 0.25 * (m[0][1] + m[1][0]) / c;
            d = 0.25 * (m[1][2] + m[2][1]) / c;
            a = 0.25 * (m[0][2] - m[2][0]) / c;
        } else {
            d = 0.5 * z.sqrt();
            b = 0.25 * (m[0][2] + m[2][0]) / d;
            c = 0.25 * (m[1][2] + m[2][1]) / d;
            a = 0.25 * (m[1][0] - m[0][1]) / d;
        }
    }
    if a < 0.0 {
        (b, c, d) = (-b, -c, -d);
    }
    ([b, c, d], qfac, exact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{InputFile, Selection, load};
    use crate::volume::Label;

    fn table(ids: &[u16]) -> LabelTable {
        let label = |(at, &id): (usize, &u16)| Label {
            index: at as u8 + 1,
            id,
            name: format!("structure {id}"),
            color: [0; 3],
            side: None,
            pair: None,
        };
        LabelTable { labels: ids.iter().enumerate().map(label).collect() }
    }

    fn map() -> LabelMap {
        let affine = Affine([[0.0, -2.0, 0.0, 9.0], [1.5, 0.0, 0.0, -4.0], [0.0, 0.0, 3.0, 2.5]]);
        LabelMap { data: vec![0, 1, 2, 1, 0, 2, 9, 0], dims: [2, 2, 2], affine }
    }

    fn read(bytes: Vec<u8>) -> Volume {
        let files = [InputFile { name: "labels.nii.gz".into(), bytes }];
        let scan = load(&files, &Selection::default()).expect("what was written can be read");
        assert_eq!(scan.warnings, Vec::<String>::new());
        scan.volume
    }

    #[test]
    fn labels_come_back_as_their_ids_on_the_same_grid() {
        let volume = read(write_labels(&map(), &table(&[17, 53])).expect("writes"));
        assert_eq!(volume.data, [0.0, 17.0, 53.0, 17.0, 0.0, 53.0, 0.0, 0.0]);
        assert_eq!((volume.dims, volume.affine), (map().dims, map().affine));
        let large = read(write_labels(&map(), &table(&[17, 40_000])).expect("writes"));
        assert_eq!(large.data[2], 40_000.0);
    }

    #[test]
    fn displacements_lie_as_simpleitk_writes_them() {
        // SimpleITK: a 4 x 3 x 2 image of vectors (x + 10 y + 100 z, -x / 2, z / 4), spacing
        // 2, 1.5, 3, origin -9, 4, 2.5, direction 1 0 0, 0 -1 0, 0 0 1, written as NIfTI.
        let affine = Affine([[-2.0, 0.0, 0.0, 9.0], [0.0, 1.5, 0.0, -4.0], [0.0, 0.0, 3.0, 2.5]]);
        let field: Vec<[f32; 3]> = (0..24)
            .map(|at| [at % 4, at / 4 % 3, at / 12].map(|v| v as f32))
            .map(|[x, y, z]| [-(x + 10.0 * y + 100.0 * z), 0.5 * x, 0.25 * z])
            .collect();
        let packed = write_displacement(&field, [4, 3, 2], &affine).expect("writes");
        let mut bytes = Vec::new();
        let mut reader = flate2::read::GzDecoder::new(packed.as_slice());
        std::io::Read::read_to_end(&mut reader, &mut bytes).expect("a gzip file");
        let short = |at: usize| i16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let sides: Vec<i16> = (0..8).map(|k| short(40 + 2 * k)).collect();
        assert_eq!(sides, [5, 4, 3, 2, 1, 3, 1, 1]);
        assert_eq!((short(68), short(70), short(72)), (1007, 16, 32));
        let float = |at: usize| f32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
        let rows: Vec<f32> = (0..12).map(|k| float(280 + 4 * k)).collect();
        assert_eq!(rows, [-2.0, 0.0, 0.0, 9.0, 0.0, 1.5, 0.0, -4.0, 0.0, 0.0, 3.0, 2.5]);
        let values: Vec<f32> = (0..72).map(|k| float(352 + 4 * k)).collect();
        assert_eq!(values[..8], [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0]);
        assert_eq!((values[25], values[27], values[71]), (-0.5, -1.5, 0.25));
    }

    #[test]
    fn equal_input_gives_equal_bytes() {
        let once = write_labels(&map(), &table(&[17, 53]));
        assert_eq!(once, write_labels(&map(), &table(&[17, 53])));
        // RFC 1952: bytes 4 to 7 are the time, and there is none.
        assert_eq!(once.map(|bytes| bytes[4..8].to_vec()), Ok(vec![0; 4]));
    }

    #[test]
    fn what_the_format_cannot_hold_is_refused() {
        let field = |result: Result<Vec<u8>, FormatError>| match result {
            Err(FormatError::Write { field, .. }) => field,
            other => panic!("expected an error of writing, got {other:?}"),
        };
        let long = LabelMap { dims: [40_000, 1, 1], data: vec![0; 40_000], ..map() };
        assert_eq!(field(write_labels(&long, &table(&[17]))), "a side");
        let short = LabelMap { data: vec![0; 7], ..map() };
        assert_eq!(field(write_labels(&short, &table(&[17]))), "the number of voxels");
        let flat = LabelMap { affine: Affine([[0.0; 4]; 3]), ..map() };
        assert_eq!(field(write_labels(&flat, &table(&[17]))), "the orientation");
    }
}
