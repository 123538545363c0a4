//! Small islands removed from a label map.

use crate::volume::neighbours::faces;
use crate::volume::pieces::Pieces;

/// Islands smaller than this part of their structure's largest piece go.
const SMALL_ISLAND: f64 = 0.05;

/// Gives each small island (6-connected piece below 5 % of its structure's largest)
/// the label that touches it most. Returns the number of voxels that changed.
pub fn remove_islands(labels: &mut [u8], dims: [usize; 3]) -> usize {
    let pieces = Pieces::find(labels, dims);
    let mut largest = [0_usize; 256];
    for piece in &pieces.list {
        let entry = &mut largest[usize::from(piece.label)];
        *entry = (*entry).max(piece.size);
    }
    let small: Vec<bool> = pieces
        .list
        .iter()
        .map(|p| {
            p.label != 0 && (p.size as f64) < SMALL_ISLAND * largest[usize::from(p.label)] as f64
        })
        .collect();
    if !small.contains(&true) {
        return 0;
    }
    // Votes of the voxels that touch each small island.
    let mut votes: Vec<Option<Box<[u32; 256]>>> = vec![None; pieces.list.len()];
    for at in 0..labels.len() {
        let piece = pieces.of[at] as usize;
        if !small[piece] {
            continue;
        }
        for neighbour in faces(at, dims).into_iter().flatten() {
            let other = pieces.of[neighbour] as usize;
            if other != piece && !small[other] {
                let votes = votes[piece].get_or_insert_with(|| Box::new([0; 256]));
                votes[usize::from(labels[neighbour])] += 1;
            }
        }
    }
    let winners: Vec<u8> = votes
        .iter()
        .map(|votes| {
            votes.as_ref().map_or(0, |votes| {
                (0..=255_u8).max_by_key(|&l| (votes[usize::from(l)], 255 - l)).unwrap_or(0)
            })
        })
        .collect();
    let mut changed = 0;
    for (label, &piece) in labels.iter_mut().zip(&pieces.of) {
        if small[piece as usize] {
            *label = winners[piece as usize];
            changed += 1;
        }
    }
    changed
}

/// Removes every label that is not part of the largest 6-connected piece of all labels
/// together. Returns the number of voxels that changed.
pub fn keep_largest(labels: &mut [u8], dims: [usize; 3]) -> usize {
    let inside: Vec<u8> = labels.iter().map(|&label| u8::from(label != 0)).collect();
    let pieces = Pieces::find(&inside, dims);
    let organ = pieces.list.iter().enumerate().filter(|(_, piece)| piece.label != 0);
    let Some((largest, _)) = organ.max_by_key(|(at, piece)| (piece.size, usize::MAX - at)) else {
        return 0;
    };
    let mut changed = 0;
    for (label, &piece) in labels.iter_mut().zip(&pieces.of) {
        if *label != 0 && piece as usize != largest {
            *label = 0;
            changed += 1;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::offset;

    #[test]
    fn an_island_takes_the_label_around_it() {
        let dims = [12, 12, 12];
        let mut labels = vec![0; 12 * 12 * 12];
        for z in 1..11 {
            for y in 1..11 {
                for x in 1..11 {
                    labels[offset(dims, [x, y, z])] = if x < 6 { 1 } else { 2 };
                }
            }
        }
        let clean = labels.clone();
        // Two voxels of 2 inside 1, one of 1 in the air.
        labels[offset(dims, [3, 4, 4])] = 2;
        labels[offset(dims, [3, 5, 4])] = 2;
        labels[offset(dims, [0, 0, 0])] = 1;
        assert_eq!(remove_islands(&mut labels, dims), 3);
        assert_eq!(labels, clean);
    }

    #[test]
    fn a_structure_in_two_equal_pieces_keeps_both() {
        let dims = [9, 3, 3];
        let mut labels = vec![0; 81];
        for x in [0, 1, 7, 8] {
            labels[offset(dims, [x, 1, 1])] = 4;
        }
        let before = labels.clone();
        assert_eq!(remove_islands(&mut labels, dims), 0);
        assert_eq!(labels, before);
    }
}
