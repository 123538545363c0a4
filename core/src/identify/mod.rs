//! What a scan shows: sequence, body part, plane, skull, and which pack fits it.
//!
//! Small heads ([`heads`], read from a pack of heads, [`pack`]) look at the pooled vectors
//! that one pass of the brain pack's encoder gives. Plane and field of view come from the
//! affine ([`geometry`]), never from a network. Once the pack has labelled a head, the
//! contrast between its tissues ([`TISSUES`]) decides the sequence. What the file says of itself is held
//! against the image ([`fields`]), and [`routing`] asks every pack whether it fits.
//! Maps that were computed from a scan are told from one by their values ([`computed`]).
//! [`taught`] are heads that a person fitted on scans of their own.
//! [`estimate`] reads age and sex from the same vectors, with the interval they deserve.

pub mod computed;
pub mod estimate;
pub mod fields;
pub mod geometry;
pub mod heads;
pub mod pack;
pub mod routing;
pub mod taught;

use serde::{Deserialize, Serialize};

use crate::formats::Acquisition;
use crate::volume::Affine;
pub use computed::Computed;
pub use estimate::{Estimate, Estimates};
pub use geometry::{Plane, Stack};
pub use heads::{Answer, Head};
pub use pack::{HeadsError, HeadsPack};
pub use routing::{Fits, Route, Routing};

/// Names of the heads that identify a scan.
pub mod names {
    /// T1w, T2w, FLAIR, ...
    pub const SEQUENCE: &str = "sequence";
    /// The same by the contrast between a brain's tissues, surer than [`SEQUENCE`].
    pub const SEQUENCE_BY_TISSUES: &str = "sequence_by_tissues";
    /// head, heart, ...
    pub const BODY_PART: &str = "body_part";
    /// "stripped" or "whole".
    pub const SKULL: &str = "skull";
}

/// Name of the vector that [`crate::pipeline::contrast`] gives.
pub const TISSUES: &str = "tissues";

/// A vector of a scan by name: pooled ones of an encoder, as [`crate::pipeline::encode`] gives
/// them, and [`TISSUES`].
pub type NamedVector<'a> = (&'a str, &'a [f32]);

/// What a scan shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identification {
    /// The sequence; of heads and of cardiac cine only, for others it stays unknown.
    pub sequence: Answer,
    /// What the file adds to the sequence: a contrast agent, or why an answer was withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_note: Option<String>,
    /// The body part.
    pub body_part: Answer,
    /// Whether the skull was removed; only of whole heads.
    pub skull: Option<Answer>,
    /// Plane of the slices.
    pub plane: Plane,
    /// Sides of the field of view along the voxel axes, mm.
    pub extent_mm: [f64; 3],
    /// Number and thickness of its slices, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Stack>,
    /// What the file says and the image does not, a sentence each.
    pub warnings: Vec<String>,
}

impl Identification {
    /// Whether it shows a whole head, whose tissues can be told apart.
    pub fn is_whole_head(&self) -> bool {
        self.skull.is_some()
    }

    /// The sequence in words: as [`Answer::words`], with what the file adds.
    pub fn sequence_words(&self) -> String {
        match (&self.sequence_note, &self.sequence.given) {
            (None, _) => self.sequence.words(),
            (Some(note), Some(_)) => format!("{} ({note})", self.sequence.words()),
            (Some(note), None) => format!("unknown ({note})"),
        }
    }
}

/// Identifies a scan from the encoder's pooled vectors; the sequence of a head from
/// [`TISSUES`] where they are there, for the pooled ones mix contrast with anatomy.
///
/// # Errors
/// [`HeadsError`] when the pack lacks one of the four heads or wants vectors that are not
/// there.
pub fn identify(
    heads: &HeadsPack,
    vectors: &[NamedVector<'_>],
    affine: &Affine,
    dims: [usize; 3],
    acquisition: &Acquisition,
) -> Result<Identification, HeadsError> {
    let extent_mm = geometry::extent_mm(affine, dims);
    let body_part = heads.head(names::BODY_PART)?.answer(vectors)?;
    let largest = extent_mm.iter().copied().fold(0.0, f64::max);
    let whole = largest >= heads.info.whole_head_mm;
    let by_tissues = heads.head(names::SEQUENCE_BY_TISSUES)?;
    let known = vectors.iter().any(|(name, _)| *name == TISSUES);
    let surer = known && whole && by_tissues.speaks_of(body_part.given.as_deref());
    let sequence_head = if surer { by_tissues } else { heads.head(names::SEQUENCE)? };
    let mut sequence = sequence_head.answer(vectors)?;
    if !sequence_head.speaks_of(body_part.given.as_deref()) {
        sequence.given = None;
    }
    let withheld = sequence.given.as_deref().and_then(|looks| fields::withheld(acquisition, looks));
    let sequence_note = if withheld.is_some() {
        sequence.given = None;
        withheld
    } else if sequence.is("T1w") {
        fields::contrast_agent(acquisition)
    } else {
        None
    };
    let skull = heads.head(names::SKULL)?;
    let skull = if whole && skull.speaks_of(body_part.given.as_deref()) {
        Some(skull.answer(vectors)?)
    } else {
        None
    };
    let plane = geometry::plane(affine);
    let warnings = fields::contradictions(acquisition, &sequence, &body_part, &plane);
    Ok(Identification {
        sequence,
        sequence_note,
        body_part,
        skull,
        plane,
        extent_mm,
        stack: Some(geometry::stack(affine, dims)),
        warnings,
    })
}
