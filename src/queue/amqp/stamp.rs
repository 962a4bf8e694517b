//! Positions on a broker that numbers nothing: the publisher's time.
//!
//! Each message carries a stamp, microseconds since 1970, strictly increasing within a process that publishes. A message's position is
//! its stamp, or one more than that of the message before it in its lane where that is greater: so positions always increase within a
//! lane, every sink gives a message the same one (within the microseconds of such a step), and a message that is shown again has its old
//! one. `observe` lifts our stamps above those of others that were read here.
//!
//! What it does not promise: a new owner in another process does not know the last position of the one before it. If the clocks of two
//! receivers differ by more than the time between two events, and the owner changes between those, the second may stand before the first.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Clock, Timestamp};
use crate::event::Position;

/// Stamps beyond the year 9999 are no times: following them would leave no room above.
const LAST: u64 = 253_402_300_799_000_000;

pub(super) struct Stamps {
    clock: Clock,
    last: AtomicU64,
}

impl Stamps {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, last: AtomicU64::new(0) }
    }

    pub(super) fn next(&self) -> u64 {
        let now = stamp_of(self.clock.now());
        let after = |last: u64| now.max(last + 1);
        let before = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last)));
        after(before.unwrap_or_else(|last| last))
    }

    pub(super) fn observe(&self, stamp: u64) {
        self.last.fetch_max(stamp.min(LAST), Ordering::Relaxed);
    }

    /// What was published before this moment stands before this position.
    pub(super) fn now(&self) -> Position {
        Position(stamp_of(self.clock.now()))
    }
}

/// The position of a message with this stamp behind one at `last`.
pub(super) fn position_after(last: Position, stamp: Option<u64>) -> Position {
    let stamp = stamp.filter(|stamp| *stamp <= LAST).unwrap_or_default();
    Position(stamp.max(last.0 + 1))
}

fn stamp_of(at: Timestamp) -> u64 {
    u64::try_from(at.ms()).unwrap_or_default() * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_increase_whatever_the_clock_does() {
        let clock = Clock::at(Timestamp::from_ms(5));
        let stamps = Stamps::new(clock.clone());
        assert_eq!([stamps.next(), stamps.next()], [5_000, 5_001]);
        clock.set(Timestamp::from_ms(1));
        assert_eq!(stamps.next(), 5_002);
        stamps.observe(9_000);
        stamps.observe(8_000);
        assert_eq!(stamps.next(), 9_001);
        clock.set(Timestamp::from_ms(20));
        assert_eq!((stamps.next(), stamps.now()), (20_000, Position(20_000)));
        stamps.observe(u64::MAX);
        assert!(stamps.next() < u64::MAX / 2);
    }

    #[test]
    fn positions_increase_within_a_lane_and_come_again() {
        let lane = [Some(1_050), Some(1_010), Some(1_020), Some(1_100), None, Some(u64::MAX), Some(2_000)];
        let of = |from: usize, floor: u64| {
            let mut last = Position(floor);
            lane[from..]
                .iter()
                .map(|stamp| {
                    last = position_after(last, *stamp);
                    last.0
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(of(0, 0), [1_050, 1_051, 1_052, 1_100, 1_101, 1_102, 2_000]);
        // After the second was passed, an owner of the same process shows the rest where it stood.
        assert_eq!(of(2, 1_051), of(0, 0)[2..]);
    }
}
