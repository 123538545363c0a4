//! NIfTI-1 and NIfTI-2 headers to one checked [`Header`].
//!
//! NIfTI-1's fields are read by the `nifti` crate. It knows no NIfTI-2 (0.17), and its
//! affine functions panic on spacings that files do hold, so NIfTI-2's fields, the
//! checks and the geometry (in `geometry`) are our own. Field names are the
//! standard's (nifti1.h, nifti2.h).

use nifti::NiftiHeader;

use super::geometry;
use crate::formats::{FormatError, MAX_VOXELS};
use crate::volume::Affine;

/// Bytes of the longer header; what to read before deciding.
pub(in crate::formats) const HEADER_BYTES: usize = 540;
const NIFTI1_BYTES: usize = 348;
/// Extensions may lie between header and voxels; nothing real has this much of them.
const MOST_OFFSET: f64 = 64.0 * 1024.0 * 1024.0;
/// What surely works, for messages; not every 128-bit float says how it is stored.
pub(in crate::formats) const SUPPORTED: &str =
    "integers of 8 to 64 bits and floats of 32 or 64 bits, alone or as complex pairs";

/// Byte order of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::formats) enum Order {
    Little,
    Big,
}

/// Voxel types that hold one grey value, or a complex number whose magnitude is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::formats) enum VoxelType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
    /// Two `f32`: real and imaginary part.
    C64,
    /// Two `f64`.
    C128,
    /// "long double": see `float128`.
    F128,
    /// Two `F128`.
    C256,
}

impl VoxelType {
    /// By the standard's `datatype` code.
    fn from_code(code: i16) -> Result<Self, String> {
        Ok(match code {
            2 => Self::U8,
            4 => Self::I16,
            8 => Self::I32,
            16 => Self::F32,
            64 => Self::F64,
            256 => Self::I8,
            512 => Self::U16,
            768 => Self::U32,
            1024 => Self::I64,
            1280 => Self::U64,
            1 => return Err("single bits".into()),
            32 => Self::C64,
            1792 => Self::C128,
            1536 => Self::F128,
            2048 => Self::C256,
            128 | 2304 => return Err("colours (RGB)".into()),
            _ => return Err(format!("of type {code}, which NIfTI does not define")),
        })
    }

    /// Bytes a voxel.
    pub(in crate::formats) const fn bytes(self) -> u64 {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::C64 => 8,
            Self::C128 | Self::F128 => 16,
            Self::C256 => 32,
        }
    }
}

/// The fields of either header that matter here, as stored.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub(super) dim: [i64; 8],
    datatype: i16,
    pub(super) pixdim: [f64; 8],
    vox_offset: f64,
    scl_slope: f64,
    scl_inter: f64,
    pub(super) xyzt_units: i32,
    pub(super) qform_code: i32,
    pub(super) sform_code: i32,
    /// quatern_b, _c, _d.
    pub(super) quatern: [f64; 3],
    /// qoffset_x, _y, _z.
    pub(super) qoffset: [f64; 3],
    pub(super) srow: [[f64; 4]; 3],
    descrip: Vec<u8>,
}

/// A header whose sizes are within the caps and whose affine places the volume.
#[derive(Clone, Debug)]
pub(in crate::formats) struct Header {
    /// 1 or 2.
    pub(in crate::formats) version: u8,
    /// Header and voxels in one file.
    pub(in crate::formats) single_file: bool,
    pub(in crate::formats) order: Order,
    /// Voxels along x, y, z.
    pub(in crate::formats) dims: [usize; 3],
    /// Product of the dimensions past the third.
    pub(in crate::formats) volumes: usize,
    pub(in crate::formats) voxel_type: VoxelType,
    /// First byte of the voxels in their file.
    pub(in crate::formats) offset: u64,
    /// Slope and intercept, where the file asks for scaling.
    pub(in crate::formats) scaling: Option<(f64, f64)>,
    pub(in crate::formats) affine: Affine,
    /// Whether the file states the spacing and its unit.
    pub(in crate::formats) unit_stated: bool,
    /// Whether the file does not say how the scan lies in the body.
    pub(in crate::formats) sides_assumed: bool,
    /// Time from a volume to the next in milliseconds, where the fourth axis is one of time.
    pub(in crate::formats) volume_step_ms: Option<f64>,
    /// Free text of the writer.
    pub(in crate::formats) descrip: Vec<u8>,
    pub(in crate::formats) warnings: Vec<String>,
}

fn order_and_version(bytes: &[u8]) -> Option<(Order, u8)> {
    let size = [*bytes.first()?, *bytes.get(1)?, *bytes.get(2)?, *bytes.get(3)?];
    match (i32::from_le_bytes(size), i32::from_be_bytes(size)) {
        (348, _) => Some((Order::Little, 1)),
        (_, 348) => Some((Order::Big, 1)),
        (540, _) => Some((Order::Little, 2)),
        (_, 540) => Some((Order::Big, 2)),
        _ => None,
    }
}

