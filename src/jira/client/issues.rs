//! Shared reads of issues: whoever needs one joins the read that will serve him, and many become one request.
//!
//! An answer serves a want if its request started at or after the moment the want names. While a read is under way, further
//! wants gather for the next; a full one, or one that waited long, goes beside it, never more than two at once.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared, join_all};
use moka::future::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::limits::{BYTES_REMEMBERED, IDS_MAX, IDS_MIN, ISSUES_REMEMBERED};
use super::read::{self, Answers, Remembered};
use super::site::Site;
use super::{Asked, JiraError, Sight, Want};

/// How long an answer is kept at all, and how long it serves who does not care when it was asked.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);
const ANY_SERVES_FOR: Duration = Duration::from_secs(60);
const READS_AT_ONCE: usize = 2;

type Read = BoxFuture<'static, Arc<Answers>>;

/// A read that somebody waits for. It goes on as long as one of them does.
#[derive(Clone)]
struct Flight {
    number: u64,
    read: Shared<Read>,
}

pub(super) struct Reader {
    board: Mutex<Board>,
    /// Held by the read that others wait for.
    turn: Arc<Semaphore>,
    flights: Arc<Semaphore>,
    remembered: Cache<String, Remembered>,
    /// Smaller after a read that took too long, or whose answer was too large.
    ids_most: AtomicUsize,
}

#[derive(Default)]
struct Board {
    number: u64,
    gathering: Option<(WeakFlight, Arc<Gathering>)>,
    under_way: Vec<UnderWay>,
}

struct WeakFlight {
    number: u64,
    read: Option<WeakShared<Read>>,
}

/// Ids for a read that has not started. Changed under the board's lock only.
#[derive(Default)]
struct Gathering {
    ids: Mutex<BTreeSet<String>>,
    full: CancellationToken,
}

struct UnderWay {
    flight: WeakFlight,
    ids: Arc<BTreeSet<String>>,
    asked: Instant,
}

pub(super) async fn issues(site: &Arc<Site>, wants: &[Want]) -> Vec<Asked<Sight>> {
    let deadline = Instant::now() + site.limits.call;
    let mut known: Vec<Option<Asked<Sight>>> = Vec::with_capacity(wants.len());
    let mut joined: HashMap<u64, Flight> = HashMap::new();
    let mut flight_of: Vec<u64> = Vec::with_capacity(wants.len());
    for want in wants {
        let answer = at_once(site, want).await;
        let mut number = 0;
        if answer.is_none() {
            let flight = join(site, want);
            number = flight.number;
            joined.entry(number).or_insert(flight);
        }
        known.push(answer);
        flight_of.push(number);
    }
    // All at the same time: a read that nobody polls would hold up those behind it.
    let landed: HashMap<u64, Option<Arc<Answers>>> =
        join_all(joined.into_values().map(|flight| async move { (flight.number, timeout_at(deadline, flight.read).await.ok()) }))
            .await
            .into_iter()
            .collect();
    let late = || {
        let reason = format!("Jira of connection `{}` did not answer in time", site.connection());
        Err(JiraError::Unavailable { retry_after: Some(Duration::from_secs(1)), reason })
    };
    let read = |number: &u64, want: &Want| match landed.get(number).and_then(Option::as_ref)?.get(&want.issue_id)? {
        Ok(remembered) => Some(Ok(remembered.sight.clone())),
        Err(err) => Some(Err(err.clone())),
    };
    let answer = |((want, known), number): ((&Want, Option<Asked<Sight>>), &u64)| known.or_else(|| read(number, want)).unwrap_or_else(late);
    wants.iter().zip(known).zip(&flight_of).map(answer).collect()
}

/// Answers that need no read: for an id that is not valid, for an issue that is remembered, and while Jira cannot be asked.
async fn at_once(site: &Site, want: &Want) -> Option<Asked<Sight>> {
    if !read::is_id(&want.issue_id) {
        return Some(Err(JiraError::Refused { status: 0, reason: "the id of the issue is not a number".into() }));
    }
    if let Some(remembered) = site.reader.remembered.get(&want.issue_id).await {
        let serves = match want.after {
            Some(after) => remembered.asked >= after,
            None => remembered.asked.elapsed() <= ANY_SERVES_FOR,
        };
        if serves {
            return Some(Ok(remembered.sight));
        }
    }
    site.http.budget().gate().err().map(Err)
}

/// The read that will serve the want: one under way that started late enough, else the one that gathers.
fn join(site: &Arc<Site>, want: &Want) -> Flight {
    let reader = &site.reader;
    let mut board = reader.board();
    for under_way in &board.under_way {
        if under_way.ids.contains(&want.issue_id)
            && want.after.is_none_or(|after| after <= under_way.asked)
            && let Some(flight) = under_way.flight.upgrade()
        {
            return flight;
        }
    }
    let open = board.gathering.as_ref().and_then(|(flight, gathering)| Some((flight.upgrade()?, Arc::clone(gathering))));
    let (flight, gathering) = open.unwrap_or_else(|| {
        board.number += 1;
        let gathering = Arc::new(Gathering::default());
        let read = fly(Arc::clone(site), board.number, Arc::clone(&gathering)).boxed().shared();
        let flight = Flight { number: board.number, read };
        board.gathering = Some((flight.downgrade(), Arc::clone(&gathering)));
        (flight, gathering)
    });
    let mut ids = gathering.ids();
    ids.insert(want.issue_id.clone());
    if ids.len() >= reader.ids_most.load(Ordering::Relaxed) {
        board.gathering = None;
        gathering.full.cancel();
    }
    drop(ids);
    flight
}

