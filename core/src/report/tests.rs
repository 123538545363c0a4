//! The report against sentences, numbers and files written down beforehand.

use std::collections::BTreeSet;

use super::*;
use crate::measure::{quality, structures};
use crate::volume::{Affine, Label, LabelMap, LabelTable, Side, Volume};

pub(super) const HOSTILE: &str = "t1 <script>alert('x')</script> \"&\u{7}";

fn label(index: u8, id: u16, name: &str, pair: u8) -> Label {
    let side = match (pair, name.starts_with("Left")) {
        (0, _) => None,
        (_, true) => Some(Side::Left),
        (_, false) => Some(Side::Right),
    };
    Label { index, id, name: name.into(), color: [9, 8, 7], side, pair: (pair > 0).then_some(pair) }
}

/// Boxes 10 deep and 10 high in a grid of 1 mm; the lengths along x are in [`lengths`].
fn table() -> LabelTable {
    LabelTable {
        labels: vec![
            label(1, 2, "Left-Cerebral-White-Matter", 2),
            label(2, 41, "Right-Cerebral-White-Matter", 1),
            label(3, 17, "Left-Hippocampus", 4),
            label(4, 53, "Right-Hippocampus", 3),
            label(5, 18, "Left-Amygdala", 6),
            label(6, 54, "Right-Amygdala", 5),
            label(7, 4, "Left-Lateral-Ventricle", 8),
            label(8, 43, "Right-Lateral-Ventricle", 7),
            label(9, 14, "3rd-Ventricle", 0),
            label(10, 24, "CSF", 0),
            label(11, 16, "Brain-Stem", 0),
            label(12, 10, "Left-Thalamus", 13),
            label(13, 49, "Right-Thalamus", 12),
        ],
    }
}

/// Length along x of each label in 0.1 mL; labels 6, 12 and 13 are missing.
const LENGTHS: [(u8, usize); 10] =
    [(1, 100), (2, 98), (3, 20), (4, 16), (5, 9), (7, 4), (8, 3), (9, 6), (10, 40), (11, 22)];

fn labels() -> LabelMap {
    let dims = [330, 12, 12];
    let mut data = Vec::new();
    for z in 0..12 {
        for y in 0..12 {
            let mut row = vec![0; 330];
            if (1..11).contains(&y) && (1..11).contains(&z) {
                let mut x = 5;
                for (index, length) in LENGTHS {
                    row[x..x + length].fill(index);
                    x += length;
                }
                // The brainstem reaches the upper side of the grid with one voxel.
            }
            if y == 1 && z == 11 {
                row[310] = 11;
            }
            data.extend(row);
        }
    }
    LabelMap { data, dims, affine: Affine::from_spacing([1.0; 3]) }
}

pub(super) fn input() -> ReportInput {
    let (labels, table) = (labels(), table());
    let data = labels.data.iter().map(|&label| 40.0 * f32::from(label)).collect();
    let volume = Volume { data, dims: labels.dims, affine: labels.affine };
    ReportInput {
        scan: ScanFacts {
            volumes: 4,
            volume: 1,
            echo_time_ms: Some(2.98),
            repetition_time_ms: Some(2300.0),
            field_strength_t: Some(3.0),
            description: Some(HOSTILE.into()),
            ..ScanFacts::of_grid("NIfTI-1", labels.dims, &labels.affine)
        },
        structures: structures(&labels, &table),
        quality: quality(&volume, Some((&labels, &table))),
        answers: vec![HeadAnswer {
            head: "sequence".into(),
            outputs: vec!["T1w".into(), "T2w".into()],
            values: vec![0.931, 0.069],
            probabilities: true,
        }],
        pack: PackFacts {
            name: "brain".into(),
            title: "Brain, any contrast (2 mm)".into(),
            version: "0.3".into(),
            sha256: "0123456789abcdef0123".into(),
            note: "not the published PRISM weights".into(),
            trained_on: vec!["label maps".into(), "synthetic contrasts".into()],
        },
        device: DeviceFacts {
            kind: "GPU".into(),
            adapter: "Example 4090".into(),
            software: true,
            fallback: None,
        },
        timings: vec![
            StageTime { stage: "prepare".into(), seconds: 0.25 },
            StageTime { stage: "network".into(), seconds: 1.5 },
        ],
        software: SoftwareFacts { name: "Prism".into(), version: "0.1.0".into() },
        started: "2026-01-31T12:00:00Z".into(),
        warnings: vec![
            "2 slices are missing & were skipped".into(),
            "Left out: the file is damaged. File: DOE^JANE.dcm".into(),
        ],
    }
}

fn texts(report: &Report, key: &str) -> Vec<String> {
    let section = report.section(key);
    assert!(section.is_some(), "{key}");
    section.into_iter().flat_map(|s| s.sentences.iter().map(|s| s.text.clone())).collect()
}

