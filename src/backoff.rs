//! How long to wait before the next try: doubling, capped, always with jitter, so that many waiters do not return at once.

use std::time::Duration;

use rand::Rng;

#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    pub first: Duration,
    pub most: Duration,
}

impl Backoff {
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most }
    }

    /// The wait after `tries` failures (counted from 1): between three quarters and the whole of the doubled span.
    pub fn after(&self, tries: u32) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
        jittered(doubled.min(self.most))
    }
}

/// Takes off up to a quarter.
pub fn jittered(span: Duration) -> Duration {
    span.mul_f64(rand::rng().random_range(0.75..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_cap_and_never_to_nothing() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        for (tries, most_ms) in [(0, 100), (1, 100), (2, 200), (4, 800), (10, 5_000), (u32::MAX, 5_000)] {
            let wait = backoff.after(tries).as_millis();
            assert!(wait <= most_ms && wait >= most_ms * 3 / 4, "{tries}: {wait}");
        }
    }
}
