//! What a broker costs the way in: the same receiver before RabbitMQ and Kafka, with one and with five sinks, beside what the same work
//! costs without a queue.
//!
//! Real brokers, where `TICKETWIRE_TEST_AMQP` and `TICKETWIRE_TEST_KAFKA` say that there are some (`tests/services/start` starts them); one that
//! is not there is said to be left out. `-- --quick` is a short run.

mod measure;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use serde_json::json;
use ticketwire::event::LaneCount;
use ticketwire::queue::Share;
use ticketwire::queue::amqp::{self, Amqp};
use ticketwire::queue::kafka::{self, Kafka};
use ticketwire::setting::SinkName;
use tokio::sync::watch;

use measure::body::Description;
use measure::receivers::Road;
use measure::report::{self, Limit};
use measure::rounds::{Figures, Plan};
use measure::{median, receivers, rounds};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const AMQP: &str = "TICKETWIRE_TEST_AMQP";
const KAFKA: &str = "TICKETWIRE_TEST_KAFKA";

/// The receiver, its title, and where its broker is.
const RECEIVERS: [(&str, &str, Option<&str>); 5] = [
    ("parse", "HMAC + bare typed parse, no queue", None),
    ("rabbitmq 1", "RabbitMQ, confirms, 1 sink", Some(AMQP)),
    ("rabbitmq 5", "RabbitMQ, confirms, 5 sinks", Some(AMQP)),
    ("kafka 1", "Kafka, acks=all, 1 sink", Some(KAFKA)),
    ("kafka 5", "Kafka, acks=all, 5 sinks", Some(KAFKA)),
];

const WHOLE: Plan = Plan { rounds: 3, warm_up: 3_000, many: 12_000, single: 500, starts: 0 };
const QUICK: Plan = Plan { rounds: 1, warm_up: 1_000, many: 4_000, single: 200, starts: 0 };

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [serve, name, place, ..] = arguments.as_slice()
        && serve == "serve"
    {
        return receivers::serve(name, place.as_ref(), open);
    }
    let plan = if arguments.iter().any(|argument| argument == "--quick") { QUICK } else { WHOLE };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure_all(&plan))
}

/// A road with so many sinks that have a place on it, and nobody who reads.
async fn open(name: String, _: PathBuf) -> anyhow::Result<Option<Road>> {
    let Some((broker, sinks)) = name.split_once(' ') else { return Ok(None) };
    let road_name = format!("bench-{}", std::process::id());
    let queue: Road = match broker {
        "rabbitmq" => {
            let broker = amqp::Settings::default().broker(&std::env::var(AMQP)?, None);
            let broker = broker.map_err(|wrongs| anyhow::anyhow!("{wrongs:?}"))?;
            Arc::new(Amqp::open(&broker, &road_name, LaneCount::default(), watch::channel(Share::All).1).await?)
        }
        _ => {
            let broker = kafka::Settings::default().broker(&format!("kafka://{}", std::env::var(KAFKA)?), None);
            let broker = broker.map_err(|wrongs| anyhow::anyhow!("{wrongs:?}"))?;
            Arc::new(Kafka::open(&broker, &road_name, LaneCount::default()).await?)
        }
    };
    for sink in 0..sinks.parse::<u32>()? {
        let sink: SinkName = format!("sink-{sink}").parse().map_err(anyhow::Error::msg)?;
        drop(queue.subscribe(&sink).await?);
    }
    Ok(Some(queue))
}

async fn measure_all(plan: &Plan) -> anyhow::Result<()> {
    let requests = plan.requests(Description::Words);
    let is_there = |(_, title, variable): &&(&str, &str, Option<&str>)| {
        let is_there = variable.is_none_or(|variable| std::env::var_os(variable).is_some());
        if !is_there {
            let _ = report::say(&format!("left out: {title}, because {} is not set", variable.unwrap_or_default()));
        }
        is_there
    };
    let receivers: Vec<_> = RECEIVERS.iter().filter(is_there).collect();
    let mut measured: Vec<Vec<Figures>> = vec![Vec::new(); receivers.len()];
    for round in 0..plan.rounds {
        report::say(&format!("round {} of {}", round + 1, plan.rounds))?;
        for ((name, _, _), figures) in receivers.iter().zip(&mut measured) {
            figures.push(rounds::one(plan, name, &requests).await.with_context(|| (*name).to_owned())?);
        }
    }
    show(&receivers, &measured)
}

fn show(receivers: &[&(&'static str, &str, Option<&str>)], measured: &[Vec<Figures>]) -> anyhow::Result<()> {
    let heads = ["", "req/s", "ratio", "CPU us", "CPU ratio", "p50 ms", "p99 ms", "1 conn p50", "peak MB"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let (mut limits, mut told) = (Vec::new(), Vec::new());
    let parse = measured.first().context("the receiver without a queue")?;
    for ((name, title, _), figures) in receivers.iter().zip(measured) {
        let middle = |figure: fn(&Figures) -> f64| median(figures.iter().map(figure).collect());
        let ratio =
            |figure: fn(&Figures) -> f64| median(figures.iter().zip(parse).map(|(figures, to)| figure(figures) / figure(to)).collect());
        let cpu_ratio = ratio(|figures| figures.cpu_us);
        let shown = [
            (middle(|figures| figures.per_second), 0),
            (ratio(|figures| figures.per_second), 2),
            (middle(|figures| figures.cpu_us), 1),
            (cpu_ratio, 2),
            (middle(|figures| figures.p50), 2),
            (middle(|figures| figures.p99), 2),
            (middle(|figures| figures.p50_single), 3),
            (middle(|figures| figures.peak_mb), 1),
        ];
        rows.push(
            std::iter::once((*title).to_owned()).chain(shown.iter().map(|(figure, decimals)| format!("{figure:.decimals$}"))).collect(),
        );
        told.push(json!({ "receiver": name, "per_second": shown[0].0, "cpu_us_per_event": shown[2].0, "cpu_ratio": cpu_ratio }));
        match *name {
            "rabbitmq 1" => {
                limits.push(Limit { name: "RabbitMQ: CPU to HMAC + typed parse", figure: cpu_ratio, aim: 2.0, gate: 2.5, upwards: false })
            }
            "kafka 1" => {
                limits.push(Limit { name: "Kafka: CPU to HMAC + typed parse", figure: cpu_ratio, aim: 2.1, gate: 2.8, upwards: false })
            }
            _ => {}
        }
    }
    report::table("before a broker: unique signed bodies of 8,192 bytes, 64 connections", &rows)?;
    let verdicts = report::limits(&limits)?;
    report::write_json("brokers.json", &json!({ "receivers": told, "limits": verdicts }))
}
