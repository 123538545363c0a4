//! The messages between page and worker.
//!
//! The page asks ([`Request`]), the worker answers ([`Reply`]) with the request's
//! id: any number of [`FromWorker::Progress`] and [`FromWorker::Notice`], then
//! exactly one message that ends the request ([`FromWorker::is_final`]). Messages
//! travel as JSON; what is large (files, voxels, label indices,
//! downloads) travels beside the JSON in the order that each message documents, as
//! `File` handles or transferred buffers (see `wire`).

use prism_core::formats::{Acquisition, Selection, Series};
use prism_core::measure::{Quality, StructureVolume};
use prism_core::report::{Report, ReportInput};
use prism_core::volume::{Affine, LabelTable};
use serde::{Deserialize, Serialize};

use crate::cine::messages as cine;
use crate::compare::messages as compare;
use crate::facts::{Answer, DeviceChoice, DeviceReport, PackCard, Times};
use crate::features::messages as features;
use crate::identify::Found;
use crate::lesions::messages as lesions;

/// Names a request; later requests have larger ids.
pub type RequestId = u32;

/// A message to the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the page, ascending.
    pub id: RequestId,
    /// The device that stands in for one that failed, where one did.
    pub fallback: Option<Fallback>,
    /// What is asked.
    pub body: ToWorker,
}

/// A device that stands in for one that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// It, as requests name it.
    pub device: DeviceChoice,
    /// Why it runs, for [`DeviceReport::note`].
    pub why: String,
}

/// What the page asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// Read the files beside (`File` handles, named by their paths where they come from
    /// several folders) and load one volume of them. Without a selection a study of several series answers [`FromWorker::Listed`] instead.
    /// A newer `Read` supersedes one that waits.
    Read {
        /// The series and volume to load.
        selection: Option<Selection>,
        /// Whether to send voxels for display: not wanted when a restarted worker
        /// reads again what the page still shows.
        display: bool,
    },
    /// Open the device and the pack (a `Blob` beside) without running anything.
    Prepare {
        /// Where to compute.
        device: DeviceChoice,
        /// SHA-256 of a kept pack; `None` for the one that comes with the page.
        pack: Option<String>,
    },
    /// Segment the loaded scan with the pack (a `Blob` beside), then measure and
    /// report.
    Segment {
        /// Where to compute.
        device: DeviceChoice,
        /// As in [`ToWorker::Prepare`].
        pack: Option<String>,
    },
    /// List the packs that are kept: answers [`FromWorker::Packs`].
    ListPacks,
    /// Check the pack beside (a `File`) and keep it: answers [`FromWorker::Packs`].
    KeepPack,
    /// Delete a kept pack: answers [`FromWorker::Packs`].
    ForgetPack {
        /// SHA-256 of its tensors.
        sha256: String,
    },
    /// Something about the features of the loaded scan (the pack, a `Blob`, beside).
    Features {
        /// Where to compute.
        device: DeviceChoice,
        /// As in [`ToWorker::Prepare`].
        pack: Option<String>,
        /// What.
        ask: features::Ask,
    },
    /// Say what the loaded scan shows. Beside: the pack whose encoder is read, and the
    /// heads (`Blob`s). Answers [`FromWorker::Identified`].
    Identify {
        /// Where to compute.
        device: DeviceChoice,
    },
    /// Something about a second scan (the pack, a `Blob`, beside).
    Compare {
        /// Where to compute.
        device: DeviceChoice,
        /// As in [`ToWorker::Prepare`].
        pack: Option<String>,
        /// What.
        ask: compare::Ask,
    },
    /// Something about lesions in the study of the loaded scan; what is beside, it says.
    Lesions {
        /// Where to compute.
        device: DeviceChoice,
        /// What.
        ask: lesions::Ask,
    },
    /// Something about the phases of a heartbeat; what is beside, the question says.
    Cine {
        /// Where to compute.
        device: DeviceChoice,
        /// As in [`ToWorker::Prepare`].
        pack: Option<String>,
        /// What.
        ask: cine::Ask,
    },
    /// End the request `id` at the next occasion.
    Cancel {
        /// The request to end.
        id: RequestId,
    },
    /// Give a restarted worker its segmentation back (label indices beside, on the
    /// scan's own grid).
    Restore {
        /// What the indices stand for.
        table: LabelTable,
    },
    /// Make the segmentation file: answers [`FromWorker::Exported`].
    ExportSegmentation,
}

/// Where voxels lie, for buffers that travel beside.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Voxels along x, y, z.
    pub dims: [usize; 3],
    /// World (RAS+, mm) from voxel indices.
    pub affine: Affine,
}

/// What is known about a scan after it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanFacts {
    /// The series it comes from.
    pub series: Series,
    /// All series of the study, for a later change.
    pub study: Vec<Series>,
    /// Which volume of the series, from 0.
    pub volume: usize,
    /// Its grid.
    pub grid: Grid,
    /// Lowest and highest value in scan units.
    pub range: (f32, f32),
    /// 1st and 99th percentile of the values above zero, in scan units: black and
    /// white to begin with.
    pub window: (f32, f32),
    /// Whether the files do not say how the scan lies in the body, so that sides are assumed.
    pub sides_assumed: bool,
    /// What was odd about the files.
    pub warnings: Vec<String>,
    /// How the image alone was judged, before any segmentation.
    pub quality: Quality,
    /// Seconds from the request to the loaded volume.
    pub seconds: f64,
}

