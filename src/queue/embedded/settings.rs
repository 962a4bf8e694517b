//! What can be set about the embedded queue, and what follows from the size of its disk.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::LaneCount;
use crate::setting::{ByteSize, Span};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The number of ordered partitions; can never change for a queue that holds events.
    #[schemars(with = "u16")]
    pub lanes: LaneCount,
    /// What must stay free on the disk for events to be accepted; by default 5 % of it, at least 32 MiB, at most 1 GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_free: Option<ByteSize>,
    /// The file that is given up on a full disk, so that the store can go on and the queue can free its own files.
    pub reserve: ByteSize,
    /// How many events a lane keeps in memory for sinks that follow closely.
    pub ring_events: usize,
    /// How many bytes of events a lane keeps in memory.
    pub ring_size: ByteSize,
    /// After how long a subscription that no sink owns stops holding events back.
    pub unclaimed_after: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lanes: LaneCount::default(),
            min_free: None,
            reserve: ByteSize::mib(16),
            ring_events: 1_024,
            // 16 lanes at their bound stay below the 80 MB that the process may take at its peak.
            ring_size: ByteSize::mib(2),
            unclaimed_after: Span::days(1),
        }
    }
}

impl Settings {
    pub(super) fn min_free_of(&self, disk: u64) -> u64 {
        self.min_free.map_or_else(|| (disk / 20).clamp(32 << 20, 1 << 30), |size| size.0)
    }
}

/// The files of the log: 32 MiB each and four of them before any is freed; smaller on a small disk, so that 512 MiB are enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) each: u64,
    pub(super) freed_above: u64,
}

impl Files {
    /// With the recycled ones the engine keeps up to six files, which is a tenth of the disk at most.
    pub(super) fn for_disk(disk: u64) -> Self {
        let each = (disk / 64).clamp(4 << 20, 32 << 20);
        Self { each, freed_above: each * 4 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn sizes_follow_the_disk() {
        for (disk_mib, min_free_mib, file_mib) in [(128, 32, 4), (512, 32, 8), (2_048, 102, 32), (10_240, 512, 32), (1 << 20, 1_024, 32)] {
            let disk = disk_mib * MIB;
            assert_eq!(Settings::default().min_free_of(disk) / MIB, min_free_mib, "{disk_mib}");
            assert_eq!(Files::for_disk(disk).each / MIB, file_mib, "{disk_mib}");
        }
        let set = Settings { min_free: Some(ByteSize::mib(3)), ..Settings::default() };
        assert_eq!(set.min_free_of(1 << 40), 3 * MIB);
    }

    #[test]
    fn only_known_settings_are_taken() {
        let read: Settings = toml::from_str("lanes = 4\nmin_free = \"1GiB\"\nunclaimed_after = \"2h\"").expect("settings");
        assert_eq!((read.lanes.get(), read.min_free, read.reserve), (4, Some(ByteSize::mib(1_024)), ByteSize::mib(16)));
        for bad in ["lane = 4", "lanes = 0", "reserve = 5"] {
            assert!(toml::from_str::<Settings>(bad).is_err(), "{bad}");
        }
    }
}
