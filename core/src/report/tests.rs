//! The report against sentences, numbers and files written down beforehand.

use std::collections::BTreeSet;

use super::*;
use crate::follow_up::{ChangedLesions, Fate, Finding};
use crate::measure::{Judgement, Measure};

mod fixtures;

pub(super) use fixtures::{HOSTILE, full_input, heart_input, input};
use fixtures::{marks, second_scan};

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
            "Findings: lesions",
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
    let mut inputs = vec![input(), input(), input(), input(), full_input(), heart_input()];
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
    assert!(checked > 250, "{checked}");
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
fn every_number_leads_somewhere_and_the_page_has_the_place() {
    let mut empty = input();
    empty.structures.clear();
    empty.quality = crate::measure::Quality::default();
    for input in [input(), full_input(), heart_input(), empty] {
        let report = Report::write(&input);
        for sentence in report.sentences() {
            for value in &sentence.values {
                assert!(sentence.origin_of(value).is_some(), "{}", sentence.text);
            }
            // The one line that nothing was measured for.
            let fixed = sentence.text == NOT_A_DEVICE;
            assert_eq!(sentence.origin().is_none(), fixed, "{}", sentence.text);
        }
    }
    for input in [input(), full_input(), heart_input()] {
        let report = Report::write(&input);
        let html = report.to_html(&[]);
        let links = html.matches("<a href=\"#").count();
        let plain = html.matches("<span title=").count();
        assert!(links > 60 && plain == 0, "{links} links, {plain} numbers without");
        for link in html.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert_eq!(html.matches(&format!(" id=\"{link}\"")).count(), 1, "{link}");
        }
    }
    // A sum leads to its structures: hippocampi and the left amygdala.
    let report = Report::write(&input());
    let temporal = report.section("findings_medial_temporal_lobe").map(|s| s.sentences[0].origin());
    assert_eq!(temporal, Some(Some(Source::Sum("medial_temporal_lobe".into()))));
    let sum = report.sums.iter().find(|sum| sum.key == "medial_temporal_lobe");
    assert_eq!(sum.map(|sum| sum.structures.clone()), Some(vec![3, 4, 5]));
    assert!(sum.is_some_and(|sum| (sum.millilitres - 4.5).abs() < 1e-9), "{sum:?}");
}

#[test]
fn lesions_are_told_with_what_speaks_against_them() {
    let report = Report::write(&input());
    assert_eq!(texts(&report, "findings_lesions"), ["Lesions were not looked for."]);
    let report = Report::write(&full_input());
    let told = texts(&report, "findings_lesions");
    assert_eq!(told[0], "7 places were marked as lesions in 2 sequences, in all 2.80 mL.");
    assert_eq!(told[1], "By kind: white matter lesion 2.80 mL.");
    assert_eq!(told[2], "By place: 3 periventricular and 4 deep.");
    assert_eq!(
        told[3],
        "Mark 1, white matter lesion: 0.70 mL, longest diameter 12 mm, periventricular in the left \
         cerebral white matter (probability 75.0%)."
    );
    // 0.2 and 0.1 mL.
    assert_eq!(told[8], "2 smaller marks together measure 0.30 mL; they are in the table.");
    assert!(told[9].contains("91.2%") && told[9].contains("1.50 mL"), "{}", told[9]);
    assert!(told[10].starts_with("This model also marks healthy heads: in 16 of 20 studies"));
    let impression = texts(&report, "impression");
    assert!(impression.contains(
        &"7 places were marked (white matter lesion), in all 2.80 mL; this model also marks healthy \
          heads."
            .to_owned()
    ));
    assert!(
        texts(&report, "technique").contains(
            &"For lesions 1 further sequence was read: “FLAIR” (registered, moved by 2.2 mm)."
                .to_owned()
        )
    );
    let mut none = marks();
    none.lesions.clear();
    (none.summary.lesions, none.summary.probability) = (0, None);
    none.summary.by_class.clear();
    let report = Report::write(&ReportInput { lesions: Some(none), ..input() });
    assert_eq!(texts(&report, "findings_lesions")[0], "No lesion was marked in 2 sequences.");
    for file in [Report::write(&full_input()).to_text(), Report::write(&full_input()).to_html(&[])]
    {
        assert!(file.contains("Places marked as lesions") && file.contains("0.75"), "{file}");
    }
}

