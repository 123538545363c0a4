//! Drives the network over a scan: progress, cancel, windows, labels.

use core::future::Future;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use web_time::Instant;

use super::answers::Answer;
use super::contrast::contrast;
use super::device::DeviceError;
use super::encoded::Encoded;
use super::postprocess::keep_largest;
use super::preprocess::{Prepared, PreprocessError, at_usual_field, prepare};
use super::sinks::{LabelSink, LogitSink};
use super::sliding::{Windows, infer, infer_over, read};
use super::structure_maps::structure_maps;
use super::to_scan::to_scan;
use crate::model::{Pace, Pack, PackError, Prism, Stopped};
use crate::volume::{LabelMap, Volume, foreground_box};

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Turning, resampling, intensities.
    Prepare,
    /// The network; counted in blocks over all windows.
    Network,
    /// Islands, back to the scan's grid.
    Labels,
    /// Moving one scan onto another; counted in steps of the optimisers.
    Register,
}

/// Sees a run's progress, lets the event loop breathe, and may stop it.
pub trait Watch {
    /// `done` of `total` steps of a stage.
    fn progress(&mut self, stage: Stage, done: usize, total: usize);
    /// Whether to stop; asked after every block of the network.
    fn cancelled(&self) -> bool;
    /// Awaited after every block, so that messages (a cancel) can arrive.
    fn breathe(&mut self) -> impl Future<Output = ()>;
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Watch for Quiet {
    fn progress(&mut self, _: Stage, _: usize, _: usize) {}
    fn cancelled(&self) -> bool {
        false
    }
    async fn breathe(&mut self) {}
}

/// Seconds of each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Turning, resampling, intensities.
    pub prepare_seconds: f64,
    /// The network.
    pub network_seconds: f64,
    /// Islands, back to the scan's grid.
    pub labels_seconds: f64,
    /// How much of the first two went by before the run: an earlier pass through the encoder
    /// that it went on from.
    pub earlier_seconds: f64,
    /// Windows the network ran over.
    pub windows: usize,
}

/// Result of a run.
#[derive(Clone, Debug)]
pub struct Segmentation {
    /// Labels on the scan's own grid, in the file's order.
    pub labels: LabelMap,
    /// What the pooled heads say.
    pub answers: Vec<Answer>,
    /// Contrast between the brain's tissues ([`contrast`]), for a pack that labels them.
    pub tissues: Option<Vec<f32>>,
    /// Voxels that were small islands, on the pack's grid.
    pub island_voxels: usize,
    /// Borders lie where the pack's grid has them: the scan did not go through in one pass,
    /// so that no features were at hand to decide them on the scan's own grid.
    pub coarse_borders: bool,
    /// Means of the encoder's two deepest maps inside each label, as the network's grid has it;
    /// `None` where the scan did not go through in one pass or the maps are large.
    pub structure_maps: Option<Vec<(u8, Vec<f32>)>>,
    /// Seconds of each stage.
    pub timings: Timings,
}

/// A run did not finish.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PipelineError {
    /// The scan cannot be brought to the pack's grid.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// The pack has no segmentation head.
    #[error("the pack \"{0}\" does not segment")]
    NoSegmentation(String),
    /// The pack has no head that gives single answers.
    #[error("the pack \"{0}\" has no head that answers for whole scans")]
    NoHeads(String),
    /// The pack's heads fuse another number of sequences.
    #[error("the head \"{head}\" wants {wanted} sequences of one study together, not {given}")]
    Sequences {
        /// Name of the head.
        head: String,
        /// How many it wants.
        wanted: usize,
        /// How many there are.
        given: usize,
    },
    /// The pack has no renderer.
    #[error("the pack \"{0}\" does not render a scan again")]
    NoRenderer(String),
    /// The pack does not fit its network.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// Stopped from outside.
    #[error(transparent)]
    Cancelled(#[from] Stopped),
    /// No device for the pack.
    #[error(transparent)]
    Open(#[from] DeviceError),
    /// The device gave nothing back: lost, or out of memory.
    #[error("the device stopped answering: {0}")]
    Device(String),
}

/// Seconds of work that a run may hand to the device without waiting.
const AHEAD_SECONDS: f64 = 0.1;

/// Ties the network's blocks to a [`Watch`].
pub(crate) struct Pacer<'a, W> {
    pub(super) watch: &'a mut W,
    pub(super) done: usize,
    total: usize,
    /// How the device failed.
    failed: Option<PipelineError>,
    /// Multiplications since the last wait.
    pending: u64,
    /// Multiplications a second, once measured.
    rate: Option<f64>,
    waited: Instant,
}