fn magic(bytes: &[u8], version: u8) -> Option<bool> {
    if version == 1 {
        match bytes.get(344..348)? {
            b"n+1\0" => Some(true),
            b"ni1\0" => Some(false),
            _ => None,
        }
    } else {
        match bytes.get(4..12)? {
            b"n+2\0\r\n\x1a\n" => Some(true),
            b"ni2\0\r\n\x1a\n" => Some(false),
            _ => None,
        }
    }
}

/// Whether the bytes begin with a NIfTI header (size field or magic; either may be broken).
pub(in crate::formats) fn is_nifti(bytes: &[u8]) -> bool {
    magic(bytes, 1).is_some()
        || magic(bytes, 2).is_some()
        || matches!(order_and_version(bytes), Some((_, 2)))
        || (matches!(order_and_version(bytes), Some((_, 1))) && bytes.len() < NIFTI1_BYTES)
}

/// Whether the bytes are a whole 348-byte header without magic.
pub(in crate::formats) fn is_analyze(bytes: &[u8]) -> bool {
    bytes.len() >= NIFTI1_BYTES
        && matches!(order_and_version(bytes), Some((_, 1)))
        && magic(bytes, 1).is_none()
}

/// Reads and checks a header from the first bytes of a file.
///
/// # Errors
/// [`FormatError::Truncated`], [`FormatError::Header`], [`FormatError::VoxelType`],
/// [`FormatError::TooLarge`]; all before anything is allocated.
pub(in crate::formats) fn read(bytes: &[u8], name: &str) -> Result<Header, FormatError> {
    let broken = |field, expected: &str, actual: String| FormatError::Header {
        field,
        expected: expected.into(),
        actual,
        name: name.into(),
    };
    let Some((order, version)) = order_and_version(bytes) else {
        let size = Reader { bytes, order: Order::Little }.i32(0);
        return Err(broken("sizeof_hdr", "348 or 540", size.to_string()));
    };
    let needed = if version == 1 { NIFTI1_BYTES } else { HEADER_BYTES };
    if bytes.len() < needed {
        return Err(FormatError::Truncated {
            what: "header",
            expected: needed as u64,
            actual: bytes.len() as u64,
            name: name.into(),
        });
    }
    let Some(single_file) = magic(bytes, version) else {
        return Err(broken("magic", "n+1, ni1, n+2 or ni2", "something else".into()));
    };
    let dimensions = if version == 1 {
        i64::from(Reader { bytes, order }.i16(40))
    } else {
        Reader { bytes, order }.i64(16)
    };
    if !(1..=7).contains(&dimensions) {
        return Err(broken("dim[0], the number of dimensions,", "1 to 7", dimensions.to_string()));
    }
    let fields = if version == 1 {
        // The crate finds the byte order by dim[0], which was just seen to be 1 to 7 in ours.
        let header = NiftiHeader::from_reader(&bytes[..NIFTI1_BYTES])
            .map_err(|error| broken("header", "a NIfTI-1 header", error.to_string()))?;
        Fields::from_nifti1(&header)
    } else {
        Fields::from_nifti2(&Reader { bytes, order })
    };
    check(fields, order, version, single_file, name)
}

