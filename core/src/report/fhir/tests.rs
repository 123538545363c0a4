//! The Bundle against HL7's own JSON schema, and against numbers written down beforehand.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::report::cine::RIGHT_WEAK;
use crate::report::tests::{HOSTILE, full_input, heart_input, input};
use crate::report::{Edits, Report, ReportInput, RunManifest, UNIT_ASSUMED, Wording};

const SCHEMA: &str = include_str!("../../../../tests/golden/fhir/schema.json");

/// The keywords of JSON schema that the published file uses. Unknown ones are an error.
struct Schema {
    definitions: Map<String, Value>,
    root: Value,
}

impl Schema {
    fn read() -> Self {
        let root: Value = serde_json::from_str(SCHEMA).unwrap_or_default();
        let definitions = root["definitions"].as_object().cloned().unwrap_or_default();
        assert!(definitions.len() > 20);
        Self { definitions, root: json!({ "$ref": root["$ref"] }) }
    }

    fn errors(&self, value: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        self.check(&self.root, value, "Bundle", &mut errors);
        errors
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, errors: &mut Vec<String>) {
        for (keyword, rule) in schema.as_object().into_iter().flatten() {
            let fits = match keyword.as_str() {
                "$ref" => {
                    let name =
                        rule.as_str().unwrap_or_default().trim_start_matches("#/definitions/");
                    match self.definitions.get(name) {
                        Some(definition) => self.check(definition, value, at, errors),
                        None => errors.push(format!("{at}: no definition {name}")),
                    }
                    true
                }
                "type" => match rule.as_str().unwrap_or_default() {
                    "string" => value.is_string(),
                    "number" => value.is_number(),
                    "boolean" => value.is_boolean(),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    _ => false,
                },
                "const" => value == rule,
                "enum" => rule.as_array().is_some_and(|values| values.contains(value)),
                "pattern" => value.as_str().is_none_or(|text| {
                    let pattern = format!("(?-u){}", rule.as_str().unwrap_or_default());
                    regex::bytes::Regex::new(&pattern)
                        .is_ok_and(|pattern| pattern.is_match(text.as_bytes()))
                }),
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}[{index}]"), errors);
                    }
                    true
                }
                "required" => rule
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .all(|key| value.get(key).is_some()),
                "properties" => {
                    for (key, value) in value.as_object().into_iter().flatten() {
                        if let Some(rule) = rule.get(key) {
                            self.check(rule, value, &format!("{at}.{key}"), errors);
                        }
                    }
                    true
                }
                "additionalProperties" => value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .all(|(key, _)| schema["properties"].get(key).is_some()),
                "oneOf" => {
                    let fitting = rule.as_array().into_iter().flatten().filter(|option| {
                        let mut inner = Vec::new();
                        self.check(option, value, at, &mut inner);
                        inner.is_empty()
                    });
                    fitting.count() == 1
                }
                _ => false,
            };
            if !fits {
                errors.push(format!("{at}: {keyword} {rule:.80}"));
            }
        }
    }
}

fn bundle(input: &ReportInput, edits: &Edits) -> Value {
    let report = edits.apply(&Report::write(input));
    let json = report.to_fhir(&RunManifest::of(input)).unwrap_or_default();
    serde_json::from_str(&json).unwrap_or_default()
}

fn resources<'a>(bundle: &'a Value, kind: &str) -> Vec<&'a Value> {
    let entries = bundle["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().map(|entry| &entry["resource"]).filter(|r| r["resourceType"] == kind).collect()
}

#[test]
fn the_published_schema_accepts_the_bundle() {
    let schema = Schema::read();
    let mut empty = input();
    empty.structures.clear();
    empty.quality = crate::measure::Quality::default();
    let mut hostile = input();
    hostile.pack.title = HOSTILE.into();
    hostile.pack.version = String::new();
    hostile.structures[0].display_name = HOSTILE.into();
    hostile.started = "yesterday".into();
    // Lesions and a second scan; another organ.
    for input in [input(), empty, hostile, full_input(), heart_input()] {
        let bundle = bundle(&input, &Edits::default());
        assert_eq!(schema.errors(&bundle), Vec::<String>::new());
    }
    let (bundle, sha256) = worded();
    assert_eq!(schema.errors(&bundle), Vec::<String>::new());
    let device = resources(&bundle, "Device")[0].to_string();
    assert!(device.contains(&sha256) && device.contains("decoder that worded the report"));
}