#[test]
fn the_hearts_function_is_told_and_the_weak_side_of_it_said() {
    let told = texts(&Report::write(&heart_input()), "findings_heart");
    assert_eq!(
        told[0],
        "The left ventricle measures 272.3 mL (unit assumed) at end-diastole (phase 1) and 207.9 mL \
         (unit assumed) at end-systole (phase 3): stroke volume 64.4 mL (unit assumed), ejection \
         fraction 23.7%."
    );
    assert_eq!(told[1], "The mass of the left ventricle's myocardium is 158.9 g (unit assumed).");
    assert!(told[2].contains("57.4%") && told[2].ends_with("are not usable."), "{}", told[2]);
    assert_eq!(
        told[3],
        "1 of 3 phases has no volumes; 1 was outlined unlike a heart and left out. End-diastole or \
         end-systole may be among those without volumes."
    );
    let report = Report::write(&heart_input());
    assert!(report.section("findings_lesions").is_none());
    let impression = texts(&report, "impression");
    let short = "The ejection fraction of the left ventricle is 23.7%, the mass of its myocardium \
                 158.9 g (unit assumed), from 2 of 3 phases; the ejection fraction of the right \
                 ventricle is not usable.";
    assert!(impression.iter().any(|text| text == short), "{impression:?}");
    // The formulas stand below the numbers of the text.
    assert!(report.to_text().contains("    100 times stroke volume over"), "{}", report.to_text());
    // A heart without phases says so.
    let mut still = heart_input();
    (still.heart, still.structures[0].name) = (None, "Myocardium".into());
    let told = texts(&Report::write(&still), "findings_heart");
    assert!(told[0].starts_with("The function of the heart was not measured"), "{told:?}");
}

#[test]
fn a_stack_without_the_apex_is_no_impression_of_the_heart() {
    let mut cut = heart_input();
    if let Some(heart) = &mut cut.heart {
        heart.report.cut = true;
    }
    let report = Report::write(&cut);
    let told = texts(&report, "findings_heart");
    assert!(told[0].starts_with("The stack of slices ends inside the left ventricle"), "{told:?}");
    let impression = texts(&report, "impression");
    assert!(impression.contains(&told[0]), "{impression:?}");
    assert!(!impression.iter().any(|text| text.contains("23.7")), "{impression:?}");
    let fhir = report.to_fhir(&RunManifest::of(&cut)).unwrap_or_default();
    // Nine numbers, and both sentences.
    assert!(fhir.matches("ends inside the left ventricle").count() >= 9, "{fhir}");
    assert_eq!(report.to_text().matches("   not usable\n").count(), 9);
}

#[test]
fn a_right_ventricle_that_was_not_found_has_no_numbers() {
    let mut input = heart_input();
    if let Some(function) = input.heart.as_mut().and_then(|heart| heart.report.function.as_mut()) {
        function.right = None;
    }
    let report = Report::write(&input);
    let told = texts(&report, "findings_heart");
    assert!(told[2].starts_with("The right ventricle was not found"), "{told:?}");
    let impression = texts(&report, "impression").join(" ");
    assert!(
        impression.contains("; the right ventricle was not found in both phases."),
        "{impression}"
    );
    let fhir = report.to_fhir(&RunManifest::of(&input)).unwrap_or_default();
    assert!(fhir.contains("8821-1") && !fhir.contains("8818-7"), "{fhir}");
}

#[test]
fn the_range_of_the_mass_stands_beside_it() {
    let mut input = heart_input();
    if let Some(heart) = &mut input.heart {
        heart.report.mass_times = Some([0.997, 1.308]);
    }
    let impression = texts(&Report::write(&input), "impression").join(" ");
    let range =
        "158.9 g (unit assumed) (1.00 to 1.31 times the drawn one in patients with drawn hearts)";
    assert!(impression.contains(range), "{impression}");
}

