//! What one sync of the disk costs, beside every figure that waits for one.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use tokio::time::Instant;

const SYNCS: usize = 200;
const BLOCK: usize = 8_192;

/// The middle of some `fdatasync`s after 8 KB into a file that is there already, in milliseconds.
pub fn fdatasync_ms(directory: &Path) -> anyhow::Result<f64> {
    let path = directory.join("fdatasync");
    let mut file = File::create(&path)?;
    file.write_all(&vec![0; SYNCS * BLOCK])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[7; BLOCK])?;
        let started = Instant::now();
        file.sync_data()?;
        took.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    std::fs::remove_file(&path)?;
    Ok(super::median(took))
}