#[test]
fn sections_stand_in_the_order_of_a_radiology_report() {
    let report = Report::write(&input());
    assert_eq!(report.title, "Brain: report of measurements");
    let titles: Vec<&str> = report.sections.iter().map(|s| s.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "Technique",
            "Comparison",
            "Findings: cerebral hemispheres",
            "Findings: ventricles and cerebrospinal fluid",
            "Findings: deep grey matter",
            "Findings: medial temporal lobe",
            "Findings: posterior fossa",
            "Image quality",
            "Impression",
            "Method",
        ]
    );
}

#[test]
fn sentences_say_what_was_measured() {
    let report = Report::write(&input());
    let hemispheres = texts(&report, "findings_cerebral_hemispheres");
    // Brain: 100 + 98 + 20 + 16 + 9 + 22 boxes of 0.1 mL and one voxel = 26.501 mL;
    // with ventricles (1.3 mL) and fluid (4 mL) 31.801 mL; 26.501 / 31.801 = 83.33 %.
    assert_eq!(
        hemispheres[0],
        "The labelled brain tissue, without ventricles and cerebrospinal fluid, measures 26.5 mL, \
         which is 83.3% of the intracranial volume of 31.8 mL."
    );
    // 100 * (10 - 9.8) / 9.9 = 2.02
    assert_eq!(
        hemispheres[1],
        "The left cerebral white matter measures 10.0 mL and the right 9.80 mL; the left is larger \
         by 2.0%."
    );
    let temporal = texts(&report, "findings_medial_temporal_lobe");
    // 100 * (2 - 1.6) / 1.8 = 22.22
    assert!(
        temporal.contains(
            &"The left hippocampus measures 2.00 mL and the right 1.60 mL; the left is larger by \
          22.2%, beyond the 10% from which this report names a difference."
                .to_owned()
        )
    );
    assert!(temporal.contains(
        &"The left amygdala measures 0.90 mL; the right amygdala was not found.".to_owned()
    ));
    let ventricles = texts(&report, "findings_ventricles_and_cerebrospinal_fluid");
    // 100 * (0.4 - 0.3) / 0.35 = 28.6, but both are below 0.5 mL.
    assert!(ventricles.contains(
        &"The left lateral ventricle measures 0.40 mL and the right 0.30 mL; the left is larger by \
          28.6%, which says little in a structure this small."
            .to_owned()
    ));
    assert_eq!(
        texts(&report, "findings_deep_grey_matter"),
        ["Not found: left thalamus and right thalamus."]
    );
    let fossa = texts(&report, "findings_posterior_fossa");
    assert!(fossa.contains(
        &"At the edge of the field of view, so that the volume is probably too small: brainstem (1 \
          voxel at the superior side)."
            .to_owned()
    ));
    let impression = texts(&report, "impression");
    assert_eq!(
        impression[0],
        "10 of 13 structures were found; the brain measures 26.5 mL and its ventricles 1.30 mL."
    );
    assert_eq!(
        impression[1],
        "The largest difference between the sides is in the hippocampus: the left is larger by \
         22.2% (2.00 mL left, 1.60 mL right); no other pair reaches the limit of 10%."
    );
    assert!(impression.iter().any(|text| text.starts_with("No norm is applied")));
    assert_eq!(impression.last().map(String::as_str), Some(NOT_A_DEVICE));
}

#[test]
fn sentences_differ_with_the_data() {
    let mut even = input();
    for row in &mut even.structures {
        row.asymmetry_percent = row.asymmetry_percent.map(|_| -4.0);
        row.edge_voxels = 0;
    }
    let impression = texts(&Report::write(&even), "impression");
    assert_eq!(
        impression[1],
        "None of 2 pairs of structures differs between the sides by 10% or more."
    );
    assert!(!impression.iter().any(|text| text.contains("edge of the field of view")));
    let mut none = input();
    none.structures.clear();
    let report = Report::write(&none);
    assert_eq!(texts(&report, "findings"), ["No structures were segmented."]);
}

/// Numbers of a sentence outside quotation marks, as written.
fn numbers(text: &str) -> Vec<String> {
    let mut quoted = false;
    let mut plain = String::new();
    for character in text.chars() {
        match character {
            '“' => quoted = true,
            '”' => quoted = false,
            other if !quoted => plain.push(other),
            _ => {}
        }
    }
    plain
        .split(|c: char| c.is_whitespace() || "(),;:%".contains(c))
        .map(|token| token.trim_end_matches('.').to_owned())
        .filter(|token| token.parse::<f64>().is_ok())
        .collect()
}

