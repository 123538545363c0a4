//! A phase through a heart pack: its labels and volumes, or why it has none.

use super::{Cine, CineError, CinePhase};
use crate::measure::cardiac::{Chambers, Measured, Phase, check_labels, check_stack, is_cut};
use crate::model::{Pack, Prism};
use crate::pipeline::{Watch, segment_stated};

/// The heart's structures in a pack's label table.
///
/// # Errors
/// [`CineError::NoHeart`].
pub fn chambers(pack: &Pack) -> Result<Chambers, CineError> {
    Chambers::of(&pack.info.labels).ok_or_else(|| CineError::NoHeart(pack.info.title.clone()))
}

impl Cine {
    /// Outlines and measures a phase, and keeps both in it. Labels that are built unlike a
    /// heart are not kept; the phase says why instead, and the others can still be measured.
    ///
    /// # Errors
    /// [`CineError`] where the pack is for no heart, the scan no short-axis stack, or the
    /// network did not finish.
    pub async fn measure<W: Watch>(
        &mut self,
        at: usize,
        (model, pack): (&Prism, &Pack),
        watch: &mut W,
    ) -> Result<&CinePhase, CineError> {
        let chambers = chambers(pack)?;
        let phase = &mut self.phases[at];
        check_stack(phase.volume.dims, &phase.volume.affine, phase.unit_stated)?;
        let given = (&phase.volume, phase.unit_stated);
        let labels = segment_stated(given, model, pack, watch).await?.labels;
        (phase.labels, phase.measured) = match check_labels(&labels, chambers) {
            Ok(()) => {
                let volumes = Phase::of(&labels, chambers);
                let cut = is_cut(&labels, chambers);
                let measured =
                    if cut { Measured::Cut(volumes) } else { Measured::Volumes(volumes) };
                (Some(labels), Some(measured))
            }
            Err(reason) => (None, Some(Measured::Refused(reason.to_string()))),
        };
        Ok(phase)
    }
}
