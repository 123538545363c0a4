//! Volumes of structures as a head reads them.
//!
//! An input is the natural logarithm of the millilitres of one structure, by its number in files
//! ("volume 17" is FreeSurfer's 17), or of all structures of the head together ("volume sum").
//! Volumes are those of the structures' table, on the scan's own grid. training/estimate.py
//! computes the same.

use super::heads::HeadInfo;
use super::pack::HeadsError;

const PREFIX: &str = "volume ";
const SUM: &str = "volume sum";

/// Smaller volumes count as this one, mL: a structure that was not found has no logarithm.
const LEAST_ML: f64 = 0.02;

/// Numbers of the structures whose volumes a head reads; empty where it reads vectors.
pub fn structures(info: &HeadInfo) -> Vec<u16> {
    info.inputs.iter().filter_map(|name| number(name)).collect()
}

/// The structure of an input.
fn number(name: &str) -> Option<u16> {
    let id: u16 = name.strip_prefix(PREFIX)?.parse().ok()?;
    (name == format!("{PREFIX}{id}")).then_some(id)
}

/// Checks that a head with so many weights an output reads vectors alone, or one volume a weight.
///
/// # Errors
/// [`HeadsError::Metadata`].
pub(super) fn check(info: &HeadInfo, weights: usize) -> Result<(), HeadsError> {
    let inputs = &info.inputs;
    if !inputs.iter().any(|name| name.starts_with(PREFIX)) {
        return Ok(());
    }
    let known = inputs.iter().all(|name| name == SUM || number(name).is_some());
    if known && inputs.len() == weights && !structures(info).is_empty() {
        return Ok(());
    }
    Err(HeadsError::Metadata(format!(
        "the head \"{}\" reads other inputs beside volumes, or not one volume for each weight",
        info.name
    )))
}

/// What a head reads, by name, from numbers and volumes (mL) of structures.
///
/// # Errors
/// [`HeadsError::Structure`] when one of the head's is not among them.
pub fn vectors(
    info: &HeadInfo,
    volumes: &[(u16, f64)],
) -> Result<Vec<(String, [f32; 1])>, HeadsError> {
    let mut found = Vec::with_capacity(info.inputs.len() + 1);
    let mut sum = 0.0;
    for id in structures(info) {
        let measured = volumes.iter().find(|(known, _)| *known == id);
        let (_, millilitres) =
            measured.ok_or_else(|| HeadsError::Structure { head: info.name.clone(), id })?;
        sum += millilitres;
        found.push((format!("{PREFIX}{id}"), [logarithm(*millilitres)]));
    }
    found.push((SUM.to_owned(), [logarithm(sum)]));
    Ok(found)
}

fn logarithm(millilitres: f64) -> f32 {
    millilitres.max(LEAST_ML).ln() as f32
}

#[cfg(test)]
mod tests {
    use super::super::heads::HeadKind;
    use super::*;

    fn reads(inputs: &[&str]) -> HeadInfo {
        HeadInfo {
            name: "sex".into(),
            inputs: inputs.iter().map(|&name| name.into()).collect(),
            outputs: vec!["female".into(), "male".into()],
            kind: HeadKind::Classification {
                temperature: 1.0,
                least_probability: 0.5,
                most_distance: None,
            },
            body_parts: Vec::new(),
            caution: None,
        }
    }

    #[test]
    fn logarithms_are_those_of_numpy() {
        // np.log(np.maximum([200, 3.5, 0], 0.02)); np.log(203.5)
        let info = reads(&["volume 2", "volume 17", "volume 24", "volume sum"]);
        let given = [(24, 0.0), (17, 3.5), (2, 200.0), (41, 210.0)];
        let found = vectors(&info, &given).unwrap();
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, info.inputs);
        let expected = [5.298_317_4_f32, 1.252_763, -3.912_023, 5.315_666];
        for ((name, [value]), expected) in found.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-5, "{name}: {value}");
        }
        let error = vectors(&info, &given[1..]).unwrap_err().to_string();
        assert!(error.contains("\"sex\"") && error.contains("structure 24"), "{error}");
    }

    #[test]
    fn volumes_stand_alone_and_each_has_its_weight() {
        assert_eq!(check(&reads(&["structure", "sequence"]), 304), Ok(()));
        assert_eq!(check(&reads(&["volume 2", "volume sum"]), 2), Ok(()));
        for (inputs, weights) in [
            (&["volume 2", "structure"][..], 2),
            (&["volume 2", "volume 41"][..], 3),
            (&["volume left"][..], 1),
            (&["volume +2"][..], 1),
            (&["volume sum"][..], 1),
        ] {
            let found = check(&reads(inputs), weights);
            assert!(matches!(found, Err(HeadsError::Metadata(_))), "{inputs:?}: {found:?}");
        }
    }
}
