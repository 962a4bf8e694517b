//! Comments that do not say whether they are internal notes, at a sink that takes none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{StatusCode, Uri};
use axum::{Json, Router};
use serde_json::{Value, json};
use ticketwire::deliver::Jiras;
use ticketwire::event::{Comment, Entity, Envelope, Kind, ProjectKind};
use ticketwire::jira::{Auth, Flavour, Jira};
use ticketwire::setting::Secret;
use ticketwire::shutdown::Tasks;
use ticketwire::sink::Clearance;
use tokio::sync::Barrier;

use super::scripted::{Fault, Scripted, chat};
use super::world::{LIMIT, World, acme, envelope, rules_for, settings, until};

const SOON: Duration = Duration::from_secs(20);
const TOGETHER: usize = 4;

/// A Data Center with a service desk, where comment 2 is an internal note and the others have no property.
struct Desk {
    url: String,
    is_away: Arc<AtomicBool>,
    /// What it was asked for while it was there.
    paths: Arc<Mutex<Vec<String>>>,
    _tasks: Tasks,
}

impl Desk {
    /// `together`: what a property says is answered only once so many are asked for.
    async fn start(together: usize) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (is_away, paths, barrier) =
            (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<String>>>::default(), Arc::new(Barrier::new(together)));
        let (away, seen) = (is_away.clone(), paths.clone());
        let answer = move |uri: Uri| {
            let (is_away, barrier) = (away.load(Ordering::Relaxed), barrier.clone());
            if !is_away {
                seen.lock().expect("no panic").push(uri.path().to_owned());
            }
            async move {
                if uri.path().ends_with("sd.public.comment") && !is_away {
                    barrier.wait().await;
                }
                if is_away { (StatusCode::SERVICE_UNAVAILABLE, Json(json!({}))) } else { said(uri.path()) }
            }
        };
        let (router, tasks) = (Router::new().fallback(answer), Tasks::new());
        tasks.spawn("jira", async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, is_away, paths, _tasks: tasks }
    }

    fn jiras(&self) -> Arc<Jiras> {
        let (url, auth) = (self.url.parse().expect("it is well formed"), Auth::Pat { token: Secret::new("not a token") });
        let jira = Jira::new(acme(), url, auth, Some(Flavour::Datacenter), ticketwire::render::to_markdown).expect("a client");
        Arc::new(Jiras::from([(acme(), Arc::new(jira))]))
    }

    /// How often such a path was asked for.
    fn asked(&self, part: &str) -> usize {
        self.paths.lock().expect("no panic").iter().filter(|path| path.contains(part)).count()
    }
}

fn said(path: &str) -> (StatusCode, Json<Value>) {
    let parts: Vec<&str> = path.trim_start_matches("/rest/api/2/").split('/').collect();
    let found = match parts.as_slice() {
        ["myself"] => json!({ "name": "hub" }),
        ["comment", "2", "properties", _] => json!({ "value": { "internal": true } }),
        ["issue", _, "comment", id] => json!({ "id": id, "body": "text" }),
        _ => return (StatusCode::NOT_FOUND, Json(json!({ "errorMessages": ["not there"] }))),
    };
    (StatusCode::OK, Json(found))
}

/// A comment with the id of its issue.
fn comment(number: u32) -> Envelope {
    let mut envelope = envelope(number, number, "a");
    let comment = Comment {
        id: number.to_string(),
        author: None,
        editor: None,
        body: Some("text".into()),
        created_at: None,
        updated_at: None,
        visibility: None,
        internal: None,
    };
    let data = &mut envelope.event.data;
    (data.kind, data.entity) = (Kind::CommentCreated, Some(Entity::Comment(comment)));
    if let Some(project) = &mut data.project {
        project.kind = ProjectKind::ServiceDesk;
    }
    envelope
}

async fn world(desk: &Desk, sink: &Arc<Scripted>) -> World {
    let mut world = World::new(1, settings(16, 6), vec![sink.clone()], rules_for("team", "a")).await;
    world.clearance = Clearance { internal_comments: false, ..Clearance::everything() };
    world.jiras = desk.jiras();
    // The sink has its place from now on: what is published before the next start comes in one window.
    world.start().await.stop().await;
    world
}

fn taken(sink: &Scripted) -> Vec<u32> {
    let mut taken = sink.taken("#a");
    taken.sort_unstable();
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_comments_of_a_window_are_asked_for_side_by_side() {
    let (desk, sink) = (Desk::start(TOGETHER).await, Arc::new(Scripted::new("team", chat(), |_, _| Fault::None)));
    let world = world(&desk, &sink).await;
    for number in 1..=4 {
        world.publish(comment(number)).await;
    }
    let running = world.start().await;
    world.finished(SOON).await.expect("all ends");
    assert_eq!(taken(&sink), [1, 3, 4]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comment_that_waited_is_read_once() {
    let (desk, sink) = (Desk::start(1).await, Arc::new(Scripted::new("team", chat(), |_, _| Fault::None)));
    desk.is_away.store(true, Ordering::Relaxed);
    let world = world(&desk, &sink).await;
    for number in 1..=3 {
        world.publish(comment(number)).await;
    }
    let running = world.start().await;
    assert!(until(SOON, async || world.unfinished().await == (0, 3)).await, "{:?}", world.unfinished().await);
    desk.is_away.store(false, Ordering::Relaxed);
    world.finished(LIMIT).await.expect("all ends");
    assert_eq!(taken(&sink), [1, 3]);
    for number in 1..=3 {
        let asked = [desk.asked(&format!("/issue/{number}/comment/{number}")), desk.asked(&format!("/comment/{number}/properties/"))];
        assert_eq!(asked, [1, 1], "{number}: {:?}", desk.paths);
    }
    running.stop().await;
}
