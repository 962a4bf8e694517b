//! A delivery in hand: which one it is, what is known of earlier tries, and what the journal will say of it.

use std::sync::Arc;

use crate::event::EventId;
use crate::store::{DeliveryKey, Ended, Progress};

/// Why a delivery of a sink in shadow mode ended.
const SHADOWED: &str = "shadow: recorded, nothing was sent";

/// A delivery in hand.
#[derive(Clone)]
pub(crate) struct Work {
    pub(crate) key: DeliveryKey,
    pub(crate) rule: Option<Arc<str>>,
    pub(crate) item: usize,
    /// How often it failed before.
    pub(crate) failures: u32,
    /// Nobody knows whether an earlier try did it.
    pub(crate) unknown: bool,
    /// An earlier process left it so, and it was not counted yet.
    pub(crate) is_found_unknown: bool,
    pub(crate) unclean_runs: u32,
    /// The event whose message covers this delivery, too.
    pub(crate) folded_into: Option<EventId>,
}

impl Work {
    /// Of which nothing is known yet.
    pub(crate) fn new(key: DeliveryKey, rule: Option<Arc<str>>, item: usize) -> Self {
        Self { key, rule, item, failures: 0, unknown: false, is_found_unknown: false, unclean_runs: 0, folded_into: None }
    }

    /// What the journal says of it besides that it was delivered.
    pub(crate) fn remark(&self) -> Option<String> {
        match &self.folded_into {
            Some(id) => Some(format!("folded into {id}")),
            None => self.unknown.then(|| "repeated: an earlier try may have delivered it too".to_owned()),
        }
    }

    /// What to journal after a try that certainly did nothing.
    pub(crate) fn progress_if_not_sent(&self) -> Progress {
        if self.unknown { Progress::Started } else { Progress::Tried }
    }

    /// The outcome to journal once the sink accepted the delivery, and the remark stored with it.
    pub(crate) fn taken(&self, is_shadow: bool) -> (Ended, Option<String>) {
        match (is_shadow, self.remark()) {
            (false, remark) => (Ended::Delivered, remark),
            (true, None) => (Ended::Shadowed, Some(SHADOWED.to_owned())),
            (true, Some(remark)) => (Ended::Shadowed, Some(format!("{SHADOWED} ({remark})"))),
        }
    }
}
