//! How much the way in costs: from the socket to a durable event and the 200, beside what the same work costs without a queue.
//!
//! Each receiver runs in a process of its own, so that its use of the machine can be told from the sender's. Rounds are interleaved:
//! figures of one run are to be compared with each other, not with those of another. `-- --quick` is a short run.

mod measure;
#[path = "way_in/start_up.rs"]
mod start_up;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use ticketwire::app::renew;
use ticketwire::queue::embedded::{self, Embedded};

use measure::body::Description;
use measure::report::{self, Limit};
use measure::rounds::{Figures, Plan};
use measure::{median, receivers, rounds};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is measured in every round, in this order: the receiver, its bodies, its title.
const RECEIVERS: [(&str, Description, &str); 6] = [
    ("hmac", Description::Words, "axum + HMAC"),
    ("parse", Description::Words, "+ bare typed parse, no queue"),
    ("normalize", Description::Words, "+ normalize, no queue"),
    ("receiver", Description::Words, "the receiver, durable"),
    ("normalize", Description::Markup, "description in markup: + normalize, no queue"),
    ("receiver", Description::Markup, "description in markup: the receiver, durable"),
];
/// Places in that list: the receiver, and the same without a queue.
const WORDS: (usize, usize) = (3, 2);
const MARKUP: (usize, usize) = (5, 4);
const PARSE: usize = 1;

/// The warm-up goes on until the log uses its files again, as it does from the first minutes of a service on.
const WHOLE: Plan = Plan { rounds: 5, warm_up: 20_000, many: 25_000, single: 2_000, starts: 9 };
const QUICK: Plan = Plan { rounds: 3, warm_up: 20_000, many: 6_000, single: 500, starts: 3 };

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [serve, name, place, ..] = arguments.as_slice()
        && serve == "serve"
    {
        return receivers::serve(name, place.as_ref(), embedded_queue);
    }
    let plan = if arguments.iter().any(|argument| argument == "--quick") { QUICK } else { WHOLE };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure_all(&plan))
}

/// The embedded queue for the receiver that is called so.
async fn embedded_queue(name: String, place: PathBuf) -> anyhow::Result<Option<receivers::Road>> {
    let open = || Embedded::open(&embedded::Settings::default(), &place.join("queue"), Some(renew));
    Ok(if name == "receiver" { Some(Arc::new(open()?)) } else { None })
}

async fn measure_all(plan: &Plan) -> anyhow::Result<()> {
    let (words, markup) = (plan.requests(Description::Words), plan.requests(Description::Markup));
    let mut measured: Vec<Vec<Figures>> = vec![Vec::new(); RECEIVERS.len()];
    for round in 0..plan.rounds {
        report::say(&format!("round {} of {}", round + 1, plan.rounds))?;
        for ((name, description, _), figures) in RECEIVERS.iter().zip(&mut measured) {
            let requests = if *description == Description::Words { &words } else { &markup };
            figures.push(rounds::one(plan, name, requests).await?);
        }
    }
    let start_up = start_up::measure(plan.starts, &words).await?;
    show(&measured, &start_up)
}

fn show(rounds: &[Vec<Figures>], start_up: &start_up::Figures) -> anyhow::Result<()> {
    let middle = |which: usize, figure: fn(&Figures) -> f64| median(rounds.get(which).into_iter().flatten().map(figure).collect());
    let ratio = |which: usize, to: usize| {
        let both = rounds.get(which).into_iter().flatten().zip(rounds.get(to).into_iter().flatten());
        median(both.map(|(figures, to)| figures.per_second / to.per_second).collect())
    };
    let fdatasync = median(rounds.iter().flatten().map(|figures| figures.fdatasync_ms).collect());
    let heads = ["", "req/s", "to parse", "to normalize", "CPU us", "p50 ms", "p99 ms", "1 conn p50", "idle MB", "peak MB"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let mut receivers = Vec::new();
    for (which, (name, description, title)) in RECEIVERS.iter().enumerate() {
        let markup = *description == Description::Markup;
        let figures = [
            middle(which, |figures| figures.per_second),
            ratio(which, PARSE),
            ratio(which, if markup { MARKUP.1 } else { WORDS.1 }),
            middle(which, |figures| figures.cpu_us),
            middle(which, |figures| figures.p50),
            middle(which, |figures| figures.p99),
            middle(which, |figures| figures.p50_single),
            middle(which, |figures| figures.idle_mb),
            middle(which, |figures| figures.peak_mb),
        ];
        let decimals = [0, 2, 2, 1, 2, 2, 3, 1, 1];
        let cells = figures.iter().zip(decimals).map(|(figure, decimals)| format!("{figure:.decimals$}"));
        rows.push(std::iter::once((*title).to_owned()).chain(cells).collect());
        let [per_second, to_parse, to_normalize, cpu_us, p50_ms, p99_ms, single_p50_ms, idle_mb, peak_mb] = figures;
        receivers.push(json!({
            "receiver": name, "markup": markup, "per_second": per_second, "ratio_to_parse": to_parse, "ratio_to_normalize": to_normalize,
            "cpu_us_per_event": cpu_us, "p50_ms": p50_ms, "p99_ms": p99_ms, "p50_ms_at_1_connection": single_p50_ms,
            "idle_mb": idle_mb, "peak_mb": peak_mb,
        }));
    }
    report::table("the way in: unique signed bodies of 8,192 bytes, 64 connections", &rows)?;
    report::say(&format!("  one fdatasync: {fdatasync:.3} ms; {}", start_up.told()))?;
    let limit = |name, figure, aim, gate, upwards| Limit { name, figure, aim, gate, upwards };
    let durable = WORDS.0;
    let verdicts = report::limits(&[
        limit("req/s to HMAC + normalize without a queue", ratio(durable, WORDS.1), 0.75, 0.62, true),
        limit("the same, description in markup", ratio(MARKUP.0, MARKUP.1), 0.75, 0.62, true),
        limit("req/s to HMAC + bare typed parse", ratio(durable, PARSE), 0.75, 0.62, true),
        limit("CPU us per event", middle(durable, |figures| figures.cpu_us), 30.0, 40.0, false),
        limit("the same, description in markup", middle(MARKUP.0, |figures| figures.cpu_us), 30.0, 40.0, false),
        limit("p99 ms at 64 connections", middle(durable, |figures| figures.p99), 5.0, 10.0, false),
        limit("p50 at 1 connection in fdatasyncs", middle(durable, |figures| figures.p50_single) / fdatasync, 2.0, 3.0, false),
        limit("peak MB at 64 connections", middle(durable, |figures| figures.peak_mb), 40.0, 80.0, false),
        limit("idle MB of the whole service", start_up.idle_mb, 12.0, 25.0, false),
        limit("start to first 200 ms, empty queue", start_up.first_answer_ms, 20.0, 100.0, false),
    ])?;
    let figures = json!({ "receivers": receivers, "fdatasync_ms": fdatasync, "start_up": start_up.json(), "limits": verdicts });
    report::write_json("way_in.json", &figures)
}
