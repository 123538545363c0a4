//! 128-bit floats. The standard calls them "long double", which differs between machines:
//!
//! | layout | written on |
//! | --- | --- |
//! | extended precision of the x87: 80 bits, then 6 bytes of anything | x86 |
//! | quadruple precision, IEEE 754 binary128 | AArch64, s390x, SPARC |
//! | two doubles whose sum is the value | PowerPC |
//!
//! No header field says which, so all numbers of a volume are held against each of them.

use super::header::Order;

/// Bytes of a number in every layout.
const BYTES: usize = 16;
/// Bias of the exponent in x87's extended and in IEEE 754's quadruple precision.
const BIAS: i32 = 16383;
/// Exponent field of infinity and of what is no number.
const NOT_FINITE: u16 = 0x7FFF;
/// Powers of two that an `f32`, which every voxel becomes, can hold.
const LEAST: i32 = -149;
const MOST: i32 = 127;
/// Different numbers that must obey a rule which half of all bit patterns break.
const PROOF: usize = 32;

/// How a 128-bit float is stored, its bytes in little-endian order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// x87: 64 bits with their integer bit, exponent, sign; 48 unused bits.
    Extended,
    /// IEEE 754 binary128.
    Quadruple,
    /// Two doubles, the larger one in the low half: PowerPC, little endian.
    PairLow,
    /// Two doubles, the larger one in the high half: PowerPC, big endian.
    PairHigh,
}

impl Layout {
    const fn title(self) -> &'static str {
        match self {
            Self::Extended => "x87's extended precision",
            Self::Quadruple => "IEEE 754's quadruple precision",
            Self::PairLow | Self::PairHigh => "PowerPC's pairs of doubles",
        }
    }

    /// The nearest `f64`; 0 for sizes far below those of an `f32`.
    pub(super) fn value(self, bits: u128) -> f64 {
        match self.parts(bits) {
            Parts::Float(head, significand) => float(head, significand),
            Parts::Pair(large, small) => large + small,
        }
    }

    fn parts(self, bits: u128) -> Parts {
        let (low, high) = (bits as u64, (bits >> 64) as u64);
        match self {
            Self::Extended => Parts::Float(high as u16, low),
            Self::Quadruple => {
                let head = (high >> 48) as u16;
                let fraction = bits & ((1 << 112) - 1);
                // 63 of 112 bits are kept; the last one says whether others were set, for rounding.
                let rest = u64::from(fraction & ((1 << 49) - 1) != 0);
                let integer = u64::from(head & NOT_FINITE != 0) << 63;
                Parts::Float(head, integer | (fraction >> 49) as u64 | rest)
            }
            Self::PairLow => Parts::Pair(f64::from_bits(low), f64::from_bits(high)),
            Self::PairHigh => Parts::Pair(f64::from_bits(high), f64::from_bits(low)),
        }
    }
}

/// A number taken apart.
#[derive(Clone, Copy)]
enum Parts {
    /// Sign with exponent, and the significand with its integer bit.
    Float(u16, u64),
    /// The larger and the smaller double.
    Pair(f64, f64),
}

fn float(head: u16, significand: u64) -> f64 {
    let exponent = head & NOT_FINITE;
    let size = if exponent != NOT_FINITE {
        significand as f64 * power_of_two(i32::from(exponent.max(1)) - BIAS - 63)
    } else if significand << 1 == 0 {
        f64::INFINITY
    } else {
        f64::NAN
    };
    if head > NOT_FINITE { -size } else { size }
}

/// 0 or infinite outside the exponents of an `f64`.
fn power_of_two(exponent: i32) -> f64 {
    match exponent {
        ..-1022 => 0.0,
        -1022..=1023 => f64::from_bits(((exponent + 1023) as u64) << 52),
        _ => f64::INFINITY,
    }
}