impl<'a, W: Watch> Pacer<'a, W> {
    /// For a run with `total` steps.
    pub(crate) fn new(watch: &'a mut W, total: usize) -> Self {
        Self { watch, done: 0, total, failed: None, pending: 0, rate: None, waited: Instant::now() }
    }

    /// Why the network stopped: a cancel, or the device.
    pub(crate) fn reason(&mut self, stopped: Stopped) -> PipelineError {
        self.failed.take().unwrap_or_else(|| stopped.into())
    }

    /// Waits until the device has computed a value of `latest`.
    async fn arrived(&mut self, latest: &Tensor<5>) -> Result<(), Stopped> {
        // One value read back waits for the block, so that submissions stay short, the
        // progress is true and a cancel comes in time. It has to be looked at: natively
        // nothing waits before. A lost device answers with an error.
        let corner = latest.clone().slice([0..1, 0..1, 0..1, 0..1, 0..1]);
        if let Err(error) = read(corner).await {
            self.failed = Some(error);
            return Err(Stopped);
        }
        if self.pending > 0 {
            self.rate = Some(self.pending as f64 / self.waited.elapsed().as_secs_f64().max(1e-6));
            self.pending = 0;
        }
        Ok(())
    }

    async fn breathe(&mut self) -> Result<(), Stopped> {
        self.watch.breathe().await;
        self.waited = Instant::now();
        if self.watch.cancelled() { Err(Stopped) } else { Ok(()) }
    }
}

impl<W: Watch> Pace for Pacer<'_, W> {
    async fn step(&mut self, latest: &Tensor<5>) -> Result<(), Stopped> {
        self.arrived(latest).await?;
        self.done += 1;
        self.watch.progress(Stage::Network, self.done, self.total);
        self.breathe().await
    }

    async fn wait(&mut self, latest: &Tensor<5>, work: u64) -> Result<(), Stopped> {
        self.pending += work;
        // A fast device had better not wait.
        if self.rate.is_some_and(|rate| (self.pending as f64) < rate * AHEAD_SECONDS) {
            return Ok(());
        }
        self.arrived(latest).await?;
        self.breathe().await
    }
}

/// Segments a scan: labels on its own grid.
///
/// # Errors
/// [`PipelineError`].
pub async fn segment<W: Watch>(
    scan: &Volume,
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
) -> Result<Segmentation, PipelineError> {
    labels_of((scan, None), model, pack, watch).await
}

