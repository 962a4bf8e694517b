//! Answers on stdout, as tables for people or as JSON; complaints on stderr.

use std::io::{self, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, TableStyle};
use serde::Serialize;

/// Long texts are broken here where no terminal says how wide it is.
const TEXT_WIDTH: u16 = 160;

pub(crate) struct Output {
    pub(crate) is_json: bool,
}

impl Output {
    pub(crate) fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.write_all(b"\n")?;
        stdout.flush()
    }

    pub(crate) fn json<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        let text = serde_json::to_string(value)?;
        self.line(&text)
    }

    /// A table, or `nothing` where it has no rows.
    pub(crate) fn table(&mut self, header: &[&str], rows: Vec<Vec<String>>, nothing: &str) -> io::Result<()> {
        self.arranged(Table::new(), header, rows, nothing)
    }

    /// The same for sentences: a row takes several lines rather than a line without end.
    pub(crate) fn texts(&mut self, header: &[&str], rows: Vec<Vec<String>>, nothing: &str) -> io::Result<()> {
        let mut table = Table::new();
        if !io::stdout().is_terminal() {
            table.set_width(TEXT_WIDTH);
        }
        self.arranged(table, header, rows, nothing)
    }

    fn arranged(&mut self, mut table: Table, header: &[&str], rows: Vec<Vec<String>>, nothing: &str) -> io::Result<()> {
        if rows.is_empty() {
            return self.line(nothing);
        }
        table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Dynamic).set_header(header).add_rows(rows);
        let text = table.to_string();
        text.lines().try_for_each(|line| self.line(line.trim_end()))
    }

    pub(crate) fn error(&mut self, text: &str) {
        // Where nobody can be told there is nothing more to do.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// Text of others on one line of a terminal, without what would move its cursor.
pub(crate) fn on_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
