//! Connected pieces of a label map.

use super::offset;

/// A 6-connected piece of voxels of one label.
pub struct Piece {
    /// Their label, also 0.
    pub label: u8,
    /// Their number.
    pub size: usize,
}

/// All 6-connected pieces of equal label.
pub struct Pieces {
    /// The piece of each voxel: its place in `list`.
    pub of: Vec<u32>,
    /// The pieces, in the order of their first voxels.
    pub list: Vec<Piece>,
}

impl Pieces {
    /// Finds the pieces of `labels`, one a voxel of `dims`, x fastest.
    pub fn find(labels: &[u8], dims: [usize; 3]) -> Self {
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

    /// Voxels of the largest piece of a label; 0 where it has none.
    pub fn largest(&self, label: u8) -> usize {
        self.list.iter().filter(|piece| piece.label == label).map(|p| p.size).max().unwrap_or(0)
    }
}

/// The piece of each voxel, and each piece's label.
pub fn pieces(labels: &[u8], dims: [usize; 3]) -> (Vec<u32>, Vec<u8>) {
    let Pieces { of, list } = Pieces::find(labels, dims);
    (of, list.into_iter().map(|piece| piece.label).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_share_faces_and_a_label() {
        let dims = [4, 3, 2];
        // Two layers; 1 lies in a bow of five voxels through both and in one that only an edge
        // joins to it, 2 in one piece.
        let labels: [u8; 24] = [
            1, 1, 0, 0, //
            0, 1, 0, 2, //
            0, 0, 1, 2, //
            0, 0, 0, 0, //
            1, 1, 0, 0, //
            0, 0, 0, 0,
        ];
        let found = Pieces::find(&labels, dims);
        let sizes: Vec<_> = found.list.iter().map(|piece| (piece.label, piece.size)).collect();
        assert_eq!(sizes, [(1, 5), (0, 16), (2, 2), (1, 1)]);
        assert_eq!([0, 1, 2].map(|label| found.largest(label)), [16, 5, 2]);
        assert_eq!(found.largest(9), 0);
        assert_eq!((found.of[0], found.of[17], found.of[10], found.of[11]), (0, 0, 3, 2));
        assert_eq!(pieces(&labels, dims), (found.of, vec![1, 0, 2, 1]));
    }
}
