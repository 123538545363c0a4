//! Order of the lesion table, apart from how it looks.

use std::cmp::Ordering;

use prism_core::lesions::Lesion;
use prism_core::volume::Side;

/// A column to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// From the largest.
    Number,
    /// Name of the class.
    Kind,
    /// Millilitres.
    Volume,
    /// Longest diameter.
    Diameter,
    /// Periventricular and so on.
    Place,
    /// Structure of the brain.
    Region,
    /// Left before right.
    Side,
}

impl Column {
    /// All, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::Number,
        Self::Kind,
        Self::Volume,
        Self::Diameter,
        Self::Place,
        Self::Region,
        Self::Side,
    ];

    /// The word at its head.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Number => "No.",
            Self::Kind => "Kind",
            Self::Volume => "mL",
            Self::Diameter => "mm",
            Self::Place => "Place",
            Self::Region => "Region",
            Self::Side => "Side",
        }
    }

    /// The word in attributes, and what a click does.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Kind => "kind",
            Self::Volume => "volume",
            Self::Diameter => "longest diameter",
            Self::Place => "place",
            Self::Region => "region",
            Self::Side => "side",
        }
    }

    /// Whether it holds millimetres or millilitres.
    pub const fn is_measure(self) -> bool {
        matches!(self, Self::Volume | Self::Diameter)
    }

    /// Whether it holds numbers.
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Number | Self::Volume | Self::Diameter)
    }
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
    /// As the rows come: the largest lesion is number one.
    pub const FIRST: Self = Self { column: Column::Number, ascending: true };

    /// The order after a click on a column's head: the same column turns round, a measure
    /// starts with the largest.
    pub fn clicked(self, column: Column) -> Self {
        if self.column == column {
            return Self { column, ascending: !self.ascending };
        }
        Self { column, ascending: !column.is_measure() }
    }
}

/// What a row's kind column says, the word that all kinds share left out:
/// `white matter`; `mass, with 9.7 mL of oedema around it`.
pub fn kind(lesion: &Lesion) -> String {
    let kind = lesion.kind.strip_suffix(" lesion").unwrap_or(&lesion.kind);
    match lesion.oedema_words() {
        Some(words) => format!("{kind}, {words}"),
        None => kind.to_owned(),
    }
}

/// The rows, sorted; equal ones keep the order of their numbers.
pub fn arranged(rows: &[Lesion], order: Order) -> Vec<Lesion> {
    let mut rows = rows.to_vec();
    let side = |row: &Lesion| match row.side {
        Some(Side::Left) => 0,
        Some(Side::Right) => 1,
        None => 2,
    };
    rows.sort_by(|a, b| {
        let value = match order.column {
            Column::Number => a.number.cmp(&b.number),
            Column::Kind => a.kind.cmp(&b.kind),
            Column::Volume => a.millilitres.total_cmp(&b.millilitres),
            Column::Diameter => a.diameter_mm.total_cmp(&b.diameter_mm),
            Column::Place => a.place.words().cmp(b.place.words()),
            Column::Region => a.region.cmp(&b.region),
            Column::Side => side(a).cmp(&side(b)),
        };
        let value = if order.ascending { value } else { value.reverse() };
        value.then_with(|| -> Ordering { a.number.cmp(&b.number) })
    });
    rows
}

#[cfg(test)]
mod tests {
    use prism_core::lesions::Place;

    use super::*;

    fn lesion(number: usize, millilitres: f64, diameter_mm: f64, side: Option<Side>) -> Lesion {
        Lesion {
            number,
            kind: "mass".into(),
            class: 2,
            millilitres,
            diameter_mm,
            place: Place::Deep,
            region: None,
            side,
            probability: 0.7,
            centre_mm: [0.0; 3],
            voxel: [0; 3],
            inside_mm: [0.0; 3],
            signal: None,
            oedema_ml: None,
        }
    }

    fn numbers(order: Order) -> Vec<usize> {
        let rows = [
            lesion(1, 4.0, 20.0, None),
            lesion(2, 3.0, 31.0, Some(Side::Right)),
            lesion(3, 0.5, 12.0, Some(Side::Left)),
        ];
        arranged(&rows, order).iter().map(|row| row.number).collect()
    }

    #[test]
    fn a_mass_is_named_with_its_oedema() {
        let mut mass = lesion(1, 17.4, 40.0, None);
        assert_eq!(kind(&mass), "mass");
        mass.oedema_ml = Some(9.72);
        assert_eq!(kind(&mass), "mass, with 9.7 mL of oedema around it");
        mass.kind = "white matter lesion".into();
        mass.oedema_ml = None;
        assert_eq!(kind(&mass), "white matter");
    }

    #[test]
    fn rows_are_sorted_by_what_is_clicked() {
        let order = Order::FIRST;
        assert_eq!(numbers(order), [1, 2, 3]);
        assert_eq!(numbers(order.clicked(Column::Diameter)), [2, 1, 3]);
        assert_eq!(numbers(order.clicked(Column::Diameter).clicked(Column::Diameter)), [3, 1, 2]);
        assert_eq!(numbers(order.clicked(Column::Side)), [3, 2, 1]);
        // Equal kinds keep the order of their numbers either way.
        assert_eq!(numbers(order.clicked(Column::Kind).clicked(Column::Kind)), [1, 2, 3]);
    }
}
