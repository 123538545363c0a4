//! What a scan shows: one pass of the first pack's encoder, and the heads on it. The pass is
//! kept for the run that follows, after which the contrast between the tissues is known; where
//! none follows, the decoder goes on at once.

use std::cell::Cell;
use std::rc::Rc;

use prism_core::formats::Scan;
use prism_core::identify::{HeadsPack, Identification, NamedVector, TISSUES, estimate, identify};
use prism_core::model::{Pack, Prism};
use prism_core::pipeline::{self, PipelineError, Pooled, PooledFeature};
use wasm_bindgen::JsValue;

use super::run::{PageWatch, bytes_of};
use super::{Failure, Holdings, the_scan};
use crate::facts::{DeviceChoice, PackCard};
use crate::identify::Found;
use crate::protocol::RequestId;

/// Identifies the loaded scan. Beside the request: the pack whose encoder the heads read, the
/// heads, and `true` where no run follows.
///
/// # Errors
/// [`Failure`] in one sentence.
pub async fn answer(
    holdings: &mut Holdings,
    device: DeviceChoice,
    parts: &[JsValue],
    (id, ending): (RequestId, &Rc<Cell<bool>>),
) -> Result<Found, Failure> {
    let (scan, _) = the_scan(&holdings.scan)?;
    let heads = heads(parts.get(1)).await?;
    let alone = parts.get(2).and_then(JsValue::as_bool).unwrap_or(false);
    let opened = holdings.engine.open(device, (None, parts.first())).await?;
    let mut watch = PageWatch::new(id, Rc::clone(ending), "Identifying the scan");
    let (identification, pooled) = if alone {
        by_tissues(scan, &heads, opened, &mut watch).await?
    } else {
        seen(scan, &heads, opened, &mut watch).await?
    };
    holdings.engine.keep_pass(pooled.encoded);
    let stated_years = scan.series.acquisition.age_years;
    let known = Known { heads, vectors: pooled.features, stated_years };
    let found = known.found(identification)?;
    holdings.known = Some(known);
    Ok(found)
}

/// What identified the loaded scan, for when its tissues are known.
pub struct Known {
    heads: HeadsPack,
    vectors: Vec<PooledFeature>,
    /// The person's age by the file.
    stated_years: Option<f64>,
}

impl Known {
    fn found(&self, identification: Identification) -> Result<Found, Failure> {
        let vectors = named(&self.vectors);
        let estimates =
            estimate::estimate(&self.heads, &vectors, &identification, self.stated_years)
                .map_err(|error| input(&error))?;
        Ok(Found { identification, estimates })
    }

    /// What the scan shows, now that a pack has told its tissues apart; `None` where that was
    /// not the pack that the heads know.
    ///
    /// # Errors
    /// [`Failure`] in one sentence.
    pub fn with_tissues(
        &mut self,
        scan: &Scan,
        pack: &PackCard,
        tissues: Vec<f32>,
    ) -> Result<Option<Found>, Failure> {
        if self.heads.info.encoder.sha256 != pack.sha256 {
            return Ok(None);
        }
        self.vectors.retain(|vector| vector.name != TISSUES);
        self.vectors.push(PooledFeature { name: TISSUES, values: tissues });
        self.found(shown(scan, &self.heads, &self.vectors)?).map(Some)
    }
}

/// The heads, which the page hands over as a `Blob`.
///
/// # Errors
/// [`Failure`] in one sentence.
pub(super) async fn heads(blob: Option<&JsValue>) -> Result<HeadsPack, Failure> {
    HeadsPack::read(&bytes_of(blob).await?).map_err(|error| input(&error))
}

/// What a scan shows, and the encoder's vectors that say so.
///
/// # Errors
/// [`Failure`] in one sentence.
pub(super) async fn seen(
    scan: &Scan,
    heads: &HeadsPack,
    (pack, model): (&Pack, &Prism),
    watch: &mut PageWatch,
) -> Result<(Identification, Pooled), Failure> {
    heads.check_encoder(&pack.info.name, &pack.info.sha256).map_err(|error| input(&error))?;
    heads.check_structures(&pack.info.labels).map_err(|error| input(&error))?;
    let volume = &scan.volume;
    let pooled = pipeline::pooled(volume, model, pack, watch).await.map_err(failed)?;
    Ok((shown(scan, heads, &pooled.features)?, pooled))
}

/// As [`seen`], with the contrast between the tissues of a whole head, for a scan that no run
/// follows: the decoder goes on from the same pass.
///
/// # Errors
/// [`Failure`] in one sentence.
pub(super) async fn seen_by_tissues(
    scan: &Scan,
    heads: &HeadsPack,
    opened: (&Pack, &Prism),
    watch: &mut PageWatch,
) -> Result<Identification, Failure> {
    by_tissues(scan, heads, opened, watch).await.map(|(found, _)| found)
}

/// As [`seen_by_tissues`], with the vectors and the pass.
async fn by_tissues(
    scan: &Scan,
    heads: &HeadsPack,
    (pack, model): (&Pack, &Prism),
    watch: &mut PageWatch,
) -> Result<(Identification, Pooled), Failure> {
    let (found, mut pooled) = seen(scan, heads, (pack, model), watch).await?;
    if !found.is_whole_head() {
        return Ok((found, pooled));
    }
    let encoded = pooled.encoded.clone();
    let tissues = pipeline::tissue_contrast(&scan.volume, encoded, model, pack, watch);
    let tissues = tissues.await.map_err(failed)?;
    pooled.features.extend(tissues.map(|values| PooledFeature { name: TISSUES, values }));
    Ok((shown(scan, heads, &pooled.features)?, pooled))
}

fn failed(error: PipelineError) -> Failure {
    match error {
        PipelineError::Cancelled(_) => Failure::Cancelled,
        PipelineError::Device(_) => Failure::device("the graphics card stopped answering"),
        other => input(&other),
    }
}

fn shown(
    scan: &Scan,
    heads: &HeadsPack,
    vectors: &[PooledFeature],
) -> Result<Identification, Failure> {
    let (volume, acquisition) = (&scan.volume, &scan.series.acquisition);
    identify(heads, &named(vectors), &volume.affine, volume.dims, acquisition)
        .map(|found| found.unless_computed(volume))
        .map_err(|error| input(&error))
}

fn named(features: &[PooledFeature]) -> Vec<NamedVector<'_>> {
    features.iter().map(|feature| (feature.name, feature.values.as_slice())).collect()
}

fn input(error: &dyn core::fmt::Display) -> Failure {
    Failure::input(error.to_string())
}
