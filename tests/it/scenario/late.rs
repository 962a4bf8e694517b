//! Shuffled and late bodies: the ticket store never goes back in time, and nothing rises from the dead.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::stage::{Scene, Stage, Story};

const LIMIT: Duration = Duration::from_secs(30);
const STORIES: u64 = 40;
const STEPS: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_bodies_change_nothing() {
    let stage = Stage::new();
    stage.configure(&format!("{}{}", Scene::listening("acme"), super::DATA_SINKS));
    let _service = stage.serve().await;
    let (mut bodies, mut wanted) = (Vec::new(), Vec::new());
    for number in 0..STORIES {
        let mut story = Story::new(number, "OPS");
        bodies.push(story.created());
        for step in 1..STEPS {
            bodies.push(story.renamed(&format!("step {step}")));
        }
        let is_deleted = number % 4 == 0;
        if is_deleted {
            bodies.push(story.deleted());
        }
        wanted.push(vec![story.id.to_string(), story.summary.clone(), u8::from(is_deleted).to_string()]);
    }
    bodies.shuffle(&mut StdRng::seed_from_u64(7));
    for (number, body) in bodies.iter().enumerate() {
        stage.post("acme", body, &number.to_string()).await;
    }
    // Who was deleted is told of once more, late: an update and a comment that nobody had sent yet.
    let mut dead = Story::new(STORIES, "OPS");
    let created = dead.created();
    let (late, talk, deleted) = (dead.renamed("too late"), dead.commented("too late"), dead.deleted());
    for (name, body) in [("created", created), ("deleted", deleted), ("late", late), ("talk", talk)] {
        stage.post("acme", &body, name).await;
    }
    stage.drained(&["events", "tickets"], LIMIT).await;
    let rows = stage.rows("SELECT id, summary, CAST(deleted_at IS NOT NULL AS TEXT) FROM tickets WHERE id < '100040' ORDER BY id").await;
    // What a deleted ticket is called last is not promised, only that it stays deleted.
    let shown = |rows: &[Vec<String>]| -> Vec<Vec<String>> {
        rows.iter().map(|row| if row[2] == "1" { vec![row[0].clone(), "deleted".into()] } else { row.clone() }).collect()
    };
    assert_eq!(shown(&rows), shown(&wanted));
    let of_dead = stage.rows("SELECT CAST(deleted_at IS NOT NULL AS TEXT) FROM tickets WHERE id = '100040'").await;
    assert_eq!(of_dead, [["1"]], "a late body resurrected a ticket");
    eprintln!("late: {} bodies of {} issues shuffled, no older state, nobody resurrected", bodies.len() + 4, STORIES + 1);
}
