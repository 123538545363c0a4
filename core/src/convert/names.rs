//! Names that checkpoints give the parts of a Swin network, brought to those of a pack.

use super::ConvertError;
use super::checkpoint::Checkpoint;

/// What PRISM's (github.com/zqiuak/PRISM) fine-tuned networks put before the names of encoder and decoder
/// (`MRI_CLS` and `MRI_SEG` in main/model/model_ft.py).
const OWNERS: [&str; 2] = ["encoders.0.", "backbone."];

/// Lists in which the pretraining (`PT_MRI_FM` in main/model/model_pt.py) repeats `decoder1` and
/// those that follow, counted from 0.
const DECODERS: [&str; 2] = ["up_decoder.", "G.decoder."];

/// Its other second names, under its two optimisers' groups.
const GROUPS: [(&str, &str); 12] = [
    ("D.swinViT.", "swinViT."),
    ("D.str_disen.", "structure_disentanglement."),
    ("D.seq_disen.", "sequence_disentanglement."),
    ("D.latent_agg.", "latent_agg."),
    ("D.part_head.", "part_head."),
    ("D.meta_head.", "meta_head."),
    ("D.disc_head.", "disc_head."),
    ("D.str_contrastive_head.", "str_contrastive_head."),
    ("D.seq_contrastive_head.", "seq_contrastive_head."),
    ("G.recon_head.", "recon_head."),
    ("G.wmap.", "w_mapping."),
    ("G.mix_w.", "mix_w."),
];

/// Gives every tensor the name that a pack has for it. Of a tensor that is there under both
/// names, with the same values, one is left.
///
/// # Errors
/// [`ConvertError::Twice`] where the values differ, [`ConvertError::Words`] for a network with
/// several encoders.
pub fn complete(checkpoint: &mut Checkpoint) -> Result<(), ConvertError> {
    let tensors = &mut checkpoint.tensors;
    if tensors.keys().any(|name| name.starts_with("encoders.1.")) {
        return Err(ConvertError::Words(
            "the checkpoint has an encoder for each sequence (encoders.1.*) where a pack has one \
             for all; fine-tune with one encoder (seperate_encoders=False)"
                .into(),
        ));
    }
    let renamed: Vec<(String, String)> =
        tensors.keys().filter_map(|name| Some((name.clone(), own_name(name)?))).collect();
    for (name, own) in renamed {
        let Some(entry) = tensors.remove(&name) else { continue };
        let same = match tensors.get(&own) {
            Some(first) => Some(first.same_as(&entry, &own)?),
            None => None,
        };
        match same {
            None => {
                tensors.insert(own, entry);
            }
            Some(true) => {}
            Some(false) => return Err(ConvertError::Twice(own)),
        }
    }
    // An encoder that was saved on its own.
    if tensors.contains_key("patch_embed.proj.weight") {
        *tensors = std::mem::take(tensors)
            .into_iter()
            .map(|(name, entry)| (format!("swinViT.{name}"), entry))
            .collect();
    }
    Ok(())
}

/// A pack's name for a tensor that has another one here.
fn own_name(name: &str) -> Option<String> {
    if let Some(rest) = OWNERS.iter().find_map(|owner| name.strip_prefix(owner)) {
        return Some(rest.to_owned());
    }
    if let Some(rest) = DECODERS.iter().find_map(|list| name.strip_prefix(list)) {
        let (index, rest) = rest.split_once('.')?;
        let number = index.parse::<u8>().ok()?.checked_add(1)?;
        return Some(format!("decoder{number}.{rest}"));
    }
    GROUPS.iter().find_map(|(second, first)| Some(format!("{first}{}", name.strip_prefix(second)?)))
}