impl ScanFacts {
    /// How the scan was acquired, where the files say so.
    pub fn acquisition(&self) -> &Acquisition {
        &self.series.acquisition
    }
}

/// Everything a run found, without the label indices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Grid of the label indices beside.
    pub grid: Grid,
    /// Structures, sums, quality with tissue-based measures, and the sentences.
    pub report: Report,
    /// What the report is written from; lesions, phases and a second scan come later.
    pub input: ReportInput,
    /// What the pooled heads say.
    pub answers: Vec<Answer>,
    /// Where it ran.
    pub device: DeviceReport,
    /// With which weights.
    pub pack: PackCard,
    /// How long it took.
    pub times: Times,
    /// Size of the worker's WebAssembly memory in bytes after the run.
    pub memory_bytes: f64,
    /// The structures as a table (CSV).
    pub csv: String,
    /// What the scan shows, surer than before the run; `None` where that adds nothing.
    pub found: Option<Found>,
}

impl RunResult {
    /// Volume and place of each structure.
    pub fn structures(&self) -> &[StructureVolume] {
        &self.report.structures
    }
}

/// A message from the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The request it answers; `None` for [`FromWorker::Ready`] and for failures
    /// that belong to no request.
    pub id: Option<RequestId>,
    /// What is said.
    pub body: FromWorker,
}

/// What the worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// It listens now.
    Ready,
    /// How far a request is.
    Progress {
        /// What is being done, as a short sentence.
        stage: String,
        /// Steps done.
        done: usize,
        /// Steps in all; 0 where that is unknown.
        total: usize,
    },
    /// One clear line that is not a failure.
    Notice {
        /// The line.
        text: String,
    },
    /// The study holds several series.
    Listed {
        /// The series, in the order of the study.
        series: Vec<Series>,
    },
    /// The scan is loaded. Beside, if display was asked for: half floats in `[0, 1]`
    /// (0 and 1 are the two ends of `range`), x fastest; and, unless the scan is too large,
    /// its values, 16 bits a voxel above the low end of `range` or 32-bit floats.
    Loaded {
        /// What is known about it.
        facts: Box<ScanFacts>,
    },
    /// Device and pack are open.
    Prepared {
        /// The device.
        device: DeviceReport,
        /// The pack.
        pack: Box<PackCard>,
    },
    /// The run is done. Beside: one label index (u8) per voxel, x fastest.
    Segmented {
        /// What it found.
        result: Box<RunResult>,
    },
    /// The packs there are.
    Packs {
        /// Those that are kept on this device, by title.
        kept: Vec<PackCard>,
        /// SHA-256 of the one that was just kept.
        added: Option<String>,
    },
    /// What was asked about features; what is beside, the answer says.
    Features {
        /// It.
        answer: features::Answer,
    },
    /// What the scan shows.
    Identified {
        /// It.
        found: Box<Found>,
    },
    /// What was asked about a second scan; what is beside, the answer says.
    Compare {
        /// It.
        answer: compare::Answer,
    },
    /// What was asked about lesions; what is beside, the answer says.
    Lesions {
        /// It.
        answer: lesions::Answer,
    },
    /// What was asked about the phases of a heartbeat; what is beside, the answer says.
    Cine {
        /// It.
        answer: cine::Answer,
    },
    /// The segmentation is back.
    Restored,
    /// A file is made; its bytes are beside.
    Exported {
        /// Media type of the bytes.
        media_type: String,
    },
    /// The request ended because it was asked to, or because a newer one came.
    Cancelled,
    /// The request failed.
    Failed {
        /// What kind of failure, which decides what the page does next.
        kind: FailureKind,
        /// One sentence for the user.
        message: String,
    },
}

/// What a failure calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The files are at fault: what was loaded stays.
    Input,
    /// The device failed (lost, out of memory, wrong results): another one may do.
    Device,
    /// The message could not be understood: page and worker are of different builds.
    Message,
    /// Something the request needs is not there (no scan, no pack).
    Missing,
    /// The worker cannot go on and must be started again.
    Crash,
}

impl FailureKind {
    /// Whether the worker is of no use afterwards: it keeps a device that is gone.
    pub const fn ends_worker(self) -> bool {
        matches!(self, Self::Device | Self::Crash)
    }
}

impl FromWorker {
    /// Whether this message ends its request.
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Ready | Self::Progress { .. } | Self::Notice { .. })
    }
}

/// Reads a message.
///
/// # Errors
/// A sentence that says where the JSON is not what this build expects.
pub fn decode<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| {
        format!("page and worker do not understand each other ({error}); reload the page")
    })
}

/// Writes a message.
///
/// # Errors
/// A sentence, should a value have no JSON form.
pub fn encode<T: Serialize>(message: &T) -> Result<String, String> {
    serde_json::to_string(message)
        .map_err(|error| format!("a message could not be written ({error})"))
}