/// A report worded by the decoder, and the decoder's hash.
fn worded() -> (Value, String) {
    let pack = concat!(env!("CARGO_MANIFEST_DIR"), "/../public/packs/report.safetensors");
    let Ok(decoder) = Wording::read(&std::fs::read(pack).unwrap_or_default()) else {
        unreachable!("the pack is there")
    };
    let input = input();
    let report = decoder.word(&Report::write(&input)).0;
    let manifest = RunManifest::of(&input).with_wording_of(&report);
    assert_eq!(manifest.worded_by.as_ref().map(|by| &by.sha256), Some(&decoder.info.sha256));
    let json = report.to_fhir(&manifest).unwrap_or_default();
    (serde_json::from_str(&json).unwrap_or_default(), decoder.info.sha256)
}

#[test]
fn lesions_function_and_change_are_observations() {
    let lesions = bundle(&full_input(), &Edits::default());
    let all = resources(&lesions, "Observation");
    let component = |observation: &Value, code: &str| {
        let components = observation["component"].as_array().cloned().unwrap_or_default();
        components.into_iter().find(|c| c["code"]["text"] == code).unwrap_or_default()
    };
    let sum = all.iter().find(|o| component(o, "Places marked as lesions")["valueInteger"] == 7);
    let sum = sum.copied().cloned().unwrap_or_default();
    assert_eq!(sum["valueQuantity"]["value"], 2.8);
    assert_eq!(component(&sum, "Probability")["valueQuantity"]["value"], 91.23);
    assert!(sum["note"][0]["text"].as_str().is_some_and(|text| text.contains("healthy heads")));
    let marks: Vec<&&Value> =
        all.iter().filter(|o| !component(o, "Longest diameter").is_null()).collect();
    assert_eq!(marks.len(), 7);
    assert_eq!(component(marks[0], "Longest diameter")["valueQuantity"]["value"], 12.0);
    assert_eq!(component(marks[0], "Side")["valueCodeableConcept"]["text"], "left");
    let change = all.iter().find(|o| {
        o["code"]["text"].as_str().is_some_and(|text| text.starts_with("Change of volume"))
    });
    assert_eq!(change.map(|o| o["valueQuantity"]["value"].clone()), Some(json!(-0.5)));
    let came = all.iter().find(|o| !component(o, "new lesions").is_null());
    let came = came.copied().cloned().unwrap_or_default();
    assert_eq!(came["valueQuantity"]["value"], 0.75);
    assert_eq!(component(&came, "new lesions")["valueInteger"], 2);
    assert_eq!(component(&came, "spots no larger than repeats show")["valueInteger"], 3);
    let repeats = component(&came, "largest spot that repeats show");
    assert_eq!(repeats["valueQuantity"]["value"], 0.03);

    let heart = bundle(&heart_input(), &Edits::default());
    let of = |code: &str| {
        let all = resources(&heart, "Observation");
        let found = all.into_iter().find(|o| o["code"]["coding"][0]["code"] == code);
        found.cloned().unwrap_or_default()
    };
    assert_eq!(of("8811-2")["valueQuantity"]["value"], 23.65);
    assert_eq!(of("18087-7")["valueQuantity"]["code"], "g");
    let weak = of("8818-7")["note"].clone();
    assert_eq!(weak, json!([{ "text": RIGHT_WEAK }]));
    // The phases do not state their unit; the scan does.
    assert_eq!(of("18087-7")["note"], json!([{ "text": UNIT_ASSUMED }]));
    assert_eq!(of("8811-2")["note"], Value::Null);
    assert!(!of("118565006").to_string().contains(UNIT_ASSUMED));
}

#[test]
fn millilitres_of_an_assumed_unit_are_marked() {
    let mut assumed = full_input();
    assumed.scan.unit_assumed = true;
    let bundle = bundle(&assumed, &Edits::default());
    assert_eq!(Schema::read().errors(&bundle), Vec::<String>::new());
    let all = resources(&bundle, "Observation");
    let marked = |o: &Value| o["note"].to_string().contains(UNIT_ASSUMED);
    let volumes = || all.iter().filter(|o| o["valueQuantity"]["unit"] == "mL");
    assert!(volumes().count() > 20 && volumes().all(|o| marked(o)));
    assert!(all.iter().filter(|o| marked(o)).all(|o| o["valueQuantity"]["unit"] == "mL"));
    // What else there is to note stays first.
    let stem = all.iter().find(|o| o["bodySite"]["text"] == "brainstem");
    let notes = stem.map(|o| o["note"].clone()).unwrap_or_default();
    assert!(notes[0]["text"].as_str().is_some_and(|text| text.starts_with("1 voxel")), "{notes}");
    assert_eq!(notes[1]["text"], UNIT_ASSUMED);
}

