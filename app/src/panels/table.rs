//! Order and search of the structures table, apart from how it looks.

use std::cmp::Ordering;

use prism_core::measure::{StructureVolume, base_name};
use prism_core::volume::Side;

/// A column to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Name without side, left before right.
    Name,
    /// Millilitres.
    Volume,
    /// Percent of the brain.
    Share,
    /// Size of the difference between the sides.
    Asymmetry,
}

/// How the table is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// By what.
    pub column: Column,
    /// Smallest (or A) first.
    pub ascending: bool,
}

impl Order {
    /// The order after a click on a column's head: the same column turns round,
    /// another one starts with what is usually looked for.
    pub fn clicked(self, column: Column) -> Self {
        if self.column == column {
            Self { column, ascending: !self.ascending }
        } else {
            Self { column, ascending: column == Column::Name }
        }
    }
}

/// The rows that match `query`, sorted. Structures that were not found come last
/// whatever the order; equal rows keep the order of names.
pub fn arranged(rows: &[StructureVolume], order: Order, query: &str) -> Vec<StructureVolume> {
    let query = query.trim().to_lowercase();
    let mut kept: Vec<StructureVolume> = rows
        .iter()
        .filter(|row| {
            query.split_whitespace().all(|word| row.display_name.to_lowercase().contains(word))
        })
        .cloned()
        .collect();
    kept.sort_by(|a, b| {
        let found = (b.voxels > 0).cmp(&(a.voxels > 0));
        let value = match order.column {
            Column::Name => Ordering::Equal,
            Column::Volume => a.millilitres.total_cmp(&b.millilitres),
            Column::Share => a.percent_of_brain.total_cmp(&b.percent_of_brain),
            Column::Asymmetry => size(a).total_cmp(&size(b)),
        };
        let names = by_name(a, b);
        let (value, names) = match (order.column, order.ascending) {
            (Column::Name, false) => (value, names.reverse()),
            (_, false) => (value.reverse(), names),
            (_, true) => (value, names),
        };
        found.then(value).then(names)
    });
    kept
}

/// Size of an asymmetry; rows without one come after all others in descending order.
fn size(row: &StructureVolume) -> f64 {
    row.asymmetry_percent.map_or(-1.0, f64::abs)
}

fn by_name(a: &StructureVolume, b: &StructureVolume) -> Ordering {
    let side = |row: &StructureVolume| match row.side {
        Some(Side::Left) => 0,
        Some(Side::Right) => 1,
        None => 2,
    };
    let (first, second) = (base_name(&a.display_name), base_name(&b.display_name));
    first.to_lowercase().cmp(&second.to_lowercase()).then(side(a).cmp(&side(b)))
}

#[cfg(test)]
mod tests {
    use prism_core::measure::structures;
    use prism_core::volume::{Affine, Label, LabelMap, LabelTable};

    use super::*;

    /// Left and right hippocampus (3 and 1 mL), brainstem (2 mL), CSF (not found).
    fn rows() -> Vec<StructureVolume> {
        let label = |index, id, name: &str, side, pair| Label {
            index,
            id,
            name: name.into(),
            color: [0; 3],
            side,
            pair,
        };
        let table = LabelTable {
            labels: vec![
                label(1, 53, "Right-Hippocampus", Some(Side::Right), Some(2)),
                label(2, 17, "Left-Hippocampus", Some(Side::Left), Some(1)),
                label(3, 16, "Brain-Stem", None, None),
                label(4, 24, "CSF", None, None),
            ],
        };
        let map = LabelMap {
            data: vec![1, 2, 2, 2, 3, 3],
            dims: [6, 1, 1],
            affine: Affine::from_spacing([10.0; 3]),
        };
        structures(&map, &table)
    }

    fn names(order: Order, query: &str) -> Vec<String> {
        arranged(&rows(), order, query).into_iter().map(|row| row.display_name).collect()
    }

    #[test]
    fn names_ignore_the_side_and_absent_structures_come_last() {
        let order = Order { column: Column::Name, ascending: true };
        assert_eq!(names(order, ""), ["brainstem", "left hippocampus", "right hippocampus", "CSF"]);
        let back = order.clicked(Column::Name);
        assert_eq!(names(back, ""), ["right hippocampus", "left hippocampus", "brainstem", "CSF"]);
    }

    #[test]
    fn numbers_start_with_the_largest() {
        let order = Order { column: Column::Name, ascending: true }.clicked(Column::Volume);
        assert_eq!(names(order, ""), ["left hippocampus", "brainstem", "right hippocampus", "CSF"]);
        let asymmetry = order.clicked(Column::Asymmetry);
        assert_eq!(
            names(asymmetry, ""),
            ["left hippocampus", "right hippocampus", "brainstem", "CSF"]
        );
    }

    #[test]
    fn every_word_of_a_search_must_match() {
        let order = Order { column: Column::Name, ascending: true };
        assert_eq!(names(order, " HIPPO left"), ["left hippocampus"]);
        assert!(names(order, "left stem").is_empty());
    }
}