#[cfg(test)]
mod tests {
    use prism_core::formats::Format;
    use prism_core::measure::cardiac::Measured;

    use super::*;
    use crate::facts::DeviceKind;

    fn series(key: &str) -> Series {
        Series {
            key: key.into(),
            title: "3 · T1 MPRAGE \"sag\"".into(),
            format: Format::Dicom,
            dims: [176, 256, 256],
            spacing_mm: [1.0, 0.976_562_5, 0.976_562_5],
            unit_stated: true,
            volumes: 1,
            files: 176,
            acquisition: Acquisition { echo_time_ms: Some(2.98), ..Acquisition::default() },
        }
    }

    fn facts() -> ScanFacts {
        ScanFacts {
            series: series("series-3"),
            study: vec![series("series-3"), series("series-4")],
            volume: 0,
            grid: Grid {
                dims: [176, 256, 256],
                affine: Affine::from_spacing([1.0, 0.976_562_5, 0.976_562_5]),
            },
            range: (-3.5, 4095.0),
            window: (12.0, 811.5),
            sides_assumed: true,
            warnings: vec!["Slices 3 and 4 overlap.".into()],
            quality: Quality::default(),
            seconds: 1.25,
        }
    }

    #[test]
    fn requests_come_back_as_they_went() {
        let bodies = [
            ToWorker::Read { selection: None, display: true },
            ToWorker::Read {
                selection: Some(Selection { series: Some("series-3".into()), volume: 4 }),
                display: false,
            },
            ToWorker::Prepare { device: DeviceChoice::Auto, pack: None },
            ToWorker::Segment { device: DeviceChoice::Cpu, pack: Some("0123abcd".into()) },
            ToWorker::ListPacks,
            ToWorker::KeepPack,
            ToWorker::ForgetPack { sha256: "0123abcd".into() },
            ToWorker::Features {
                device: DeviceChoice::Auto,
                pack: None,
                ask: features::Ask::Similar(features::Place::Here([1.5, -2.0, 30.25])),
            },
            ToWorker::Identify { device: DeviceChoice::Cpu },
            ToWorker::Compare {
                device: DeviceChoice::Cpu,
                pack: None,
                ask: compare::Ask::Align { kind: compare::Kind::Affine, atlas: true },
            },
            ToWorker::Lesions {
                device: DeviceChoice::Cpu,
                ask: lesions::Ask::Find { pack: "0123abcd".into(), keys: vec![0, 6] },
            },
            ToWorker::Cine {
                device: DeviceChoice::Cpu,
                pack: Some("0123abcd".into()),
                ask: cine::Ask::Measure { phase: 3 },
            },
            ToWorker::Cancel { id: 7 },
            ToWorker::Restore { table: LabelTable::default() },
            ToWorker::ExportSegmentation,
        ];
        let fallback = Fallback { device: DeviceChoice::Cpu, why: "the GPU was lost".into() };
        for (id, body) in (1..).zip(bodies) {
            let request = Request { id, fallback: Some(fallback.clone()), body };
            let json = encode(&request).unwrap_or_default();
            assert_eq!(decode::<Request>(&json), Ok(request), "{json}");
        }
    }

    #[test]
    fn replies_come_back_as_they_went() {
        let device = DeviceReport {
            kind: DeviceKind::Gpu,
            adapter: "SwiftShader".into(),
            software: true,
            note: None,
            half_precision: false,
        };
        let bodies = [
            (FromWorker::Ready, false),
            (FromWorker::Progress { stage: "Segmenting".into(), done: 3, total: 8 }, false),
            (FromWorker::Notice { text: "On the CPU.".into() }, false),
            (FromWorker::Listed { series: vec![series("a")] }, true),
            (FromWorker::Loaded { facts: Box::new(facts()) }, true),
            (FromWorker::Packs { kept: vec![], added: None }, true),
            (
                FromWorker::Cine {
                    answer: cine::Answer::Measured {
                        phase: 3,
                        measured: Measured::Refused("no wall".into()),
                    },
                },
                true,
            ),
            (FromWorker::Restored, true),
            (FromWorker::Exported { media_type: "application/gzip".into() }, true),
            (FromWorker::Cancelled, true),
            (FromWorker::Failed { kind: FailureKind::Device, message: "lost".into() }, true),
        ];
        for (body, is_final) in bodies {
            assert_eq!(body.is_final(), is_final, "{body:?}");
            let reply = Reply { id: Some(9), body };
            let json = encode(&reply).unwrap_or_default();
            assert_eq!(decode::<Reply>(&json), Ok(reply), "{json}");
        }
        let json = encode(&device).unwrap_or_default();
        assert_eq!(decode::<DeviceReport>(&json), Ok(device));
    }

    #[test]
    fn messages_of_another_build_are_refused_with_a_sentence() {
        for json in ["", "{}", "{\"id\":1,\"body\":\"Teleport\"}", "{\"id\":-1,\"body\":\"Ready\"}"]
        {
            let Err(message) = decode::<Request>(json) else {
                unreachable!("{json} was understood")
            };
            assert!(message.contains("reload the page"), "{message}");
        }
    }
}