/// Every code of three bundles with its published name: `tests/golden/fhir/codes.json`, made
/// from the standard's own lists by `make_codes.py beside it`.
#[test]
fn codes_are_those_of_the_published_lists() {
    let golden = include_str!("../../../../tests/golden/fhir/codes.json");
    let golden: Value = serde_json::from_str(golden).unwrap_or_default();
    let mut seen = BTreeSet::new();
    let bundles = [input(), full_input(), heart_input()].map(|i| bundle(&i, &Edits::default()));
    bundles.iter().for_each(|bundle| codings(bundle, &mut seen));
    assert!(seen.len() > 30, "{}", seen.len());
    for (system, code, display) in seen {
        let known = &golden["codes"][&system][&code];
        assert_eq!(known["display"], display, "{system} {code}");
        assert!(known["source"].as_str().is_some_and(|source| !source.is_empty()));
    }
}

fn codings(value: &Value, seen: &mut BTreeSet<(String, String, String)>) {
    match value {
        Value::Object(fields) => {
            let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
            if let (Some(system), Some(code), Some(display)) =
                (text("system"), text("code"), text("display"))
            {
                seen.insert((system, code, display));
            }
            fields.values().for_each(|value| codings(value, seen));
        }
        Value::Array(items) => items.iter().for_each(|value| codings(value, seen)),
        _ => {}
    }
}

#[test]
fn the_schema_refuses_what_fhir_does_not_know() {
    let schema = Schema::read();
    let good = bundle(&input(), &Edits::default());
    let broken: [(&str, Value); 5] = [
        ("/entry/0/resource/status", json!("approved")),
        ("/entry/0/resource/issued", json!("31.1.2026")),
        ("/entry/0/resource/code", json!({ "coding": [{ "sytem": "http://loinc.org" }] })),
        ("/entry/1/resource/deviceName/0/type", json!("nickname")),
        ("/entry/2/resource/valueQuantity/value", json!("26.5")),
    ];
    for (place, value) in broken {
        let mut bundle = good.clone();
        let target = bundle.pointer_mut(place);
        assert!(target.is_some(), "{place}");
        target.into_iter().for_each(|target| *target = value.clone());
        assert!(!schema.errors(&bundle).is_empty(), "{place}");
    }
    let mut bundle = good;
    bundle["entry"][0]["resource"]["patientName"] = json!("DOE^JANE");
    assert!(!schema.errors(&bundle).is_empty());
}

#[test]
fn observations_carry_the_measurements() {
    let bundle = bundle(&input(), &Edits::default());
    let of = |name: &str, code: &str| {
        let found: Vec<&Value> = resources(&bundle, "Observation")
            .into_iter()
            .filter(|o| o["bodySite"]["text"] == name)
            .filter(|o| o["code"]["text"].as_str().is_some_and(|text| text.starts_with(code)))
            .collect();
        assert_eq!(found.len(), 1, "{name}");
        found[0].clone()
    };
    // 20 boxes of 0.1 mL; SNOMED CT and UCUM as DICOM PS3.16 CID 7140 and TID 1411 have them.
    let left = of("left hippocampus", "Volume");
    assert_eq!(
        left["valueQuantity"],
        json!({ "value": 2.0, "unit": "mL", "system": "http://unitsofmeasure.org", "code": "mL" })
    );
    assert_eq!(left["code"]["coding"][0]["code"], "118565006");
    assert_eq!(left["bodySite"]["coding"][0]["code"], "5366008");
    let side = &left["component"][0]["valueCodeableConcept"]["coding"][0];
    assert_eq!(side["code"], "7771000");
    // 100 * (2 - 1.6) / 1.8
    let difference = of("hippocampus", "Asymmetry");
    assert_eq!(difference["valueQuantity"]["value"], 22.22);
    assert_eq!(difference["derivedFrom"].as_array().map(Vec::len), Some(2));
    let missing = of("left thalamus", "Volume");
    assert!(missing.get("valueQuantity").is_none());
    assert_eq!(missing["dataAbsentReason"]["coding"][0]["code"], "unknown");
    let stem = of("brainstem", "Volume");
    assert!(stem["note"][0]["text"].as_str().is_some_and(|note| note.starts_with("1 voxel")));
    assert_eq!(of("brain", "Volume")["valueQuantity"]["value"], 26.501);

    let reports = resources(&bundle, "DiagnosticReport");
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0]["status"], "preliminary");
    assert_eq!(reports[0]["code"]["coding"][0]["code"], "24590-2");
    // Every reference has its entry, every entry its own id.
    let urls: Vec<&str> = bundle["entry"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["fullUrl"].as_str())
        .collect();
    let unique: BTreeSet<&str> = urls.iter().copied().collect();
    assert_eq!(unique.len(), urls.len());
    let results = reports[0]["result"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert_eq!(results.len(), resources(&bundle, "Observation").len());
    for reference in results {
        assert!(reference["reference"].as_str().is_some_and(|urn| unique.contains(urn)));
    }
}

