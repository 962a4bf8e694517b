//! Tables for people, verdicts against the limits, and the same figures as JSON.

use std::io::Write;

use serde_json::{Value, json};

/// A figure against what we aim for and what must never be missed.
pub struct Limit {
    pub name: &'static str,
    pub figure: f64,
    pub aim: f64,
    pub gate: f64,
    /// Whether more is better.
    pub upwards: bool,
}

impl Limit {
    fn verdict(&self) -> &'static str {
        let met = |limit: f64| if self.upwards { self.figure >= limit } else { self.figure <= limit };
        match (met(self.aim), met(self.gate)) {
            (true, _) => "aim met",
            (false, true) => "gate met",
            (false, false) => "GATE MISSED",
        }
    }
}

/// Prints columns that fit their widest cell; the first is aligned to the left.
pub fn table(title: &str, rows: &[Vec<String>]) -> anyhow::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{title}")?;
    for row in rows {
        for (number, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match number {
                0 => write!(out, "  {cell:<width$}")?,
                _ => write!(out, "  {cell:>width$}")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

pub fn limits(limits: &[Limit]) -> anyhow::Result<Value> {
    let mut rows = vec![["against the limits", "figure", "aim", "gate", ""].map(str::to_owned).to_vec()];
    for limit in limits {
        let sign = if limit.upwards { "≥" } else { "≤" };
        let cells = [format!("{:.2}", limit.figure), format!("{sign} {}", limit.aim), format!("{sign} {}", limit.gate)];
        let [figure, aim, gate] = cells;
        rows.push(vec![limit.name.to_owned(), figure, aim, gate, limit.verdict().to_owned()]);
    }
    table("", &rows)?;
    Ok(limits
        .iter()
        .map(
            |limit| json!({ "name": limit.name, "figure": limit.figure, "aim": limit.aim, "gate": limit.gate, "verdict": limit.verdict() }),
        )
        .collect())
}

pub fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

pub fn write_json(name: &str, figures: &Value) -> anyhow::Result<()> {
    std::fs::create_dir_all(super::directory())?;
    let path = super::directory().join(name);
    std::fs::write(&path, serde_json::to_vec_pretty(figures)?)?;
    say(&format!("\nwritten to {}", path.display()))
}