#[test]
fn every_number_of_a_sentence_is_among_its_values() {
    let mut inputs = vec![input(), input(), input(), input()];
    inputs[1].structures.clear();
    inputs[2].quality = crate::measure::Quality::default();
    for row in &mut inputs[3].structures {
        // Another pack: no brain labels, several pairs beyond the limit.
        (row.tissue, row.region) = (None, crate::measure::Region::Other);
        row.percent_of_icv = None;
        row.asymmetry_percent = row.asymmetry_percent.map(|_| -30.0);
    }
    let mut checked = 0;
    for input in inputs {
        for sentence in Report::write(&input).sentences() {
            for value in &sentence.values {
                assert!(sentence.text[value.start..].starts_with(&value.written), "{sentence:?}");
                let decimals = value.written.split_once('.').map_or(0, |(_, d)| d.len());
                assert_eq!(value.written, format!("{:.decimals$}", value.value.abs()));
            }
            if sentence.kind == SentenceKind::Warning {
                continue;
            }
            let written: Vec<&str> = sentence.values.iter().map(|v| v.written.as_str()).collect();
            assert_eq!(numbers(&sentence.text), written, "{}", sentence.text);
            checked += written.len();
        }
    }
    assert!(checked > 150, "{checked}");
}

#[test]
fn sentences_lead_to_structures_and_measures_that_exist() {
    let report = Report::write(&input());
    let mut linked = 0;
    for sentence in report.sentences() {
        let of_values = sentence.values.iter().filter_map(|value| value.structure);
        for index in of_values.chain(sentence.structure) {
            assert!(report.structures.iter().any(|row| row.index == index), "{sentence:?}");
            linked += 1;
        }
        if let Some(key) = &sentence.measure {
            assert!(report.quality.get(key).is_some(), "{key}");
        }
    }
    assert!(linked > 10, "{linked}");
}

#[test]
fn the_page_is_inert_whatever_the_file_says() {
    let mut hostile = input();
    hostile.pack.title = HOSTILE.into();
    hostile.started = HOSTILE.into();
    hostile.device.adapter = HOSTILE.into();
    hostile.structures[0].display_name = HOSTILE.into();
    hostile.warnings.push(HOSTILE.into());
    let png = [&[0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a][..], &[0; 4]].concat();
    let pictures = [
        Picture { caption: HOSTILE.into(), png },
        Picture { caption: "not a picture".into(), png: b"<svg onload=alert(1)>".to_vec() },
    ];
    let html = Report::write(&hostile).to_html(&pictures);
    assert!(!html.to_lowercase().contains("<script"));
    assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
    for forbidden in ["http://", "https://", "url(", "@import", "<link", "<svg", "javascript:"] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert!(html.contains("default-src 'none'"));
    assert!(html.contains("src=\"data:image/png;base64,iVBORw0KGgoAAAAA\""));
    assert!(!html.contains("not a picture"));
    assert!(html.contains("@page{size:A4"));
    // Every link has its target, and every id is there once.
    let after = |mark: &str| -> Vec<String> {
        html.split(mark).skip(1).filter_map(|s| s.split('"').next()).map(str::to_owned).collect()
    };
    let ids = after(" id=\"");
    let unique: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len());
    let links = after("href=\"#");
    assert!(links.len() > 10, "{}", links.len());
    assert!(links.iter().all(|link| unique.contains(link)), "{links:?}");
}

#[test]
fn text_fits_eighty_columns_and_holds_every_sentence() {
    let report = Report::write(&input());
    let text = report.to_text();
    let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    assert!(longest <= 100, "{longest}");
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in report.sentences() {
        assert!(flat(&text).contains(&flat(&sentence.text)), "{}", sentence.text);
    }
    assert!(text.contains("! Warning: 2 slices are missing & were skipped"));
}

/// A reader of RFC 4180 as strict as the standard.
fn parse_csv(text: &str) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (quoted, character) {
            (true, '"') if characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            (true, '"') => quoted = false,
            (true, other) => field.push(other),
            (false, '"') => quoted = true,
            (false, ',') => record.push(std::mem::take(&mut field)),
            (false, '\r') => {
                assert_eq!(characters.next(), Some('\n'));
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            (false, other) => field.push(other),
        }
    }
    assert!(record.is_empty() && field.is_empty() && !quoted);
    records
}

