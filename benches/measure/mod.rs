//! What the benches share: bodies, receivers and their rounds, a cheap load generator, a look at another process, one sync of the disk,
//! tables and verdicts.

#![allow(dead_code, reason = "each bench uses a part")]

pub mod body;
pub mod disk;
pub mod load;
pub mod process;
pub mod receivers;
pub mod report;
pub mod rounds;
mod typed;

use std::path::PathBuf;

/// Where figures are written and queues are filled: on the disk that holds the build.
pub fn directory() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    built.parent().map(|target| target.join("bench")).unwrap_or(built)
}

/// A place for one run, emptied.
pub fn empty(name: &str) -> anyhow::Result<PathBuf> {
    let place = directory().join(name);
    match std::fs::remove_dir_all(&place) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => return Err(err.into()),
        _ => {}
    }
    std::fs::create_dir_all(&place)?;
    Ok(place)
}

/// The middle one; of an even number the lower.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
