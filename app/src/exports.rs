//! Saving what a run found.

use std::sync::Arc;

use js_sys::Uint8Array;
use leptos::prelude::*;
use prism_core::report::{Picture, RunManifest};
use serde::Serialize;
use wasm_bindgen::JsValue;

use crate::actions::sentence;
use crate::download;
use crate::protocol::{RunResult, ToWorker};
use crate::state::{App, Tone};
use crate::text;
use crate::viewer::screenshot;

/// A file that a run makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Download {
    /// Label ids on the scan's own grid (NIfTI).
    Segmentation,
    /// Structures and volumes (CSV).
    Table,
    /// The report (HTML).
    Report,
    /// The report (plain text).
    Text,
    /// The report and its measurements (FHIR R4, JSON).
    Fhir,
    /// How the run was made (JSON).
    Manifest,
    /// The planes as they are (PNG).
    Picture,
}

/// The manifest of a run, with what only the page knows.
#[derive(Serialize)]
struct PageManifest {
    #[serde(flatten)]
    run: RunManifest,
    /// Name and version of the browser and its system, as it gives them.
    browser: Option<String>,
}

impl App {
    /// Saves one of the run's files.
    pub fn save(&self, what: Download) {
        let stem = self.volume_stem();
        if what == Download::Picture {
            self.save_picture(stem);
            return;
        }
        let Some(result) = self.result.get_untracked() else { return };
        let saved = match what {
            Download::Segmentation => {
                self.export_segmentation(&stem, &result);
                Ok(())
            }
            Download::Table => download::save_text(
                &format!("{stem}_volumes.csv"),
                "text/csv;charset=utf-8",
                &result.csv,
            ),
            Download::Report => {
                self.save_report(stem, result);
                Ok(())
            }
            Download::Text => download::save_text(
                &format!("{stem}_report.txt"),
                "text/plain;charset=utf-8",
                &self.edited_report(&result).to_text(),
            ),
            Download::Fhir => self.fhir(&result).and_then(|json| {
                download::save_text(
                    &format!("{stem}_report.fhir.json"),
                    "application/fhir+json",
                    &json,
                )
            }),
            Download::Picture => Ok(()),
            Download::Manifest => self.manifest_json(&result).and_then(|json| {
                download::save_text(&format!("{stem}_run.json"), "application/json", &json)
            }),
        };
        if let Err(message) = saved {
            self.notify(Tone::Problem, sentence(&message));
        }
    }

    /// How the run was made, as indented JSON.
    fn manifest_json(&self, result: &RunResult) -> Result<String, String> {
        let run = self.manifest(result);
        let manifest = PageManifest { run, browser: window().navigator().user_agent().ok() };
        serde_json::to_string_pretty(&manifest)
            .map(|json| json + "\n")
            .map_err(|error| format!("the run's manifest could not be written ({error})"))
    }

    /// The report as a page of its own, with the planes as they are now.
    fn save_report(&self, stem: String, result: Arc<RunResult>) {
        let app = *self;
        let report = self.edited_report(&result);
        leptos::task::spawn_local(async move {
            // Without a picture the report is still whole.
            let pictures = match picture(app).await {
                Ok((_, png)) => {
                    vec![Picture { caption: "The planes when the report was saved".into(), png }]
                }
                Err(_) => Vec::new(),
            };
            let html = report.to_html(&pictures);
            let name = format!("{stem}_report.html");
            if let Err(message) = download::save_text(&name, "text/html;charset=utf-8", &html) {
                app.notify(Tone::Problem, sentence(&message));
            }
        });
    }

    fn save_picture(&self, stem: String) {
        let app = *self;
        leptos::task::spawn_local(async move {
            let saved = match picture(app).await {
                Ok((blob, _)) => download::save(&format!("{stem}_planes.png"), "image/png", &blob),
                Err(message) => Err(message),
            };
            if let Err(message) = saved {
                app.notify(Tone::Problem, sentence(&message));
            }
        });
    }

    fn export_segmentation(&self, stem: &str, result: &RunResult) {
        let (Some(client), Some(labels)) = (self.client(), self.labels.get_untracked()) else {
            return;
        };
        self.give_scan(&client);
        if !self.desk.with_value(|desk| desk.worker_has_labels) {
            // A copy: the planes go on using theirs.
            let indices = labels.indices.slice(0, labels.indices.length());
            client.send(
                ToWorker::Restore { table: result.pack.labels.clone() },
                &[indices.buffer().into()],
            );
            self.desk.update_value(|desk| desk.worker_has_labels = true);
        }
        let id = client.send(ToWorker::ExportSegmentation, &[]);
        self.desk.update_value(|desk| {
            desk.exporting = Some((id, format!("{stem}_segmentation.nii.gz")))
        });
    }

    /// What downloads of the files that are shown are named after.
    pub fn file_stem(&self) -> String {
        let name = self.desk.with_value(|desk| match desk.files.as_slice() {
            [file] => Some(file.name()),
            _ => None,
        });
        let title =
            || self.scan.with_untracked(|scan| scan.as_ref().map(|scan| scan.series.title.clone()));
        text::file_stem(&name.or_else(title).unwrap_or_default())
    }

    /// What downloads of the one volume that is shown are named after.
    pub fn volume_stem(&self) -> String {
        let stem = self.file_stem();
        let volume = self.scan.with_untracked(|scan| {
            scan.as_ref().and_then(|scan| (scan.series.volumes > 1).then_some(scan.volume + 1))
        });
        volume.map_or_else(|| stem.clone(), |number| format!("{stem}_volume-{number}"))
    }
}

/// The planes as a PNG file: as a handle, and its bytes.
async fn picture(app: App) -> Result<(JsValue, Vec<u8>), String> {
    let blob = screenshot(app.view).await.map_err(|error| error.to_string())?;
    let bytes = wasm_bindgen_futures::JsFuture::from(blob.array_buffer())
        .await
        .map_err(|_| "the browser made no picture of the planes".to_owned())?;
    Ok((blob.into(), Uint8Array::new(&bytes).to_vec()))
}
