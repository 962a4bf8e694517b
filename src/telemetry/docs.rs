//! `schemas/metrics.md`, made from the table of metrics.

use super::metrics::{METRICS, Metric, Type};
use super::process::FIGURES;
use super::record::{ATTEMPT_RESULTS, DELIVERY_OUTCOMES, GUARDS, WEBHOOK_OUTCOMES};

/// The page as it stands in `schemas/metrics.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\nServed at `/metrics` of the admin listener, as Prometheus text. Made from `src/telemetry/metrics.rs`; do not edit.\n\
         A metric shows once something was recorded; a label's value is never an issue key, a person or a URL.\n\n\
         | Name | Type | Unit | Labels | Meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    for metric in METRICS {
        page.push_str(&row(metric));
    }
    for figure in FIGURES {
        page.push_str(&format!("| `{}` | {} | | | {} |\n", figure.name, figure.kind, figure.help));
    }
    page.push_str("\n## Closed labels\n\n");
    for (name, values) in [
        ("outcome` of `ticketwire_webhook_requests_total", WEBHOOK_OUTCOMES),
        ("outcome` of `ticketwire_deliveries_total", DELIVERY_OUTCOMES),
        ("result` of `ticketwire_delivery_attempts_total", ATTEMPT_RESULTS),
        ("guard` of `ticketwire_withheld_total", GUARDS),
    ] {
        page.push_str(&format!("- `{name}`: `{}`\n", values.join("`, `")));
    }
    page.push_str("\n## Buckets\n\n");
    for metric in METRICS {
        if let Type::Histogram(buckets) = metric.kind {
            let buckets: Vec<String> = buckets.iter().map(ToString::to_string).collect();
            page.push_str(&format!("- `{}`: {}\n", metric.name, buckets.join(", ")));
        }
    }
    page
}

fn row(metric: &Metric) -> String {
    let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{}` | {} | {} | {} | {} |\n", metric.name, metric.kind.as_str(), metric.unit.as_str(), labels.join(", "), metric.help)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/metrics.md");
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(path, super::markdown()).expect("writing the page");
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(page, super::markdown(), "run the tests with UPDATE_SCHEMAS=1");
    }
}