/// What bits are when read in one layout.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Zero,
    /// Of a size that an `f32` can hold.
    Plausible,
    /// Of another size.
    Odd,
    /// Infinite, or not a number.
    NotFinite,
    /// Nothing that a writer of this layout stores.
    Impossible,
}

impl Parts {
    fn kind(self) -> Kind {
        match self {
            Self::Float(head, significand) => {
                let exponent = head & NOT_FINITE;
                let normal = significand >> 63 == 1;
                match exponent {
                    0 if significand == 0 => Kind::Zero,
                    // x87 sets the integer bit where the exponent is not 0, and only there.
                    _ if normal != (exponent != 0) => Kind::Impossible,
                    NOT_FINITE => Kind::NotFinite,
                    _ => sized((LEAST..=MOST).contains(&(i32::from(exponent) - BIAS))),
                }
            }
            Self::Pair(large, small) => {
                if !large.is_finite() {
                    Kind::NotFinite
                } else if large == 0.0 && small == 0.0 {
                    Kind::Zero
                } else if (small != 0.0 && !small.is_normal()) || large + small != large {
                    // The larger double is the sum, rounded.
                    Kind::Impossible
                } else {
                    let size = large.abs();
                    sized((power_of_two(LEAST)..power_of_two(MOST + 1)).contains(&size))
                }
            }
        }
    }

    /// Whether the parts obey a rule that other layouts' numbers break half of the time.
    fn telling(self) -> bool {
        match self {
            Self::Float(..) => true,
            Self::Pair(large, small) => small != 0.0 || large.to_bits() & 1 == 1,
        }
    }
}

const fn sized(plausible: bool) -> Kind {
    if plausible { Kind::Plausible } else { Kind::Odd }
}

/// What the numbers seen so far say of one layout.
struct Tally {
    layout: Layout,
    impossible: bool,
    odd: bool,
    /// Some are neither 0 nor odd.
    filled: bool,
    /// Different telling numbers, at most [`PROOF`].
    telling: Vec<u128>,
}

impl Tally {
    fn add(&mut self, bits: u128) {
        let parts = self.layout.parts(bits);
        match parts.kind() {
            Kind::Zero => {}
            Kind::Impossible => self.impossible = true,
            Kind::Odd => self.odd = true,
            Kind::NotFinite => self.filled = true,
            Kind::Plausible => {
                self.filled = true;
                let bits = match self.layout {
                    // No rule is broken by any pattern of quadruple precision.
                    Layout::Quadruple => return,
                    Layout::Extended => bits & ((1 << 80) - 1),
                    Layout::PairLow | Layout::PairHigh => bits,
                };
                if self.telling.len() < PROOF && parts.telling() && !self.telling.contains(&bits) {
                    self.telling.push(bits);
                }
            }
        }
    }
}

/// Finds the layout from all numbers of a volume.
pub(super) struct Evidence {
    order: Order,
    tallies: Vec<Tally>,
}

impl Evidence {
    pub(super) fn new(order: Order) -> Self {
        use Layout::{Extended, PairHigh, PairLow, Quadruple};
        // Big-endian PowerPC wrote no little-endian files; without this, no whole number in
        // quadruple precision could be told from a pair.
        let layouts: &[Layout] = match order {
            Order::Little => &[Extended, PairLow, Quadruple],
            Order::Big => &[Extended, PairLow, PairHigh, Quadruple],
        };
        let tally = |&layout: &Layout| Tally {
            layout,
            impossible: false,
            odd: false,
            filled: false,
            telling: Vec::new(),
        };
        Self { order, tallies: layouts.iter().map(tally).collect() }
    }

