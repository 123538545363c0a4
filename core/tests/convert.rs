//! `convert` against what numpy makes of the same checkpoints (training/golden_convert.py).

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use prism_core::convert::{Checkpoint, ConvertError, Converted, Mismatch, Wanted, convert};
use prism_core::convert::{UNVERIFIED, cosine, encoder, matches_pattern, middle};
use prism_core::formats::nifti::write_volume;
use prism_core::model::pack::is_quantised;
use prism_core::model::{Architecture, EncoderConfig, Merging, Orientation, Pack, Prism};
use prism_core::pipeline::{self, Quiet};
use prism_core::volume::{Affine, Volume};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};

const EXPECTED: &[u8] = include_bytes!("../../tests/golden/convert/expected.safetensors");
const TINY: &str = "swin:dim=2,depths=1-2-1-1,heads=1-2-2-4,window=2";

fn golden(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "tests", "golden", "convert", name].iter().collect()
}

fn about(key: &str) -> String {
    let (_, metadata) = SafeTensors::read_metadata(EXPECTED).expect("expected.safetensors");
    metadata.metadata().as_ref().and_then(|all| all.get(key)).expect("metadata").clone()
}

fn converted(name: &str, wanted: &Wanted) -> Result<Converted, ConvertError> {
    convert(&mut Checkpoint::open(&golden(name))?, wanted)
}

fn tiny(allow_extra: &[String]) -> Wanted<'_> {
    Wanted { arch: TINY, name: "tiny", title: "Tiny", allow_extra, ..Wanted::default() }
}

fn mismatch(name: &str) -> Mismatch {
    match converted(name, &tiny(&[])) {
        Err(ConvertError::Mismatch(mismatch)) => *mismatch,
        other => panic!("{name}: {:?}", other.map(|converted| converted.layers)),
    }
}

/// Every stored tensor is numpy's, bit for bit; returns how many there are.
fn same_as_numpy(converted: &Converted) -> usize {
    let bytes = converted.pack.to_bytes().expect("pack");
    let expected = SafeTensors::deserialize(EXPECTED).expect("expected");
    let actual = SafeTensors::deserialize(&bytes).expect("pack");
    for (name, view) in actual.tensors() {
        let expected = expected.tensor(&name).unwrap_or_else(|_| panic!("numpy has no {name}"));
        assert_eq!(view.dtype(), expected.dtype(), "{name}");
        assert_eq!(view.shape(), expected.shape(), "{name}");
        assert!(view.data() == expected.data(), "{name} differs");
    }
    // What is written is read back, hash and all.
    let read = Pack::read(&bytes).expect("a pack");
    assert_eq!(read.info, converted.pack.info);
    actual.len()
}

#[test]
fn encoders_in_every_container_are_rounded_as_numpy_rounds() {
    let expected = SafeTensors::deserialize(EXPECTED).expect("expected");
    let encoder = expected.names().iter().filter(|name| name.starts_with("swinViT.")).count();
    for name in ["flat.pt", "legacy.pt", "alone.safetensors"] {
        let converted = converted(name, &tiny(&[])).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(same_as_numpy(&converted), encoder, "{name}");
        // One relative position index a block.
        assert_eq!(converted.derived, 5, "{name}");
        assert!(!converted.pack.info.architecture.branches);
        Prism::load(&converted.pack, &prism_core::pipeline::Device::flex()).expect("a network");
    }
}

#[test]
fn a_whole_swin_unetr_under_state_dict_keeps_its_decoder() {
    let expected = SafeTensors::deserialize(EXPECTED).expect("expected");
    let heads = ["segmentation".to_owned()];
    let wanted = Wanted { heads: &heads, licence: Some("CC0-1.0"), ..tiny(&[]) };
    let converted = converted("wrapped.pt", &wanted).expect("converted");
    assert_eq!(same_as_numpy(&converted), expected.len());
    let info = &converted.pack.info;
    let names: Vec<&str> = info.labels.labels.iter().map(|label| label.name.as_str()).collect();
    assert_eq!(names, ["Class 1", "Class 2"], "three classes, one of them background");
    assert_eq!(info.provenance["data"][0]["licence"], "CC0-1.0");
}

