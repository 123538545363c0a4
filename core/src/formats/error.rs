//! What can be wrong with a file, in sentences for the person who dropped it.
//!
//! Every variant carries the subject, what was expected and what was found; the
//! sentence says what to do about it. File names come last, and no variant ever
//! holds a patient's name or number.

/// Why a scan could not be read or written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Nothing was given.
    #[error(
        "There is no file to read. Choose a NIfTI or NRRD file, a folder of DICOM files or a zip of them."
    )]
    NoFiles,
    /// The file has no bytes.
    #[error(
        "The file is empty (0 bytes): its copy or download did not finish. Copy it again. File: {name}"
    )]
    Empty {
        /// File name.
        name: String,
    },
    /// The content is no format known here.
    #[error("This is not a scan that can be read: it is {found}. {advice} File: {name}")]
    Unrecognised {
        /// What the bytes look like.
        found: String,
        /// What to do instead.
        advice: String,
        /// File name.
        name: String,
    },
    /// A header without the NIfTI magic: ANALYZE 7.5, whose orientation is unknown.
    #[error(
        "This is an ANALYZE 7.5 header, which does not say which side is left. Convert the original \
         scan to NIfTI (for example with dcm2niix) and use that. File: {name}"
    )]
    Analyze {
        /// File name.
        name: String,
    },
    /// Fewer bytes than the header asks for.
    #[error(
        "The {what} is incomplete: {expected} bytes are needed, {actual} are there. The copy or \
         download did not finish; copy the file again. File: {name}"
    )]
    Truncated {
        /// Which part is short.
        what: &'static str,
        /// Bytes that the header asks for.
        expected: u64,
        /// Bytes there (for a compressed file, at most).
        actual: u64,
        /// File name.
        name: String,
    },
    /// A header field outside what the standard allows.
    #[error(
        "The file's header is broken: {field} should be {expected} and is {actual}. Export the scan \
         again from its source. File: {name}"
    )]
    Header {
        /// The field, by the standard's name.
        field: &'static str,
        /// What the standard allows.
        expected: String,
        /// What the file says.
        actual: String,
        /// File name.
        name: String,
    },
    /// Voxels of a kind that is no grey-value image.
    #[error(
        "The voxels are {actual}; {expected} are supported. Convert the file to one of these \
         types. File: {name}"
    )]
    VoxelType {
        /// Types that work.
        expected: &'static str,
        /// Type in the file.
        actual: String,
        /// File name.
        name: String,
    },
    /// More than the memory of a browser page holds.
    #[error(
        "The {what} is too large: {actual}, and at most {expected} can be held in memory. Crop it or \
         reduce its resolution first. File: {name}"
    )]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// The cap.
        expected: String,
        /// What the file asks for.
        actual: String,
        /// File name.
        name: String,
    },
    /// Compressed bytes that cannot be unpacked.
    #[error("The {what} is damaged ({reason}). Copy or export the file again. File: {name}")]
    Damaged {
        /// Which part.
        what: &'static str,
        /// The decoder's words.
        reason: String,
        /// File name.
        name: String,
    },
    /// An archive with a password.
    #[error(
        "The zip archive is protected by a password. Unpack it first, then choose the files inside. File: {name}"
    )]
    Encrypted {
        /// File name.
        name: String,
    },
    /// A .hdr without its .img.
    #[error(
        "This header keeps its voxels in a second file ({expected}). Drop both files together. File: {name}"
    )]
    MissingPair {
        /// Name of the file that is missing.
        expected: String,
        /// File name of the header.
        name: String,
    },
    /// DICOM files, none of which is a picture that can form a volume.
    #[error(
        "The DICOM files hold no grey-value images ({found}). Export the image series itself, not \
         its reports, previews or screenshots."
    )]
    NoImages {
        /// What they hold.
        found: String,
    },
    /// Compressed pixels for which there is no decoder here.
    #[error("The images are stored as {title} ({uid}), which cannot be read here. {advice}")]
    TransferSyntax {
        /// Name of the transfer syntax.
        title: String,
        /// Its unique identifier.
        uid: String,
        /// What to do.
        advice: &'static str,
    },
    /// Slices that do not form a volume.
    #[error(
        "The slices do not form a volume: {reason}. Export the complete series again, or choose another one."
    )]
    Geometry {
        /// What is wrong with them.
        reason: String,
    },
    /// The series asked for is not among the files.
    #[error("There is no series \"{expected}\" among these files. There is: {actual}.")]
    UnknownSeries {
        /// Key asked for.
        expected: String,
        /// Keys and titles there are.
        actual: String,
    },
    /// The volume asked for is not in the series.
    #[error("Volume {expected} was asked for, but the series has {actual} (counted from 0).")]
    UnknownVolume {
        /// Index asked for.
        expected: usize,
        /// Number of volumes.
        actual: usize,
    },
    /// A result that the output format cannot hold.
    #[error("The result cannot be written as NIfTI: {field} should be {expected} and is {actual}.")]
    Write {
        /// Which property.
        field: &'static str,
        /// What the format holds.
        expected: String,
        /// What the result has.
        actual: String,
    },
}
