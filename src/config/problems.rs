//! What is wrong with a configuration, where, and what to do: every problem of a run in one report.

use std::fmt;
use std::sync::Arc;

/// Where something stands: a line of a file, or (line 0) something that has no lines: a whole file, an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub file: Arc<str>,
    pub line: usize,
    /// Who keeps the file, if it says so.
    pub owner: Option<Arc<str>>,
}

impl Place {
    pub fn new(file: impl Into<Arc<str>>, line: usize) -> Self {
        Self { file: file.into(), line, owner: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file)?,
            line => write!(f, "{}:{line}", self.file)?,
        }
        self.owner.as_ref().map_or(Ok(()), |owner| write!(f, " ({owner})"))
    }
}

/// One thing to tell: a problem, or (in `Config::warnings`) something that works but should be known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub place: Place,
    pub message: String,
    /// What to do; may be empty where the message says it all.
    pub hint: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\n  hint: {}", self.hint) }
    }
}

/// Why a configuration is refused. `Display` is the report people read, sorted by file and line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    findings: Vec<Finding>,
}

impl Problems {
    pub fn add(&mut self, place: Place, message: impl Into<String>, hint: impl Into<String>) {
        let finding = Finding { place, message: message.into(), hint: hint.into() };
        if let Err(at) = self.findings.binary_search(&finding) {
            self.findings.insert(at, finding);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// Sorted by file and line.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many there are, in a sentence.
    pub fn summary(&self) -> String {
        match self.findings.len() {
            1 => "the configuration has 1 problem".to_owned(),
            count => format!("the configuration has {count} problems"),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        f.write_str(&self.summary())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_sorted_and_says_each_thing_once() {
        let mut problems = Problems::default();
        for (file, line, message) in [("b.toml", 1, "second"), ("a.toml", 10, "first"), ("a.toml", 9, "zeroth"), ("b.toml", 1, "second")] {
            problems.add(Place::new(file, line), message, "mend it");
        }
        problems.add(Place::new("environment variable `X`", 0), "last", "");
        insta::assert_snapshot!(problems, @r#"
        a.toml:9: zeroth
          hint: mend it
        a.toml:10: first
          hint: mend it
        b.toml:1: second
          hint: mend it
        environment variable `X`: last
        the configuration has 4 problems
        "#);
    }
}
