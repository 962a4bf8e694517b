//! What publishing costs: the broker writes an event once for each sink. Figures to read, with `TICKETWIRE_CAMPAIGN=long`.

use ticketwire::event::LaneCount;
use ticketwire::queue::Share;
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::stage::sized;
use super::*;
use crate::stage::is_long;

const SENDERS: u32 = 64;
const BODY: usize = 4 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_publishing_costs() {
    let each = if is_long() { 200 } else { 2 };
    for sinks in [1, 5] {
        let Some(broker) = Broker::found().await else { return };
        let queue = broker.open_with(&broker.settings, LaneCount::default(), watch::channel(Share::All).1).await.expect("opened");
        let queue = Arc::new(queue);
        let begun = Instant::now();
        for sink in 0..sinks {
            drop(queue.subscribe(&name(&format!("sink-{sink}"))).await.expect("subscribed"));
        }
        let made = begun.elapsed();
        let begun = Instant::now();
        let mut senders = tokio::task::JoinSet::new();
        for issue in 0..SENDERS {
            let queue = Arc::clone(&queue);
            senders.spawn(async move {
                for number in 0..each {
                    queue.publish(vec![sized(issue, number, BODY)]).await.expect("published");
                }
            });
        }
        within(senders.join_all()).await;
        let (took, total) = (begun.elapsed(), SENDERS * each);
        println!(
            "measured: {sinks} sinks, 16 lanes: made in {made:.1?}; {total} events of 4 KiB in {took:.1?}, {:.0} a second",
            f64::from(total) / took.as_secs_f64()
        );
        let waiting: u64 = queue.backlog().await.expect("counted").iter().map(|row| row.waiting).sum();
        assert_eq!(waiting, u64::from(total) * sinks);
    }
}
