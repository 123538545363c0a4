//! The report decoder on the CPU, word for word as training/report/network.py has it.
//!
//! Half a million weights: a report is a tenth of a second of plain loops, which no
//! device would make shorter, and the page needs no second module for it.

use super::weights::{Matrix, Vector, Weights};

/// One attention's projections, `[width, width]` each.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    pub query: Matrix,
    pub key: Matrix,
    pub value: Matrix,
    pub output: Matrix,
}

/// A layer: words among themselves, words to facts, and a wider block.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub norms: [(Vector, Vector); 3],
    pub words: Attention,
    pub facts: Attention,
    pub widen: Matrix,
    pub narrow: Matrix,
}

/// Keys and values that a word attends to, one row each.
#[derive(Clone, Debug, Default)]
struct Kept {
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
}

/// A text being written.
pub(super) struct Writing<'a> {
    weights: &'a Weights,
    words: Vec<Kept>,
    facts: Vec<Kept>,
    place: usize,
}

impl<'a> Writing<'a> {
    /// Begins a text about a memory: one row of the network's width each.
    pub fn new(weights: &'a Weights, memory: &[Vec<f32>]) -> Self {
        let facts = weights
            .layers
            .iter()
            .map(|layer| Kept {
                keys: memory.iter().map(|row| layer.facts.key.times(row)).collect(),
                values: memory.iter().map(|row| layer.facts.value.times(row)).collect(),
            })
            .collect();
        Self { weights, words: vec![Kept::default(); weights.layers.len()], facts, place: 0 }
    }

    /// Logits of the word after `token`, one a word of the vocabulary.
    pub fn next(&mut self, token: usize) -> Vec<f32> {
        let weights = self.weights;
        let heads = weights.heads;
        let mut x: Vec<f32> = weights.token.row(token).to_vec();
        let width = x.len();
        add(&mut x, &place(self.place, width));
        for (layer, (words, facts)) in
            weights.layers.iter().zip(self.words.iter_mut().zip(&self.facts))
        {
            let y = normed(&x, &layer.norms[0]);
            words.keys.push(layer.words.key.times(&y));
            words.values.push(layer.words.value.times(&y));
            let seen = attend(&layer.words.query.times(&y), words, heads);
            add(&mut x, &layer.words.output.times(&seen));
            let y = normed(&x, &layer.norms[1]);
            let seen = attend(&layer.facts.query.times(&y), facts, heads);
            add(&mut x, &layer.facts.output.times(&seen));
            let mut wide = layer.widen.times(&normed(&x, &layer.norms[2]));
            wide.iter_mut().for_each(|value| *value = gelu(*value));
            add(&mut x, &layer.narrow.times(&wide));
        }
        self.place += 1;
        weights.token.times(&normed(&x, &weights.norm))
    }
}

/// Sines and cosines of a place (Vaswani et al. 2017, 3.5), scaled to the size of the
/// embeddings.
pub(super) fn place(place: usize, width: usize) -> Vec<f32> {
    let half = width / 2;
    let scale = (width as f32).powf(-0.5);
    let angle = |at: usize| place as f32 * 10000_f32.powf(-((2 * at) as f32) / width as f32);
    let sines = (0..half).map(|at| angle(at).sin() * scale);
    sines.chain((0..half).map(|at| angle(at).cos() * scale)).collect()
}

pub(super) fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

fn attend(query: &[f32], kept: &Kept, heads: usize) -> Vec<f32> {
    let size = query.len() / heads;
    let mut out = vec![0.0; query.len()];
    for head in 0..heads {
        let part = head * size..(head + 1) * size;
        let query = &query[part.clone()];
        let scores: Vec<f32> = kept
            .keys
            .iter()
            .map(|key| dot(query, &key[part.clone()]) / (size as f32).sqrt())
            .collect();
        let peak = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let shares: Vec<f32> = scores.iter().map(|score| (score - peak).exp()).collect();
        let sum: f32 = shares.iter().sum();
        for (share, value) in shares.iter().zip(&kept.values) {
            let out = out[part.clone()].iter_mut().zip(&value[part.clone()]);
            out.for_each(|(out, value)| *out += share / sum * value);
        }
    }
    out
}

pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Layer norm with epsilon 1e-5, as PyTorch has it.
fn normed(x: &[f32], (weight, bias): &(Vector, Vector)) -> Vec<f32> {
    let mean = x.iter().sum::<f32>() / x.len() as f32;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / x.len() as f32;
    let scale = 1.0 / (variance + 1e-5).sqrt();
    x.iter().zip(weight.iter().zip(bias)).map(|(x, (w, b))| (x - mean) * scale * w + b).collect()
}

/// x/2 (1 + erf(x / sqrt 2)); erf by Abramowitz and Stegun 7.1.26, within 1.5e-7.
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = [1.061_405_4, -1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6];
    let polynomial = series.iter().fold(0.0, |sum, term| sum * t + term) * t;
    let erf = (1.0 - polynomial * (-z * z).exp()).copysign(x);
    0.5 * x * (1.0 + erf)
}