#[test]
fn a_decoder_that_is_not_wanted_must_be_allowed_to_be_left() {
    let left = mismatch("wrapped.pt");
    assert!(left.missing.is_empty() && left.reshaped.is_empty(), "{left:?}");
    // SwinUNETR: 11 in encoder1-10, 20 in decoder1-5, out's weight and bias.
    assert_eq!(left.extra.len(), 33);
    assert_eq!(left.allow, ["decoder*", "encoder*", "out.*"]);
    converted("wrapped.pt", &tiny(&left.allow)).expect("as suggested");
    let patterns = ["encoder*".to_owned(), "decoder*.conv.weight".to_owned(), "out.*".to_owned()];
    let converted = converted("wrapped.pt", &tiny(&patterns)).expect("allowed");
    assert_eq!(converted.left.len(), 33);
    let left_out = &converted.pack.info.provenance["imported"]["left_out"];
    assert_eq!(left_out[2], "out.* (2 tensors)");
}

#[test]
fn a_fine_tuned_segmentation_keeps_its_decoder_and_has_its_encoder_once() {
    let expected = SafeTensors::deserialize(EXPECTED).expect("expected");
    let heads = ["segmentation".to_owned()];
    let converted = converted("backbone.pt", &Wanted { heads: &heads, ..tiny(&[]) });
    let converted = converted.expect("converted");
    assert_eq!(same_as_numpy(&converted), expected.len());
    assert_eq!((converted.derived, converted.left.len()), (5, 0));
    // Nor is the decoder hidden behind the name of what owns it.
    assert_eq!(mismatch("backbone.pt").allow, ["decoder*", "encoder*", "out.*"]);
}

#[test]
fn two_values_under_one_name_and_several_encoders_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let converted = |tensors: &[(&str, f32)]| {
        let tensors: Vec<(&str, [u8; 4])> =
            tensors.iter().map(|&(name, value)| (name, value.to_le_bytes())).collect();
        let views = tensors.iter().map(|(name, bytes)| {
            (*name, TensorView::new(Dtype::F32, vec![1], bytes).expect("a tensor"))
        });
        let path = folder.path().join("small.safetensors");
        std::fs::write(&path, serialize(views, None).expect("a checkpoint")).expect("a file");
        let mut checkpoint = Checkpoint::open(&path).expect("a checkpoint");
        convert(&mut checkpoint, &tiny(&[])).map(|converted| converted.layers)
    };
    for (name, other) in [
        ("out.conv.conv.bias", "backbone.out.conv.conv.bias"),
        ("cls_head.grade.1.bias", "encoders.0.cls_head.grade.1.bias"),
        ("decoder2.0.weight", "G.decoder.1.0.weight"),
        ("structure_disentanglement.0.bias", "D.str_disen.0.bias"),
    ] {
        let twice = converted(&[(name, 1.0), (other, 2.0)]);
        assert_eq!(twice.err(), Some(ConvertError::Twice(name.into())));
        let Err(ConvertError::Mismatch(mismatch)) = converted(&[(name, 1.0), (other, 1.0)]) else {
            panic!("{name} is no encoder");
        };
        let known = mismatch.extra.len() + mismatch.reshaped.len();
        assert_eq!(known, 1, "{other} is {name}: {mismatch:?}");
    }
    let several = converted(&[("encoders.0.swinViT.a", 1.0), ("encoders.1.swinViT.a", 1.0)]);
    let said = several.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(said.contains("an encoder for each sequence"), "{said}");
}

#[test]
fn what_the_pretraining_saves_has_branches_and_renderer_without_its_second_names() {
    let stored = std::fs::read(golden("pretrained.safetensors")).expect("pretrained.safetensors");
    let stored = SafeTensors::deserialize(&stored).expect("expected");
    let encoder = SafeTensors::deserialize(EXPECTED).expect("expected");
    let heads = ["meta_head.*", "part_head.*"];
    let decoder =
        ["decoder*", "meta_head.*", "mix_w.*", "part_head.*", "recon_head.*", "w_mapping.*"];
    // Three branches with a weight, its scale and a bias each.
    for (renderer, left, others) in [(true, &heads[..], stored.len()), (false, &decoder[..], 9)] {
        let wanted = Wanted { renderer, ..tiny(&[]) };
        let Err(ConvertError::Mismatch(mismatch)) = converted("pretrained.pt", &wanted) else {
            panic!("heads of one layer have no place in a pack");
        };
        assert_eq!(mismatch.allow, left, "{mismatch:?}");
        let wanted = Wanted { renderer, ..tiny(&mismatch.allow) };
        let pack = converted("pretrained.pt", &wanted).expect("converted").pack;
        let bytes = pack.to_bytes().expect("pack");
        let actual = SafeTensors::deserialize(&bytes).expect("pack");
        let mut count = 0;
        for (name, view) in actual.tensors() {
            let own = if name.starts_with("swinViT.") { &encoder } else { &stored };
            let expected = own.tensor(&name).unwrap_or_else(|_| panic!("numpy has no {name}"));
            assert!(view.data() == expected.data(), "{name} differs");
            count += usize::from(!name.starts_with("swinViT."));
        }
        assert_eq!(count, others);
        let model = Prism::load(&pack, &pipeline::Device::flex()).expect("a network");
        assert_eq!(model.style(), renderer.then_some(32));
        let (scan, mut quiet) = (cube(), Quiet);
        let encoding = pipeline::encode(&scan, &model, &pack, &mut quiet);
        let encoding = pollster::block_on(encoding).expect("features");
        let names: Vec<&str> = encoding.pooled.iter().map(|feature| feature.name).collect();
        assert_eq!(names, ["structure", "sequence", "fused", "centre"]);
        assert_ne!(encoding.pooled[0].values, encoding.pooled[1].values);
    }
    for (head, layer) in [
        ("classification:name=part,outputs=head/knee", "part_head"),
        ("regression:name=meta,outputs=TR/TE/flip", "meta_head"),
    ] {
        let heads = [head.to_owned()];
        match converted("pretrained.pt", &Wanted { heads: &heads, ..tiny(&[]) }) {
            Err(ConvertError::Words(said)) => assert!(said.contains(layer), "{said}"),
            other => panic!("{head}: {:?}", other.map(|converted| converted.layers)),
        }
    }
}