async fn labels_of<W: Watch>(
    (scan, encoded): (&Volume, Option<Encoded>),
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
) -> Result<Segmentation, PipelineError> {
    let head = model
        .segmentation()
        .ok_or_else(|| PipelineError::NoSegmentation(pack.info.name.clone()))?;
    let mut timings = Timings::default();
    let mut clock = Instant::now();
    let mut lap = |seconds: &mut f64| {
        *seconds = clock.elapsed().as_secs_f64();
        clock = Instant::now();
    };

    watch.progress(Stage::Prepare, 0, 1);
    let pass = encoded.and_then(|encoded| {
        let timings = encoded.timings();
        Some((timings, encoded.parts(model, pack)?))
    });
    let (earlier, (mut prepared, encoded)) = match pass {
        Some(pass) => pass,
        None => (Timings::default(), (prepare_for(scan, pack)?, Vec::new())),
    };
    watch.progress(Stage::Prepare, 1, 1);
    watch.breathe().await;
    if watch.cancelled() {
        return Err(Stopped.into());
    }
    lap(&mut timings.prepare_seconds);

    let mut sink = LabelSink::new(head, prepared.dims);
    let one_organ = pack.info.one_organ;
    let windows = Windows::new(&prepared, pack);
    let windows = if one_organ { windows.unmirrored() } else { windows };
    let first = core::slice::from_ref(&prepared);
    let steps = windows.steps(model);
    let second = second_look(&prepared, pack).map_or(0, |windows| windows.steps(model));
    let mut looks = Looks { watch: &mut *watch, before: 0, total: steps + second };
    let (answers, windows) =
        infer_over(&windows, first, encoded, model, pack, &mut looks, &mut sink).await?;
    timings.windows = windows;
    if one_organ && sink.labels.iter().any(|&label| label != 0) {
        let closer = around_organ(&prepared, &sink.labels, pack);
        if closer.is_some() || !pack.info.mirrors.is_empty() {
            prepared = closer.unwrap_or(prepared);
            sink = LabelSink::new(head, prepared.dims);
            let again = core::slice::from_ref(&prepared);
            looks.before = steps;
            let again = infer(again, Vec::new(), model, pack, &mut looks, &mut sink).await?;
            timings.windows += again.1;
        }
    }
    lap(&mut timings.network_seconds);

    let tissues = contrast(&prepared.input, &sink.labels, &pack.info.labels);
    let coarse_borders = sink.features.is_none();
    let deepest = core::mem::take(&mut sink.deepest);
    let structure_maps = structure_maps(deepest, &sink.labels, prepared.dims).await?;
    watch.progress(Stage::Labels, 0, 1);
    let (labels, island_voxels) = to_scan(scan, &prepared, pack, sink, watch).await?;
    watch.progress(Stage::Labels, 1, 1);
    lap(&mut timings.labels_seconds);
    timings.prepare_seconds += earlier.prepare_seconds;
    timings.network_seconds += earlier.network_seconds;
    timings.earlier_seconds = earlier.prepare_seconds + earlier.network_seconds;
    Ok(Segmentation {
        labels,
        answers,
        tissues,
        island_voxels,
        coarse_borders,
        structure_maps,
        timings,
    })
}

/// Segments a scan whose file states its unit of length or does not: then the network is
/// given the scan as if it covered the pack's usual field of view ([`at_usual_field`]).
/// The labels keep the scan's own affine.
///
/// # Errors
/// [`PipelineError`].
pub async fn segment_stated<W: Watch>(
    scan: (&Volume, bool),
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
) -> Result<Segmentation, PipelineError> {
    segment_encoded(scan, None, model, pack, watch).await
}

/// As [`segment_stated`], going on from an earlier pass of this scan through the encoder.
/// One of another pack or device is left alone, and the encoder runs again; that it is of
/// this scan is the caller's to know. The labels are the same either way.
///
/// # Errors
/// [`PipelineError`].
pub async fn segment_encoded<W: Watch>(
    (scan, unit_stated): (&Volume, bool),
    encoded: Option<Encoded>,
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
) -> Result<Segmentation, PipelineError> {
    let assumed = (!unit_stated).then(|| at_usual_field(scan, &pack.info.preprocessing)).flatten();
    let given = match &assumed {
        Some(assumed) => (assumed, None),
        None => (scan, encoded),
    };
    let mut result = labels_of(given, model, pack, watch).await?;
    result.labels.affine = scan.affine;
    Ok(result)
}

/// Counts the network's steps over both looks of a pack for one organ.
struct Looks<'a, W> {
    watch: &'a mut W,
    /// Steps of the look before.
    before: usize,
    /// Steps of both.
    total: usize,
}

impl<W: Watch> Watch for Looks<'_, W> {
    fn progress(&mut self, stage: Stage, done: usize, _: usize) {
        self.watch.progress(stage, self.before + done, self.total);
    }
    fn cancelled(&self) -> bool {
        self.watch.cancelled()
    }
    async fn breathe(&mut self) {
        self.watch.breathe().await;
    }
}

