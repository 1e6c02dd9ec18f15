//! Matching of mistyped words against the known ones.

use strsim::osa_distance;

/// Longer words are not matched: no known word is near, and the distance would cost time.
const MAX_WORD_BYTES: usize = 64;

/// Returns the candidate at most two edits away from `word`, and the number of edits.
pub(super) fn nearest<'k>(word: &str, candidates: &[&'k str]) -> Option<(usize, &'k str)> {
    if word.len() > MAX_WORD_BYTES {
        return None;
    }
    let lower = word.to_lowercase();
    candidates
        .iter()
        .map(|candidate| (osa_distance(&lower, &candidate.to_lowercase()), *candidate))
        .filter(|(distance, candidate)| *distance <= 2 && distance * 2 < candidate.len())
        .min_by_key(|(distance, _)| *distance)
}