#[test]
fn the_comparison_says_what_was_compared() {
    let told =
        |comparison| texts(&Report::write(&ReportInput { comparison, ..input() }), "comparison");
    assert_eq!(told(None), ["This report compares with no other scan."]);
    let aligned = ComparisonFacts::default();
    assert!(told(Some(aligned.clone()))[0].contains("change between them was not measured"));
    assert!(told(Some(ComparisonFacts { atlas: true, ..aligned }))[0].starts_with("An atlas"));
    let all = told(Some(second_scan()));
    assert_eq!(
        all[0],
        "A second scan, 2.00 years later, was compared structure by structure: 1 of 2 structures \
         changed by more than repeated measurements under noise and small motion scatter."
    );
    // 2 mL to 1.5 mL in two years: a quarter, an eighth a year.
    assert_eq!(
        all[1],
        "The left hippocampus shrank by 0.50 mL (interval 0.20 mL), from 2.00 mL to 1.50 mL, 12.5% a \
         year (interval 5.0%)."
    );
    assert_eq!(
        all[3],
        "Lesions that changed: 2 new (0.75 mL); 3 more no larger than what repeats show (0.03 mL). Most \
         small changes of lesions are missed, and so are lesions that are darker than what is around them."
    );
    assert_eq!(all[2], crate::follow_up::change::LIMITS);
    assert_eq!(all.len(), 4);
    let none = LesionChangeFacts::default();
    let only = told(Some(ComparisonFacts { lesions: Some(none), ..ComparisonFacts::default() }));
    assert!(only[0].contains("change between them was not measured"));
    assert!(only[1].starts_with("No lesion changed by more than"), "{only:?}");
}

#[test]
fn differences_between_the_sides_come_with_how_often_they_were_there() {
    let scores = serde_json::json!({ "sides": {
        "scans": 8, "named": 13, "right": 6, "drawn": 12,
    } });
    let sides = SideAgreement::of(&scores);
    assert_eq!(SideAgreement::of(&serde_json::Value::Null), None);
    let mut given = input();
    assert!(!texts(&Report::write(&given), "impression").join(" ").contains("by hand"));
    given.pack.sides = sides;
    let report = Report::write(&given);
    let told = texts(&report, "impression");
    assert!(told[1].starts_with("The largest difference between the sides"), "{told:?}");
    assert_eq!(
        told[2],
        "Against outlines drawn by hand in 8 scans, 6 of 13 differences that this model named \
         between the sides were there, of 12 in the outlines."
    );
    // Without a pair to compare there is nothing to rely on.
    given.structures.clear();
    assert!(!texts(&Report::write(&given), "impression").join(" ").contains("by hand"));
}

#[test]
fn a_difference_within_the_pack_s_error_is_not_named() {
    let errors = |points: f64| {
        SideErrors::of(&serde_json::json!({ "side_errors": {
            "scans": 8, "points": { "hippocampus": points },
        } }))
    };
    assert_eq!(SideErrors::of(&serde_json::Value::Null), None);
    let mut given = input();
    // 22.2 % lie below 10 and twice 11.8.
    given.pack.side_errors = errors(11.8);
    let report = Report::write(&given);
    let temporal = texts(&report, "findings_medial_temporal_lobe");
    assert!(
        temporal.contains(
            &"The left hippocampus measures 2.00 mL and the right 1.60 mL; the left is larger by \
              22.2%, within the error of this model in this structure, in which it names a \
              difference from 33.6%."
                .to_owned()
        ),
        "{temporal:?}"
    );
    let impression = texts(&report, "impression");
    assert!(
        impression[1].starts_with("None of ")
            && impression[1].ends_with("by 10% or more beyond the error of this model."),
        "{impression:?}"
    );
    assert_eq!(impression[2], "1 pair differs by 10% or more, but within the error of this model.");
    assert!(texts(&report, "method").join(" ").contains("twice the mean error of this model"));
    // The decoder has no words for it, and is not told that the sides are even.
    let told = Wording::told(&report);
    let claims: Vec<&wording::Claim> = told.iter().flat_map(|(_, claims)| claims).collect();
    assert!(!claims.iter().any(|claim| claim.name == "hippocampus" && claim.kind == "pair"));
    assert!(!claims.iter().any(|claim| claim.kind == "no_asymmetry"));
    // Beyond both it is named, with its own limit.
    given.pack.side_errors = errors(5.0);
    let report = Report::write(&given);
    let temporal = texts(&report, "findings_medial_temporal_lobe");
    assert!(temporal.iter().any(|text| text.contains("22.2%, beyond the 20% from which")));
    let impression = texts(&report, "impression");
    assert!(impression[1].starts_with("The largest difference between the sides"));
}