/// 40 voxels of 1 mm a side, bright in the middle.
fn cube() -> Volume {
    cube_of(40)
}

/// As [`cube`], of any side.
fn cube_of(side: usize) -> Volume {
    let middle = |at: usize| (10..side - 10).contains(&at);
    let value = |at: usize| {
        let inside = [at % side, at / side % side, at / (side * side)].into_iter().all(middle);
        (if inside { 200.0 } else { 80.0 }) + (at * 7919 % 31) as f32
    };
    let data = (0..side * side * side).map(value).collect();
    Volume::new(data, [side; 3], Affine::from_spacing([1.0; 3])).expect("a volume")
}

#[test]
fn published_heads_are_found_under_their_own_names() {
    let bytes = std::fs::read(golden("heads.safetensors")).expect("heads.safetensors");
    let expected = SafeTensors::deserialize(&bytes).expect("expected");
    for (file, fusion, others) in [("cat.pt", "cat:3", 2), ("trans.pt", "trans:4", 19)] {
        let heads = [format!("classification:name=grade,outputs=a/b/c,fusion={fusion}")];
        let converted = converted(file, &Wanted { heads: &heads, ..tiny(&[]) });
        let pack = converted.unwrap_or_else(|error| panic!("{file}: {error}")).pack;
        let bytes = pack.to_bytes().expect("pack");
        let actual = SafeTensors::deserialize(&bytes).expect("pack");
        let mut count = 0;
        for (name, view) in actual.tensors().iter().filter(|(name, _)| name.starts_with("heads.")) {
            let from = format!("{file}.{}", name.trim_start_matches("heads.grade."));
            let expected = expected.tensor(&from).unwrap_or_else(|_| panic!("no {from}"));
            assert_eq!(
                (view.dtype(), view.shape()),
                (expected.dtype(), expected.shape()),
                "{from}"
            );
            assert!(view.data() == expected.data(), "{from} differs");
            count += usize::from(!name.ends_with(".scale"));
        }
        // Six of hidden, norm and output, the others of the fusion.
        assert_eq!(count, 6 + others, "{file}");
        Prism::load(&pack, &prism_core::pipeline::Device::flex()).expect("a network");
        // Weights of a fusion that is not asked for are left over.
        let heads = ["classification:name=grade,outputs=a/b/c".to_owned()];
        let Err(ConvertError::Mismatch(mismatch)) =
            self::converted(file, &Wanted { heads: &heads, ..tiny(&[]) })
        else {
            panic!("{file} without fusion");
        };
        assert_eq!(mismatch.extra.len(), others, "{file}: {mismatch:?}");
        // They are never offered to be left out: without them the head answers wrongly.
        assert_eq!(mismatch.fusion.as_deref(), Some(fusion), "{file}");
        assert!(mismatch.allow.is_empty(), "{mismatch:?}");
        let headless = self::mismatch(file);
        assert_eq!(headless.fusion.as_deref(), Some(fusion), "{file}");
        assert!(headless.allow.is_empty(), "{headless:?}");
        let extra = ["latent_agg.*".to_owned(), "cls_token".to_owned()];
        let refused = self::converted(file, &Wanted { heads: &heads, ..tiny(&extra) });
        let Err(ConvertError::Words(said)) = refused else { panic!("{file} lost its fusion") };
        assert!(said.contains(&format!("fusion={fusion}")), "{said}");
    }
    for wrong in ["fusion=mean", "fusion=cat", "fusion=trans:x"] {
        let heads = [format!("classification:name=grade,outputs=a/b,{wrong}")];
        let refused = self::converted("flat.pt", &Wanted { heads: &heads, ..tiny(&[]) });
        assert!(matches!(refused, Err(ConvertError::Words(_))), "{wrong}");
    }
}

