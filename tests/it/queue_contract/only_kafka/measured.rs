//! What publishing and moving lanes cost. Figures to read, with `TICKETWIRE_CAMPAIGN=long`.

use ticketwire::event::LaneCount;
use ticketwire::queue::Queue;
use tokio::time::Instant;

use super::*;
use crate::stage::is_long;

const SENDERS: u32 = 64;
const BODY: usize = 4 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_publishing_costs() {
    let each = if is_long() { 500 } else { 2 };
    let Some(cluster) = Cluster::found() else { return };
    let begun = Instant::now();
    let queue = Arc::new(cluster.open_with(&cluster.settings, LaneCount::default()).await.expect("opened"));
    let opened = begun.elapsed();
    let begun = Instant::now();
    publish(&queue, &[sized(0, 0, BODY)]).await;
    let first = begun.elapsed();
    let begun = Instant::now();
    let mut subscription = queue.subscribe(&name("docs")).await.expect("subscribed");
    let placed = begun.elapsed();
    let mut held = Vec::new();
    for _ in LaneCount::default().lanes() {
        held.push(within(subscription.next_lane()).await.expect("a lane"));
    }
    let joined = begun.elapsed();
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
    let begun = Instant::now();
    let mut readers = tokio::task::JoinSet::new();
    for mut lane in held {
        let of_lane = (0..SENDERS).filter(|issue| event(*issue, 0).event.partition_key.lane(LaneCount::default()) == lane.id()).count();
        readers.spawn(async move { take(&mut lane, of_lane * each as usize).await.len() });
    }
    let shown: usize = within(readers.join_all()).await.into_iter().sum();
    assert_eq!(shown, total as usize);
    println!(
        "measured, kafka: opened in {opened:.1?}, first event in {first:.1?}, a place in {placed:.1?}, its 16 lanes in {joined:.1?}; {total} \
         events of 4 KiB in {took:.1?}, {:.0} a second; shown in {:.1?}",
        f64::from(total) / took.as_secs_f64(),
        begun.elapsed()
    );
    queue.close(Duration::from_secs(20)).await.expect("closed");
}
