//! Whether stated times can be those of one heartbeat's phases.
//!
//! Files that were converted often state a time between volumes that is none: 1 second, or
//! the repetition time. A curve over time is drawn only where the times can be true.

/// Longest heartbeat, ms: 20 beats a minute.
const LONGEST_BEAT_MS: f64 = 3000.0;

/// Longest time between phases, ms: a heartbeat of 60 a minute that is seen twice.
const LONGEST_STEP_MS: f64 = 500.0;

/// Times of the phases, in milliseconds; `None` unless every phase has one, each later than
/// the one before and not long after it, and all lie within one heartbeat.
pub fn phase_times(stated: &[Option<f64>]) -> Option<Vec<f64>> {
    let times: Vec<f64> = stated.iter().copied().collect::<Option<_>>()?;
    let (first, last) = (times.first()?, times.last()?);
    let step = |pair: &[f64]| pair[1] - pair[0];
    let ascending = times.windows(2).all(|pair| step(pair) > 0.0 && step(pair) <= LONGEST_STEP_MS);
    (times.len() > 1 && ascending && last - first <= LONGEST_BEAT_MS).then_some(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_one_heartbeat_are_taken() {
        assert_eq!(phase_times(&[Some(12.5), Some(52.5)]), Some(vec![12.5, 52.5]));
        // One second a volume, as converters write.
        let seconds: Vec<Option<f64>> = (0..30).map(|at| Some(1000.0 * f64::from(at))).collect();
        assert_eq!(phase_times(&seconds), None);
        assert_eq!(phase_times(&seconds[..2]), None);
        assert_eq!(phase_times(&[Some(0.0), None]), None);
        assert_eq!(phase_times(&[Some(0.0), Some(0.0)]), None);
        assert_eq!(phase_times(&[]), None);
    }
}