#[test]
fn rounding_errors_are_those_of_numpy() {
    let converted = converted("flat.pt", &tiny(&[])).expect("converted");
    let expected: BTreeMap<String, f64> =
        serde_json::from_str(&about("relative")).expect("relative");
    assert!(converted.layers.len() >= 5, "{:?}", converted.layers);
    for layer in &converted.layers {
        let expected = expected[&layer.name];
        assert!((layer.relative - expected).abs() < 1e-6 * expected, "{layer:?}, {expected}");
    }
    assert_eq!(converted.pack.info.provenance["imported"]["sha256"], about("sha256"));
    assert_eq!(converted.pack.info.provenance["data"][0]["licence"], "not stated");
}

#[test]
fn what_is_missing_or_left_over_is_named() {
    let bias = "swinViT.layers2.0.blocks.1.attn.qkv.bias".to_owned();
    let missing = mismatch("missing.pt");
    assert_eq!(missing.missing, [(bias.clone(), vec![12])]);
    assert!(missing.extra.is_empty() && missing.reshaped.is_empty());
    let extra = mismatch("extra.pt");
    assert_eq!(extra.extra, [("swinViT.head.weight".to_owned(), vec![4, 2])]);
    assert!(extra.missing.is_empty());
    assert_eq!(extra.allow, ["swinViT.head.weight"], "no pattern that hides the encoder");
    let allowed = Wanted { allow_missing: std::slice::from_ref(&bias), ..tiny(&[]) };
    assert_eq!(converted("missing.pt", &allowed).expect("allowed").filled, [bias]);
}

#[test]
fn another_geometry_is_told_from_the_shapes() {
    let wanted = Wanted { arch: "swin-b", ..tiny(&[]) };
    let Err(ConvertError::Mismatch(mismatch)) = converted("flat.pt", &wanted) else {
        panic!("a tiny encoder is no swin-b");
    };
    assert!(!mismatch.reshaped.is_empty());
    assert_eq!(mismatch.guess.as_deref(), Some(TINY));
}

#[test]
fn what_calls_or_is_cut_short_or_derived_wrongly_is_refused() {
    for name in ["calls.pt", "calls.pkl"] {
        match converted(name, &tiny(&[])) {
            Err(ConvertError::Code(call)) => assert!(call.ends_with(".system"), "{call}"),
            other => panic!("{name}: {:?}", other.map(|converted| converted.layers)),
        }
    }
    assert!(!PathBuf::from("prism-was-here").exists(), "the call was run");
    for name in ["truncated.pt", "truncated.safetensors"] {
        let refused = converted(name, &tiny(&[])).map(|converted| converted.layers);
        assert!(matches!(refused, Err(ConvertError::Container(_))), "{name}: {refused:?}");
    }
    let refused = converted("index.pt", &tiny(&[])).map(|converted| converted.layers);
    assert!(matches!(refused, Err(ConvertError::Tensor { .. })), "{refused:?}");
}