    /// Takes the numbers in `bytes`.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let (numbers, _) = bytes.as_chunks::<BYTES>();
        for &number in numbers {
            let bits = bits(number, self.order);
            self.tallies.iter_mut().filter(|tally| !tally.impossible).for_each(|t| t.add(bits));
        }
    }

    /// The only layout that fits, or the one that is proven, or the only one without numbers of
    /// odd sizes.
    ///
    /// # Errors
    /// What the numbers are, where that leaves none or several.
    pub(super) fn layout(&self) -> Result<Layout, String> {
        let possible: Vec<&Tally> = self.tallies.iter().filter(|t| !t.impossible).collect();
        let fitting: Vec<&Tally> = possible.iter().copied().filter(|tally| tally.filled).collect();
        if let [only] = fitting[..] {
            return Ok(only.layout);
        }
        if let Some(proven) = fitting.iter().find(|tally| tally.telling.len() == PROOF) {
            return Ok(proven.layout);
        }
        // Where nothing is filled, zeros are zeros under each.
        let even: Vec<&Tally> = fitting.iter().copied().filter(|tally| !tally.odd).collect();
        match (even.as_slice(), fitting.is_empty()) {
            ([only], _) => Ok(only.layout),
            (_, true) => possible
                .iter()
                .find(|tally| !tally.odd)
                .map(|zeros| zeros.layout)
                .ok_or_else(|| "128-bit floats in no layout that is known".into()),
            _ => {
                let titles: Vec<&str> = fitting.iter().map(|tally| tally.layout.title()).collect();
                Err(format!("128-bit floats that fit {}", titles.join(" and ")))
            }
        }
    }
}