#[test]
fn a_difference_is_not_named_where_the_pack_s_error_is_not_known() {
    let mut given = input();
    // Errors were measured, but not in the hippocampus.
    given.pack.side_errors = SideErrors::of(&serde_json::json!({ "side_errors": {
        "scans": 8, "points": { "cerebral white matter": 1.0 },
    } }));
    let report = Report::write(&given);
    let temporal = texts(&report, "findings_medial_temporal_lobe");
    let told = "22.2%; the error of this model in this structure is not known, so that this report \
                names no difference.";
    assert!(temporal.iter().any(|text| text.ends_with(told)), "{temporal:?}");
    let impression = texts(&report, "impression");
    assert!(impression[1].starts_with("None of 2 pairs"), "{impression:?}");
    assert_eq!(
        impression[2],
        "1 pair differs by 10% or more, but the error of this model in that structure is not known, \
         so that no difference is named."
    );
    assert!(!impression.join(" ").contains("within the error of this model"), "{impression:?}");
    let method = texts(&report, "method").join(" ");
    assert!(method.contains("where its error is not known, no difference is named."), "{method}");
}

#[test]
fn what_repeats_show_of_lesions_is_no_change() {
    let finding = |fate, millilitres, outside| Finding {
        fate,
        millilitres,
        places_mm: [[0.0; 3]; 2],
        strength: 5.0,
        outside,
    };
    let found = [
        finding(Fate::Shrunken, 0.25, true),
        finding(Fate::New, 0.5, true),
        finding(Fate::New, 0.25, true),
        finding(Fate::New, 0.02, false),
    ];
    let told = LesionChangeFacts::from(ChangedLesions::of(&found, 0.03));
    assert_eq!(told.changed, [("new".to_owned(), 2, 0.75), ("shrunken".to_owned(), 1, 0.25)]);
    assert_eq!((told.smaller, told.largest_null_ml), (1, 0.03));
}

#[test]
fn the_technique_says_what_the_image_shows() {
    let told = texts(&Report::write(&full_input()), "technique");
    for expected in [
        "By the image the sequence is “T1w” (probability 75.0%).",
        "By the image the body part is not known (most likely “head”, 75.0%).",
        "Its slices are coronal, tilted by 12 degrees against the body.",
        "The file says T2w.",
    ] {
        assert!(told.iter().any(|text| text == expected), "{expected}: {told:?}");
    }
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
    let records = parse_csv(&structures_csv(&rows, false));
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
    assert_eq!(records[3][column("unit_stated")], "false");
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
    for input in [input(), full_input(), heart_input()] {
        round_trips(&input);
        round_trips(&Report::write(&input));
        round_trips(&RunManifest::of(&input));
    }
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
    // The line that no report goes without stays.
    edits.set("impression", NOT_A_DEVICE, "");
    edits.set("method", NOT_A_DEVICE, "Fit for use.");
    let edited = edits.apply(&report);
    let text = edited.to_text();
    assert_eq!(text.matches(NOT_A_DEVICE).count(), 2, "{text}");
    assert!(text.contains("- [edited] Small <b>brain</b>.\n"), "{text}");
    assert!(text.contains("! [edited] (sentence taken out)\n"));
    assert!(text.contains("2 of "));
    assert!(text.contains("This report compares with no other scan."));
    assert!(!text.contains(&first));
    let html = edited.to_html(&[]);
    // Each leads where the program's sentence led, and still stands out where that did.
    assert!(html.contains(
        "<p class=\"edited\"><b>[edited]</b> <a href=\"#structures\">Small \
         &lt;b&gt;brain&lt;/b&gt;.</a></p>"
    ));
    assert!(html.contains(
        "<p class=\"edited attention\"><b>[edited]</b> <a href=\"#structure-3\">(sentence taken \
         out)</a></p>"
    ));
    assert_eq!(html.matches("<b>[edited]</b>").count(), 2);
    round_trips(&edited);
    // A sentence of the reader's own stands at the end of its section, and is counted.
    let own = edits.next("impression");
    edits.set("impression", &own, "Seen with Dr. & Co.");
    let second_own = edits.next("impression");
    assert!(own < second_own);
    edits.set("impression", &second_own, "");
    assert_eq!(edits.added("impression").count(), 1);
    let edited = edits.apply(&report);
    let last = edited.section("impression").and_then(|section| section.sentences.last());
    assert_eq!(last.map(Sentence::marked).as_deref(), Some("[edited] Seen with Dr. & Co."));
    assert!(edited.note_on_edits().is_some_and(|note| note.starts_with("3 of ")));
    assert!(edited.to_html(&[]).contains("<b>[edited]</b> Seen with Dr. &amp; Co."));
    round_trips(&edited);
    edits.reset("impression", &own);
    // Taken back, the report is the program's again.
    edits.reset("impression", &first);
    edits.reset("impression", &second);
    assert_eq!(edits.apply(&report), report);
    assert!(edits.apply(&report).note_on_edits().is_none());
}