#[test]
fn settings_of_plain_data_beside_the_weights_are_read_over() {
    for name in ["settings2.pt", "settings4.pt"] {
        let checkpoint = Checkpoint::open(&golden(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(checkpoint.tensors.keys().collect::<Vec<_>>(), ["weight"], "{name}");
    }
}

#[test]
fn published_geometries_have_monai_s_tensors() {
    let shapes: BTreeMap<String, BTreeMap<String, Vec<usize>>> =
        serde_json::from_str(&about("shapes")).expect("shapes");
    for (arch, expected) in shapes {
        let encoder = encoder(&arch).expect("published");
        let architecture = Architecture { encoder, branches: false, heads: vec![], renderer: None };
        let tensors: BTreeMap<String, Vec<usize>> =
            Prism::tensors(&architecture).expect("tensors").into_iter().collect();
        assert_eq!(tensors, expected, "{arch}");
    }
}

#[test]
fn architectures_are_read_from_words() {
    let EncoderConfig::Swin(swin) = encoder("swin-b").expect("swin-b") else { panic!("no swin") };
    assert_eq!((swin.dim, swin.depths, swin.heads), (48, [2, 2, 2, 2], [3, 6, 12, 24]));
    assert_eq!((swin.window, swin.merging), (7, Merging::Repeated));
    let words = "swin:dim=12,depths=2-2-2-2,heads=3-6-12-24,merging=corners";
    let EncoderConfig::Swin(swin) = encoder(words).expect("words") else { panic!("no swin") };
    assert_eq!((swin.dim, swin.merging), (12, Merging::Corners));
    for wrong in ["", "swin", "swin-x", "swin:dim=12,depths=2-2", "swin:dim=x", "compact:width=3"] {
        assert!(matches!(encoder(wrong), Err(ConvertError::Words(_))), "{wrong}");
    }
}

#[test]
fn small_tensors_and_segmentation_heads_stay_exact() {
    assert!(is_quantised("swinViT.patch_embed.proj.weight", &[192, 1, 2, 2, 2]));
    assert!(!is_quantised("swinViT.patch_embed.proj.weight", &[48, 1, 2, 2, 2]));
    assert!(!is_quantised("norm.weight", &[2048]));
    assert!(!is_quantised("out.conv.conv.weight", &[33, 48, 1, 1, 1]));
}

#[test]
fn patterns_match_whole_names() {
    assert!(matches_pattern("decoder*", "decoder1.weight"));
    assert!(matches_pattern("*.conv*.weight", "a.conv1.weight"));
    assert!(!matches_pattern("decoder", "decoder1.weight"));
    assert!(!matches_pattern("*.bias", "decoder1.weight"));
}

#[test]
fn the_middle_of_a_scan_keeps_its_place_in_the_world() {
    let affine = Affine::from_spacing([1.0, 2.0, 1.0]);
    let data = (0..10 * 6 * 4).map(|v| v as f32).collect();
    let scan = Volume::new(data, [10, 6, 4], affine).expect("scan");
    let middle = middle(&scan, [4.0; 3]).expect("middle");
    assert_eq!(middle.dims, [4, 2, 4]);
    // Voxel (3, 2, 0) of the scan: 3 + 10 * 2.
    assert_eq!(middle.data[0], 23.0);
    assert_eq!(middle.affine.apply([0.0; 3]), affine.apply([3.0, 2.0, 0.0]));
}

#[test]
fn cosines() {
    assert!((cosine(&[1.0, 0.0], &[1.0, 1.0]) - 0.5_f64.sqrt()).abs() < 1e-12);
    assert_eq!(cosine(&[0.0, 0.0], &[1.0, 1.0]), 0.0);
}

/// Weights as they are used, and half a step of their rounding (0 where they are not rounded).
fn dequantised(pack: &SafeTensors<'_>, name: &str) -> (Vec<f32>, Vec<f32>) {
    let floats = |name: &str| -> Vec<f32> {
        let view = pack.tensor(name).expect("a tensor");
        assert_eq!(view.dtype(), safetensors::Dtype::F32, "{name}");
        let bytes = view.data().chunks_exact(4);
        bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let view = pack.tensor(name).expect("a tensor");
    if view.dtype() != safetensors::Dtype::I8 {
        let values = floats(name);
        let exact = vec![0.0; values.len()];
        return (values, exact);
    }
    let scales = floats(&format!("{name}.scale"));
    let row = view.data().len() / scales.len();
    let scales = scales.into_iter().flat_map(|scale| std::iter::repeat_n(scale, row));
    let values = view.data().iter().zip(scales.clone());
    (
        values.map(|(&q, scale)| f32::from(q as i8) * scale).collect(),
        scales.map(|s| s / 2.0).collect(),
    )
}

/// training/export.py made the pack of the averaged weights in f32, the checkpoint keeps
/// them as halves: weights differ by no more than both roundings and half precision.
#[test]
fn the_committed_checkpoint_becomes_the_pack_that_python_exported() {
    let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), ".."].iter().collect();
    let exported = std::fs::read(root.join("public/packs/brain.safetensors")).expect("pack");
    let heads = ["segmentation".to_owned()];
    let extra = ["heads.contrast.*".to_owned()];
    let wanted = Wanted {
        arch: "compact",
        heads: &heads,
        labels: Some(Pack::read(&exported).expect("a pack").info.labels),
        allow_extra: &extra,
        ..Wanted::default()
    };
    let path = root.join("training/checkpoints/brain2mm.safetensors");
    let mut checkpoint = Checkpoint::open(&path).expect("checkpoint");
    let converted = convert(&mut checkpoint, &wanted).expect("converted").pack;
    let bytes = converted.to_bytes().expect("pack");
    let (converted, exported) = (
        SafeTensors::deserialize(&bytes).expect("a"),
        SafeTensors::deserialize(&exported).expect("b"),
    );
    assert_eq!(converted.len(), exported.len());
    for (name, view) in converted.tensors() {
        let other = exported.tensor(&name).expect("the same tensors");
        assert_eq!((view.dtype(), view.shape()), (other.dtype(), other.shape()), "{name}");
        if name.ends_with(".scale") {
            continue;
        }
        let (ours, our_half) = dequantised(&converted, &name);
        let (theirs, their_half) = dequantised(&exported, &name);
        for at in 0..ours.len() {
            // Half precision has 11 significant bits; the thousandth is f32's own rounding.
            let steps = 1.001 * (our_half[at] + their_half[at]);
            let allowed = steps + theirs[at].abs() / 2048.0 + 1e-7;
            let difference = (ours[at] - theirs[at]).abs();
            assert!(difference <= allowed, "{name}, value {at}: {difference} of {allowed}");
        }
    }
}

/// A relative of the published encoder: small, but most of its tensors are rounded.
const SMALL: &str = "swin:dim=12,depths=2-2-2-2,heads=3-6-12-24";

/// A checkpoint with weights as in `swin.rs`, unit gain for matrices and kernels, norms around
/// 1, biases around 0; `change` is given each tensor's name and values.
fn seeded(folder: &Path, arch: &str, branches: bool, change: impl Fn(&str, &mut [f32])) -> PathBuf {
    let encoder = encoder(arch).expect("an architecture");
    let architecture = Architecture { encoder, branches, heads: vec![], renderer: None };
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, shape) in Prism::tensors(&architecture).expect("tensors") {
        let gain = (3.0 / shape[1..].iter().product::<usize>() as f32).sqrt();
        let (spread, middle) = match shape.len() {
            1 if name.ends_with(".weight") => (0.5, 1.0),
            1 => (0.3, 0.0),
            _ => (gain, 0.0),
        };
        let count = shape.iter().product::<usize>();
        let mut values: Vec<f32> = (0..count).map(|_| middle + spread * noise()).collect();
        change(&name, &mut values);
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensors.push((name, shape, bytes));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a tensor"))
    });
    let path = folder.join("seeded.safetensors");
    std::fs::write(&path, serialize(views, None).expect("a checkpoint")).expect("a file");
    path
}