/// The bits of a number stored in `order`.
pub(super) const fn bits(number: [u8; BYTES], order: Order) -> u128 {
    match order {
        Order::Little => u128::from_le_bytes(number),
        Order::Big => u128::from_be_bytes(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PI_EXTENDED: u128 = 0x4000_C90F_DAA2_2168_C235;
    const PI_QUADRUPLE: u128 = 0x4000_921F_B544_42D1_8469_898C_C517_01B8;
    /// The larger double in the high half.
    const PI_PAIR: u128 = 0x4009_21FB_5444_2D18_3CA1_A626_3314_5C07;

    fn found(order: Order, numbers: impl IntoIterator<Item = u128>) -> Result<Layout, String> {
        let mut evidence = Evidence::new(order);
        for number in numbers {
            evidence.add(&match order {
                Order::Little => number.to_le_bytes(),
                Order::Big => number.to_be_bytes(),
            });
        }
        evidence.layout()
    }

    /// As a compiler for x86 stores them.
    fn extended(value: f64) -> u128 {
        let quadruple = quadruple(value);
        let integer = u128::from(quadruple << 1 != 0) << 63;
        ((quadruple >> 112) << 64) | integer | ((quadruple << 16) >> 65)
    }

    /// Normal doubles and 0, widened.
    fn quadruple(value: f64) -> u128 {
        let bits = u128::from(value.to_bits());
        let exponent = (bits >> 52) & 0x7FF;
        let head = if exponent == 0 { 0 } else { exponent + 16383 - 1023 };
        ((bits >> 63) << 127) | (head << 112) | ((bits & ((1 << 52) - 1)) << 60)
    }

    #[test]
    fn numbers_of_each_layout_are_decoded() {
        use std::f64::consts::PI;
        assert_eq!(Layout::Extended.value(PI_EXTENDED), PI);
        assert_eq!(Layout::Extended.value(PI_EXTENDED | (0xABCD << 112)), PI);
        assert_eq!(Layout::Extended.value(PI_EXTENDED | (1 << 79)), -PI);
        assert_eq!(Layout::Quadruple.value(PI_QUADRUPLE), PI);
        assert_eq!(Layout::PairHigh.value(PI_PAIR), PI);
        assert_eq!(Layout::PairLow.value(PI_PAIR.rotate_left(64)), PI);
        // Examples of binary128 as IEEE 754 defines it.
        let examples: [(u128, f64); 10] = [
            (0x3FFF << 112, 1.0),
            (0xC000 << 112, -2.0),
            (0x3FFD_5555_5555_5555_5555_5555_5555_5555, 1.0 / 3.0),
            (0, 0.0),
            (1, 0.0),
            (0x7FFE_FFFF_FFFF_FFFF_FFFF_FFFF_FFFF_FFFF, f64::INFINITY),
            (0x7FFF << 112, f64::INFINITY),
            (0xFFFF << 112, f64::NEG_INFINITY),
            // Above the middle between 1 and the next double by the very last bit, and at it.
            (0x3FFF_0000_0000_0000_0800_0000_0000_0001, 1.0 + f64::EPSILON),
            (0x3FFF_0000_0000_0000_0800_0000_0000_0000, 1.0),
        ];
        for (bits, value) in examples {
            assert_eq!(Layout::Quadruple.value(bits), value, "{bits:032x}");
        }
        assert!(Layout::Quadruple.value(0x7FFF8 << 108).is_nan());
        assert_eq!(Layout::Extended.value(0x7FFF8 << 60), f64::INFINITY);
        assert!(Layout::Extended.value(0x7FFFC << 60).is_nan());
    }

    #[test]
    fn layouts_are_told_apart() {
        let background = [0_u128; 9];
        let one = |number| background.into_iter().chain([number]);
        for order in [Order::Little, Order::Big] {
            assert_eq!(found(order, one(PI_EXTENDED)), Ok(Layout::Extended));
            assert_eq!(found(order, one(PI_PAIR.rotate_left(64))), Ok(Layout::PairLow));
            let zeros = found(order, background).expect("zeros are zeros");
            assert_eq!(zeros.value(0), 0.0);
        }
        assert_eq!(found(Order::Little, one(PI_QUADRUPLE)), Ok(Layout::Quadruple));
        // To the x87, 0.1 is a number with its integer bit set, and far too small.
        assert_eq!(found(Order::Little, one(quadruple(0.1))), Ok(Layout::Quadruple));
        let whole = |number: fn(f64) -> u128| (0..900_i32).map(move |k| number(f64::from(k)));
        assert_eq!(found(Order::Little, whole(extended)), Ok(Layout::Extended));
        assert_eq!(found(Order::Big, whole(extended)), Ok(Layout::Extended));
        assert_eq!(found(Order::Little, whole(quadruple)), Ok(Layout::Quadruple));
        // 512 and more in the exponent of a pair is beyond any f32 in quadruple precision.
        let pairs = whole(|value: f64| u128::from(value.to_bits()) << 64);
        assert_eq!(found(Order::Big, pairs), Ok(Layout::PairHigh));
    }

    #[test]
    fn unused_bytes_of_the_x87_may_hold_anything() {
        // What a buffer of doubles leaves there fits quadruple precision.
        let spoiled = |k: i32| extended(f64::from(k) / 7.0) | (0x4059_1234_5678 << 80);
        assert_eq!(found(Order::Little, (1..60).map(spoiled)), Ok(Layout::Extended));
        assert_eq!(found(Order::Big, (1..60).map(spoiled)), Ok(Layout::Extended));
        let few =
            found(Order::Little, (1..4).map(spoiled)).expect_err("three numbers prove nothing");
        assert!(few.contains("x87") && few.contains("IEEE 754"), "{few}");
    }

    #[test]
    fn what_fits_several_layouts_or_none_is_refused() {
        let whole = found(Order::Big, (0..900_i32).map(|k| quadruple(f64::from(k))));
        let whole = whole.expect_err("as pairs these are numbers from 1.9 to 3");
        assert!(whole.contains("IEEE 754") && whole.contains("PowerPC"), "{whole}");
        // Half of all numbers with more digits break the rule of pairs.
        let sevenths = (0..900_i32).map(|k| quadruple(f64::from(k) / 7.0));
        assert_eq!(found(Order::Big, sevenths), Ok(Layout::Quadruple));
        // A tiny number in each layout.
        let none = found(Order::Little, [3_u128 << 63]).expect_err("no layout");
        assert!(none.contains("no layout"), "{none}");
    }
}