#[test]
fn the_bundle_names_nobody_and_is_inert() {
    let mut hostile = input();
    hostile.pack.title = HOSTILE.into();
    hostile.structures[0].display_name = HOSTILE.into();
    let bundle = bundle(&hostile, &Edits::default());
    // Markup is read in the narrative alone; everywhere else it is text.
    let narrative = &resources(&bundle, "DiagnosticReport")[0]["text"]["div"];
    let narrative = narrative.as_str().unwrap_or_default();
    assert!(!narrative.contains("<script") && narrative.contains("&lt;script&gt;"));
    assert!(!bundle.to_string().contains("JANE"));
}

#[test]
fn a_readers_sentence_is_told_apart() {
    let section = "impression";
    let mut edits = Edits::default();
    let report = Report::write(&input());
    let sentence = report.section(section).and_then(|s| s.sentences.get(1)).cloned();
    let Some(sentence) = sentence else { unreachable!("the impression has two sentences") };
    edits.set(section, &sentence.text, "No difference that matters\nto us.");
    let bundle = bundle(&input(), &edits);
    assert_eq!(Schema::read().errors(&bundle), Vec::<String>::new());
    let report = resources(&bundle, "DiagnosticReport")[0];
    let marked = "[edited] No difference that matters to us.";
    assert!(report["conclusion"].as_str().is_some_and(|text| text.contains(marked)));
    assert_eq!(report["text"]["status"], "additional");
    let narrative = report["text"]["div"].as_str().unwrap_or_default();
    assert!(narrative.contains(&format!("<p class=\"edited\">{marked}</p>")), "{narrative}");
}

#[test]
fn change_comes_with_its_intervals_in_both_directions_of_time() {
    let mut backwards = full_input();
    if let Some(facts) = &mut backwards.comparison {
        facts.earlier = true;
        facts.changes.iter_mut().flatten().for_each(|change| change.millilitres.reverse());
    }
    for (input, until) in
        [(full_input(), "until the second scan"), (backwards, "since the earlier scan")]
    {
        let bundle = bundle(&input, &Edits::default());
        assert_eq!(Schema::read().errors(&bundle), Vec::<String>::new());
        let all = resources(&bundle, "Observation");
        let code = format!("Change of volume {until}");
        let change = all.iter().find(|o| o["code"]["text"] == code.as_str());
        let change = change.copied().cloned().unwrap_or_default();
        assert_eq!(change["valueQuantity"]["value"], -0.5);
        let component = |name: &str| {
            let all = change["component"].as_array().cloned().unwrap_or_default();
            let found = all.into_iter().find(|part| part["code"]["text"] == name);
            found.unwrap_or_default()["valueQuantity"]["value"].clone()
        };
        // 2 mL to 1.5 mL in two years, the interval 0.2 mL.
        assert_eq!(component("Change, percent a year"), -12.5);
        assert_eq!(component("Half of the interval, percent a year"), 5.0);
        assert_eq!(component("Half of the interval"), 0.2);
        let lesions = format!("Volume of lesions that changed {until}");
        assert!(all.iter().any(|o| o["code"]["text"] == lesions.as_str()));
    }
}

#[test]
fn a_lesions_grey_is_a_component() {
    let mut input = full_input();
    if let Some(first) = input.lesions.as_mut().and_then(|facts| facts.lesions.first_mut()) {
        first.signal = Some(crate::lesions::Signal::Dark);
    }
    let bundle = bundle(&input, &Edits::default());
    assert_eq!(Schema::read().errors(&bundle), Vec::<String>::new());
    let all = resources(&bundle, "Observation");
    let parts = all.iter().filter_map(|o| o["component"].as_array()).flatten();
    let told: Vec<&Value> =
        parts.filter(|part| part["code"]["text"] == "Signal in the first sequence").collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["valueString"], "darker than its surroundings");
}
