//! What a process does: all of it, unless `--role` says less. Several processes then share one road and one store.

use std::fmt;

/// The parts of the service that can be split off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Takes webhooks; needs the road, and no store.
    pub receiver: bool,
    /// Delivers to sinks, and keeps the archive.
    pub worker: bool,
    /// Does what only one process may do, when it is its turn.
    pub scheduler: bool,
    /// Answers the API on the admin listener; metrics and health are there in every process.
    pub console: bool,
}

impl Roles {
    pub const ALL: Self = Self { receiver: true, worker: true, scheduler: true, console: true };

    /// By the names of `--role`; none is all. Names that are no role are refused by the command line.
    pub fn named(names: &[String]) -> Self {
        if names.is_empty() {
            return Self::ALL;
        }
        let has = |role: &str| names.iter().any(|name| name == role);
        Self { receiver: has("receiver"), worker: has("worker"), scheduler: has("scheduler"), console: has("console") }
    }

    /// Whether one process with these roles is a whole service.
    pub fn are_whole(self) -> bool {
        self.receiver && self.worker
    }

    pub(super) fn need_store(self) -> bool {
        self.worker || self.scheduler || self.console
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles = [(self.receiver, "receiver"), (self.worker, "worker"), (self.scheduler, "scheduler"), (self.console, "console")];
        let names: Vec<&str> = roles.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_all_and_names_come_back() {
        assert_eq!(Roles::named(&[]), Roles::ALL);
        assert_eq!(Roles::ALL.to_string(), "receiver,worker,scheduler,console");
        let split = Roles::named(&["console".to_owned(), "receiver".to_owned()]);
        assert_eq!(split.to_string(), "receiver,console");
        assert!(split.need_store() && !split.are_whole());
        assert!(!Roles::named(&["receiver".to_owned()]).need_store());
    }
}