/// `prism convert CHECKPOINT -o PACK --arch ARCH` and more.
fn by_command(checkpoint: &Path, pack: &Path, arch: &str, more: &[&OsStr]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_prism"))
        .arg("convert")
        .arg(checkpoint)
        .arg("-o")
        .arg(pack)
        .args(["--arch", arch, "--licence", "CC0-1.0"])
        .args(more)
        .output()
        .expect("prism runs")
}

/// The same, int8 compared with full precision on the sample scan.
fn checked(checkpoint: &Path, pack: &Path, arch: &str) -> Output {
    let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), ".."].iter().collect();
    let sample = root.join("public/samples/sample_t1w.nii.gz");
    let [device, cpu, check] = ["--device", "cpu", "--check"].map(OsStr::new);
    by_command(checkpoint, pack, arch, &[device, cpu, check, sample.as_os_str()])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn int8_keeps_the_features_of_the_sample(arch: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let checkpoint = seeded(folder.path(), arch, true, |_, _| {});
    let path = folder.path().join("pack.safetensors");
    let output = checked(&checkpoint, &path, arch);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    let cosines: Vec<(&str, f64)> = said
        .lines()
        .filter(|line| line.contains("cosine similarity of int8 and f32"))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.nth(1)?, words.next_back()?.parse().ok()?))
        })
        .collect();
    // With --nocapture, rows of a Markdown table: encoder, pooled feature, cosine.
    for (feature, cosine) in &cosines {
        println!("| {arch} | {feature} | {cosine:.6} |");
    }
    let features: Vec<&str> = cosines.iter().map(|(feature, _)| *feature).collect();
    assert_eq!(features, ["structure", "sequence", "fused", "centre"], "{said}");
    assert!(cosines.iter().all(|(_, cosine)| (0.999..1.0001).contains(cosine)), "{cosines:?}");
    // A line for each tensor that is rounded, and for no other.
    let pack = Pack::read(&std::fs::read(&path).expect("the pack")).expect("a pack");
    let check = pack.info.provenance["imported"]["check"].as_str().expect("the check");
    assert!(check.contains("cosine similarity ") && !said.contains(UNVERIFIED), "{check}");
    for (name, shape) in pack.tensors() {
        let end = format!(" {name} {shape:?}");
        let told = said.lines().any(|line| line.contains(" % ") && line.ends_with(&end));
        assert_eq!(told, is_quantised(name, shape), "{name}");
    }
}

