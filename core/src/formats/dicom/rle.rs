//! DICOM's run-length coding (PS3.5, annex G): byte planes, most significant first, each
//! packed as PackBits.

/// Unpacks `pixels` pixels of `size` bytes.
///
/// # Errors
/// In words, what is wrong with the segments.
pub(super) fn decode(bytes: &[u8], pixels: usize, size: usize) -> Result<Vec<u32>, String> {
    let word = |at: usize| {
        bytes.get(4 * at..4 * at + 4).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes)
    };
    let segments = word(0).ok_or("the run-length header is cut off")? as usize;
    if segments != size {
        return Err(format!("{segments} run-length segments where {size} are needed"));
    }
    let offsets: Vec<usize> =
        (1..=segments).map_while(word).map(|offset| offset as usize).collect();
    // Two bytes make 128 at most: a header's promise is held against that before memory is.
    if bytes.len().saturating_mul(64) < pixels {
        return Err(format!("{} run-length bytes cannot hold {pixels} pixels", bytes.len()));
    }
    let mut values = vec![0_u32; pixels];
    for (plane, &from) in offsets.iter().enumerate() {
        let to = offsets.get(plane + 1).copied().unwrap_or(bytes.len());
        let segment = bytes.get(from..to).ok_or("a run-length segment lies outside the data")?;
        let mut written = 0;
        let mut put = |byte: u8, times: usize| {
            for value in values.iter_mut().skip(written).take(times) {
                *value = *value << 8 | u32::from(byte);
            }
            written += times;
        };
        let mut at = 0;
        while let Some(&control) = segment.get(at) {
            match control {
                0..=127 => {
                    let end = (at + 2 + usize::from(control)).min(segment.len());
                    for &byte in &segment[at + 1..end] {
                        put(byte, 1);
                    }
                    at = end;
                }
                128 => at += 1,
                129.. => {
                    let Some(&byte) = segment.get(at + 1) else { break };
                    put(byte, 257 - usize::from(control));
                    at += 2;
                }
            }
        }
        if written < pixels {
            return Err(format!("a run-length segment holds {written} of {pixels} pixels"));
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(parts: &[&[u8]]) -> Vec<u8> {
        let mut bytes = (parts.len() as u32).to_le_bytes().to_vec();
        let mut at = 64_u32;
        for part in parts {
            bytes.extend(at.to_le_bytes());
            at += part.len() as u32;
        }
        bytes.resize(64, 0);
        parts.iter().for_each(|part| bytes.extend(*part));
        bytes
    }

    #[test]
    fn literal_and_repeated_runs() {
        // PS3.5 G.3.1: 0..127 copies n + 1 bytes, 129..255 repeats one byte 257 - n times.
        let high = [2, 1, 2, 3, 254, 9];
        let low = [251, 7];
        assert_eq!(
            decode(&segments(&[&high, &low]), 6, 2),
            Ok(vec![0x0107, 0x0207, 0x0307, 0x0907, 0x0907, 0x0907])
        );
    }

    #[test]
    fn short_and_stray_segments_are_told() {
        assert!(decode(&segments(&[&[254, 9]]), 6, 1).is_err_and(|e| e.contains("3 of 6")));
        assert!(decode(&segments(&[&[254, 9]]), 3, 2).is_err_and(|e| e.contains("1 run-length")));
        let mut stray = segments(&[&[254, 9]]);
        stray[4] = 255;
        assert!(decode(&stray, 3, 1).is_err_and(|e| e.contains("outside")));
        assert!(decode(&[1, 0], 3, 1).is_err_and(|e| e.contains("cut off")));
        assert!(
            decode(&segments(&[&[254, 9]]), 1 << 27, 1).is_err_and(|e| e.contains("cannot hold"))
        );
    }
}