#[test]
fn a_readers_words_stay_where_the_program_s_sentence_is_gone() {
    let mut edits = Edits::default();
    let none = texts(&Report::write(&input()), "findings_lesions")[0].clone();
    edits.set("findings_lesions", &none, "A mass in the pons.");
    edits.set("comparison", "This report compares with no other scan.", "");
    let own = edits.next("findings_heart");
    edits.set("findings_heart", &own, "The heart beats.");
    // Lesions and a second scan were measured meanwhile; there is no section of the heart.
    let report = Report::write(&full_input());
    let displaced: Vec<_> =
        edits.displaced(&report).map(|(section, _, words)| (section, words)).collect();
    assert_eq!(
        displaced,
        [
            ("comparison", ""),
            ("findings_heart", "The heart beats."),
            ("findings_lesions", "A mass in the pons."),
        ]
    );
    let edited = edits.apply(&report);
    let last = edited.sections.last().map(|section| section.key.as_str());
    assert_eq!(last, Some("displaced"));
    assert!(edited.note_on_edits().is_some_and(|note| note.starts_with("2 of ")));
    let fhir = edited.to_fhir(&RunManifest::of(&full_input())).unwrap_or_default();
    for file in [edited.to_text(), edited.to_html(&[]), fhir] {
        assert!(
            file.contains("A mass in the pons.") && file.contains("The heart beats."),
            "{file}"
        );
        assert!(file.contains("no longer has the sentences"), "{file}");
    }
    // Where the sentences are back, so are the words.
    edits.reset("findings_heart", &own);
    let report = Report::write(&input());
    assert_eq!(edits.displaced(&report).count(), 0);
    assert_eq!(edits.apply(&report).sections.len(), report.sections.len());
}

#[test]
fn a_later_scan_is_compared_with_an_earlier_one() {
    let mut facts = second_scan();
    facts.earlier = true;
    // This scan first: 1.5 mL now, 2 mL two years before.
    facts.changes.iter_mut().flatten().for_each(|change| change.millilitres.reverse());
    let report = Report::write(&ReportInput { comparison: Some(facts.clone()), ..input() });
    let told = texts(&report, "comparison");
    assert_eq!(
        told[0],
        "Compared with a scan 2.00 years earlier, structure by structure: 1 of 2 structures changed \
         by more than repeated measurements under noise and small motion scatter."
    );
    // A quarter of 2 mL in two years; 100 * 0.2 / 2 / 2.
    assert_eq!(
        told[1],
        "The left hippocampus shrank by 0.50 mL (interval 0.20 mL), from 2.00 mL then to 1.50 mL \
         now, 12.5% a year (interval 5.0%)."
    );
    let short = "1 of 2 structures changed since the earlier scan by more than repeated measurements \
                 scatter.";
    assert!(texts(&report, "impression").iter().any(|text| text == short));

    facts.years = None;
    let report = Report::write(&ReportInput { comparison: Some(facts), ..input() });
    let told = texts(&report, "comparison");
    let first = "Compared with an earlier scan, structure by structure: ";
    assert!(told[0].starts_with(first), "{}", told[0]);
    assert!(told[1].ends_with(" now, 25.0% (interval 10.0%)."), "{}", told[1]);

    let aligned = ComparisonFacts { earlier: true, ..ComparisonFacts::default() };
    let report = Report::write(&ReportInput { comparison: Some(aligned), ..input() });
    assert!(texts(&report, "comparison")[0].starts_with("An earlier scan was aligned"));
    // Facts that were stored before there was a direction.
    let old = serde_json::json!({ "years": 2.0, "changes": null, "atlas": false });
    let read = serde_json::from_value::<ComparisonFacts>(old).map(|facts| facts.earlier);
    assert_eq!(read.ok(), Some(false));
}