/// The windows of a second look, should the first one find the organ: how large its input is
/// does not depend on where that lies. `None` where there is none.
fn second_look(prepared: &Prepared, pack: &Pack) -> Option<Windows> {
    let info = &pack.info;
    if !info.one_organ {
        return None;
    }
    let multiple = info.architecture.encoder.multiple();
    match prepared.around([(0, 0); 3], info.preprocessing.window, multiple) {
        Some(closer) => Some(Windows::new(&closer, pack)),
        None if info.mirrors.is_empty() => None,
        None => Some(Windows::new(prepared, pack)),
    }
}

/// The pack's window around the largest piece of the labels. An organ that is a small part
/// of the field of view is outlined better where the network's norms see mostly it.
fn around_organ(prepared: &Prepared, labels: &[u8], pack: &Pack) -> Option<Prepared> {
    let mut organ = labels.to_vec();
    keep_largest(&mut organ, prepared.dims);
    let found: Vec<f32> = organ.iter().map(|&label| f32::from(label)).collect();
    if found.iter().all(|&label| label == 0.0) {
        return None;
    }
    let info = &pack.info;
    let bounds = foreground_box(&found, prepared.dims, 0.5, 0);
    prepared.around(bounds, info.preprocessing.window, info.architecture.encoder.multiple())
}

/// Brings a scan to a pack's grid and intensities.
///
/// # Errors
/// [`PreprocessError`].
pub fn prepare_for(scan: &Volume, pack: &Pack) -> Result<Prepared, PreprocessError> {
    let encoder = &pack.info.architecture.encoder;
    prepare(scan, &pack.info.preprocessing, encoder.multiple(), encoder.smallest_side())
}

/// Logits of every class on the network's input grid, for comparison with a reference.
///
/// # Shapes
/// `[classes, x, y, z]`, z fastest, with its sides
///
/// # Errors
/// [`PipelineError`].
pub async fn logits<W: Watch>(
    scan: &Volume,
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
) -> Result<(Vec<f32>, [usize; 4]), PipelineError> {
    let head = model
        .segmentation()
        .ok_or_else(|| PipelineError::NoSegmentation(pack.info.name.clone()))?;
    let prepared = prepare_for(scan, pack)?;
    let mut sink = LogitSink::new(head, prepared.dims);
    infer(core::slice::from_ref(&prepared), Vec::new(), model, pack, watch, &mut sink).await?;
    Ok(sink.into_values())
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::volume::Affine;

    const TINY: &[u8] = include_bytes!("../../../tests/golden/model/tiny.safetensors");

    /// Every step of the network, and how many there were to be.
    #[derive(Default)]
    struct Steps(Vec<(usize, usize)>);

    impl Watch for Steps {
        fn progress(&mut self, stage: Stage, done: usize, total: usize) {
            if stage == Stage::Network {
                self.0.push((done, total));
            }
        }
        fn cancelled(&self) -> bool {
            false
        }
        async fn breathe(&mut self) {}
    }

    #[test]
    fn both_looks_at_an_organ_are_one_progress() {
        let mut pack = Pack::read(TINY).unwrap();
        let model = Prism::load(&pack, &Device::flex()).unwrap();
        pack.info.one_organ = true;
        pack.info.mirrors = vec![0, 2];
        // Larger than the pack's window and smaller: the second look is closer, or mirrored only.
        for dims in [[48_usize, 64, 48], [24, 40, 24]] {
            let mut state = 1_u32;
            let noise = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                1.0 + (state >> 8) as f32 / (1 << 24) as f32
            };
            let data = (0..dims.iter().product::<usize>()).map(noise).collect();
            let scan = Volume { data, dims, affine: Affine::from_spacing([2.0; 3]) };
            let mut steps = Steps::default();
            let run = pollster::block_on(segment(&scan, &model, &pack, &mut steps)).unwrap();
            assert_eq!(run.timings.windows, 2, "nothing was found in {dims:?}");
            // The second look is at four mirror images.
            let total = 5 * model.steps();
            let expected: Vec<_> = (1..=total).map(|done| (done, total)).collect();
            assert_eq!(steps.0, expected, "{dims:?}");
        }
    }
}
