//! The standard `process_*` figures, read at each scrape. Written by hand: the recorder's counters are whole numbers,
//! and processor time has fractions.

use std::fmt::Write;

pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) help: &'static str,
    read: fn(&metrics_process::collector::Metrics) -> Option<f64>,
}

#[rustfmt::skip]
pub(super) const FIGURES: &[Figure] = &[
    Figure { name: "process_cpu_seconds_total", kind: "counter", help: "Processor time, user and system, in seconds.", read: |process| process.cpu_seconds_total },
    Figure { name: "process_open_fds", kind: "gauge", help: "Open file descriptors.", read: |process| process.open_fds.map(|count| count as f64) },
    Figure { name: "process_max_fds", kind: "gauge", help: "How many file descriptors may be open.", read: |process| process.max_fds.map(|count| count as f64) },
    Figure { name: "process_virtual_memory_bytes", kind: "gauge", help: "Virtual memory in bytes.", read: |process| process.virtual_memory_bytes.map(|count| count as f64) },
    Figure { name: "process_resident_memory_bytes", kind: "gauge", help: "Resident memory in bytes.", read: |process| process.resident_memory_bytes.map(|count| count as f64) },
    Figure { name: "process_start_time_seconds", kind: "gauge", help: "When the process started, in seconds since 1970.", read: |process| process.start_time_seconds.map(|at| at as f64) },
    Figure { name: "process_threads", kind: "gauge", help: "Threads of the operating system.", read: |process| process.threads.map(|count| count as f64) },
];

/// Appends what the operating system tells; what it does not tell is left out.
pub(super) fn render(text: &mut String) {
    let process = metrics_process::collector::collect();
    for figure in FIGURES {
        if let Some(value) = (figure.read)(&process) {
            let Figure { name, kind, help, .. } = figure;
            // Writing into a string cannot fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
        }
    }
}
