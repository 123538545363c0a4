//! Gzip as a bounded stream.
//!
//! A few kilobytes of gzip can unpack to gigabytes, so nothing here unpacks a whole
//! file: the reader takes the bytes that a header promised and no more, and the
//! promise is first held against [`most_unpacked`].

use std::io::{Read, Write};

use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder};

/// The two bytes every gzip member begins with (RFC 1952, 2.3.1).
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// DEFLATE cannot expand more than this: 258 bytes from 2 bits (zlib's technical notes).
const MOST_EXPANSION: u64 = 1032;

/// Whether the bytes begin as gzip does.
pub(super) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Upper bound of what `packed` bytes of gzip can unpack to.
pub(super) fn most_unpacked(packed: usize) -> u64 {
    (packed as u64).saturating_mul(MOST_EXPANSION)
}

/// A stream over all members of the file.
pub(super) fn stream(bytes: &[u8]) -> MultiGzDecoder<&[u8]> {
    MultiGzDecoder::new(bytes)
}

/// The first bytes of the content, at most `count`; fewer when it is shorter or damaged.
pub(super) fn peek(bytes: &[u8], count: usize) -> Vec<u8> {
    let mut start = Vec::with_capacity(count);
    let mut chunk = [0; 512];
    let mut stream = stream(bytes);
    while start.len() < count {
        let wanted = (count - start.len()).min(chunk.len());
        match stream.read(&mut chunk[..wanted]) {
            Ok(0) | Err(_) => break,
            Ok(read) => start.extend_from_slice(&chunk[..read]),
        }
    }
    start
}

/// How a stream ended.
pub(super) enum Ending {
    /// At its end, checksums right.
    Clean,
    /// There is more than was promised, or something that is not gzip.
    Excess,
    /// Damaged, in the decoder's words.
    Damaged(String),
}

/// Reads on to the end of the stream, for its checksum, giving up after `slack` bytes.
pub(super) fn finish(stream: &mut MultiGzDecoder<&[u8]>, slack: usize) -> Ending {
    let mut chunk = [0; 4096];
    let mut excess = 0;
    loop {
        match stream.read(&mut chunk) {
            Ok(0) if excess == 0 => return Ending::Clean,
            Ok(0) => return Ending::Excess,
            Ok(read) => excess += read,
            // Bytes after the last member that are no member: padding, as tape and some archives add.
            Err(error) if error.to_string().contains("invalid gzip header") => {
                return Ending::Excess;
            }
            Err(error) => return Ending::Damaged(error.to_string()),
        }
        if excess > slack {
            return Ending::Excess;
        }
    }
}

/// Packs the parts one after the other. No time and no name are stored, so equal input
/// gives equal bytes.
///
/// # Errors
/// None in practice: the target is memory.
pub(super) fn pack(parts: &[&[u8]]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::new(5));
    for part in parts {
        encoder.write_all(part)?;
    }
    encoder.finish()
}