#[test]
fn a_small_encoder_in_int8_has_the_features_of_the_sample() {
    int8_keeps_the_features_of_the_sample(SMALL);
}

#[test]
#[ignore = "half a minute of processor"]
fn the_published_encoder_in_int8_has_the_features_of_the_sample() {
    int8_keeps_the_features_of_the_sample("swin-b");
}

/// One input of the last layer becomes 0, so that its weights may be of any size: in full
/// precision they do nothing, in int8 they make all others of their rows 0.
fn spoil(name: &str, values: &mut [f32]) {
    match name.strip_prefix("swinViT.layers4.0.downsample.") {
        Some("norm.weight" | "norm.bias") => values[0] = 0.0,
        // Eight tokens of 96 channels.
        Some("reduction.weight") => values.chunks_exact_mut(768).for_each(|row| row[0] = 1000.0),
        _ => {}
    }
}

#[test]
fn a_pack_whose_features_int8_spoils_is_not_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let checkpoint = seeded(folder.path(), SMALL, false, spoil);
    let path = folder.path().join("pack.safetensors");
    let output = checked(&checkpoint, &path, SMALL);
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{}", text(&output.stdout));
    assert!(said.contains("the pack was not written") && said.contains("0.999"), "{said}");
    let files = std::fs::read_dir(folder.path()).expect("the folder").count();
    assert_eq!(files, 1, "something was written beside the checkpoint");
}

#[test]
fn the_command_lists_what_is_missing_or_left_over_and_takes_what_is_allowed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pack.safetensors");
    let bias = "swinViT.layers2.0.blocks.1.attn.qkv.bias";
    for (file, line, allow) in [
        ("missing.pt", format!("missing    {bias} [12]"), ["--allow-missing", bias]),
        (
            "extra.pt",
            "left over  swinViT.head.weight [4, 2]".to_owned(),
            ["--allow-extra", "swinViT.head.weight"],
        ),
    ] {
        let output = by_command(&golden(file), &path, TINY, &[]);
        let said = text(&output.stdout);
        assert!(!output.status.success() && !path.exists(), "{file}: {said}");
        assert_eq!(said.lines().collect::<Vec<_>>(), [line.as_str()], "{file}");
        let output = by_command(&golden(file), &path, TINY, &allow.map(OsStr::new));
        assert!(output.status.success(), "{file}: {}", text(&output.stderr));
        std::fs::remove_file(&path).expect("the pack");
    }
}

#[test]
fn the_command_says_what_keeps_what_is_left_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pack.safetensors");
    let said = |file: &str, more: &[&str]| {
        let more: Vec<&OsStr> = more.iter().map(OsStr::new).collect();
        let output = by_command(&golden(file), &path, TINY, &more);
        assert!(!output.status.success() && !path.exists(), "{file}");
        text(&output.stderr)
    };
    let head = ["--head", "classification:name=grade,outputs=a/b/c"];
    for (file, fusion) in [("cat.pt", "fusion=cat:3"), ("trans.pt", "fusion=trans:4")] {
        let without = said(file, &[]);
        let whole = format!("--head classification:name=NAME,outputs=A/B/C,{fusion}");
        assert!(without.contains(&whole), "{without}");
        let with = said(file, &head);
        assert!(with.contains(&format!("add {fusion} to its --head")), "{with}");
        assert!(!(without + &with).contains("--allow-extra"), "{file}");
    }
    let whole = said("pretrained.pt", &[]);
    assert!(whole.contains("to keep the decoder that renders: --renderer"), "{whole}");
    assert!(!said("pretrained.pt", &["--renderer"]).contains("that renders"));
}

#[test]
fn a_pack_that_was_not_checked_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pack.safetensors");
    let output = by_command(&golden("flat.pt"), &path, TINY, &[]);
    let said = text(&output.stdout);
    assert!(output.status.success() && said.lines().any(|line| line == UNVERIFIED), "{said}");
    let pack = Pack::read(&std::fs::read(&path).expect("the pack")).expect("a pack");
    assert_eq!(pack.info.provenance["imported"]["check"], UNVERIFIED);
}