fn check(
    fields: Fields,
    order: Order,
    version: u8,
    single_file: bool,
    name: &str,
) -> Result<Header, FormatError> {
    const AXES: [&str; 8] =
        ["dim[0]", "dim[1]", "dim[2]", "dim[3]", "dim[4]", "dim[5]", "dim[6]", "dim[7]"];
    let broken = |field, expected: &str, actual: String| FormatError::Header {
        field,
        expected: expected.into(),
        actual,
        name: name.into(),
    };
    let mut warnings = Vec::new();
    let mut sides = [1_u64; 8];
    for axis in 1..=fields.dim[0].clamp(1, 7) as usize {
        sides[axis] =
            u64::try_from(fields.dim[axis]).ok().filter(|&side| side > 0).ok_or_else(|| {
                broken(AXES[axis], "a positive number of voxels", fields.dim[axis].to_string())
            })?;
    }
    let product = |sides: &[u64]| sides.iter().try_fold(1_u64, |all, &side| all.checked_mul(side));
    let voxels = product(&sides[1..4]).filter(|&voxels| voxels <= MAX_VOXELS);
    if voxels.is_none() {
        return Err(FormatError::TooLarge {
            what: "volume",
            expected: format!("{MAX_VOXELS} voxels"),
            actual: format!("{} x {} x {} voxels", sides[1], sides[2], sides[3]),
            name: name.into(),
        });
    }
    let voxel_type = VoxelType::from_code(fields.datatype).map_err(|actual| {
        FormatError::VoxelType { expected: SUPPORTED, actual, name: name.into() }
    })?;
    if matches!(voxel_type, VoxelType::C64 | VoxelType::C128 | VoxelType::C256) {
        warnings.push("The voxels are complex numbers: their magnitudes were read.".into());
    }
    // u64 holds offset + volumes * voxels * 32 as long as the volumes stay below this.
    let volumes = product(&sides[4..]).filter(|&volumes| volumes <= u64::from(u32::MAX));
    let Some(volumes) = volumes else {
        return Err(broken("dim[4] to dim[7]", "at most 4294967295 volumes", "more".into()));
    };

    let least = match (single_file, version) {
        (false, _) => 0.0,
        (true, 1) => 352.0,
        (true, _) => 544.0,
    };
    if !fields.vox_offset.is_finite() || fields.vox_offset > MOST_OFFSET {
        return Err(broken("vox_offset", "at most 64 MiB", format!("{:e}", fields.vox_offset)));
    }
    if single_file && fields.vox_offset < least && fields.vox_offset != 0.0 {
        warnings.push(format!(
            "The header places the voxels inside itself (vox_offset {}); they were read from byte {least}.",
            fields.vox_offset
        ));
    }
    let placement = geometry::affine(&fields);
    placement.affine.check().map_err(|error| {
        broken("the orientation", "a matrix that spans space", error.to_string())
    })?;
    warnings.extend(placement.warnings);

    let slope = fields.scl_slope;
    let inter = if fields.scl_inter.is_finite() { fields.scl_inter } else { 0.0 };
    let scaling = (slope.is_finite() && slope != 0.0 && (slope, inter) != (1.0, 0.0))
        .then_some((slope, inter));
    Ok(Header {
        version,
        single_file,
        order,
        dims: [sides[1] as usize, sides[2] as usize, sides[3] as usize],
        volumes: volumes as usize,
        voxel_type,
        offset: fields.vox_offset.max(least) as u64,
        scaling,
        affine: placement.affine,
        unit_stated: placement.unit_stated,
        sides_assumed: placement.sides_assumed,
        // A fifth axis is none of time, so the volumes' order would say nothing.
        volume_step_ms: (volumes > 1 && volumes == sides[4])
            .then(|| geometry::volume_step_ms(&fields))
            .flatten(),
        descrip: fields.descrip,
        warnings,
    })
}

impl Fields {
    fn from_nifti1(header: &NiftiHeader) -> Self {
        Self {
            // The crate reads the standard's signed shorts as unsigned.
            dim: header.dim.map(|side| i64::from(side as i16)),
            datatype: header.datatype,
            pixdim: header.pixdim.map(f64::from),
            vox_offset: f64::from(header.vox_offset),
            scl_slope: f64::from(header.scl_slope),
            scl_inter: f64::from(header.scl_inter),
            xyzt_units: i32::from(header.xyzt_units),
            qform_code: i32::from(header.qform_code),
            sform_code: i32::from(header.sform_code),
            quatern: [header.quatern_b, header.quatern_c, header.quatern_d].map(f64::from),
            qoffset: [header.quatern_x, header.quatern_y, header.quatern_z].map(f64::from),
            srow: [header.srow_x, header.srow_y, header.srow_z].map(|row| row.map(f64::from)),
            descrip: header.descrip.clone(),
        }
    }

    /// Offsets as in nifti2.h.
    fn from_nifti2(reader: &Reader<'_>) -> Self {
        let row = |at: usize| [0, 1, 2, 3].map(|column| reader.f64(at + 8 * column));
        Self {
            dim: std::array::from_fn(|axis| reader.i64(16 + 8 * axis)),
            datatype: reader.i16(12),
            pixdim: std::array::from_fn(|axis| reader.f64(104 + 8 * axis)),
            vox_offset: reader.i64(168) as f64,
            scl_slope: reader.f64(176),
            scl_inter: reader.f64(184),
            qform_code: reader.i32(344),
            sform_code: reader.i32(348),
            quatern: [352, 360, 368].map(|at| reader.f64(at)),
            qoffset: [376, 384, 392].map(|at| reader.f64(at)),
            srow: [row(400), row(432), row(464)],
            xyzt_units: reader.i32(500),
            descrip: reader.bytes.get(240..320).unwrap_or_default().to_vec(),
        }
    }
}

/// Numbers at fixed places of a header whose length was checked; past its end, zero.
struct Reader<'a> {
    bytes: &'a [u8],
    order: Order,
}

impl Reader<'_> {
    fn take<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut number = [0; N];
        if let Some(bytes) = self.bytes.get(at..at + N) {
            number.copy_from_slice(bytes);
        }
        if self.order == Order::Big {
            number.reverse();
        }
        number
    }

    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.take(at))
    }

    fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.take(at))
    }

    fn i64(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.take(at))
    }

    fn f64(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.take(at))
    }
}