#[test]
fn tables_of_an_assumed_unit_say_so_in_their_headings() {
    let written = |unit_assumed| {
        let mut input = ReportInput { heart: heart_input().heart, ..full_input() };
        input.scan.unit_assumed = unit_assumed;
        let report = Report::write(&input);
        let size = texts(&report, "technique")[0].clone();
        assert_eq!(size.contains(" if millimetres)"), unit_assumed, "{size}");
        assert_eq!(size.contains(" mm,"), !unit_assumed, "{size}");
        (report.to_text(), report.to_html(&[]))
    };
    let (text, html) = written(true);
    for table in ["Structures", "Places marked as lesions", "Change until the second scan"] {
        assert!(text.contains(&format!("\n{table}: mL (unit assumed)\n---")), "{table}: {text}");
    }
    for column in ["Volume, mL", "Longest diameter, mm", "Change, mL"] {
        assert!(html.contains(&format!("{column} (unit assumed)</th>")), "{column}");
    }
    // The phases have files of their own, which do not state it.
    let (text, html) = written(false);
    assert!(text.contains("\nStructures\n----------\n") && html.contains("Volume (mL)</th>"));
    for file in [text, html] {
        assert!(file.contains("64.4 mL (unit assumed)") && file.contains("23.7 %"), "{file}");
    }
}

#[test]
fn every_number_of_an_assumed_unit_says_so_in_its_sentence() {
    let mut sentence = Sentence::new()
        .millilitres("before", 2.0, Some(3))
        .say(" and ")
        .number("mass", 158.9, ("g", 1), None)
        .say(", ")
        .percent("fraction", 23.7, None)
        .say(".");
    sentence.assume_unit();
    // Once is enough.
    sentence.assume_unit();
    assert_eq!(sentence.text, "2.00 mL (unit assumed) and 158.9 g (unit assumed), 23.7%.");
    for value in &sentence.values {
        assert!(sentence.text[value.start..].starts_with(&value.written), "{value:?}");
    }
}

#[test]
fn a_sequence_that_is_withheld_says_why() {
    let mut input = full_input();
    if let Some(found) = &mut input.identified {
        found.sequence.given = None;
        found.sequence_note = Some("it looks T1w, but the file names it FLAIR".into());
    }
    let told = texts(&Report::write(&input), "technique");
    let sentence = "By the image the sequence is not known (most likely “T1w”, 75.0%): “it looks \
                    T1w, but the file names it FLAIR”.";
    assert!(told.iter().any(|text| text == sentence), "{told:?}");
    // The note of a sequence that is given is no reason.
    if let Some(found) = &mut input.identified {
        found.sequence.given = Some("T1w".into());
    }
    let told = texts(&Report::write(&input), "technique");
    assert!(told.contains(&"By the image the sequence is “T1w” (probability 75.0%).".to_owned()));
    // What only the file says is told as its words.
    if let Some(found) = &mut input.identified {
        found.sequence.given = None;
        found.sequence_by_file = Some("diffusion".into());
    }
    let told = texts(&Report::write(&input), "technique");
    assert!(told.contains(&"It is taken as “diffusion (by the file)”.".to_owned()), "{told:?}");
}