#[test]
fn what_part_of_large_scans_is_read_together_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (pack, study) = (at("pack.safetensors"), at("study.safetensors"));
    let head = "classification:name=grade,outputs=a/b/c,fusion=cat:3";
    let more = ["--head", head, "--window", "64"].map(OsStr::new);
    let output = by_command(&golden("cat.pt"), &pack, TINY, &more);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let scan = |name: &str, side: usize| {
        let path = at(name);
        std::fs::write(&path, write_volume(&cube_of(side)).expect("NIfTI")).expect("a scan");
        path
    };
    let (large, small) = (scan("large.nii.gz", 88), scan("small.nii.gz", 40));
    let together = |scans: [&Path; 3]| {
        let output = Command::new(env!("CARGO_BIN_EXE_prism"))
            .arg("encode")
            .args(scans)
            .args(["--together", "--device", "cpu", "--pack"])
            .arg(&pack)
            .arg("-o")
            .arg(&study)
            .output()
            .expect("prism runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        let bytes = std::fs::read(&study).expect("the features");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("safetensors");
        let held = header.metadata().as_ref().and_then(|all| all.get("middle_voxels"));
        (text(&output.stdout), held.expect("what was read").clone())
    };
    let (large, small) = (large.as_path(), small.as_path());
    let (said, held) = together([large; 3]);
    assert!(said.contains(", of the middle 64 x 64 x 64 voxels of each\n"), "{said}");
    assert_eq!(held, "[[64,64,64],[64,64,64],[64,64,64]]");
    let (said, held) = together([small, large, small]);
    assert!(said.contains(", of the middle 64 x 64 x 64 voxels of scan 2\n"), "{said}");
    assert_eq!(held, "[null,[64,64,64],null]");
}

#[test]
fn what_scans_a_head_was_trained_on_is_said_or_named_as_assumed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pack.safetensors");
    let assumed = "trained on scans with RAS axes, spacing 1 × 1 × 1 mm, windows of 96 × 96 × 96";
    let convert = |more: &[&str]| {
        let more = [&["--head", "segmentation"][..], more].concat();
        let more: Vec<&OsStr> = more.into_iter().map(OsStr::new).collect();
        let output = by_command(&golden("backbone.pt"), &path, TINY, &more);
        (output.status.success(), text(&output.stderr))
    };
    let (done, said) = convert(&[]);
    assert!(done && said.contains(assumed), "{said}");
    let own = ["--window", "192,192,32", "--orientation", "slices", "--intensity", "zscore"];
    let (done, said) = convert(&[&own[..], &["--spacing", "native"]].concat());
    assert!(done && !said.contains("trained on scans with"), "{said}");
    let info = Pack::read(&std::fs::read(&path).expect("the pack")).expect("a pack").info;
    assert_eq!(info.preprocessing.spacing_mm, [None; 3]);
    assert_eq!(info.preprocessing.window, [192, 192, 32]);
    assert_eq!(info.preprocessing.orientation, Orientation::Slices);
    let (done, said) = convert(&own);
    assert!(!done && said.contains("give 64 or more, or \"native\""), "{said}");
    // A decoder that would be left out is not left out unsaid.
    let output = by_command(&golden("backbone.pt"), &path, TINY, &[]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("--head segmentation"), "{}", text(&output.stderr));
}

#[test]
fn an_imported_renderer_draws_a_scan_again_as_it_was_or_in_a_style() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (pack, plain, scan) = (at("pack.safetensors"), at("plain.safetensors"), at("scan.nii.gz"));
    std::fs::write(&scan, write_volume(&cube()).expect("NIfTI")).expect("a scan");
    let more = ["--renderer", "--allow-extra", "part_head.*", "meta_head.*"].map(OsStr::new);
    let output = by_command(&golden("pretrained.pt"), &pack, TINY, &more);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let render = |pack: &Path, name: &str, more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_prism"))
            .args(["render", "--device", "cpu", "--pack"])
            .arg(pack)
            .arg(&scan)
            .arg("-o")
            .arg(at(name))
            .args(more)
            .output();
        output.expect("prism runs")
    };
    let drawn = |name: &str, more: &[&str]| {
        let output = render(&pack, name, more);
        assert!(output.status.success(), "{}", text(&output.stderr));
        std::fs::read(at(name)).expect("the rendering")
    };
    let [as_it_was, again] = ["a.nii", "b.nii"].map(|name| drawn(name, &[]));
    assert!(as_it_was == again, "a reconstruction has no chance in it");
    let [one, same, two] = ["1", "1", "2"].map(|seed| drawn("c.nii", &["--style", seed]));
    assert!(one == same, "a seed is a style");
    assert!(one != two && one != as_it_was && two != as_it_was, "styles do not differ");

    let output = by_command(&golden("flat.pt"), &plain, TINY, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = render(&plain, "d.nii", &[]);
    let said = text(&output.stderr);
    assert!(!output.status.success() && !at("d.nii").exists(), "{said}");
    assert!(said.lines().count() == 1 && said.contains("does not render a scan again"), "{said}");
}