#[test]
fn the_table_reads_back() {
    let mut rows = input().structures;
    rows[0].name = "odd, \"quoted\"\r\nname".into();
    let records = parse_csv(&structures_csv(&rows));
    assert_eq!(records.len(), rows.len() + 1);
    assert!(records.iter().all(|record| record.len() == csv::COLUMNS.len()));
    assert_eq!(records[0], csv::COLUMNS);
    let column = |name: &str| csv::COLUMNS.iter().position(|c| *c == name).unwrap_or(99);
    for (row, record) in rows.iter().zip(&records[1..]) {
        let number = |name: &str| record[column(name)].parse::<f64>().ok();
        assert_eq!(record[column("name")], row.name);
        assert_eq!(number("id"), Some(f64::from(row.id)));
        assert_eq!(number("voxels"), Some(row.voxels as f64));
        assert!((number("volume_ml").unwrap_or(-1.0) - row.millilitres).abs() < 1e-4);
        assert_eq!(number("asymmetry_percent").is_some(), row.asymmetry_percent.is_some());
        assert_eq!(number("centroid_r_mm").is_some(), row.voxels > 0);
        assert_eq!(number("voxel_x"), row.nearest_voxel.map(|v| v[0] as f64));
    }
    // 2 mL against 1.6 mL.
    assert_eq!(records[3][column("volume_ml")], "2.0000");
    assert_eq!(records[3][column("asymmetry_percent")], "22.2222");
    assert_eq!(records[11][column("edge_faces")], "superior");
}

#[test]
fn the_manifest_reads_back_and_holds_no_free_text() {
    let input = input();
    let manifest = RunManifest::of(&input);
    let json = manifest.to_json().unwrap_or_default();
    round_trips(&manifest);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
    assert_eq!(value["schema"], 1);
    assert_eq!(value["pack"]["sha256"], "0123456789abcdef0123");
    assert_eq!(value["input"]["dims"], serde_json::json!([330, 12, 12]));
    assert_eq!(value["input"]["volume"], 1);
    assert_eq!(value["device"]["software"], true);
    assert_eq!(value["total_seconds"], 1.75);
    assert_eq!(value["results"]["structures"][2]["voxels"], 2000);
    assert_eq!(value["results"]["totals"]["found"], 10);
    assert_eq!(value["notice"], NOT_A_DEVICE);
    assert!(!json.contains("script"));
    assert!(json.contains("the file is damaged.") && !json.contains("JANE"));
    assert!(!Report::write(&input).to_text().contains("JANE"));
}

/// Whether two documents agree; numbers to the last digit but one, because serde_json
/// reads decimals without its `float_roundtrip` feature.
fn agree(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (a, b) {
        (Number(a), Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            (a - b).abs() <= 1e-14 * a.abs()
        }
        (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agree(a, b)),
        (Object(a), Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| agree(a, b)))
        }
        _ => a == b,
    }
}

fn round_trips<T: Serialize + serde::de::DeserializeOwned>(value: &T) {
    let json = serde_json::to_string(value).unwrap_or_default();
    let back = serde_json::from_str::<T>(&json).map(|back| serde_json::to_value(&back));
    let Ok(Ok(back)) = back else { unreachable!("does not read back: {json:.200}") };
    assert!(agree(&serde_json::to_value(value).unwrap_or_default(), &back));
}

#[test]
fn input_and_report_cross_the_worker_boundary() {
    let input = input();
    round_trips(&input);
    round_trips(&Report::write(&input));
}

#[test]
fn a_readers_sentences_are_told_apart_in_every_file() {
    let report = Report::write(&input());
    let sentence = |key: &str, at: usize| {
        report.section(key).and_then(|s| s.sentences.get(at)).map(|s| s.text.clone())
    };
    let (Some(first), Some(second), Some(third)) =
        (sentence("impression", 0), sentence("impression", 1), sentence("comparison", 0))
    else {
        unreachable!("the report has these sentences");
    };
    let mut edits = Edits::default();
    edits.set("impression", &first, "Small <b>brain</b>.");
    edits.set("impression", &second, "");
    edits.set("comparison", &third, "Something else.");
    edits.set("comparison", &third, &third);
    edits.set("method", "A sentence that no report has.", "x");
    assert_eq!(edits.without_place(&report), 1);
    let edited = edits.apply(&report);
    let text = edited.to_text();
    assert!(text.contains("- [edited] Small <b>brain</b>.\n"), "{text}");
    assert!(text.contains("! [edited] (sentence taken out)\n"));
    assert!(text.contains("2 of ") && text.contains("None: only this scan was read."));
    assert!(!text.contains(&first));
    let html = edited.to_html(&[]);
    assert!(
        html.contains("<p class=\"edited\"><b>[edited]</b> Small &lt;b&gt;brain&lt;/b&gt;.</p>")
    );
    assert_eq!(html.matches("class=\"edited\"").count(), 2);
    round_trips(&edited);
    // Taken back, the report is the program's again.
    edits.reset("impression", &first);
    edits.reset("impression", &second);
    assert_eq!(edits.apply(&report), report);
    assert!(edits.apply(&report).note_on_edits().is_none());
}