#[test]
fn a_lesion_is_told_with_its_grey() {
    let mut found = marks();
    found.lesions[0].signal = Some(crate::lesions::Signal::Bright);
    found.lesions[1].signal = Some(crate::lesions::Signal::Dark);
    let report = Report::write(&ReportInput { lesions: Some(found), ..input() });
    let told = texts(&report, "findings_lesions");
    let white = "cerebral white matter";
    for (sentence, expected) in told[3..6].iter().zip([
        format!("in the left {white}, brighter than its surroundings in the first sequence (probability 75.0%)."),
        format!("in the right {white}, darker than its surroundings in the first sequence (probability 75.0%)."),
        format!("in the left {white} (probability 75.0%)."),
    ]) {
        assert!(sentence.ends_with(&expected), "{sentence}");
    }
}

#[test]
fn quality_is_not_called_good_without_saying_what_was_not_assessed() {
    use Judgement::{Good, NotAssessed};
    let sentence = |judgements: &[Judgement]| {
        let mut quality = input().quality;
        let one = quality.measures[0].clone();
        let measure = |&judgement| Measure { judgement, ..one.clone() };
        quality.measures = judgements.iter().map(measure).collect();
        closing::quality_in_short(&quality).text
    };
    assert_eq!(sentence(&[Good]), "No measure of image quality is beyond its threshold.");
    assert_eq!(
        sentence(&[Good, NotAssessed, NotAssessed]),
        "No measure of image quality is beyond its threshold; 2 could not be assessed."
    );
    assert!(sentence(&[NotAssessed]).contains("could be assessed"));
}

#[test]
fn volumes_that_the_pack_is_known_to_get_wrong_are_marked() {
    let scores = serde_json::json!({ "subjects": 8, "structures": {
        "hippocampus": { "volume_icc": 0.343, "volume_ratio": 1.1 },
        "amygdala": { "volume_icc": 0.097, "volume_ratio": 1.702 },
        "thalamus": { "volume_icc": 0.9, "volume_ratio": 2.0 },
        "brainstem": { "volume_icc": 0.976, "volume_ratio": 1.007 },
    } });
    let mut given = input();
    let unmarked = Report::write(&given);
    assert!(unmarked.sentences().all(|sentence| !sentence.text.contains("no measurements")));
    given.structures.iter_mut().for_each(|row| row.judge(&scores));
    let report = Report::write(&given);
    let words = "Against outlines drawn by hand in 8 scans, these volumes of this model are no \
                 measurements: hippocampus (ICC 0.34) and amygdala (1.7 times as large).";
    let temporal = report.section("findings_medial_temporal_lobe");
    let mut sentences = temporal.iter().flat_map(|section| &section.sentences);
    let sentence = sentences.find(|sentence| sentence.text == words);
    let written: Option<Vec<String>> =
        sentence.map(|s| s.values.iter().map(|v| v.written.clone()).collect());
    assert_eq!(written, Some(numbers(words)), "{temporal:?}");
    // Of what was not found no volume is told.
    let grey = texts(&report, "findings_deep_grey_matter");
    assert_eq!(grey, ["Not found: left thalamus and right thalamus."]);

    let records = parse_csv(&structures_csv(&given.structures, true));
    assert_eq!(records[0].last().map(String::as_str), Some("caution"));
    let caution = |name: &str| {
        let record = records.iter().find(|record| record.iter().any(|field| field == name));
        record.and_then(|record| record.last().cloned())
    };
    let large = "1.7 times as large as drawn by hand in 8 scans; not a measurement";
    assert_eq!(caution("Left-Amygdala").as_deref(), Some(large));
    assert_eq!(caution("Brain-Stem").as_deref(), Some(""));
    assert!(caution("Right-Hippocampus").is_some_and(|words| words.contains("0.34 (ICC)")));
    assert_eq!(report.to_html(&[]).matches(large).count(), 1, "the right amygdala was not found");
}

#[test]
fn what_an_unscored_head_says_is_no_finding() {
    let mut given = input();
    let told = |given: &ReportInput| texts(&Report::write(given), "technique").join(" ");
    assert!(told(&given).contains("probability 93.1%"));
    given.answers[0].unscored = true;
    let words = told(&given);
    assert!(words.contains("What the head “sequence” says is not shown"), "{words}");
    assert!(!words.contains("93.1"), "{words}");
    let manifest = serde_json::to_value(RunManifest::of(&given)).unwrap_or_default();
    assert_eq!(manifest["results"]["answers"][0]["unscored"], true);
}
