//! Small islands removed from a label map.

use crate::volume::offset;

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
        for neighbour in neighbours(dims, at) {
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

/// 6-connected pieces of equal label: for each voxel its piece, and each piece's label.
pub(crate) fn pieces(labels: &[u8], dims: [usize; 3]) -> (Vec<u32>, Vec<u8>) {
    let Pieces { of, list } = Pieces::find(labels, dims);
    (of, list.into_iter().map(|piece| piece.label).collect())
}

struct Piece {
    label: u8,
    size: usize,
}

/// 6-connected pieces of equal label.
struct Pieces {
    of: Vec<u32>,
    list: Vec<Piece>,
}

impl Pieces {
    fn find(labels: &[u8], dims: [usize; 3]) -> Self {
        // Union-find over voxels; the root is the smallest voxel of a piece.
        let mut parent: Vec<u32> = (0..labels.len() as u32).collect();
        fn root(parent: &mut [u32], mut at: u32) -> u32 {
            while parent[at as usize] != at {
                parent[at as usize] = parent[parent[at as usize] as usize];
                at = parent[at as usize];
            }
            at
        }
        let steps = [1, dims[0], dims[0] * dims[1]];
        for z in 0..dims[2] {
            for y in 0..dims[1] {
                for x in 0..dims[0] {
                    let at = offset(dims, [x, y, z]);
                    for (axis, place) in [x, y, z].into_iter().enumerate() {
                        if place > 0 && labels[at - steps[axis]] == labels[at] {
                            let a = root(&mut parent, at as u32);
                            let b = root(&mut parent, (at - steps[axis]) as u32);
                            parent[a.max(b) as usize] = a.min(b);
                        }
                    }
                }
            }
        }
        let mut list: Vec<Piece> = Vec::new();
        let mut of = vec![0_u32; labels.len()];
        for at in 0..labels.len() {
            let root = root(&mut parent, at as u32) as usize;
            if root == at {
                of[at] = list.len() as u32;
                list.push(Piece { label: labels[at], size: 1 });
            } else {
                of[at] = of[root];
                list[of[at] as usize].size += 1;
            }
        }
        Self { of, list }
    }
}

fn neighbours(dims: [usize; 3], at: usize) -> impl Iterator<Item = usize> {
    let place = [at % dims[0], at / dims[0] % dims[1], at / (dims[0] * dims[1])];
    let steps = [1, dims[0], dims[0] * dims[1]];
    (0..3).flat_map(move |axis| {
        let before = (place[axis] > 0).then(|| at - steps[axis]);
        let after = (place[axis] + 1 < dims[axis]).then(|| at + steps[axis]);
        before.into_iter().chain(after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
