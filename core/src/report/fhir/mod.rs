//! The report as FHIR R4: a Bundle with a DiagnosticReport, the Observations it rests
//! on and the Device that made them (<http://hl7.org/fhir/R4/diagnosticreport.html>).
//!
//! The status is `preliminary`: nobody has confirmed the report. No patient is named and
//! no time of the examination is given, because the program knows neither for sure; a
//! receiving system adds both. Ids are derived from the content (UUID version 8,
//! RFC 9562), so that the same report is the same Bundle.

mod codes;
mod observations;
mod others;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::html::{base64, escape};
use super::sentence::clean;
use super::{NOT_A_DEVICE, Report, RunManifest};
use codes::{LOINC, coding, concept, words};

/// Ids of the Bundle's entries.
struct Ids {
    seed: Vec<u8>,
}

impl Ids {
    /// `urn:uuid:` of an entry: the first 128 bits of a SHA-256 with version and variant.
    fn urn(&self, entry: &str) -> String {
        let hash = Sha256::new().chain_update(&self.seed).chain_update(entry).finalize();
        let mut bytes: [u8; 16] = std::array::from_fn(|at| hash[at]);
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let part = |from: usize, to: usize| &hex[from..to];
        format!(
            "urn:uuid:{}-{}-{}-{}-{}",
            part(0, 8),
            part(8, 12),
            part(12, 16),
            part(16, 20),
            part(20, 32)
        )
    }
}

impl Report {
    /// The report with its measurements as a FHIR R4 Bundle (JSON, indented, with a line
    /// feed at its end). The manifest says what made it.
    ///
    /// # Errors
    /// As `serde_json`; none is expected, as every value is plain data.
    pub fn to_fhir(&self, manifest: &RunManifest) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(&self.bundle(manifest)).map(|json| json + "\n")
    }

    fn bundle(&self, manifest: &RunManifest) -> Value {
        let text = self.to_text();
        let seed = format!("{}\n{}\n{text}", manifest.pack.sha256, self.started);
        let ids = Ids { seed: seed.into_bytes() };
        let issued = instant(&self.started);
        let device = ids.urn("device");
        let mut entries = vec![entry(&device, self::device(manifest, self))];
        let mut results = Vec::new();
        for (key, mut observation) in observations::observations(self, &ids) {
            let urn = ids.urn(&key);
            observation["device"] = json!({ "reference": device });
            if let Some(issued) = issued {
                observation["issued"] = json!(issued);
            }
            results.push(json!({ "reference": urn }));
            entries.push(entry(&urn, observation));
        }
        let mut report = json!({
            "resourceType": "DiagnosticReport",
            "text": self.narrative(),
            "status": "preliminary",
            "category": [concept(
                coding("http://terminology.hl7.org/CodeSystem/v2-0074", "RAD", "Radiology"),
                "Radiology",
            )],
            "code": self.kind(),
            "presentedForm": [{
                "contentType": "text/plain;charset=utf-8",
                "language": "en",
                "data": base64(text.as_bytes()),
                "title": clean(&self.title),
            }],
        });
        if !results.is_empty() {
            report["result"] = json!(results);
        }
        if let Some(conclusion) = self.conclusion() {
            report["conclusion"] = json!(conclusion);
        }
        let mut bundle = json!({ "resourceType": "Bundle", "type": "collection" });
        if let Some(issued) = issued {
            report["issued"] = json!(issued);
            bundle["timestamp"] = json!(issued);
        }
        // The report first: it is what the Bundle is about.
        entries.insert(0, entry(&ids.urn("report"), report));
        bundle["entry"] = json!(entries);
        bundle
    }

    fn kind(&self) -> Value {
        if self.totals.is_brain {
            concept(coding(LOINC, "24590-2", "MR Brain"), "MRI of the brain, measured")
        } else {
            concept(coding(LOINC, "18748-4", "Diagnostic imaging study"), "MRI, measured")
        }
    }

    /// The impression in one text.
    fn conclusion(&self) -> Option<String> {
        let sentences: Vec<String> =
            self.section("impression")?.sentences.iter().map(|s| clean(&s.marked())).collect();
        (!sentences.is_empty()).then(|| sentences.join(" "))
    }

    /// The sections as XHTML. With a reader's sentences it says more than the data:
    /// FHIR's status `additional`.
    fn narrative(&self) -> Value {
        let line = |text: &str| escape(&clean(text));
        let mut html = format!(
            "<div xmlns=\"http://www.w3.org/1999/xhtml\"><h1>{}</h1><p>{NOT_A_DEVICE}</p>",
            line(&self.title)
        );
        let note = self.note_on_edits();
        if let Some(note) = &note {
            html.push_str(&format!("<p>{}</p>", line(note)));
        }
        for section in &self.sections {
            html.push_str(&format!("<h2>{}</h2>", line(&section.title)));
            for sentence in &section.sentences {
                let class = if sentence.edited.is_some() { " class=\"edited\"" } else { "" };
                html.push_str(&format!("<p{class}>{}</p>", line(&sentence.marked())));
            }
        }
        html.push_str("</div>");
        json!({ "status": if note.is_some() { "additional" } else { "generated" }, "div": html })
    }
}

/// The program with its weights.
fn device(manifest: &RunManifest, report: &Report) -> Value {
    let pack = &manifest.pack;
    let version = |kind: &str, value: &str| {
        let value = clean(value);
        (!value.is_empty()).then(|| json!({ "type": words(kind), "value": value }))
    };
    let mut versions = vec![
        version("program", &manifest.software.full_version()),
        version("name of the weights", &pack.name),
        version("version of the weights", &pack.version),
        version("SHA-256 of the weights", &pack.sha256),
    ];
    let others = [
        ("weights that mark lesions", report.lesions.as_ref().map(|lesions| &lesions.pack)),
        ("weights that outline the heart", report.heart.as_ref().map(|heart| &heart.pack)),
        ("decoder that worded the report", report.worded_by.as_ref()),
    ];
    for (what, pack) in others {
        let Some(pack) = pack else { continue };
        versions.push(version(&format!("version of the {what}"), &pack.version));
        versions.push(version(&format!("SHA-256 of the {what}"), &pack.sha256));
    }
    let versions: Vec<Value> = versions.into_iter().flatten().collect();
    json!({
        "resourceType": "Device",
        "status": "active",
        "deviceName": [{ "name": clean(&manifest.software.name), "type": "other" }],
        "type": words("Software that segments and measures MRI scans"),
        "version": versions,
        "note": [{ "text": NOT_A_DEVICE }],
    })
}

fn entry(urn: &str, resource: Value) -> Value {
    json!({ "fullUrl": urn, "resource": resource })
}

/// The time, where it is an instant to the second in UTC.
fn instant(time: &str) -> Option<&str> {
    let form = "0000-00-00T00:00:00Z";
    let fits = time.len() == form.len()
        && time.bytes().zip(form.bytes()).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            _ => byte == form,
        });
    fits.then_some(time)
}

#[cfg(test)]
mod tests;