/// One read from gathering to landing.
async fn fly(site: Arc<Site>, number: u64, gathering: Arc<Gathering>) -> Arc<Answers> {
    let reader = &site.reader;
    let _permits = reader.turn(&site, &gathering).await;
    let deadline = Instant::now() + site.limits.read;
    let flavour = site.flavour(deadline).await;
    let ids = reader.close(number, &gathering);
    let asked = Instant::now();
    let answers = match flavour {
        Ok(flavour) => read::read(&site, flavour, &ids, deadline).await,
        Err(err) => ids.iter().map(|id| (id.clone(), Err(err.clone()))).collect(),
    };
    reader.adapt(ids.len(), &answers, asked.elapsed(), site.limits.read);
    for (id, answer) in &answers {
        if let Ok(remembered) = answer {
            reader.remembered.insert(id.clone(), remembered.clone()).await;
        }
    }
    reader.board().under_way.retain(|under_way| under_way.flight.number != number && under_way.flight.is_alive());
    Arc::new(answers)
}

impl Reader {
    pub(super) fn new() -> Self {
        // Each weighs at least its share, so that one bound holds for number and bytes.
        let least = u32::try_from(BYTES_REMEMBERED / ISSUES_REMEMBERED).unwrap_or(u32::MAX);
        let remembered = Cache::builder()
            .max_capacity(BYTES_REMEMBERED)
            .weigher(move |_, remembered: &Remembered| remembered.bytes.max(least))
            .time_to_live(REMEMBERED_FOR)
            .build();
        Self {
            board: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
            flights: Arc::new(Semaphore::new(READS_AT_ONCE)),
            remembered,
            ids_most: AtomicUsize::new(IDS_MAX),
        }
    }

    /// Waits until a read may start; it may as long as the permits are held.
    async fn turn(&self, site: &Site, gathering: &Gathering) -> (Option<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>) {
        let limits = &site.limits;
        let _ = tokio::time::timeout(limits.gather, gathering.full.cancelled()).await;
        // `acquire_owned` only fails on a closed semaphore, which these never are.
        let turn = tokio::select! {
            biased;
            turn = Arc::clone(&self.turn).acquire_owned() => turn.ok(),
            () = gathering.full.cancelled() => None,
            () = tokio::time::sleep(limits.patience) => None,
        };
        (turn, Arc::clone(&self.flights).acquire_owned().await.ok())
    }

    /// Nobody joins any more; the read is under way from now on.
    fn close(&self, number: u64, gathering: &Gathering) -> Arc<BTreeSet<String>> {
        let mut board = self.board();
        let mut flight = WeakFlight { number, read: None };
        if let Some((open, _)) = board.gathering.take_if(|(open, _)| open.number == number) {
            flight = open;
        }
        let ids = Arc::new(std::mem::take(&mut *gathering.ids()));
        board.under_way.retain(|under_way| under_way.flight.is_alive());
        if flight.read.is_some() {
            board.under_way.push(UnderWay { flight, ids: Arc::clone(&ids), asked: Instant::now() });
        }
        ids
    }

    pub(super) fn ask_for_at_most(&self, ids: usize) {
        self.ids_most.fetch_min(ids.max(1), Ordering::Relaxed);
    }

    /// A site too slow for a hundred issues at once is asked for fewer, and for more again when it keeps up.
    /// Who asked for more than is allowed by now keeps it so.
    fn adapt(&self, asked_for: usize, answers: &Answers, took: Duration, limit: Duration) {
        let most = self.ids_most.load(Ordering::Relaxed);
        let failed = answers.values().any(|answer| matches!(answer, Err(JiraError::Unavailable { .. })));
        let next = match (failed, took >= limit.mul_f64(0.8)) {
            (true, true) => (asked_for / 2).max(IDS_MIN).min(most),
            (false, false) if asked_for <= most => most.saturating_mul(2).min(IDS_MAX),
            _ => most,
        };
        self.ids_most.store(next, Ordering::Relaxed);
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathering {
    fn ids(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    fn downgrade(&self) -> WeakFlight {
        WeakFlight { number: self.number, read: self.read.downgrade() }
    }
}

impl WeakFlight {
    fn upgrade(&self) -> Option<Flight> {
        Some(Flight { number: self.number, read: self.read.as_ref()?.upgrade()? })
    }

    fn is_alive(&self) -> bool {
        self.read.as_ref().is_some_and(|read| read.upgrade().is_some())
    }
}
